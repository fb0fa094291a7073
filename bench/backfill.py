"""The first pull of a brand that has very many returns, killed in the middle and started again.

python -m bench.backfill [--returns 1000000] [--runs 3] [--database sqlite|postgresql]
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa
from demo.processes import Process, free_port

from bench import endless_loop
from bench.databases import databases
from bench.endless_loop import KEY, MAX_PAGE, STATES
from bench.report import Section, median, section
from bergen_loop.domain.words import What
from bergen_loop.flow.intake import CURSOR
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import cursors
from bergen_loop.ledger.tables.core import JournalRow, LineRow, ReturnRow

BRAND = "bench"
PERIOD = timedelta(days=30)
KILL_AT = 0.6
"""Share of the pages after which the first pull is killed."""
EVERY = 0.5
"""Seconds between two looks at the process and at what it shows."""
ASKED_AT = (0.25, 0.5)
"""Shares at which the time left is noted."""
CALLS = 300
"""Loop's limit of calls a minute."""
EXPECTED = {
    "complete": ("closed",),
    "cancelled": ("cancelled",),
    "seen": ("open", "review"),
}
"""Stages, and the states of the returns that must be in them."""


@dataclass(frozen=True)
class Shown:
    """The time left as it stood on the screen, at so many seconds of pulling."""

    at: float
    left: float


@dataclass
class Watched:
    """What was seen of the pull, over both its runs. Seconds are those in which it ran."""

    seconds: float = 0.0
    peak: int = 0
    """MiB."""
    shown: dict[float, Shown] = field(default_factory=dict[float, Shown])
    main_ended: float | None = None
    """When the list of open, closed and expired returns had come to its end."""

    def off(self, share: float) -> float | None:
        """By how much the time left was wrong, as a share of what it really was."""
        one = self.shown.get(share)
        if one is None or self.main_ended is None:
            return None
        left = self.main_ended - one.at
        return (one.left - left) / left if left > 0 else None


@dataclass(frozen=True)
class Measured:
    """One first pull with its kill."""

    returns: int
    watched: Watched
    pages: int
    repeated: int
    bytes_each: float

    @property
    def rate(self) -> float:
        return self.returns / self.watched.seconds


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--returns", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--database", choices=["sqlite", "postgresql"])
    options, _ = parser.parse_known_args()
    small = options.returns // 10
    rows: list[tuple[object, ...]] = []
    with databases() as kinds:
        for name, new in kinds.items():
            if options.database in (None, name.lower()):
                tenth = [_measure(small, new) for _ in range(options.runs)]
                rows.append(_row(name, tenth, tenth))
                rows.append(_row(name, [_measure(options.returns, new)], tenth))
    return section("First pull", "python -m bench.backfill", _text(options, small), COLUMNS, rows)


COLUMNS = [
    "returns",
    "a second",
    "minutes",
    "peak MiB (ratio)",
    "pages (to the least)",
    "again after the kill",
    "bytes a return",
    "time left, off",
]


def _row(name: str, runs: Sequence[Measured], tenth: Sequence[Measured]) -> tuple[object, ...]:
    """Medians of the runs."""

    def middle(of: Callable[[Measured], float]) -> float:
        return median([of(run) for run in runs])

    peak, small = (median([r.watched.peak for r in x]) for x in (runs, tenth))
    pages = middle(lambda r: r.pages)
    number = runs[0].returns
    return (
        f"{name}, {number:,}",
        f"{middle(lambda r: r.rate):.0f}",
        f"{middle(lambda r: r.watched.seconds) / 60:.1f}",
        f"{peak:.0f} ({peak / small:.2f})",
        f"{pages:.0f} ({pages / least_pages(number):.2f})",
        f"{middle(lambda r: r.repeated):.0f}",
        f"{middle(lambda r: r.bytes_each):.0f}",
        " / ".join(_off(runs, share) for share in ASKED_AT),
    )


def _off(runs: Sequence[Measured], share: float) -> str:
    """The run that was the most wrong."""
    found = [off for run in runs if (off := run.watched.off(share)) is not None]
    return f"{max(found, key=abs):+.0%}" if found else "none shown"


