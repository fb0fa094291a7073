"""How fast a backlog of received returns is settled: at Loop's limit, and without it.

python -m bench.rate [--backlog 1000] [--minutes 3]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig

from bench.report import Section, median, section
from bench.rig import Rig, connect, rig
from bergen_loop.ledger import journal
from bergen_loop.ledger.database import Ledger
from bergen_loop.loop.limiter import SlidingWindowLimiter
from bergen_loop.sync import tick

MIX = {"complete": 90, "damaged": 10}
OWN = ("process", "flag", "note")


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backlog", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=3.0)
    options, _ = parser.parse_known_args()
    share, refused, used = _at_the_limit(options.minutes)
    rows: list[tuple[object, ...]] = []
    with _databases() as databases:
        for name, url in databases:
            rate = _unlimited(options.backlog, url)
            commits = _bare_commits(url)
            rows.append((f"bergen-loop, {name}", f"{rate:.0f}", f"{rate / commits:.2f}"))
            own = _one_workflow_per_return(options.backlog // 5, url)
            rows.append(
                (f"one DBOS workflow per return, {name}", f"{own:.0f}", f"{own / commits:.2f}")
            )
    return section(
        "Sustained rate",
        "python -m bench.rate",
        [
            f"At Loop's limit of 300 calls a minute, with a backlog all the time, {used} calls a "
            f"minute were used, **{share:.1%}** of them for process, flag and note; {refused} were "
            "answered 429.",
            f"Without the limit: returns settled per second from the moment {options.backlog} "
            "receipts are there (reading each ticket, deciding, process or flag and note, "
            "confirming, closing), the sandbox sharing the machine; and as a ratio to the bare "
            "commits of one small row per second that the same database does in the same run. "
            "The yardstick is the same work as one DBOS workflow per return with a step per call.",
        ],
        ["", "returns per second", "ratio to bare commits"],
        rows,
    )


def _at_the_limit(minutes: float) -> tuple[float, int, int]:
    number = int(minutes * 300 * 1.3) + 300
    with rig(0) as r:
        _receive(r, number)
        r.sandbox.post("/control/settings", {"rate_limit_per_minute": 300})
        ctx = connect(r.ledger, r.config, SlidingWindowLimiter(limit=300), 8)
        time.sleep(61)  # a fresh minute on both sides
        after = sum(r.calls().values())
        ended = threading.Event()

        def work() -> None:
            while not ended.is_set():
                tick.run(ctx)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        time.sleep(minutes * 60)
        page = r.sandbox.get("/control/calls", after=after, limit=100_000)["calls"]
        ended.set()
        thread.join(300)
    made = [c for c in page if c["system"] == "loop" and c["operation"] != "processed"]
    calls = Counter(c["operation"] for c in made)
    refused = sum(1 for c in made if "429" in str(c["outcome"]))
    total = sum(calls.values())
    return sum(calls[o] for o in OWN) / total, refused, round(total / minutes)


def _receive(r: Rig, number: int) -> None:
    """A backlog: announced, and with its parcel in the warehouse."""
    tick.run(r.ctx)
    r.submit(number)
    r.until_none("seen")
    r.receive(MIX)


def _unlimited(number: int, url: str) -> float:
    with rig(0, database=url) as r:
        _receive(r, number)
        started = time.perf_counter()
        while r.moving("announced", "received", "settling"):
            tick.run(r.ctx)
        return number / (time.perf_counter() - started)


def _bare_commits(url: str) -> float:
    ledger = Ledger(url)
    rates: list[float] = []
    for _ in range(5):
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < 1.0:
            with ledger.write() as session:
                journal.count(session, "bench", {"n": 1})
            done += 1
        rates.append(done / (time.perf_counter() - started))
    ledger.close()
    return median(rates)


_rig: Rig | None = None


@DBOS.step()
def _read(ticket: str) -> bool:
    assert _rig is not None
    return all(not x.damaged for x in _rig.ctx.warehouse.receipt(ticket).lines)


@DBOS.step()
def _process(return_id: str) -> None:
    assert _rig is not None
    _rig.ctx.loop.process(return_id)


@DBOS.step()
def _flag(return_id: str) -> None:
    assert _rig is not None
    _rig.ctx.loop.flag(return_id)


@DBOS.step()
def _note(return_id: str) -> None:
    assert _rig is not None
    _rig.ctx.loop.add_note(return_id, "damaged")


@DBOS.workflow()
def _settle(return_id: str, ticket: str) -> None:
    if _read(ticket):
        _process(return_id)
    else:
        _flag(return_id)
        _note(return_id)


def _one_workflow_per_return(number: int, url: str) -> float:
    global _rig
    with rig(0, database=url) as r, tempfile.TemporaryDirectory() as folder:
        _receive(r, number)
        with r.ledger.read() as session:
            pairs = session.execute(
                sa.text(
                    "SELECT r.return_id, m.ticket_id FROM returns r JOIN rmas m "
                    "ON m.return_pk = r.id WHERE r.stage = 'announced'"
                )
            ).all()
        _rig = r
        engine = url if url.startswith("postgresql") else f"sqlite:///{folder}/engine.db"
        DBOS(config=DBOSConfig(name="bench", system_database_url=engine, log_level="ERROR"))
        DBOS.launch()
        started = time.perf_counter()
        handles = [DBOS.start_workflow(_settle, str(i), str(t)) for i, t in pairs]
        for handle in handles:
            handle.get_result()
        rate = len(pairs) / (time.perf_counter() - started)
        DBOS.destroy()
        return rate


@contextmanager
def _databases() -> Generator[list[tuple[str, Callable[[], str]]]]:
    """For each kind, how to get an empty database."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from support.postgres import Cluster

    cluster = Cluster()
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield [
                ("SQLite", lambda: f"sqlite:///{folder}/{uuid4().hex}.db"),
                ("PostgreSQL", cluster.new_database),
            ]
    finally:
        cluster.stop()


if __name__ == "__main__":
    main()
