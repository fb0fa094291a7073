"""A brand's receipt criteria: what holds, and others tried on its past. Nothing is changed by
trying; `console.criteria` publishes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse
from starlette.datastructures import FormData

from bergen_loop.config.criteria import text_of
from bergen_loop.console import trial, words
from bergen_loop.console.access import NOT_FOUND, Form, Permission, Viewer, field
from bergen_loop.console.charts import COLOURS, outcome_chart
from bergen_loop.console.forms import day_of
from bergen_loop.console.mode import brand_path
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
from bergen_loop.domain.criteria.composing import Common, Irregular, Short, read_back
from bergen_loop.domain.criteria.syntax import FUNCTIONS, METHODS
from bergen_loop.domain.criteria.vocabulary import roots
from bergen_loop.domain.decision import Outcome
from bergen_loop.ledger.read import history
from bergen_loop.ledger.read.history import PastCase
from bergen_loop.ledger.store import brands as kept
from bergen_loop.ledger.store.brands import Version
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
PATIENCE = 10.0
"""Seconds that somebody who asks for it waits for their turn; what is tried while they type does
not."""
_queue = threading.BoundedSemaphore(3)
"""So few wait, for each takes one of the threads that answer."""


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


@router.get("/brands/{brand}/criteria", response_class=HTMLResponse)
@router.get("/brands/{brand}/criteria/try", response_class=HTMLResponse)
def form_page(
    request: Request, person: Viewer, brand: str, start: str | None = None
) -> HTMLResponse:
    """What holds, and the form. `start` puts a preset's text into it, to be edited."""
    registry = _registry(request, brand)
    since = (today(zone_of(request)) - timedelta(days=DAYS)).isoformat()
    if not person.can(PASTING):
        return criteria_page(request, brand, Wanted(NOW, "", since))
    text = preset_text(start) if start in PRESETS else holding(registry, brand)
    return criteria_page(request, brand, Wanted(PASTED, text, since))


@router.post("/brands/{brand}/criteria/try", response_class=HTMLResponse)
def try_page(request: Request, person: Viewer, form: Form, brand: str) -> HTMLResponse:
    """Try them, and show what came of it below the form."""
    registry, wanted = _registry(request, brand), wanted_of(form)
    if wanted.which == PASTED and not person.can(PASTING):
        raise HTTPException(403, "your role allows to try presets and this brand's own criteria")
    patience = 0 if "hx-request" in request.headers else PATIENCE
    try:
        tried = try_out(registry, brand, wanted, zone_of(request), patience)
    except Refused as refused:
        return criteria_page(request, brand, wanted, refused=refused)
    return criteria_page(request, brand, wanted, tried=tried)


def try_out(
    registry: Registry, brand: str, wanted: Wanted, zone: ZoneInfo, patience: float | None = None
) -> Tried:
    """Try criteria on a brand's past, one at a time in this process, waiting `patience` seconds
    for one's turn (None: `PATIENCE`); a day begins in `zone`. Raises Refused."""
    if not _turn(PATIENCE if patience is None else patience):
        problem = "criteria are being tried by somebody else right now; try again in some seconds"
        raise Refused(503, problem)
    try:
        day = day_of(wanted.since)
        if day is None:
            raise Refused(422, "choose the day from which on returns are tried")
        return _try(registry, brand, wanted, day_start(day, zone))
    finally:
        _one_at_a_time.release()


def _turn(patience: float) -> bool:
    """Whether nobody else tries criteria, now or soon."""
    if not _queue.acquire(blocking=False):
        return False
    try:
        return _one_at_a_time.acquire(timeout=patience)
    finally:
        _queue.release()


def wanted_of(form: FormData) -> Wanted:
    """What a form asks for."""
    pasted = form.get("text")
    # Not stripped: the lines of a mistake are counted from the first one.
    text = pasted.replace("\r\n", "\n") if isinstance(pasted, str) else ""
    return Wanted(field(form, "which"), text, field(form, "since"))


def holding(registry: Registry, brand: str) -> str:
    """The text of the criteria that hold."""
    folder = registry.roster.folder if registry.roster else Path()
    return text_of(registry.brand(brand), folder)


