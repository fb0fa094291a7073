"""What a look at a brand with nothing to do costs, alone and among two hundred.

python -m bench.among [--brands 200] [--seconds 60] [--database URL]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from bench.fleet import Fleet, fleet
from bench.latency import known_for_long
from bench.report import Section, percentile, section
from bench.rig import quiet
from bergen_loop.ledger.tables.core import BrandRow

POLL = 10.0
"""Seconds between two looks of a brand that is measured alone: as many looks as of the others."""
SETTLING_IN = 40.0
"""Seconds in which each brand has its first tick."""


@dataclass
class Seen:
    """What was seen of one service in some seconds."""

    looks: list[float] = field(default_factory=list[float])
    """Seconds each took, calls included."""
    cpu: float = 0.0
    seconds: float = 0.0
    calls: int = 0


def watched(made: Fleet, seconds: float) -> Seen:
    """The looks that begin within so many seconds, by the ledger's own times."""
    seen, found = Seen(), dict[tuple[str, datetime], float]()
    began, cpu, calls = time.time(), made.cpu(), _calls(made)
    columns = (BrandRow.brand, BrandRow.last_sync_started_at, BrandRow.last_sync_finished_at)
    while time.time() - began < seconds:
        with made.ledger.read() as session:
            for brand, start, end in session.execute(sa.select(*columns)):
                if start and end and end > start and start.timestamp() > began:
                    found[brand, start] = (end - start).total_seconds()
        time.sleep(0.5)
    seen.looks, seen.cpu = list(found.values()), made.cpu() - cpu
    seen.seconds, seen.calls = time.time() - began, _calls(made) - calls
    return seen


def _calls(made: Fleet) -> int:
    return int(made.control.get("/control/calls", limit=1)["total"])


def measure(brands: int, seconds: float, poll: float, database: str | None) -> Seen:
    """One service with so many brands, none of which has anything to do."""
    with tempfile.TemporaryDirectory(prefix="bergen-loop-bench-") as name:
        every = {"poll": f"{poll:g}s", "poll_max": f"{poll:g}s"}
        slugs = [f"brand-{n:03d}" for n in range(brands)]
        with fleet(Path(name), slugs, database=database, brand=every) as made:
            known_for_long(made)
            made.start()
            time.sleep(max(SETTLING_IN, 1.2 * poll))
            return watched(made, seconds)


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--brands", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--database")
    options, _ = parser.parse_known_args()
    quiet()
    alone = measure(1, options.seconds, POLL, None)
    among = measure(options.brands, options.seconds, 60.0, options.database)
    kind = "PostgreSQL" if options.database else "SQLite"
    rows = [_row("alone", alone, alone), _row(f"among {options.brands}", among, alone)]
    return section(
        "A look among many",
        "python -m bench.among",
        [
            f"A brand with nothing to do, by itself in a service (looked at every {POLL:g} s), "
            f"and {options.brands} of them (each every 60 s), on {kind}, the sandbox on the same "
            "machine. A look is one list of Loop's and one of REX11's; its time is from its begin "
            "to its end by the ledger, both calls in it. Processor time is that of the whole "
            "service in the time, console, engine and all, by look."
        ],
        ["", "looks", "p50 ms", "p95 ms", "p50, times", "CPU ms a look", "CPU of a core"],
        rows,
    )


def _row(name: str, seen: Seen, alone: Seen) -> tuple[object, ...]:
    if not seen.looks or not alone.looks:
        return (name, len(seen.looks), "-", "-", "-", "-", "-")
    p50, p95 = percentile(seen.looks, 0.5), percentile(seen.looks, 0.95)
    return (
        name,
        len(seen.looks),
        f"{1000 * p50:.0f}",
        f"{1000 * p95:.0f}",
        f"{p50 / percentile(alone.looks, 0.5):.2f}",
        f"{1000 * seen.cpu / len(seen.looks):.1f}",
        f"{seen.cpu / seen.seconds:.1%}",
    )


if __name__ == "__main__":
    main()
