"""`bergen-loop status`: how every brand stands, and what is wrong, by cause."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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
from bergen_loop.ledger.database import Ledger, LedgerError, trouble
from bergen_loop.tell import standing
from bergen_loop.tell.standing import FAILING, NEEDS, OFF, WELL, Standing, short


@dataclass(slots=True)
class Overview(standing.Overview):
    """All brands at one time, as the terminal shows them: those with something wrong first."""

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "at": self.at,
            "incidents": [
                {
                    "kind": c.kind,
                    "sentence": c.sentence(self.at),
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
            yield Text.assemble(("! ", "bold red"), (cause.sentence(self.at), "bold"))
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
    with ledger.read() as session:
        found = standing.take(session, settings, names, datetime.now(UTC))
    return Overview(found.at, found.brands, found.causes)


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
        _wrong(b),
    )


def _wrong(b: Standing) -> str:
    going_on = b.history is not None and b.rank in (NEEDS, WELL)
    return words.history(b.history) if going_on and b.history else b.wrong


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
        "wrong": _wrong(b) or None,
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
