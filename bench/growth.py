"""What an idle tick costs with more and more open returns.

python -m bench.growth [--sizes 1000 100000 1000000]
"""

from __future__ import annotations

import argparse
import resource
import time
from datetime import timedelta
from decimal import Decimal

import sqlalchemy as sa

from bench.report import Section, median, section
from bench.rig import BRAND, Rig, rig
from bergen_loop.domain.returns import LoopState, Return, ReturnLine
from bergen_loop.flow import tick
from bergen_loop.ledger.codec import document
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow

RUNS = 7
CHUNK = 5000


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 100_000, 1_000_000])
    options, _ = parser.parse_known_args()
    rows: list[tuple[object, ...]] = []
    first = 0.0
    with rig(0) as r:
        held = 0
        for size in options.sizes:
            fill(r, held, size)
            held = size
            calls, seconds, cpu = _idle(r)
            first = first or seconds
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            rows.append(
                (
                    f"{size:,}",
                    calls,
                    f"{seconds * 1000:.0f}",
                    f"{seconds / first:.2f}",
                    f"{cpu * 1000:.0f}",
                    memory,
                )
            )
    return section(
        "Growth",
        "python -m bench.growth",
        [
            "One idle tick of a brand (embedded ledger) while so many of its returns are open, "
            f"each with its RMA: calls, median time of {RUNS} ticks, and that time against the "
            "smallest size. The memory is the process's peak, filling the ledger included."
        ],
        ["open returns", "calls", "milliseconds", "ratio", "CPU milliseconds", "peak MiB"],
        rows,
    )


def fill(r: Rig, held: int, size: int) -> None:
    """Returns of two units, each with its open RMA."""
    now = r.ctx.now()
    lines = tuple(
        ReturnLine(f"{n}", sku=f"np-tt-red-{n}", barcode=f"85000000000{n}", title="Trail Tee",
                   price=Decimal("38.00"), refund=Decimal("38.00"), reason="Too small")
        for n in range(2)
    )  # fmt: skip
    sample = document(
        Return(
            id="",
            state=LoopState.OPEN,
            created_at=now - timedelta(days=20),
            updated_at=now - timedelta(days=20),
            order_name="#1",
            lines=lines,
        )
    )
    items = [{"sku": x.sku, "upc": x.barcode, "expected": 1} for x in lines]
    for start in range(held, size, CHUNK):
        numbers = range(start, min(size, start + CHUNK))
        with r.ledger.write() as session:
            session.execute(
                sa.insert(ReturnRow),
                [
                    {
                        "id": n + 1,
                        "brand": BRAND,
                        "return_id": f"9{n:08d}",
                        "stage": "announced",
                        "held": False,
                        "loop_state": "open",
                        "order_name": f"#{n}",
                        "customer_email": f"c{n}@example.com",
                        "tracking_number": f"1Z{n:012d}",
                        "content": {**sample, "id": f"9{n:08d}", "order_name": f"#{n}"},
                        "content_hash": f"{n:064d}",
                        "loop_updated_at": now - timedelta(days=20),
                        "submitted_at": now - timedelta(days=20),
                        "seen_at": now - timedelta(days=20),
                        "announced_at": now - timedelta(days=20),
                    }
                    for n in numbers
                ],
            )
            session.execute(
                sa.insert(RmaRow),
                [
                    {
                        "brand": BRAND,
                        "return_pk": n + 1,
                        "parcel": 1,
                        "customer_po": f"LR-9{n:08d}",
                        "ticket_id": f"WHX{n:08d}",
                        "warehouse": "BERGEN LOGISTICS NJ",
                        "items": items,
                        "tracking_numbers": [],
                        "to_read": False,
                        "ticket_status": "Draft",
                        "created_at": now - timedelta(days=20),
                    }
                    for n in numbers
                ],
            )


def _idle(r: Rig) -> tuple[int, float, float]:
    """Calls, seconds, and seconds of processor time of a tick."""
    tick.run(r.ctx)
    before = sum(r.calls().values())
    times: list[float] = []
    spent: list[float] = []
    for _ in range(RUNS):
        started, cpu = time.perf_counter(), time.process_time()
        tick.run(r.ctx)
        times.append(time.perf_counter() - started)
        spent.append(time.process_time() - cpu)
    return (sum(r.calls().values()) - before) // RUNS, median(times), median(spent)


if __name__ == "__main__":
    main()
