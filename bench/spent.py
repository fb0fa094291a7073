"""Whose processor time it was: of everything that takes part in a benchmark, by kind of process."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

OWN, DATABASE, SANDBOX, QUEUE = "its own processes", "the database", "the sandbox", "Redis"


@contextmanager
def spending(database: str) -> Generator[Counter[str]]:
    """Seconds by kind, known at the end. `database` is the URL of the one that is used."""
    spent, before = Counter[str](), _by_process(database)
    yield spent
    for pid, (kind, seconds) in _by_process(database).items():
        spent[kind] += seconds - before.get(pid, (kind, 0.0))[1]  # type: ignore[assignment]


def _by_process(database: str) -> dict[int, tuple[str, float]]:
    """Kind and seconds so far of every process that belongs to this one, or to the database."""
    port = f"-p {urlsplit(database).port} "
    parents, seconds, words = dict[int, int](), dict[int, float](), dict[int, str]()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            pid = int(folder.name)
            parents[pid] = int(fields[1])
            seconds[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            words[pid] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    found: dict[int, tuple[str, float]] = {}
    for pid in parents:
        line = [pid]
        while (parent := parents.get(line[-1])) is not None and parent > 1:
            line.append(parent)
        kind = next((k for p in line if (k := _kind(words.get(p, ""), port))), None)
        if kind or os.getpid() in line:
            found[pid] = kind or OWN, seconds[pid]
    return found


def _kind(words: str, port: str) -> str | None:
    if "loop_sandbox" in words:
        return SANDBOX
    if "postgres" in words and port in words:
        return DATABASE
    return QUEUE if "redis-server" in words else None
