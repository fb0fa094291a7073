"""Brands at a glance: attention first, then what happened today, and how the days go."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from markupsafe import Markup

from bergen_loop.config import BrandSettings
from bergen_loop.console.access import NOT_FOUND, Form, Viewer, field
from bergen_loop.console.charts import Bar, bar_chart, spark
from bergen_loop.console.export import download
from bergen_loop.console.forms import whole
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import day_start, page, today, zone_of
from bergen_loop.domain.returns import Moment, Stage
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import figures, listing
from bergen_loop.ledger.read.figures import DayOfReturns
from bergen_loop.ledger.read.listing import Slice
from bergen_loop.ledger.read.search import cleaned
from bergen_loop.ledger.store import calls, cursors, favourites, modes, returns
from bergen_loop.ledger.store.cursors import Backfill
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.service.registry import Registry
from bergen_loop.tell import standing

FEW = 12
"""Up to so many brands each get their small charts."""
OLDEST = 3
"""Items of the attention list on the overview."""

router = APIRouter()


@dataclass(frozen=True, slots=True)
class BrandGlance:
    """A brand's line of the overview."""

    brand: str
    name: str
    mode: str
    row: BrandRow | None
    attention: int
    today: dict[Moment, int]
    stages: dict[Stage, int]
    budget: tuple[int, int]
    """Loop calls that count against the limit now, those of all processes, and the limit."""
    history: Backfill | None
    """The long pull that is under way: the first one, or one after days of downtime."""

    @property
    def open(self) -> int:
        return sum(self.stages.values())


def glances(
    session: Session, registry: Registry, brands: Sequence[str], since: datetime
) -> list[BrandGlance]:
    """The brands' lines, those that need attention first."""
    reached = figures.reached_since(session, brands, since)
    stages = figures.open_stages(session, brands)
    attention = figures.attention_by_brand(session, brands, datetime.now(UTC))
    rows = returns.brand_rows(session)
    pulls = cursors.pulls_under_way(session, brands, datetime.now(UTC))
    used = calls.counted_by_key(session)
    found = [
        BrandGlance(
            brand=brand,
            name=registry.brand(brand).name,
            mode=modes.effective(rows.get(brand), registry.brand(brand).mode),
            row=rows.get(brand),
            attention=attention.get(brand, 0),
            today=reached[brand],
            stages=stages[brand],
            budget=_budget(used, registry.brand(brand)),
            history=pulls.get(brand),
        )
        for brand in brands
    ]
    return sorted(found, key=lambda g: (g.attention == 0, _syncs(g), g.name.casefold()))


def _syncs(glance: BrandGlance) -> bool:
    return glance.row is None or glance.row.last_sync_ok is not False


def _budget(used: Mapping[str, int], settings: BrandSettings) -> tuple[int, int]:
    key = settings.loop.api_key.get_secret_value()
    digest = hashlib.sha256(key.encode()).hexdigest()
    return used.get(digest, 0), settings.loop.calls_per_minute


# -- many brands --------------------------------------------------------------------------------

PAGE = 50
MANY = 8
"""From so many brands on there is something to search and sort by."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

SORTS: dict[str, tuple[str, Callable[[BrandGlance], Any]]] = {
    "attention": ("needs attention", lambda g: (-g.attention, _syncs(g))),
    "open": ("open returns", lambda g: -g.open),
    "received": ("received today", lambda g: -g.today[Moment.RECEIVED]),
    "sync": ("last sync, oldest first", lambda g: _synced_at(g)),
    "name": ("name", lambda g: 0),
}
FILTERS: dict[str, tuple[str, Callable[[BrandGlance], bool]]] = {
    "attention": ("with attention", lambda g: g.attention > 0),
    "failing": ("failing or never synced", lambda g: not _well(g)),
    modes.LIVE: ("live", lambda g: g.mode == modes.LIVE),
    modes.SHADOW: ("in shadow", lambda g: g.mode == modes.SHADOW),
    modes.PAUSED: ("paused", lambda g: g.mode == modes.PAUSED),
}


def _synced_at(glance: BrandGlance) -> datetime:
    return (glance.row.last_sync_finished_at if glance.row else None) or _LONG_AGO


def _well(glance: BrandGlance) -> bool:
    synced = glance.row is not None and glance.row.last_sync_finished_at is not None
    return glance.mode == modes.PAUSED or (synced and _syncs(glance))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which brands are listed, and how; nonsense is taken for nothing."""

    text: str = ""
    sort: str = "attention"
    only: str = ""
    starts: int = 0

    @classmethod
    def of(cls, request: Request) -> Wanted:
        q = request.query_params
        sort, only = q.get("sort", ""), q.get("only", "")
        known = only in FILTERS or only == STARRED
        starts = min(whole(q.get("from")) or 0, 1_000_000)
        return cls(
            cleaned(q.get("b", "")).strip(),
            sort if sort in SORTS else "attention",
            only if known else "",
            starts - starts % PAGE,
        )

    @property
    def given(self) -> dict[str, str]:
        """For links to the same list."""
        sort = "" if self.sort == "attention" else self.sort
        return {"b": self.text, "sort": sort, "only": self.only}

    def among(self, lines: Sequence[BrandGlance], starred: frozenset[str]) -> list[BrandGlance]:
        """Those that are meant, in order: starred ones first."""
        text = self.text.casefold()
        found = [g for g in lines if text in g.name.casefold() or text in g.brand.casefold()]
        if self.only == STARRED:
            found = [g for g in found if g.brand in starred]
        elif self.only:
            found = [g for g in found if FILTERS[self.only][1](g)]
        key = SORTS[self.sort][1]
        return sorted(found, key=lambda g: (g.brand not in starred, key(g), g.name.casefold()))


