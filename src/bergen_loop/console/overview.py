"""Brands at a glance: attention first, then what happened today, and how the days go."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from markupsafe import Markup

from bergen_loop.config import BrandSettings
from bergen_loop.console.access import Viewer
from bergen_loop.console.charts import Bar, bar_chart, spark
from bergen_loop.console.export import download
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import day_start, page, today, zone_of
from bergen_loop.domain.lifecycle import Moment, Stage
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import figures, listing
from bergen_loop.ledger.read.figures import DayOfReturns
from bergen_loop.ledger.store import backfill, budget, modes, returns
from bergen_loop.ledger.store.backfill import Backfill
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
    pulls = backfill.under_way(session, brands, datetime.now(UTC))
    found = [
        BrandGlance(
            brand=brand,
            name=registry.brand(brand).name,
            mode=modes.effective(rows.get(brand), registry.brand(brand).mode),
            row=rows.get(brand),
            attention=attention.get(brand, 0),
            today=reached[brand],
            stages=stages[brand],
            budget=_budget(session, registry.brand(brand)),
            history=pulls.get(brand),
        )
        for brand in brands
    ]
    return sorted(found, key=lambda g: (g.attention == 0, _syncs(g), g.name.casefold()))


def _syncs(glance: BrandGlance) -> bool:
    return glance.row is None or glance.row.last_sync_ok is not False


def _budget(session: Session, settings: BrandSettings) -> tuple[int, int]:
    key = settings.loop.api_key.get_secret_value()
    used = budget.counted(session, hashlib.sha256(key.encode()).hexdigest())
    return used, settings.loop.calls_per_minute


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
        oldest = listing.attention(session, scope, now=datetime.now(UTC), limit=OLDEST)
        names = listing.return_names(session, [i.return_pk for i in oldest.rows if i.return_pk])
        kinds = listing.attention_kinds(session, scope, datetime.now(UTC))
        silent = standing.silent(session, registry.settings, brands, datetime.now(UTC))
    charts = len(brands) == 1
    days = {g.brand: console.trends.of(g.brand) for g in lines} if len(brands) <= FEW else {}
    return page(
        request,
        "overview.html",
        lines=lines,
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
