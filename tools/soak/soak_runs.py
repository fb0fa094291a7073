"""One run of each kind, as the workers do them."""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

HARNESS = Path(__file__).resolve().parents[2] / "tests" / "reliability"
Job = tuple[str, str, int]
"""Kind; scene of `everywhere`, database of `random`; seed or point."""


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
    folder = Path(tempfile.mkdtemp(prefix="bergen-loop-soak-", dir=memory()))
    started = time.monotonic()
    try:
        result = _KINDS[job[0]](job, folder)
    except Exception:
        result = Result(job, stuck=[traceback.format_exc(limit=-6)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result.seconds = time.monotonic() - started
    return result


def memory() -> str | None:
    """A folder in memory where there is one: it is processes that die here, not machines."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def _random(job: Job, folder: Path) -> Result:
    from reliability_driver import Driver

    if job[1] != "postgresql":
        return _as_result(job, Driver(folder, job[2]).play())
    from reliability_stage import Server

    with closing(Server(_cluster())) as place:
        return _as_result(job, Driver(folder, job[2], place=place).play())


@cache
def _cluster() -> Any:
    """Of this process: PostgreSQL, as long as it runs."""
    from support.postgres import Cluster

    made = Cluster()
    Finalize(made, made.stop, exitpriority=10)
    return made


def _as_result(job: Job, done: Any) -> Result:
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


def _shipments(job: Job, folder: Path) -> Result:
    from reliability_shipments import play

    lives, wrong = play(folder, job[2])
    stage = lives.stage
    return Result(job, stuck=wrong, ticks=stage.ticks, kills=stage.kills)


_KINDS = {
    "random": _random,
    "everywhere": _everywhere,
    "process": _process,
    "shipments": _shipments,
}


def everywhere_jobs(seed: int) -> Iterator[Job]:
    """All points of all scenes, in an order of the seed's."""
    jobs: list[Job] = []
    from reliability_scenes import ENDS, points

    for scene in ENDS:
        folder = Path(tempfile.mkdtemp(prefix="bergen-loop-soak-", dir=memory()))
        passed, _ = points(folder, scene)
        shutil.rmtree(folder, ignore_errors=True)
        jobs += [("everywhere", scene, n) for n in range(1, len(passed) + 1)]
    random.Random(seed).shuffle(jobs)  # noqa: S311
    return iter(jobs)


def prepare() -> None:
    """Once per process: where the harness is, and no logs."""
    sys.path[:0] = [str(HARNESS), str(HARNESS.parent)]
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
