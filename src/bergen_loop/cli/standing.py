"""`bergen-loop status`: how every brand stands, and what is wrong, by cause."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from bergen_loop.cli.output import GAP, cells, console, print_json
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    BrandsOption,
    ConfigOption,
    JsonOption,
    brands_of,
    open_ledger,
    settings_of,
)
from bergen_loop.config import Settings
from bergen_loop.console import words
from bergen_loop.ledger.database import Ledger, LedgerError, Session, trouble
from bergen_loop.ledger.read import snapshot, views
from bergen_loop.ledger.read.incidents import Incident, incidents
from bergen_loop.ledger.store import backfill, modes, returns
from bergen_loop.ledger.store.backfill import Backfill
from bergen_loop.ledger.store.workers import workers
from bergen_loop.outside.breaker import TITLES

NAMED = 3
"""So many brands are called by name in a sentence about several."""
FAILING, NEEDS, WELL, OFF = range(4)
"""How brands are ordered."""


@dataclass(slots=True)
class Standing:
    """A brand at a glance. `waiting` are the returns that a flow should have looked at by now."""

    brand: str
    mode: str
    open: int
    waiting: int
    attention: int
    last_sync_at: datetime | None
    last_good_sync_at: datetime | None
    last_sync_ok: bool | None
    last_sync_error: str | None
    stages: dict[str, int]
    counters: dict[str, int]
    history: Backfill | None
    rank: int = WELL
    wrong: str = ""
    """In plain words; empty where nothing is."""


@dataclass(slots=True)
class Cause:
    """What is wrong with some brands, in one sentence."""

    kind: str
    """unreachable, refused, never_synced, failing or stalled."""
    sentence: str
    brands: list[str]
    since: datetime | None = None
    next_try: datetime | None = None
    waiting: int = 0


@dataclass(slots=True)
class Overview:
    """All brands at one time: those with something wrong first."""

    at: datetime
    brands: list[Standing]
    causes: list[Cause] = field(default_factory=list[Cause])

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "at": self.at,
            "incidents": [
                {
                    "kind": c.kind,
                    "sentence": c.sentence,
                    "brands": c.brands,
                    "since": c.since,
                    "next_try": c.next_try,
                    "waiting": c.waiting,
                }
                for c in self.causes
            ],
            "totals": {
                "brands": len(self.brands),
                "failing": sum(b.rank == FAILING for b in self.brands),
                "open": sum(b.open for b in self.brands),
                "waiting": sum(b.waiting for b in self.brands),
                "attention": sum(b.attention for b in self.brands),
            },
            "brands": [_plain(b) for b in self.brands],
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for cause in self.causes:
            yield Text.assemble(("! ", "bold red"), (cause.sentence, "bold"))
        if self.causes:
            yield Text()
        yield from _lines(self, options.max_width)
        yield Text()
        for b in self.brands:
            if b.history:
                yield Text(f"{b.brand}: {words.history(b.history)}")
        yield Text(_totals(self), style="bold")


def status(
    config: ConfigOption = DEFAULT_CONFIG,
    brand: BrandsOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Redraw until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.5)] = 5.0,
    as_json: JsonOption = False,
) -> None:
    """How every brand stands, what is wrong first."""
    settings = settings_of(config)
    names = brands_of(settings, brand)
    ledger = open_ledger(settings)
    if watch and not as_json:
        _watch(ledger, settings, names, every)
        return
    found = overview(ledger, settings, names)
    if as_json:
        print_json(found.as_json())
    else:
        console.print(found)


def overview(ledger: Ledger, settings: Settings, names: Sequence[str]) -> Overview:
    """How these brands stand now."""
    now = datetime.now(UTC)
    with ledger.read() as session:
        taken = snapshot.take(session, names, now)
        rows = returns.brand_rows(session)
        pulls = backfill.under_way(session, list(names), now)
        stages = views.stage_counts(session)
        found: list[Standing] = []
        for name in names:
            one, row = taken.brands[name], rows.get(name)
            found.append(
                Standing(
                    brand=name,
                    mode=modes.effective(row, settings.brands[name].mode),
                    open=sum(one.stages.values()),
                    waiting=one.due,
                    attention=one.attention,
                    last_sync_at=row.last_sync_finished_at if row else None,
                    last_good_sync_at=row.last_good_sync_at if row else None,
                    last_sync_ok=row.last_sync_ok if row else None,
                    last_sync_error=row.last_sync_error if row else None,
                    stages=stages.get(name, {}),
                    counters=one.counters,
                    history=pulls.get(name),
                )
            )
        active = [b.brand for b in found if b.mode != modes.PAUSED]
        held_back = incidents(session, active)
        service = _service_words(session, settings)
    overview = Overview(now, found)
    _judge(overview, held_back, settings)
    overview.causes = _causes(overview, held_back, service)
    overview.brands.sort(key=lambda b: (b.rank, -b.attention if b.rank == NEEDS else 0, b.brand))
    return overview


def _service_words(session: Session, settings: Settings) -> str:
    """Why nothing is synced, as far as the service's sign of life tells."""
    ages = [w.age for w in workers(session)]
    if not ages or min(ages) > timedelta(days=10_000):  # it has never run, or has signed off
        return "the service does not run (`bergen-loop serve`)"
    if min(ages) > 2 * settings.service.worker_gone_after:
        return f"the service does not run (no sign of life for {short(min(ages))})"
    return "though the service runs: see its log"