def mistakes_of(text: str) -> Refused | None:
    """Read a text in a child: what is wrong with it; None where it can be used."""
    try:
        trial.apart(text, (), WARNING_SECONDS)
    except CriteriaError as error:
        return Refused(422, mistakes=error.problems)
    except trial.TrialFailed as failed:
        return Refused(422, f"{failed}; write fewer rules")
    return None


def _registry(request: Request, brand: str) -> Registry:
    registry = console_of(request).registry
    if brand not in registry:
        raise HTTPException(404, NOT_FOUND)
    return registry


def _try(registry: Registry, brand: str, wanted: Wanted, since: datetime) -> Tried:
    """Raises Refused with every mistake."""
    rules, edited = registry.brand(brand).announce_rules(), 0

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


@dataclass(frozen=True, slots=True)
class Publishing:
    """The part of the page that publishes, and the form of common rules."""

    why: str = ""
    seen: str = ""
    problem: str = ""
    """At the reason."""
    common: Common | None = None
    """As typed; None: as the text in the editor says it."""
    unfit: Mapping[str, str] = dataclass_field(default_factory=dict[str, str])
    """Of the common rules, by field."""
    note: str = ""


def criteria_page(
    request: Request,
    brand: str,
    wanted: Wanted,
    *,
    tried: Tried | None = None,
    refused: Refused | None = None,
    publishing: Publishing | None = None,
) -> HTMLResponse:
    """The page, with what was typed and what came of it."""
    registry = _registry(request, brand)
    lines = wanted.text.split("\n")
    made = publishing or Publishing()
    read = read_back(wanted.text)
    version = registry.version(brand)
    status = refused.status if refused else 422 if made.problem or made.unfit else 200
    if "hx-request" in request.headers and status in (422, 503):
        status = 200  # tried while typing: what is wrong is the answer
    criteria = registry.context(brand).criteria
    return page(
        request,
        "criteria.html",
        status,
        brand=brand,
        back=brand_path(brand),
        name=registry.brand(brand).name,
        criteria=criteria,
        rules=words.rules(criteria),
        set_to=[(words.plain(k), words.setting(v)) for k, v in criteria.settings.items()],
        now_version=criteria.version,
        named=registry.brand(brand).criteria,
        holding=holding(registry, brand),
        filed=version is None,
        file=registry.roster.file.name if registry.roster else "the configuration file",
        versions=_versions(registry, brand) if version else [],
        seen=made.seen or (version.version if version else 0),
        made=made,
        common=made.common or read or Common(),
        by_hand=read is None and bool(wanted.text.strip()),
        words=vocabulary(),
        Irregular=IRREGULAR,
        Short=SHORT,
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


def _versions(registry: Registry, brand: str) -> list[Version]:
    """The versions of the settings that brought other criteria, the newest first."""
    with registry.ledger.read() as session:
        found = kept.history(session, brand)
    return [
        one
        for one, before in zip(found, [*found[1:], None], strict=False)
        if before is None or one.content.get("criteria") != before.content.get("criteria")
    ]


IRREGULAR = (
    (Irregular.FLAG, "flag the return in Loop"),
    (Irregular.ASK, "leave it to a person, on the attention list"),
    (Irregular.PAY, "pay all the same"),
)
SHORT = (
    (Short.WAIT_FLAG, "wait for a second parcel, then flag"),
    (Short.WAIT_REMOVE, "wait for a second parcel, then take them off and pay the rest"),
    (Short.FLAG, "flag at once"),
)


@cache
def vocabulary() -> list[tuple[str, str]]:
    """What a condition may name, and of what kind it is: for completion."""
    found: list[tuple[str, str]] = []
    for name, kind in roots({}).items():
        inner = kind.entry.fields if kind.entry else kind.fields
        prefix = "l" if kind.entry else name
        if kind.entry:
            found.append((f"{name}.exists(l, )", "at least one unit"))
        found += [(f"{prefix}.{fact}", of.name) for fact, of in inner.items()]
    found += [(f"{name}()", "a function") for name in FUNCTIONS]
    found += [(f".{name}()", "of a text") for name in METHODS]
    for outcome in Outcome:
        found.append((outcome.value, "an outcome"))
    return found
