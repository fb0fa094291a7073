"""Calls per return over a lifecycle, against the naive connector.

python -m bench.calls [--returns 10000] [--naive 300]
"""

from __future__ import annotations

import argparse
from collections import Counter

from bench.naive import POLLS, Naive
from bench.report import Section, section
from bench.rig import Rig, rig
from bergen_loop.sync import tick

MIX = {"complete": 80, "damaged": 10, "extra": 5, "wrong": 5}


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--returns", type=int, default=10_000)
    parser.add_argument("--naive", type=int, default=300)
    options, _ = parser.parse_known_args()
    with rig(0) as ours:
        own, processed, flagged = _ours(ours, options.returns)
    with rig(0) as other:
        naive, naive_processed, naive_flagged = _naive(other, options.naive)
    rows = [
        _row("bergen-loop", own, processed, flagged),
        _row("naive connector", naive, naive_processed, naive_flagged),
    ]
    ratio = rows[1][-1] / rows[0][-1] if rows[0][-1] else 0.0
    return section(
        "Calls per return",
        "python -m bench.calls",
        [
            f"A lifecycle of {options.returns} returns of one brand, all open at once, counted in "
            "the sandbox's own log. The naive connector asks for the details of each return, makes "
            f"a ticket per unit, and reads every open ticket every three hours ({POLLS} times "
            f"until the parcel is there, a week later); measured on {options.naive} returns, its "
            "cost per return does not depend on their number. Loop calls of settled returns only "
            "come from process (1) and flag and note (2); the rest is lists.",
            "Ticks follow each other without a pause here, and each lists the last ten minutes "
            "again (`loop.overlap`); returns made within an hour of the first pull are looked up "
            "in REX11 by their PO before their RMA is made. In steady operation neither happens "
            "at this rate, so these figures are upper bounds.",
            f"All calls per return, naive against bergen-loop: **{ratio:.1f} to 1**.",
        ],
        [
            "connector",
            "returns settled",
            "Loop calls per processed",
            "Loop calls per flagged",
            "REX11 calls per return",
            "all calls per return",
        ],
        rows,
    )


def _ours(r: Rig, number: int) -> tuple[Counter[tuple[str, str]], int, int]:
    tick.run(r.ctx)  # connected first: what comes now is new
    r.submit(number)
    r.until_none("seen")
    r.receive(MIX)
    tick.run(r.ctx)
    r.until_none("received", "settling", "confirming", "closing")
    summary = r.sandbox.get("/control/summary")["brands"][r.ctx.brand]
    return r.calls(), summary["processed"], summary["flagged"]


def _naive(r: Rig, number: int) -> tuple[Counter[tuple[str, str]], int, int]:
    r.submit(number)
    naive = Naive(r.ctx)
    naive.announce(10**6)
    for _ in range(POLLS):
        naive.poll()
    r.receive(MIX)
    naive.poll()
    return r.calls(), naive.processed, naive.flagged


def _row(
    name: str, calls: Counter[tuple[str, str]], processed: int, flagged: int
) -> tuple[str, int, float, float, float, float]:
    loop = sum(n for (system, _), n in calls.items() if system == "loop")
    rex11 = sum(n for (system, _), n in calls.items() if system == "rex11")
    settled = processed + flagged
    own = {"process", "flag", "note"}
    shared = (loop - sum(n for (s, o), n in calls.items() if s == "loop" and o in own)) / settled
    return (
        name,
        settled,
        round(1 + shared, 3),
        round(2 + shared, 3),
        round(rex11 / settled, 3),
        round((loop + rex11) / settled, 3),
    )


if __name__ == "__main__":
    main()