STARRED = "starred"


@router.post("/favourites", response_class=RedirectResponse)
def favourite(request: Request, form: Form, person: Viewer) -> RedirectResponse:
    """Show a brand first from now on, or no more."""
    registry, brand = console_of(request).registry, field(form, "brand")
    if brand not in person.scope or brand not in registry:
        raise HTTPException(404, NOT_FOUND)
    with registry.ledger.write() as session:
        favourites.turn(session, person.account, brand)
    back = urlencode(parse_qsl(field(form, "back")[:1000]))
    return RedirectResponse(f"/?{back}" if back else "/", 303)


@router.get("/", response_class=HTMLResponse)
def overview(request: Request, person: Viewer, brand: str | None = None) -> HTMLResponse:
    """All permitted brands, or one."""
    console, zone = console_of(request), zone_of(request)
    registry = console.registry
    scope = person.scope.narrowed(brand)
    brands = scope.among(registry.settings.brands)
    day = today(zone)
    with registry.ledger.read() as session:
        lines = glances(session, registry, brands, day_start(day, zone))
        oldest = listing.attention(session, scope, now=datetime.now(UTC), part=Slice(OLDEST))
        names = listing.return_names(session, [i.return_pk for i in oldest.rows if i.return_pk])
        kinds = listing.attention_kinds(session, scope, datetime.now(UTC))
        starred = favourites.of(session, person.account)
        silent = standing.silent(session, registry.settings, brands, datetime.now(UTC))
    charts, wanted = len(brands) == 1, Wanted.of(request)
    meant = wanted.among(lines, starred)
    shown = meant[wanted.starts : wanted.starts + PAGE]
    days = {g.brand: console.trends.of(g.brand) for g in lines} if len(brands) <= FEW else {}
    return page(
        request,
        "overview.html",
        lines=lines,
        shown=shown,
        meant=len(meant),
        wanted=wanted,
        starred=starred,
        sorts=SORTS,
        filters=FILTERS,
        many=len(lines) >= MANY,
        page_size=PAGE,
        chosen=brand,
        silent=silent,
        day=day,
        totals={m: sum(g.today[m] for g in lines) for m in Moment},
        attention=oldest.rows,
        kinds=sorted(kinds.items(), key=lambda k: -k[1]),
        names=names,
        sparks={} if charts else {b: sparks(b, d) for b, d in days.items()},
        charts=big_charts(days[lines[0].brand]) if charts else [],
        days=days[lines[0].brand] if charts else [],
    )


@router.get("/brands.csv")
def brands_csv(request: Request, person: Viewer) -> StreamingResponse:
    """The overview as a file."""
    registry, zone = console_of(request).registry, zone_of(request)
    brands = person.scope.among(registry.settings.brands)
    with registry.ledger.read() as session:
        lines = glances(session, registry, brands, day_start(today(zone), zone))
    head = ["brand", "name", "mode", "needs attention", "open"]
    head += [f"today: {m.title}" for m in Moment]
    head += ["last sync (UTC)", "last sync ok", "last sync error"]
    return download(
        "brands",
        head,
        (
            [
                *(g.brand, g.name, g.mode, g.attention, g.open),
                *(g.today[m] for m in Moment),
                g.row.last_sync_finished_at if g.row else None,
                g.row.last_sync_ok if g.row else None,
                g.row.last_sync_error if g.row else None,
            ]
            for g in lines
        ),
    )


# -- charts -------------------------------------------------------------------------------------


def cycle_bars(days: Sequence[DayOfReturns]) -> tuple[list[Bar], str]:
    """Median time from submitted to closed RMA by day, and the unit that suits it."""
    longest = max((d.median_hours for d in days if d.median_hours is not None), default=0.0)
    size, unit = (24.0, "d") if longest >= 72 else (1.0, "h") if longest >= 1 else (1 / 60, "min")
    bars = [
        Bar(
            f"{d.day:%b} {d.day.day}",
            None if d.median_hours is None else d.median_hours / size,
            "" if d.median_hours is None else f"{d.median_hours / size:.1f} {unit}",
        )
        for d in days
    ]
    return bars, unit


def flag_bars(days: Sequence[DayOfReturns]) -> list[Bar]:
    """Share of decisions that were flags, by day, in per cent."""
    return [
        Bar(
            f"{d.day:%b} {d.day.day}",
            None if d.flag_rate is None else 100 * d.flag_rate,
            _flag_words(d),
        )
        for d in days
    ]


def _flag_words(day: DayOfReturns) -> str:
    if day.flag_rate is None:
        return ""
    return f"{100 * day.flag_rate:.0f} % ({day.flagged} of {day.decided})"


def big_charts(days: Sequence[DayOfReturns]) -> list[tuple[str, Markup]]:
    """The two trends, each with its heading."""
    cycle, unit = cycle_bars(days)
    return [
        (
            "Time from submitted to closed RMA",
            bar_chart("cycle", "Median time from submitted to closed RMA, by day", cycle,
                      f"{{}} {unit}"),
        ),
        (
            "Share of decisions that flag",
            bar_chart("flags", "Flagged, of all decided, by day", flag_bars(days), "{} %"),
        ),
    ]  # fmt: skip


def sparks(brand: str, days: Sequence[DayOfReturns]) -> tuple[Markup, Markup, str, str]:
    """The two trends small, and their newest values in words."""
    cycle, _ = cycle_bars(days)
    flags = flag_bars(days)
    return (
        spark(f"Median cycle time of {brand}", cycle),
        spark(f"Flag rate of {brand}", flags),
        _newest(cycle),
        _newest(flags).partition(" (")[0],
    )


def _newest(bars: Sequence[Bar]) -> str:
    return next((b.text for b in reversed(bars) if b.value is not None), "")
