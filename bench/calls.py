"""Calls per return over a lifecycle, against the naive connector.

python -m bench.calls [--returns 10000] [--naive 300]
"""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from bench.naive import POLLS, Naive
from bench.report import Section, section
from bench.rig import BRAND, Rig, rig
from bench.simulated import Simulation, simulation
from bergen_loop.ledger.tables.core import ReturnRow
from loop_sandbox import parcels

MIX = {"complete": 80, "damaged": 10, "extra": 5, "wrong": 5}
CYCLE = tuple(kind for kind, share in MIX.items() for _ in range(share // 5))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DAY_OF_WORK = timedelta(hours=10)
"""How long of a day customers submit, and the warehouse receives."""
TRANSIT = timedelta(days=7)
SETTLED = ("complete", "flagged")

WEEKS: dict[str, dict[str, Any]] = {
    "a week, defaults (poll 60s, poll_max 5m)": {},
    "a week, defaults and webhooks": {"webhooks": True},
    "a week, poll 20m, poll_max 2h": {
        "poll": "20m",
        "poll_max": "2h",
        "loop": {"look_aside": "2h"},
        "settle": {"fresh_within": "30m"},
    },
}


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--returns", type=int, default=10_000)
    parser.add_argument("--naive", type=int, default=300)
    options, _ = parser.parse_known_args()
    rows = [_row("at the limit: all at once", *_all_at_once(options.returns))]
    for name, settings in WEEKS.items():
        rows.append(_row(name, *_week(options.returns, **settings)))
        print(rows[-1], flush=True)  # noqa: T201 - a long run shows how far it is
    with rig(0) as other:
        rows.append(_row("naive connector, a week", *_naive(other, options.naive)))
    ratios = " and ".join(f"**{rows[-1][-1] / rows[n][-1]:.0f} to 1**" for n in (0, 1))
    return section(
        "Calls per return",
        "python -m bench.calls",
        [
            f"{options.returns:,} returns of one brand, all open at the same time, from submitted "
            "to complete, counted in the sandbox's own log: every call to either system, tokens "
            "and product checks with them. Sandbox and service share a clock that jumps, so that "
            "a week passes as a week; the limit of 300 calls a minute is kept by that clock, and "
            "no call was answered 429.",
            "*At the limit*: all are submitted at once, then all their parcels are there at once; "
            "ticks follow each other and the limit sets the pace. This is where calls are scarce. "
            "*A week*: submitted over ten hours, a week under way, received over ten hours; here "
            "the lists of a brand that is merely watched make up the difference, and they are a "
            "choice: how stale may the picture be. A flagged return needs two calls (flag and "
            "note), a processed one one; what is above that are the lists, shared among all. Some "
            "returns travel in two parcels, each with an RMA of its own, which is added once, and "
            "read once whenever its counts are new.",
            "The naive connector asks for the details of each return, makes a ticket per unit, "
            f"and reads every open ticket every three hours ({POLLS} times in the week); measured "
            f"on {options.naive} returns, its cost per return does not depend on their number.",
            f"All calls per return, naive against bergen-loop at the limit and in a week at its "
            f"defaults: {ratios}.",
        ],
        [
            "",
            "returns settled",
            "lists",
            "Loop calls per processed",
            "Loop calls per flagged",
            "REX11 calls per return",
            "REX11 calls per RMA",
            "all calls per return",
        ],
        rows,
    )


Counted = tuple[Counter[tuple[str, str]], int, int]


def _all_at_once(number: int) -> Counted:
    with simulation() as sim:
        start = sim.world.now()
        sim.run(start + HOUR)  # connected first: what comes now is new
        for _ in range(number):
            sim.submit()
        sim.run(start + 2 * DAY, lambda: not _in(sim, "seen") and _known(sim) == number)
        _receive(sim)
        sim.run(start + 4 * DAY, lambda: _in(sim, *SETTLED) == number)
        return _counted(sim, number)


def _week(number: int, *, webhooks: bool = False, **settings: Any) -> Counted:
    with simulation(webhooks=webhooks, **settings) as sim:
        start = sim.world.now()
        sim.run(start + HOUR)
        before = sim.calls()
        sim.over(start + HOUR, DAY_OF_WORK, number, sim.submit)
        sim.run(start + HOUR + TRANSIT)
        tickets = [t for t in _tickets(sim) if t.status == "Draft"]
        for n, ticket in enumerate(tickets):
            when = start + HOUR + TRANSIT + DAY_OF_WORK * n / len(tickets)
            sim.at(when, partial(_receive_one, sim, ticket, CYCLE[n % len(CYCLE)]))
        sim.run(start + 2 * TRANSIT, lambda: _in(sim, *SETTLED) == number)
        calls, processed, flagged = _counted(sim, number)
        return calls - before, processed, flagged


def _receive(sim: Simulation) -> None:
    for n, ticket in enumerate(_tickets(sim)):
        _receive_one(sim, ticket, CYCLE[n % len(CYCLE)])


def _receive_one(sim: Simulation, ticket: Any, kind: str) -> None:
    with sim.world.sandbox.lock:
        parcels.receive(sim.world.sandbox, ticket, kind, None)


def _tickets(sim: Simulation) -> list[Any]:
    return list(sim.world.sandbox.brand(BRAND).tickets.values())


def _known(sim: Simulation) -> int:
    return _in(sim, "seen", "announced")


def _in(sim: Simulation, *stages: str) -> int:
    query = sa.select(sa.func.count()).select_from(ReturnRow).where(ReturnRow.stage.in_(stages))
    with sim.ctx.ledger.read() as session:
        return session.scalar(query) or 0


def _counted(sim: Simulation, number: int) -> Counted:
    """Raises AssertionError where a return is not settled: the figures would be of fewer."""
    complete, flagged = _in(sim, "complete"), _in(sim, "flagged")
    if complete + flagged != number:
        raise AssertionError(f"{number - complete - flagged} of {number} returns are not settled")
    return sim.calls(), complete, flagged


def _naive(r: Rig, number: int) -> Counted:
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
) -> tuple[str, int, int, float, float, float, float, float]:
    loop = sum(n for (system, _), n in calls.items() if system == "loop")
    rex11 = sum(n for (system, _), n in calls.items() if system == "rex11")
    settled = processed + flagged
    own = {"process", "flag", "note"}
    shared = (loop - sum(n for (s, o), n in calls.items() if s == "loop" and o in own)) / settled
    return (
        name,
        settled,
        calls["loop", "list"],
        round(1 + shared, 3),
        round(2 + shared, 3),
        round(rex11 / settled, 3),
        round(rex11 / calls["rex11", "ReceivingTicketAdd"], 3),
        round((loop + rex11) / settled, 3),
    )


if __name__ == "__main__":
    main()
