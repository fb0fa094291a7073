"""Time-boxed search for lost or doubled returns: `python tools/soak --minutes 10`.

Three kinds of run, each on a sandbox and a ledger of its own: `random` lives (faults, people and
kills by seed), `everywhere` (a whole life killed at each of its points in turn), and `process`
(the real service as a process, SIGKILLed). Prints every seed or point that failed, and totals.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

HARNESS = Path(__file__).resolve().parents[2] / "tests" / "reliability"
Job = tuple[str, str, int]
"""Kind, scene (of `everywhere`), and seed or point."""


@dataclass(slots=True)
class Result:
    """One run. Lists are empty where all is well."""

    job: Job
    doubled: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])
    stuck: list[str] = field(default_factory=list[str])
    unfounded: list[str] = field(default_factory=list[str])
    needless: list[str] = field(default_factory=list[str])
    second_calls: list[str] = field(default_factory=list[str])
    ticks: int = 0
    kills: int = 0
    calls: int = 0
    faults: dict[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0

    @property
    def failed(self) -> list[str]:
        return [*self.doubled, *self.lost, *self.stuck, *self.unfounded, *self.needless]


def run(job: Job) -> Result:
    """One job in this process; a crash of the harness itself counts as stuck."""
    folder = Path(tempfile.mkdtemp(prefix="bergen-loop-soak-", dir=_memory()))
    started = time.monotonic()
    try:
        result = {"random": _random, "everywhere": _everywhere, "process": _process}[job[0]](
            job, folder
        )
    except Exception:
        result = Result(job, stuck=[traceback.format_exc(limit=-6)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result.seconds = time.monotonic() - started
    return result


def _memory() -> str | None:
    """A folder in memory where there is one: it is processes that die here, not machines."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def _random(job: Job, folder: Path) -> Result:
    from reliability_driver import Driver

    done = Driver(folder, job[2]).play()
    return Result(
        job, **asdict(done.verdict), ticks=done.ticks, kills=done.kills, calls=done.calls,
        faults=dict(done.faults),
    )  # fmt: skip


def _everywhere(job: Job, folder: Path) -> Result:
    from reliability_scenes import kill_at

    _, wrong = kill_at(folder, job[1], job[2])
    return Result(job, stuck=wrong, kills=1)


def _process(job: Job, folder: Path) -> Result:
    from reliability_process import BOUNDARIES, play

    names = [BOUNDARIES[(job[2] + n) % len(BOUNDARIES)] for n in range(3)]
    site = play(folder, job[2], [f"{name}:{1 + job[2] % 3}" for name in names], kills=4)
    try:
        stuck = site.until_rest()
        return Result(job, doubled=site.doubled(), stuck=stuck, kills=site.kills)
    finally:
        site.close()


def _everywhere_jobs() -> Iterator[Job]:
    from reliability_scenes import ENDS, points

    for scene in ENDS:
        folder = Path(tempfile.mkdtemp(prefix="bergen-loop-soak-", dir=_memory()))
        passed, _ = points(folder, scene)
        shutil.rmtree(folder, ignore_errors=True)
        yield from (("everywhere", scene, n) for n in range(1, len(passed) + 1))


def _jobs(kind: str, seed: int) -> Iterator[Job]:
    if kind == "everywhere":
        return _everywhere_jobs()
    return ((kind, "", n) for n in count(seed))


def _prepare() -> None:
    sys.path.insert(0, str(HARNESS))
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def main() -> int:
    """Search until the time is over; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.split("\n")[0])
    parser.add_argument("--kind", choices=("random", "everywhere", "process"), default="random")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1, help="the first seed; printed for failures")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    _prepare()
    until = time.monotonic() + given.minutes * 60
    totals, failures = Counter[str](), list[Result]()
    faults = Counter[str]()
    jobs = _until(until, _jobs(given.kind, given.seed))
    with multiprocessing.get_context("spawn").Pool(given.workers, _prepare) as pool:
        for result in pool.imap_unordered(run, jobs):
            _count(totals, faults, result)
            if result.failed:
                failures.append(result)
                print(f"FAILED {result.job}: {result.failed}", flush=True)  # noqa: T201
    _report(given, totals, faults, failures)
    return 1 if failures else 0


def _until(until: float, jobs: Iterator[Job]) -> Iterator[Job]:
    """Jobs while there is time. The pool asks ahead, so they are given out a few at a time."""
    return (job for job in _paced(jobs) if time.monotonic() < until)


_ahead = multiprocessing.BoundedSemaphore(8)


def _paced(jobs: Iterator[Job]) -> Iterator[Job]:
    for job in jobs:
        _ahead.acquire()
        yield job


def _count(totals: Counter[str], faults: Counter[str], result: Result) -> None:
    _ahead.release()
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