def _judge(seen: Overview, held_back: Sequence[Incident], settings: Settings) -> None:
    """What is wrong with each brand, in few words: the line is cut at the terminal's edge."""
    stopped = {b: one for one in reversed(held_back) for b in one.brands}
    for b in seen.brands:
        alerts, poll = settings.service.alerts, settings.brands[b.brand].poll
        limit = max(alerts.sync_stalled, 3 * poll)
        if b.mode == modes.PAUSED:
            b.rank, b.wrong = OFF, ""
        elif b.last_sync_at is None and b.history is None:
            b.rank, b.wrong = FAILING, "never synced"
        elif b.brand in stopped:
            b.rank, b.wrong = FAILING, _in_short(stopped[b.brand])
        elif b.last_sync_ok is False:
            b.rank, b.wrong = FAILING, b.last_sync_error or "the last sync failed"
        elif b.history:
            b.rank, b.wrong = NEEDS if b.attention else WELL, words.history(b.history)
        elif b.last_good_sync_at is None or seen.at - b.last_good_sync_at > limit:
            b.rank, b.wrong = FAILING, "not synced any more"
        elif b.attention:
            b.rank = NEEDS


def _in_short(one: Incident) -> str:
    title = TITLES.get(one.system, one.system)
    return f"{title} refuses {', '.join(one.calls)}" if one.refused else f"{title} down"


def _causes(seen: Overview, held_back: Sequence[Incident], service: str) -> list[Cause]:
    """Everything that is wrong, each cause once."""
    waiting = {b.brand: b.waiting for b in seen.brands}
    found = [_held_back(one, seen, waiting) for one in held_back]
    told = {b for one in held_back for b in one.brands}
    alike: dict[tuple[str, str], list[Standing]] = defaultdict(list)
    for b in seen.brands:
        if b.rank == FAILING and b.brand not in told:
            kind = (
                "never_synced"
                if b.last_sync_at is None
                else "failing"
                if b.last_sync_ok is False
                else "stalled"
            )
            alike[kind, b.wrong if kind == "failing" else ""].append(b)
    for (kind, error), brands in alike.items():
        names = [b.brand for b in brands]
        since = max((b.last_good_sync_at for b in brands if b.last_good_sync_at), default=None)
        last = f" since {clock_time(since, seen.at)}" if since else ""
        what = {
            "never_synced": f"never synced; {service}",
            "failing": error,
            "stalled": f"not synced{last}; {service}",
        }[kind]
        waits = sum(b.waiting for b in brands)
        found.append(Cause(kind, f"{named(names)}: {what}", names, since, waiting=waits))
    return found


def _held_back(one: Incident, seen: Overview, waiting: dict[str, int]) -> Cause:
    title, number = TITLES.get(one.system, one.system), sum(waiting[b] for b in one.brands)
    of = named(one.brands, len(seen.brands))
    what = (
        f"{title} refuses access ({', '.join(one.calls)}) for {of}"
        if one.refused
        else f"{title} unreachable for {of}"
    )
    due = one.next_try is None or one.next_try <= seen.at
    again = "next try now" if due else f"next try {clock_time(one.next_try, seen.at)}"
    parts = [f"{what} since {clock_time(one.since, seen.at)}"]
    parts += [*([_returns(number)] if number else []), again]
    return Cause(
        "refused" if one.refused else "unreachable",
        "; ".join(parts),
        list(one.brands),
        one.since,
        one.next_try,
        number,
    )


