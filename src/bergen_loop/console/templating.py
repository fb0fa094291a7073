"""Pages from templates, with what every page shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from markupsafe import Markup

from bergen_loop import __version__
from bergen_loop.config import Settings
from bergen_loop.console import words
from bergen_loop.console.access import Permission, Person
from bergen_loop.console.state import console_of
from bergen_loop.domain.returns import Moment, Stage
from bergen_loop.ledger.read import listing, views
from bergen_loop.tell import standing
from bergen_loop.tell.standing import Cause

MOST_ATTENTION = 1000

templates = Jinja2Templates(Path(__file__).parent / "templates")
environment: Any = templates.env  # Jinja's own types do not fit what it takes


def page(
    request: Request, name: str, status: int = 200, /, **context: Any
) -> HTMLResponse:  # fmt: skip
    """A page for whoever is signed in."""
    console = console_of(request)
    person: Person | None = getattr(request.state, "person", None)
    waiting, incidents = 0, list[Cause]()
    settings = console.registry.settings
    if person is not None and person.can(Permission.VIEW):
        with console.registry.ledger.read() as session:
            waiting = listing.attention_count(
                session, person.scope, datetime.now(UTC), MOST_ATTENTION
            )
            incidents = standing.alarms(
                session, settings, person.scope.among(settings.brands), datetime.now(UTC)
            )
    shared: dict[str, Any] = {
        "person": person,
        "may": person.can if person else _nothing,
        "waiting": waiting,
        "incidents": incidents,
        "signing_in": console.signing_in,
        "brands": person.scope.among(console.registry.settings.brands) if person else [],
        "settings": console.registry.settings,
        "floor": person is not None and _counts_here(console.registry.settings, person),
        "shipping": person is not None and _ships(console.registry.settings, person),
        "now": datetime.now(UTC),
        "newest": getattr(request.state, "newest", 0),
        "zone": zone_of(request),
        "here": request.url.path,
        "this_url": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
    }
    return templates.TemplateResponse(request, name, shared | context, status)


def _counts_here(settings: Settings, person: Person) -> bool:
    """Whether parcels of a brand of theirs are counted on this service's own floor page."""
    own = (b for b, s in settings.brands.items() if s.warehouse == "embedded")
    return any(brand in person.scope for brand in own)


def _ships(settings: Settings, person: Person) -> bool:
    """Whether a brand of theirs has returns that come in consolidated shipments."""
    return any(s.loop.happy_returns and b in person.scope for b, s in settings.brands.items())


def _nothing(_permission: Permission) -> bool:
    """What somebody may do who is not signed in."""
    return False


def zone_of(request: Request) -> ZoneInfo:
    """The zone in which times are shown."""
    return console_of(request).zone


_FIRST, _LAST = date(1990, 1, 1), date(2200, 1, 1)


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """When a local day begins. Days nobody has returns of are brought nearer, since far ones
    cannot be reckoned with."""
    day = min(max(day, _FIRST), _LAST)
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def day_end(day: date, zone: ZoneInfo) -> datetime:
    """When the day after begins."""
    return day_start(min(day, _LAST) + timedelta(days=1), zone)


def today(zone: ZoneInfo) -> date:
    """Today there."""
    return datetime.now(zone).date()


# -- filters and functions ----------------------------------------------------------------------


def _when(value: datetime | None, zone: ZoneInfo, seconds: bool = False) -> Markup:
    """A time as people there write it; the exact one, in UTC, on pointing at it."""
    if value is None:
        return Markup("")
    shown = _written(value, zone, seconds=seconds)
    exact = value.astimezone(UTC)
    # Digits and the name of a month: nothing to be escaped, and a list has fifty of them.
    return Markup(  # noqa: S704
        f'<time datetime="{exact:%Y-%m-%dT%H:%M:%SZ}" title="{exact:%Y-%m-%d %H:%M:%S} UTC">'
        f"{shown}</time>"
    )


def _written(value: datetime, zone: ZoneInfo, *, seconds: bool) -> str:
    local = value.astimezone(zone)
    year = "" if local.year == datetime.now(zone).year else f", {local.year}"
    return f"{local:%b} {local.day}{year} " + f"{local:{'%H:%M:%S' if seconds else '%H:%M'}}"


_UTC = re.compile(r"\b(\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?) UTC\b", re.ASCII)


def _in_zone(text: str, zone: ZoneInfo) -> str:
    """A sentence that was kept with times in UTC, with those of people there in their place."""

    def local(found: re.Match[str]) -> str:
        try:
            at = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
        except ValueError:  # not a time of ours
            return found[0]
        return _written(at, zone, seconds=found[1].count(":") > 1)

    return _UTC.sub(local, text)


def _counted(number: int, noun: str) -> str:
    """`1 call`, `2 calls`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _query(path: str, given: Mapping[str, Any], **changes: Any) -> str:
    """`path` with the given query and changes to it; what is empty is left out."""
    values = {k: v for k, v in {**given, **changes}.items() if v not in (None, "", False)}
    return path + (f"?{urlencode(values)}" if values else "")


def _sentence(text: str) -> str:
    """A text with a capital at its beginning; the rest as it is."""
    return text[:1].upper() + text[1:]


environment.filters |= {
    "counted": _counted,
    "in_zone": _in_zone,
    "when": _when,
    "ago": words.ago,
    "history_words": words.history,
    "stage_words": words.stage,
    "kind_words": words.kind,
    "plain": words.plain,
    "sentence": _sentence,
}
environment.globals |= {
    "version": __version__,
    "Moment": Moment,
    "MOMENTS": words.MOMENTS,
    "STAGES": words.STAGES,
    "Stage": Stage,
    "P": Permission,
    "moment_of": views.moment_of,
    "link": _query,
    "STATUS_WORDS": words.STATUSES,
}
