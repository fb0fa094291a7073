"""What a return costs the service over its life: processor time, transactions, bytes.

python -m bench.footprint [--returns 2000]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import event

from bench.databases import POSTGRESQL, databases
from bench.report import Section, median, section
from bench.rig import Rig, rig
from bergen_loop.flow import tick

MIX = {"complete": 85, "damaged": 10, "wrong": 5}
RUNS = 5


@dataclass(frozen=True)
class Cost:
    """Of one run."""

    cpu_ms: float
    """Milliseconds of processor time of the service's process a return."""
    transactions: float
    statements: float
    bytes: float
    packed: float
    """Bytes once what updates left behind has been vacuumed away."""


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--returns", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=RUNS)
    options, _ = parser.parse_known_args()
    rows: list[tuple[object, ...]] = []
    with databases() as kinds:
        for name, new in kinds.items():
            costs = [_run(name, new(), options.returns) for _ in range(options.runs)]
            rows.append((name, *(f"{median(list(v)):.1f}" for v in _columns(costs))))
    return section(
        "What a return costs the service",
        "python -m bench.footprint",
        [
            f"The life of {options.returns:,} returns at once, from submitted to complete or "
            f"flagged, medians of {options.runs} runs: processor time of the service's process, "
            "transactions and statements, and what is left in the ledger (content, lines, RMA, "
            "receipt, decision with all its facts, effects, journal, indexes), as it stands "
            "right after and once the database has been vacuumed (full). Without the engine's own "
            "few transactions a tick, which it empties of what is older than an hour.",
        ],
        [
            "database",
            "CPU ms a return",
            "transactions a return",
            "statements a return",
            "bytes a return",
            "bytes a return, packed",
        ],
        rows,
    )


def _columns(costs: list[Cost]) -> list[list[float]]:
    return [
        [c.cpu_ms for c in costs],
        [c.transactions for c in costs],
        [c.statements for c in costs],
        [c.bytes for c in costs],
        [c.packed for c in costs],
    ]


def _run(name: str, url: str, number: int) -> Cost:
    with rig(0, database=url) as r:
        tick.run(r.ctx)
        empty = _bytes(r, name)
        r.submit(number)
        counts = _counting(r)
        started = time.process_time()
        _lifecycle(r)
        spent = time.process_time() - started
        made = dict(counts)
        left, packed = _bytes(r, name) - empty, _packed(r, name) - empty
        return Cost(
            spent * 1000 / number,
            made["transactions"] / number,
            made["statements"] / number,
            left / number,
            packed / number,
        )


def _lifecycle(r: Rig) -> None:
    r.until_none("seen")
    r.receive(MIX)
    tick.run(r.ctx)
    r.until_none("announced", "received", "settling", "confirming", "closing")


def _counting(r: Rig) -> Counter[str]:
    counts: Counter[str] = Counter()
    event.listen(r.ledger.engine, "commit", lambda *_: counts.update(transactions=1))
    event.listen(r.ledger.engine, "before_cursor_execute", lambda *_: counts.update(statements=1))
    return counts


def _bytes(r: Rig, name: str) -> int:
    if name == POSTGRESQL:
        query = "SELECT sum(pg_total_relation_size(relid)) FROM pg_catalog.pg_statio_user_tables"
    else:
        query = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    with r.ledger.engine.connect() as connection:
        return int(connection.scalar(sa.text(query)) or 0)


def _packed(r: Rig, name: str) -> int:
    statement = "VACUUM FULL" if name == POSTGRESQL else "VACUUM"
    raw = r.ledger.engine.raw_connection()
    try:
        if name == POSTGRESQL:
            raw.driver_connection.autocommit = True  # pyright: ignore[reportOptionalMemberAccess]
        raw.cursor().execute(statement)
    finally:
        raw.invalidate()
        raw.close()
    return _bytes(r, name)


if __name__ == "__main__":
    main()
