"""Bytes a completed return leaves in the ledger, indexes and journal included.

python -m bench.size [--returns 2000]
"""

from __future__ import annotations

import argparse

import sqlalchemy as sa

from bench.databases import POSTGRESQL, databases
from bench.report import Section, section
from bench.rig import Rig, rig
from bergen_loop.sync import tick

MIX = {"complete": 85, "damaged": 10, "wrong": 5}


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--returns", type=int, default=2000)
    options, _ = parser.parse_known_args()
    rows: list[tuple[object, ...]] = []
    with databases() as kinds:
        for name, new in kinds.items():
            with rig(0, database=new()) as r:
                empty = _bytes(r, name)
                _lifecycle(r, options.returns)
                rows.append(
                    (name, options.returns, f"{(_bytes(r, name) - empty) / options.returns:.0f}")
                )
    return section(
        "Size of the database",
        "python -m bench.size",
        [
            "Bytes a return leaves in the ledger, from submitted to complete or flagged: its "
            "content, lines, RMA, receipt, decision with all facts, effects and journal, with "
            "their indexes. The engine's own tables are emptied of what is older than an hour."
        ],
        ["database", "returns", "bytes a return"],
        rows,
    )


def _lifecycle(r: Rig, number: int) -> None:
    tick.run(r.ctx)
    r.submit(number)
    r.until_none("seen")
    r.receive(MIX)
    tick.run(r.ctx)
    r.until_none("received", "settling", "confirming", "closing")


def _bytes(r: Rig, name: str) -> int:
    if name == POSTGRESQL:
        query = "SELECT sum(pg_total_relation_size(relid)) FROM pg_catalog.pg_statio_user_tables"
    else:
        query = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    with r.ledger.engine.connect() as connection:
        return int(connection.scalar(sa.text(query)) or 0)


if __name__ == "__main__":
    main()
