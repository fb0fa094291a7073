"""Time-boxed search for lost or doubled returns: `python tools/soak --minutes 10`.

Four kinds of run, each on a sandbox and a ledger of its own: `random` lives (faults, people and
kills by seed), `everywhere` (a whole life killed at each of its points in turn), `shipments`
(consolidated shipments of box-free returns, with lost bags and webhooks), and `process` (the real
service as a process, SIGKILLed). Prints every seed or point that failed, and totals.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count, takewhile
from threading import BoundedSemaphore
from typing import Any

from soak_runs import Job, Result, everywhere_jobs, prepare, run

KINDS = ("random", "everywhere", "shipments", "process")


def _jobs(kind: str, seed: int, database: str) -> Iterator[Job]:
    if kind == "everywhere":
        return everywhere_jobs(seed)
    return ((kind, database, n) for n in count(seed))


def main() -> int:
    """Search until the time is over; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--kind", choices=("random", "everywhere", "process", "shipments"), default="random"
    )
    parser.add_argument("--minutes", type=float, help="10, but for everywhere: that ends by itself")
    parser.add_argument("--seed", type=int, default=1, help="the first seed; printed for failures")
    parser.add_argument(
        "--database", choices=("", "postgresql"), default="", help="of random lives; else SQLite"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    prepare()
    endless = given.kind == "everywhere" and given.minutes is None
    until = math.inf if endless else time.monotonic() + (given.minutes or 10.0) * 60
    totals, failures = Counter[str](), list[Result]()
    faults = Counter[str]()
    ahead = BoundedSemaphore(given.workers + 1)
    jobs = _until(until, _paced(_jobs(given.kind, given.seed, given.database), ahead))
    with multiprocessing.get_context("spawn").Pool(given.workers, prepare) as pool:
        for result in pool.imap_unordered(run, jobs):
            ahead.release()
            _count(totals, faults, result)
            if result.failed:
                failures.append(result)
                print(f"FAILED {result.job}: {result.failed}", flush=True)  # noqa: T201
            if totals["runs"] % 100 == 0:
                print(f"... {dict(totals)}", file=sys.stderr, flush=True)  # noqa: T201
        pool.close()
        pool.join()  # so that each puts away what it has started
    _report(given, totals, faults, failures)
    return 1 if failures else 0


def _until(until: float, jobs: Iterator[Job]) -> Iterator[Job]:
    """Jobs while there is time."""
    return takewhile(lambda _job: time.monotonic() < until, jobs)


def _paced(jobs: Iterator[Job], ahead: BoundedSemaphore) -> Iterator[Job]:
    """The pool takes all it can get, so jobs are given out one more than there are workers."""
    for job in jobs:
        ahead.acquire()
        yield job


def _count(totals: Counter[str], faults: Counter[str], result: Result) -> None:
    faults.update(result.faults)
    for name in ("ticks", "kills", "calls"):
        totals[name] += getattr(result, name)
    for name in ("doubled", "lost", "stuck", "unfounded", "needless", "second_calls"):
        totals[name] += len(getattr(result, name))
    totals["runs"] += 1


def _report(
    given: argparse.Namespace, totals: Counter[str], faults: Counter[str], failures: list[Result]
) -> None:
    figures: dict[str, Any] = {
        "kind": given.kind,
        "first_seed": given.seed,
        **totals,
        "faults": dict(faults.most_common()),
        "fault_total": faults.total(),
        "failed": [list(f.job) for f in failures],
    }
    if given.json:
        print(json.dumps(figures, indent=2))  # noqa: T201
        return
    for name, value in figures.items():
        print(f"{name:>14}: {value}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
