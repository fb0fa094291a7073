"""Criteria tried on a brand's past, from its page: nothing is changed by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from bergen_loop.console.access import NOT_FOUND, Form, Viewer, field
from bergen_loop.console.charts import COLOURS, outcome_chart
from bergen_loop.console.forms import day_of
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import day_start, page, today, zone_of
from bergen_loop.domain.criteria import (
    PRESETS,
    BacktestReport,
    Criteria,
    CriteriaError,
    CriteriaProblem,
    CriteriaWarning,
    load_criteria,
    preset,
    preset_text,
    warnings,
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

    criteria: Criteria
    report: BacktestReport
    edited: int
    judged: int
    """Returns there were to try, at most `MOST` + 1."""
    warnings: list[CriteriaWarning] | None
    """The serious ones; None where the search for them took too long."""

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
    request: Request, _person: Viewer, brand: str, start: str | None = None
) -> HTMLResponse:
    """The form. `start` puts a preset's text into it, to be edited."""
    text = preset_text(start) if start in PRESETS else ""
    since = today(zone_of(request)) - timedelta(days=DAYS)
    wanted = Wanted(PASTED if text else NOW, text, since.isoformat())
    return _page(request, brand, wanted)


@router.post("/brands/{brand}/criteria/try", response_class=HTMLResponse)
def try_page(request: Request, _person: Viewer, form: Form, brand: str) -> HTMLResponse:
    """Try them, and show what came of it below the form."""
    registry = _registry(request, brand)
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
        tried = _try(request, registry, brand, _criteria(registry, brand, wanted), day)
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


def _criteria(registry: Registry, brand: str, wanted: Wanted) -> Criteria:
    """Raises Refused with every mistake."""
    if wanted.which == NOW:
        return registry.context(brand).criteria
    if wanted.which in PRESETS:
        return preset(wanted.which)
    if wanted.which != PASTED:
        raise Refused(422, "choose the criteria to try")
    try:
        return load_criteria(wanted.text, source="the text below")
    except CriteriaError as error:
        raise Refused(422, mistakes=error.problems) from None


def _try(request: Request, registry: Registry, brand: str, criteria: Criteria, day: date) -> Tried:
    rules, since = registry.brand(brand).announce_rules(), day_start(day, zone_of(request))
    with registry.ledger.read() as session:
        judged = history.newest_judged(session, brand, since, MOST + 1)
        cases = history.cases_of(session, judged[:MOST], rules)
        report, edited = history.try_on(criteria, _in_time(cases))
    return Tried(criteria, report, edited, len(judged), _serious(criteria))


def _in_time(cases: Iterable[PastCase]) -> Iterator[PastCase]:
    """The cases, until the time is over; one at least."""
    until = time.monotonic() + SECONDS
    for past in cases:
        yield past
        if time.monotonic() > until:
            return


def _serious(criteria: Criteria) -> list[CriteriaWarning] | None:
    until = time.monotonic() + WARNING_SECONDS

    def in_time() -> None:
        if time.monotonic() > until:
            raise TimeoutError

    try:
        return [w for w in warnings(criteria, in_time) if not w.informational]
    except TimeoutError:
        return None


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