def named(brands: Sequence[str], of: int = 0) -> str:
    """Brands by name where they are few, else how many."""
    if len(brands) <= NAMED:
        return ", ".join(brands)
    return f"{len(brands)} of {of} brands" if of > len(brands) else f"{len(brands)} brands"


def clock_time(value: datetime | None, now: datetime) -> str:
    """`11:36` of today (UTC), else with its date."""
    if value is None:
        return ""
    return f"{value:%H:%M}" if value.date() == now.date() else f"{value:%Y-%m-%d %H:%M}"


def short(value: timedelta) -> str:
    """A time that has passed: `now`, `40 s`, `5 min`, `3 h`, `12 d`."""
    seconds = max(0, int(value.total_seconds()))
    for size, unit in ((172800, "d"), (5400, "h"), (90, "min")):
        if seconds >= size:
            return f"{seconds // {'d': 86400, 'h': 3600, 'min': 60}[unit]} {unit}"
    return f"{seconds} s"


def _returns(number: int) -> str:
    return f"{number} return waits" if number == 1 else f"{number:,} returns wait"


HEADS = ("brand", "mode", "synced", "open", "waiting", "attention", "what is wrong")
_RIGHT = range(3, 6)


def _lines(seen: Overview, most: int) -> Iterable[Text]:
    """One line a brand; what is wrong is cut at the edge, nothing else is."""
    rows = [_cells(b, seen.at) for b in seen.brands]
    widths = [max(cells(row[i]) for row in [HEADS, *rows]) for i in range(len(HEADS) - 1)]
    left = max(12, most - sum(widths) - GAP * len(widths))
    styles = ["bold", *(_STYLES[b.rank] for b in seen.brands)]
    for row, style in zip([HEADS, *rows], styles, strict=True):
        line = Text(style=style)
        for i, width in enumerate(widths):
            cell = Text(row[i])
            cell.align("right" if i in _RIGHT else "left", width)
            line.append_text(cell).append(" " * GAP)
        last = Text(" ".join(row[-1].split()))
        last.truncate(left, overflow="ellipsis")
        yield line.append_text(last)


_STYLES = {FAILING: "red", NEEDS: "yellow", WELL: "", OFF: "dim"}


def _cells(b: Standing, now: datetime) -> tuple[str, ...]:
    good = b.last_good_sync_at
    return (
        b.brand,
        b.mode,
        short(now - good) if good else "never",
        f"{b.open:,}",
        f"{b.waiting:,}",
        f"{b.attention:,}",
        b.wrong,
    )


def _totals(seen: Overview) -> str:
    ranks = [b.rank for b in seen.brands]
    parts = [f"{len(ranks)} brand{'s' if len(ranks) != 1 else ''}"]
    if FAILING in ranks:
        parts.append(f"{ranks.count(FAILING)} failing")
    if OFF in ranks:
        parts.append(f"{ranks.count(OFF)} paused")
    for what, number in (
        ("open", sum(b.open for b in seen.brands)),
        ("waiting", sum(b.waiting for b in seen.brands)),
        ("need attention", sum(b.attention for b in seen.brands)),
    ):
        parts.append(f"{number:,} {what}")
    at = f"{seen.at:%H:%M} UTC"
    well = "all is well, " if not seen.causes and not ranks.count(NEEDS) and ranks else ""
    return f"{well}{', '.join(parts)}; {at}"


def _plain(b: Standing) -> dict[str, object]:
    """`history` is null unless a long pull is under way."""
    return {
        "brand": b.brand,
        "mode": b.mode,
        "returns": sum(b.stages.values()),
        "open": b.open,
        "waiting": b.waiting,
        "stages": b.stages,
        "attention": b.attention,
        "last_sync_at": b.last_sync_at,
        "last_good_sync_at": b.last_good_sync_at,
        "last_sync_ok": b.last_sync_ok,
        "last_sync_error": b.last_sync_error,
        "wrong": b.wrong or None,
        "history": b.history.as_json() if b.history else None,
        "counters": b.counters,
    }


def _watch(ledger: Ledger, settings: Settings, names: Sequence[str], every: float) -> None:
    """Redraw until Ctrl-C; a database that goes away is told of, and looked for again."""

    def look() -> Overview | Text:
        try:
            return overview(ledger, settings, names)
        except LedgerError as error:
            return Text(f"{trouble(error)}; looked for again every {every:g} s", style="bold red")

    try:
        if not console.is_terminal:
            while True:
                console.print(look())
                time.sleep(every)
        with Live(look(), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(every)
                live.update(look(), refresh=True)
    except KeyboardInterrupt:
        console.print(look())
