"""Criteria tried on a brand's past, from its page: nothing is changed by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from bergen_loop.console import trial
from bergen_loop.console.access import NOT_FOUND, Form, Permission, Viewer, field
from bergen_loop.console.charts import COLOURS, outcome_chart
from bergen_loop.console.forms import day_of
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import day_start, page, today, zone_of
from bergen_loop.domain.criteria import (
    PRESETS,
    BacktestReport,
    CriteriaError,
    CriteriaProblem,
    CriteriaWarning,
    preset,
    preset_text,
)
from bergen_loop.domain.criteria.backtest import MAX_CHANGED
from bergen_loop.domain.decision import Outcome
from bergen_loop.ledger.read import history
from bergen_loop.ledger.read.history import PastCase
from bergen_loop.service.registry import Registry

DAYS = 30
"""How far back the form suggests to look."""
MOST = 20_000
"""Returns that are tried at most, the newest."""
SECONDS = 4.0
"""...and for so long at most."""
WARNING_SECONDS = 2.0
PASTED, NOW = "pasted", "now"
PASTING = Permission.ACT
"""A text of one's own makes this machine work on it; a preset is known. See `trial`."""

router = APIRouter()

_one_at_a_time = threading.Lock()
"""Trying takes a processor for seconds: the syncs of this process must not wait for several."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the form asks for."""

    which: str
    """A preset, `now` (the brand's own) or `pasted`."""
    text: str
    """The criteria, if pasted."""
    since: str
    """YYYY-MM-DD, local."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it."""

    report: BacktestReport
    warnings: list[CriteriaWarning] | None
    """The serious ones; None where the search for them took too long."""
    edited: int
    judged: int
    """Returns there were to try, at most `MOST` + 1."""

    @property
    def bounded(self) -> bool:
        """Whether older returns were left out."""
        return self.report.cases < self.judged


class Refused(Exception):
    """It was not tried: a problem of the form, or the mistakes of the criteria."""

    def __init__(
        self, status: int, problem: str = "", mistakes: tuple[CriteriaProblem, ...] = ()
    ) -> None:
        super().__init__(problem)
        self.status, self.problem, self.mistakes = status, problem, mistakes


@router.get("/brands/{brand}/criteria/try", response_class=HTMLResponse)
def form_page(
    request: Request, person: Viewer, brand: str, start: str | None = None
) -> HTMLResponse:
    """The form. `start` puts a preset's text into it, to be edited."""
    text = preset_text(start) if start in PRESETS and person.can(PASTING) else ""
    since = today(zone_of(request)) - timedelta(days=DAYS)
    wanted = Wanted(PASTED if text else NOW, text, since.isoformat())
    return _page(request, brand, wanted)


@router.post("/brands/{brand}/criteria/try", response_class=HTMLResponse)
def try_page(request: Request, person: Viewer, form: Form, brand: str) -> HTMLResponse:
    """Try them, and show what came of it below the form."""
    registry = _registry(request, brand)
    if field(form, "which") == PASTED and not person.can(PASTING):
        raise HTTPException(403, "your role allows to try presets and this brand's own criteria")
    pasted = form.get("text")
    # Not stripped: the lines of a mistake are counted from the first one.
    text = pasted.replace("\r\n", "\n") if isinstance(pasted, str) else ""
    wanted = Wanted(field(form, "which"), text, field(form, "since"))
    if not _one_at_a_time.acquire(blocking=False):
        problem = "criteria are being tried by somebody else right now; try again in some seconds"
        return _page(request, brand, wanted, refused=Refused(503, problem))
    try:
        day = day_of(wanted.since)
        if day is None:
            raise Refused(422, "choose the day from which on returns are tried")
        tried = _try(request, registry, brand, wanted, day)
    except Refused as refused:
        return _page(request, brand, wanted, refused=refused)
    finally:
        _one_at_a_time.release()
    return _page(request, brand, wanted, tried=tried)


def _registry(request: Request, brand: str) -> Registry:
    registry = console_of(request).registry
    if brand not in registry:
        raise HTTPException(404, NOT_FOUND)
    return registry


def _try(request: Request, registry: Registry, brand: str, wanted: Wanted, day: date) -> Tried:
    """Raises Refused with every mistake."""
    rules, since = registry.brand(brand).announce_rules(), day_start(day, zone_of(request))
    edited = 0

    def in_time(cases: Iterable[PastCase]) -> Iterator[trial.PastCase]:
        """The cases, until the time is over; one at least."""
        nonlocal edited
        until = time.monotonic() + SECONDS
        for past in cases:
            edited += past.edited
            yield past.return_id, past.case, past.decided
            if time.monotonic() > until:
                return

    with registry.ledger.read() as session:
        judged = history.newest_judged(session, brand, since, MOST + 1)
        cases = in_time(history.cases_of(session, judged[:MOST], rules))
        found = _found(registry, brand, wanted, cases)
    return Tried(found.report, found.warnings, edited, len(judged))


def _found(
    registry: Registry, brand: str, wanted: Wanted, cases: Iterable[trial.PastCase]
) -> trial.Trial:
    if wanted.which == NOW:
        return trial.here(registry.context(brand).criteria, cases, WARNING_SECONDS)
    if wanted.which in PRESETS:
        return trial.here(preset(wanted.which), cases, WARNING_SECONDS)
    if wanted.which != PASTED:
        raise Refused(422, "choose the criteria to try")
    try:
        return trial.apart(wanted.text, cases, WARNING_SECONDS)
    except CriteriaError as error:
        raise Refused(422, mistakes=error.problems) from None
    except trial.TrialFailed as failed:
        raise Refused(422, f"{failed}; write fewer rules, or try a shorter time") from None


def _page(
    request: Request,
    brand: str,
    wanted: Wanted,
    *,
    tried: Tried | None = None,
    refused: Refused | None = None,
) -> HTMLResponse:
    registry = _registry(request, brand)
    lines = wanted.text.split("\n")
    return page(
        request,
        "trying.html",
        refused.status if refused else 200,
        brand=brand,
        name=registry.brand(brand).name,
        now_version=registry.context(brand).criteria.version,
        presets=PRESETS,
        pasting=PASTING,
        wanted=wanted,
        problem=refused.problem if refused else "",
        mistakes=[
            (m, lines[m.line - 1] if m.line <= len(lines) else "")
            for m in (refused.mistakes if refused else ())
        ],
        tried=tried,
        basis=history.BASIS,
        outcomes=list(Outcome),
        colours=COLOURS,
        most=MOST,
        seconds=SECONDS,
        listed=MAX_CHANGED,
        chart=outcome_chart("days", tried.report.days) if tried else "",
    )