def _text(options: argparse.Namespace, small: int) -> list[str]:
    least = least_pages(options.returns) / CALLS
    share = {s: sum(v == s for v in STATES.values()) for s in ("cancelled", "review", "open")}
    others = ", ".join(f"{n} % {s}" for s, n in share.items())
    return [
        f"A brand whose first pull finds {options.returns:,} returns of two units each, spread "
        f"evenly over {PERIOD.days} days ({others}, the rest closed): `bergen-loop sync once`, a "
        f"process of its own, killed (SIGKILL) after {KILL_AT:.0%} of the pages and started again. "
        f"Medians of {options.runs} runs at {small:,}; **one run** at {options.returns:,}. After "
        "each it is checked that every return is in the ledger exactly once, in the stage it must "
        "be in, with its units and one journal entry. Loop is a process of its own that makes the "
        "returns from their numbers, without a limit of calls; it shares the two cores. The brand "
        f"keeps to Loop's {CALLS} calls a minute as always: the pages alone would take "
        f"{least:.1f} minutes by it.",
        "The rate and the minutes are of the time in which either process pulled. Peak MiB is the "
        "resident memory of the process that had more (the kernel's high-water mark, read twice a "
        f"second), its ratio that to {small:,} returns. Pages are all that were asked for, against "
        f"the least there can be of {MAX_PAGE} returns; again after the kill are those of which "
        "most had been listed before it: at most the window that was under way, and the overlap. "
        "Bytes are the database's growth. Time left is what `bergen-loop status` showed at 25 % "
        "and at 50 %, against the time that the pull then really ran on, the kill's cost included "
        "(the most wrong of the runs).",
    ]


def least_pages(returns: int) -> int:
    """Pages of the three lists if each were walked at one go."""
    lists = (("open", "closed"), ("cancelled",), ("review",))
    return sum(math.ceil(endless_loop.count(returns, *states) / MAX_PAGE) for states in lists)


# -- one pull -----------------------------------------------------------------------------------


def _measure(returns: int, new: Callable[[], str]) -> Measured:
    """A first pull, killed and taken up again. RuntimeError unless it has all returns, once."""
    url, port = new(), free_port()
    now = int(time.time())
    # The pull reaches back from when it starts: what is older than that is not asked for.
    first = now - int(PERIOD.total_seconds()) + 3600
    arguments = ("--port", port, "--returns", returns, "--from", first, "--to", now)
    ledger = Ledger(url)
    ledger.migrate()
    empty = _size(ledger)
    with tempfile.TemporaryDirectory(prefix="bergen-loop-bench-") as name:
        folder = Path(name)
        loop = Process(["bench.endless_loop", *map(str, arguments)], folder / "loop.log", {})
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as control:
            loop.start(lambda: _answers(control))
            try:
                config = _config(folder, url, port)
                watched = Watched()
                _pull(config, ledger, control, watched, kill_at=KILL_AT * least_pages(returns))
                before = control.get("/bench/summary").json()
                _pull(config, ledger, control, watched)
                after = control.get("/bench/summary").json()
            finally:
                loop.stop()
    _check(ledger, returns, after)
    grown = _size(ledger) - empty
    ledger.close()
    return Measured(
        returns, watched, after["pages"], after["repeated"] - before["repeated"], grown / returns
    )


def _answers(control: httpx2.Client) -> bool:
    try:
        return control.get("/bench/summary").status_code == 200
    except httpx2.TransportError:
        return False


def _config(folder: Path, url: str, port: int) -> Path:
    """The brand's parcels are counted by the service itself, so that there is no REX11 to ask;
    what is open has no label yet and waits for one: nothing is announced."""
    key, path = folder / "key", folder / "bergen-loop.yaml"
    key.touch(mode=0o600)
    key.write_text(KEY)
    path.write_text(
        f"""\
service: {{database: "{url}"}}
brands:
  {BRAND}:
    name: Bench
    mode: live
    warehouse: embedded
    loop: {{api_key: "file:{key}", base_url: "http://127.0.0.1:{port}/api", backfill: 30d}}
    announce: {{label_wait: 365d}}
"""
    )
    return path


