"""A thousand brands in one service, one in twenty of them busy: how stale each is, what it costs.

python -m bench.thousand [--brands 1000] [--busy 0.05] [--seconds 600] [--pace 2]
                         [--database sqlite|postgresql]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from bench.databases import POSTGRESQL, databases
from bench.fleet import Fleet
from bench.latency import (
    LATE,
    Traffic,
    World,
    known_for_long,
    measured,
    prompt_fleet,
    window,
)
from bench.report import Section, percentile, section
from bench.rig import quiet
from bergen_loop.config import BrandSettings
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.outside.loop.webhooks import WANTED

SETTLING_IN = 600.0
"""Seconds in which every brand must have had its first tick."""
STOCK = 2
"""Returns of each busy brand whose parcels are still to come at the start."""


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    brands: int
    busy: int
    seconds: float
    pace: float
    database: str | None


@dataclass
class Seen:
    """What was seen of the service."""

    stale: list[float] = field(default_factory=list[float])
    """Of each brand: the most seconds that its picture was old."""
    memory: float = 0.0
    """MiB at the end."""
    connections: int = 0
    """Of PostgreSQL, the most at once."""
    cpu: float = 0.0
    """Share of a core."""
    tickets: list[float] = field(default_factory=list[float])
    processes: list[float] = field(default_factory=list[float])
    missing: int = 0
    started: float = 0.0
    """Seconds until each brand had been looked at once."""


def run(folder: Path, plan: Plan) -> Seen:
    """The whole fleet, measured once every brand is known."""
    names = [f"brand-{n:04d}" for n in range(plan.brands)]
    seen, most = Seen(), dict.fromkeys(names, 0.0)
    with prompt_fleet(folder, names, plan.database) as made:
        known_for_long(made)
        began = time.monotonic()
        made.start()
        while any(age is None for age in _ages(made).values()):
            if time.monotonic() - began > SETTLING_IN:
                raise RuntimeError(f"not every brand has been looked at in {SETTLING_IN:g} s")
            time.sleep(1.0)
        seen.started = time.monotonic() - began
        busy = names[: plan.busy]
        made.subscribe(busy, WANTED)
        world = World(made, names[plan.busy :])  # what does not flood is its own there
        world.submit(STOCK * len(busy))

        def look() -> bool:
            for brand, age in _ages(made).items():
                most[brand] = max(most[brand], age or 0.0)
            seen.connections = max(seen.connections, _connections(made))
            return False

        with Traffic(world, plan.pace) as traffic:
            traffic.wait(lambda: len(world.ticket) >= STOCK * len(busy), LATE)
            began, cpu = time.monotonic(), made.cpu()
            within = window(world, traffic, plan.seconds, look)
            seen.cpu = (made.cpu() - cpu) / (time.monotonic() - began)
            seen.memory = made.memory()
        phase = measured(world, {b: [] for b in busy}, within)
    seen.stale = list(most.values())
    seen.tickets, seen.processes, seen.missing = phase.tickets, phase.processes, phase.missing
    return seen


def _ages(made: Fleet) -> dict[str, float | None]:
    """Seconds since each brand was last seen whole; None: never."""
    now = datetime.now(UTC)
    with made.ledger.read() as session:
        query = sa.select(BrandRow.brand, BrandRow.last_good_sync_at)
        rows = dict(session.execute(query).all())
    found = ((slug, rows.get(slug)) for slug in made.slugs)
    return {slug: (now - at).total_seconds() if at else None for slug, at in found}


def _connections(made: Fleet) -> int:
    if made.ledger.is_sqlite:
        return 0
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with made.ledger.read() as session:
        return int(session.scalar(sa.text(query)) or 0) - 1  # this one


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--brands", type=int, default=1000)
    parser.add_argument("--busy", type=float, default=0.05)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--pace", type=float, default=2.0)
    parser.add_argument("--database", choices=["sqlite", "postgresql"])
    options, _ = parser.parse_known_args()
    quiet()
    busy = max(1, round(options.brands * options.busy))
    rows: list[tuple[object, ...]] = []
    with databases() as kinds:
        for name, new in kinds.items():
            if options.database not in (None, name.lower()):
                continue
            alone = Plan(1, 1, 5.0, 0.2, new())
            plan = Plan(options.brands, busy, options.seconds, options.pace, new())
            one, all_ = (_measure(p) for p in (alone, plan))
            rows.append(_row(name, plan, one, all_))
    bound = _bound()
    return section(
        "A thousand brands",
        "python -m bench.thousand",
        [
            f"{options.brands:,} brands in one service, by the defaults: each is looked at every "
            f"{bound:g} s at the latest (`poll_max`), sooner where something happens. {busy} of "
            f"them are busy: together they get {options.pace:g} returns and as many parcels a "
            f"second, for {options.seconds:g} s. Sandbox, service and database share the machine. "
            "How stale a brand is: the time since Loop's and REX11's lists were last known whole, "
            "the most there was of each brand. Memory a brand is what the service's process has "
            "more than with one brand; connections are the most that it had to PostgreSQL "
            f"(late or missing: no RMA, or no process call, after {LATE:g} s)."
        ],
        [
            "database", "first look at all, s", "stale p50 s", "most s",
            f"over {bound:g} s", "MiB", "KiB a brand", "connections", "of a core",
            "webhook to RMA p50 / p95 s", "receipt to process p50 / p95 s", "late or missing",
        ],
        rows,
    )  # fmt: skip


def _bound() -> float:
    return BrandSettings.model_fields["poll_max"].default.total_seconds()


def _measure(plan: Plan) -> Seen:
    with tempfile.TemporaryDirectory(prefix="bergen-loop-bench-") as name:
        return run(Path(name), plan)


def _row(name: str, plan: Plan, one: Seen, seen: Seen) -> tuple[object, ...]:
    bound = _bound()
    return (
        name,
        f"{seen.started:.0f}",
        f"{percentile(seen.stale, 0.5):.0f}",
        f"{max(seen.stale):.0f}",
        sum(1 for age in seen.stale if age > bound),
        f"{seen.memory:.0f}",
        f"{(seen.memory - one.memory) * 1024 / max(1, plan.brands - 1):.0f}",
        seen.connections if name == POSTGRESQL else "-",
        f"{seen.cpu:.0%}",
        _both(seen.tickets),
        _both(seen.processes),
        seen.missing,
    )


def _both(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{percentile(values, 0.5):.1f} / {percentile(values, 0.95):.1f}"


if __name__ == "__main__":
    main()
