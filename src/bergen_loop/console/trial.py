"""Criteria tried on past cases; pasted ones in a process of their own.

What a condition can cost is bounded before it is evaluated (see `domain.criteria.checking`).
Text that does not come from the configuration is all the same not trusted with this process,
which serves every brand: it is read, checked and tried in a child that has no secrets, no files
and no ledger, little memory and processor time, and that is killed when its time is over.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Timer
from typing import IO, BinaryIO, TypeAlias

from pydantic import TypeAdapter, ValidationError

from bergen_loop.domain.criteria import (
    BacktestReport,
    Criteria,
    CriteriaError,
    CriteriaProblem,
    CriteriaWarning,
    load_criteria,
    replay,
    warnings,
)
from bergen_loop.domain.decision import Case

PastCase: TypeAlias = tuple[str, Case, str | None]
"""(return id, case, outcome really decided)."""

SOURCE = "the text below"
MAX_ANSWER = 10_000_000
"""Bytes of a child's answer."""
_NO_MEMORY = 70
"""Exit code of a child that ran out of it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying criteria."""

    report: BacktestReport
    warnings: list[CriteriaWarning] | None
    """The serious ones; None where the search for them took too long."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use."""

    memory: int = 512 * 1024 * 1024
    """Bytes of address space."""
    processor: int = 10
    """Seconds."""
    wall: float = 20.0
    """Seconds, from its start to its answer."""


class TrialFailed(Exception):
    """A child ended without an answer; says why, in words."""


def here(criteria: Criteria, cases: Iterable[PastCase], warning_seconds: float) -> Trial:
    """Try criteria that the configuration or the product brings."""
    return Trial(replay(criteria, cases), _serious(criteria, warning_seconds))


def apart(
    text: str, cases: Iterable[PastCase], warning_seconds: float, limits: Limits | None = None
) -> Trial:
    """Try pasted criteria in a child. Raises CriteriaError for their mistakes, TrialFailed."""
    limits = limits or Limits()
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(  # noqa: S603 - this program itself, with numbers
        [sys.executable, "-P", "-m", __name__, str(limits.memory), str(limits.processor)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath, "PYTHONPATH": paths, "LC_ALL": "C.UTF-8"},
    )
    assert process.stdin and process.stdout
    until = time.monotonic() + limits.wall
    killer = Timer(limits.wall, process.kill)
    killer.start()
    try:
        _feed(process.stdin, text, cases, warning_seconds)
        answer = process.stdout.read(MAX_ANSWER + 1)
        process.wait()
    finally:
        killer.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
    if process.returncode:
        raise TrialFailed(_why(process.returncode, time.monotonic() >= until, limits))
    return _read(answer)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a child says: the mistakes of the criteria, or what came of them."""

    problems: tuple[CriteriaProblem, ...]
    trial: Trial | None


_ANSWER = TypeAdapter(_Answer)


def _feed(stdin: IO[bytes], text: str, cases: Iterable[PastCase], warning_seconds: float) -> None:
    """Hand over as fast as the child takes it."""
    try:
        with stdin:
            pickle.dump((text, warning_seconds), stdin)
            for case in cases:
                pickle.dump(case, stdin)
    except BrokenPipeError:
        pass  # it has ended already, and its answer or its end says why


def _read(answer: bytes) -> Trial:
    try:
        found = _ANSWER.validate_json(answer)
    except ValidationError:
        raise TrialFailed("the process that tried them gave no answer") from None
    if found.problems:
        raise CriteriaError(found.problems)
    if found.trial is None:
        raise TrialFailed("the process that tried them gave no answer")
    return found.trial


def _why(code: int, late: bool, limits: Limits) -> str:
    if code == -signal.SIGXCPU:
        return f"trying them took more than {limits.processor} seconds of processor time"
    if code == -signal.SIGKILL and late:
        return f"trying them took more than {limits.wall:g} seconds"
    if code == _NO_MEMORY:
        return f"trying them took more than {limits.memory // 1024**2} MB of memory"
    return "the process that tried them failed"


def _serious(criteria: Criteria, seconds: float) -> list[CriteriaWarning] | None:
    until = time.monotonic() + seconds

    def in_time() -> None:
        if time.monotonic() > until:
            raise TimeoutError

    try:
        return [w for w in warnings(criteria, in_time) if not w.informational]
    except TimeoutError:
        return None


# -- the child ----------------------------------------------------------------------------------


def confine(limits: Limits) -> None:
    """Take from this process all that trying criteria does not need."""
    wanted = {
        resource.RLIMIT_AS: limits.memory,
        resource.RLIMIT_CPU: limits.processor,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        _, hard = resource.getrlimit(kind)
        # The kernel says which limit it was only while the hard one is above the soft one.
        last = most + 1 if hard == resource.RLIM_INFINITY else min(most + 1, hard)
        resource.setrlimit(kind, (min(most, last), last))


def _cases(stdin: BinaryIO) -> Iterator[PastCase]:
    while True:
        try:
            yield pickle.load(stdin)  # noqa: S301 - written by the parent alone
        except EOFError:
            return


def _child(memory: str, processor: str) -> None:
    confine(Limits(int(memory), int(processor)))
    try:
        text, warning_seconds = pickle.load(sys.stdin.buffer)  # noqa: S301 - as above
        cases = _cases(sys.stdin.buffer)
        answer = _Answer((), here(load_criteria(text, source=SOURCE), cases, warning_seconds))
    except CriteriaError as error:
        answer = _Answer(error.problems, None)
    except MemoryError:
        os._exit(_NO_MEMORY)
    sys.stdout.buffer.write(_ANSWER.dump_json(answer))


if __name__ == "__main__":
    _child(*sys.argv[1:])