def _pull(
    config: Path,
    ledger: Ledger,
    control: httpx2.Client,
    watched: Watched,
    kill_at: float | None = None,
) -> None:
    """Run the pull, and note what is seen of it. `kill_at` pages it is killed. RuntimeError
    where it fails, or ends before it could be killed."""
    control.post("/bench/run").raise_for_status()
    command = [sys.executable, "-m", "bergen_loop", "sync", "once", "-c", str(config), "--json"]
    log, ran = config.with_name("sync.log"), watched.seconds
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        while child.poll() is None:
            seen = control.get("/bench/summary").json()
            if seen["began"] is not None:
                watched.seconds = ran + time.time() - seen["began"]
                _look(child.pid, ledger, watched)
            if kill_at is not None and seen["pages"] >= kill_at:
                child.kill()
                child.wait()
                watched.seconds = ran + time.time() - seen["began"]
                return
            time.sleep(EVERY if kill_at is None or seen["pages"] < 0.8 * kill_at else 0.02)
    finally:
        child.kill()
        child.wait()
    if child.returncode or kill_at is not None:
        raise RuntimeError(f"the pull ended ({child.returncode}):\n{log.read_text()[-2000:]}")
    seen = control.get("/bench/summary").json()
    watched.seconds = ran + seen["ended"] - seen["began"]
    watched.main_ended = watched.main_ended or watched.seconds


def _look(pid: int, ledger: Ledger, watched: Watched) -> None:
    watched.peak = max(watched.peak, _peak(pid))
    with ledger.read() as session:
        one = cursors.pulls_under_way(session, [BRAND], datetime.now(UTC)).get(BRAND)
    if one is None or one.walk != CURSOR:
        if watched.shown:
            watched.main_ended = watched.main_ended or watched.seconds
        return
    for share in ASKED_AT:
        if share not in watched.shown and one.share >= share and one.left is not None:
            watched.shown[share] = Shown(watched.seconds, one.left.total_seconds())


def _peak(pid: int) -> int:
    """The most memory that the process has had resident so far, in MiB; 0 where it has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) // 1024 if found else 0


def _size(ledger: Ledger) -> int:
    """Bytes of the database."""
    if ledger.is_sqlite:
        path = Path(ledger.url.database or "")
        return sum(f.stat().st_size for f in path.parent.glob(f"{path.name}*") if f.is_file())
    with ledger.read() as session:
        return session.scalar(sa.select(sa.func.pg_database_size(sa.func.current_database()))) or 0


SEEN = (What.SEEN, What.SEEN_ENDED)


def _check(ledger: Ledger, returns: int, seen: dict[str, Any]) -> None:
    stages = {stage: endless_loop.count(returns, *states) for stage, states in EXPECTED.items()}
    with ledger.read() as session:

        def number(of: Any, *where: Any) -> int:
            return session.scalar(sa.select(of).where(*where)) or 0

        by_stage = sa.select(ReturnRow.stage, sa.func.count()).group_by(ReturnRow.stage)
        found = {
            "returns": number(sa.func.count(ReturnRow.id)),
            "different returns": number(sa.func.count(sa.distinct(ReturnRow.return_id))),
            "units": number(sa.func.count(LineRow.line_item_id)),
            "journal entries": number(sa.func.count(JournalRow.id), JournalRow.happened.in_(SEEN)),
            "returns with an entry": number(
                sa.func.count(sa.distinct(JournalRow.return_pk)), JournalRow.happened.in_(SEEN)
            ),
            "stages": dict(session.execute(by_stage).all()),
            "never listed": seen["never_listed"],
            "other calls": seen["others"],
        }
    expected = {
        **dict.fromkeys(found, returns),
        "units": 2 * returns,
        "stages": {stage: n for stage, n in stages.items() if n},
        "never listed": 0,
        "other calls": 0,
    }
    if found != expected:
        raise RuntimeError(f"the ledger has {found}, not {expected}")


if __name__ == "__main__":
    main()
