"""How fast a backlog of received returns is settled: at Loop's limit, and without it.

python -m bench.rate [--backlog 1000] [--runs 5] [--minutes 3]
python -m bench.rate --profile FOLDER   (one run of ours on each database, a .pstats of each)
"""

from __future__ import annotations

import argparse
import cProfile
import http.client
import math
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig

from bench import celery_flow
from bench.databases import databases
from bench.report import Section, median, section
from bench.rig import BRAND, Rig, rig
from bench.spent import DATABASE, OWN, QUEUE, SANDBOX, spending
from bergen_loop.domain.returns import Stage
from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import returns
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow
from bergen_loop.outside.http import Around
from bergen_loop.outside.wire import NETWORK, Incoming, Outgoing, Timeouts
from bergen_loop.service import wiring as brands

MIX = {"complete": 90, "damaged": 10}
SETTLING = ("process", "flag", "note")
LIMIT = 300
"""Loop calls a minute."""
UNSETTLED = (Stage.ANNOUNCED, Stage.RECEIVED, Stage.SETTLING, Stage.CONFIRMING, Stage.CLOSING)
OURS, COMMITS, DBOS_ALONE = "bergen-loop", "bare commits", "one DBOS workflow per return"
READS, PROCESSES = "sandbox alone: ticket reads", "sandbox alone: process calls"
SENDERS = 4
"""Connections of the bare client."""

Contender = Callable[[Rig, str], "Ran"]


@dataclass(frozen=True)
class Ran:
    """A backlog that was worked off."""

    number: int
    seconds: float
    spent: Counter[str]
    """Seconds of the processor, by whose they were (`bench.spent`)."""

    @property
    def rate(self) -> float:
        """Returns a second."""
        return self.number / self.seconds

    def milliseconds(self, kind: str) -> float:
        """Of the processor for a return."""
        return 1000 * self.spent[kind] / self.number


@dataclass
class Measured:
    """Rates a second by contender and database, one per run."""

    rates: dict[tuple[str, str], list[float]] = field(
        default_factory=lambda: defaultdict[tuple[str, str], list[float]](list)
    )

    spent: dict[tuple[str, str], list[Ran]] = field(
        default_factory=lambda: defaultdict[tuple[str, str], list[Ran]](list)
    )

    def add(self, who: str, database: str, ran: Ran) -> None:
        self.rates[who, database].append(ran.rate)
        self.spent[who, database].append(ran)

    def row(self, who: str, database: str) -> tuple[str, ...]:
        """Medians: the rate (least to most), its ratios within a run, and whose the time was."""
        own, runs = self.rates[who, database], self.spent[who, database]
        return (
            f"{who}, {database}",
            f"{median(own):.0f} ({min(own):.0f} to {max(own):.0f})",
            self._ratio(own, self.rates[COMMITS, database], 3),
            self._ratio(self.rates[OURS, database], own, 2),
            *(
                f"{median([r.milliseconds(kind) for r in runs]):.2f}" if runs else ""
                for kind in KINDS
            ),
        )

    def _ratio(self, over: Sequence[float], under: Sequence[float], digits: int) -> str:
        ratios = [a / b for a, b in zip(over, under, strict=True)]
        return f"{median(ratios):.{digits}f}"


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backlog", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=3.0)
    options, _ = parser.parse_known_args()
    measured, rows = Measured(), list[tuple[object, ...]]()
    with databases() as kinds, celery_flow.redis_server():
        for name, new in kinds.items():
            pool = _faster_pool(options.backlog, new)
            celery = f"Celery and Redis ({pool})"
            contenders: dict[str, Contender] = {
                OURS: _ours,
                DBOS_ALONE: _one_workflow_per_return,
                celery: _celery(pool),
            }
            for _ in range(options.runs):
                for who, contender in contenders.items():
                    measured.add(who, name, _unlimited(contender, options.backlog, new))
                measured.rates[COMMITS, name].append(_bare_commits(new()))
            rows += [measured.row(who, name) for who in (*contenders, COMMITS)]
        alone = [_sandbox_alone(options.backlog) for _ in range(options.runs)]
    for what in (READS, PROCESSES):
        own = [run[what] for run in alone]
        rows.append((what, f"{median(own):.0f} ({min(own):.0f} to {max(own):.0f})", *[""] * 6))
    limit = _at_the_limit(options.minutes)
    return section("Sustained rate", "python -m bench.rate", _text(options, limit), COLUMNS, rows)


KINDS = (OWN, DATABASE, SANDBOX, QUEUE)
COLUMNS = [
    "",
    "a second (least to most)",
    "ratio to bare commits",
    "bergen-loop against it",
    *(f"ms of {kind}" for kind in KINDS),
]


@dataclass(frozen=True)
class AtTheLimit:
    """Loop calls as the sandbox counted them."""

    calls: Counter[str]
    refused: int
    minutes: float

    @property
    def share(self) -> float:
        """Of the calls, those that settle returns."""
        return sum(self.calls[o] for o in SETTLING) / self.calls.total()

    @property
    def used(self) -> float:
        """Of the calls that were allowed: of a minute that has begun, all."""
        return self.calls.total() / (LIMIT * math.ceil(self.minutes))


def _text(options: argparse.Namespace, limit: AtTheLimit) -> list[str]:
    others = ", ".join(f"{o} {n}" for o, n in sorted(limit.calls.items()) if o not in SETTLING)
    return [
        f"At Loop's limit of {LIMIT} calls a minute, for {limit.minutes:g} minutes with a backlog "
        "all the time, the brand connected as the service does it (calls leased from the ledger): "
        f"{limit.calls.total()} calls were made ({limit.used:.0%} of what is allowed in the "
        f"minutes begun), **{limit.share:.1%}** of them process, flag and note (the rest: "
        f"{others or 'none'}); **{limit.refused}** were answered 429.",
        f"Without the limit: returns a second, from the moment {options.backlog} receipts are "
        f"there, 90 % of them complete and 10 % damaged; medians of {options.runs} runs, each on "
        "an empty database, all contenders after one another in each run, ratios within a run. "
        "All use the same clients and the same sandbox, which shares the two cores.",
        "bergen-loop does the most for it: it lists the changed tickets, reads each, judges it by "
        "the criteria, writes the decision, the intent and the outcome of every call and the "
        "journal, processes, or flags and notes, has every process call confirmed by Loop's list, "
        "and closes the RMA. The others read the ticket and process, or flag and note, and no "
        "more: DBOS with a step per call; Celery with a task per return that is acknowledged "
        "late and retried, eight at a time, and one row committed at its end, Redis with its "
        "append-only file on the disk once a second (its usual setting: up to a second of tasks "
        "may be lost). Neither looks for a call whose answer was lost: Celery's retry repeats "
        "it, and so does DBOS after a crash.",
        "Milliseconds are of the processor for a return, of all processes that take part; the two "
        "cores give 2,000 in a second. Work of a process that ends is not counted.",
        "Bare commits are one small row each on one connection, by the same database as durable "
        "as the ledger is (SQLite in WAL mode with `synchronous=FULL`, PostgreSQL with `fsync`). "
        f"The sandbox alone is what {SENDERS} connections of a bare HTTP client get out of it "
        "with the bytes of such calls ready made, nothing else running.",
    ]


# -- at the limit -----------------------------------------------------------------------------


def _at_the_limit(minutes: float) -> AtTheLimit:
    number = int(minutes * LIMIT * 1.3) + LIMIT
    with rig(0) as r:
        _receive(r, number)
        r.sandbox.post("/control/settings", {"rate_limit_per_minute": LIMIT})
        ctx = brands.connect(BRAND, r.ctx.settings, r.ledger, Path())
        time.sleep(61)  # a fresh minute on both sides
        after = sum(r.calls().values())
        ended = threading.Event()
        thread = threading.Thread(target=_as_the_service, args=(ctx, ended), daemon=True)
        thread.start()
        time.sleep(minutes * 60)
        seen = r.sandbox.get("/control/calls", after=after, limit=100_000)["calls"]
        ended.set()
        thread.join(300)
    made = [c for c in seen if c["system"] == "loop" and c["operation"] != "processed"]
    refused = sum(1 for c in made if "429" in str(c["outcome"]))
    return AtTheLimit(Counter(c["operation"] for c in made), refused, minutes)


def _as_the_service(ctx: BrandContext, ended: threading.Event) -> None:
    """Ticks whenever the brand is due."""
    while not ended.is_set():
        with ctx.ledger.read() as session:
            row = returns.brand_row(session, ctx.brand)
            due = brands.is_due(ctx.now(), row.next_due_at, row.nudged_at)
        if due:
            tick.run(ctx)
        else:
            time.sleep(0.1)


# -- without it -------------------------------------------------------------------------------


def _receive(r: Rig, number: int) -> None:
    """A backlog: announced, and with its parcel in the warehouse."""
    tick.run(r.ctx)
    r.submit(number)
    r.until_none(Stage.SEEN)
    r.receive(MIX)


def _waiting(r: Rig) -> list[tuple[str, str]]:
    """(return, ticket) of the backlog."""
    query = (
        sa.select(ReturnRow.return_id, RmaRow.ticket_id)
        .join(RmaRow, RmaRow.return_pk == ReturnRow.id)
        .where(ReturnRow.stage == Stage.ANNOUNCED)
    )
    with r.ledger.read() as session:
        return [(str(i), str(t)) for i, t in session.execute(query)]


def _unlimited(contender: Contender, number: int, new: Callable[[], str]) -> Ran:
    """RuntimeError where the sandbox has not seen them all settled."""
    url = new()
    with rig(0, database=url) as r:
        _receive(r, number)
        ran = contender(r, url)
        until = time.monotonic() + 5  # Loop processes a moment after the call
        while True:
            seen = r.sandbox.get("/control/summary")["brands"][BRAND]
            settled = seen["processed"] + seen["flagged"]
            if settled == number:
                return ran
            if time.monotonic() > until:
                raise RuntimeError(f"{settled} of {number} returns were settled")
            time.sleep(0.1)


def _ours(r: Rig, url: str) -> Ran:
    number = len(_waiting(r))
    with spending(url) as spent:
        started = time.perf_counter()
        while r.moving(*UNSETTLED):
            tick.run(r.ctx)
        seconds = time.perf_counter() - started
    return Ran(number, seconds, spent)


def _celery(pool: str) -> Contender:
    def settle(r: Rig, url: str) -> Ran:
        pairs = _waiting(r)
        seconds, spent = celery_flow.worked_off(r, url, pairs, pool)
        return Ran(len(pairs), seconds, spent)

    return settle


def _faster_pool(number: int, new: Callable[[], str]) -> str:
    rates = {p: _unlimited(_celery(p), number, new).rate for p in celery_flow.POOLS}
    return max(rates, key=lambda p: rates[p])


def _bare_commits(url: str, seconds: float = 2.0) -> float:
    """Commits of one small row, a second."""
    ledger = Ledger(url)
    rows = sa.Table("bench_rows", sa.MetaData(), sa.Column("n", sa.Integer, primary_key=True))
    with ledger.write() as session:
        rows.create(session.connection())
    with ledger.engine.connect().execution_options(bergen_write=True) as connection:
        started, n = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            with connection.begin():
                connection.execute(rows.insert(), {"n": n})
            n += 1
        rate = n / (time.perf_counter() - started)
    ledger.close()
    return rate


# -- one DBOS workflow per return ---------------------------------------------------------------

_rig: Rig | None = None


def _ctx() -> BrandContext:
    assert _rig is not None
    return _rig.ctx


@DBOS.step()
def _read(ticket: str) -> bool:
    return all(not x.damaged for x in _ctx().warehouse.receipt(ticket).lines)


@DBOS.step()
def _process(return_id: str) -> None:
    _ctx().loop.process(return_id)


@DBOS.step()
def _flag(return_id: str) -> None:
    _ctx().loop.flag(return_id)


@DBOS.step()
def _note(return_id: str) -> None:
    _ctx().loop.add_note(return_id, "damaged")


@DBOS.workflow()
def _settle(return_id: str, ticket: str) -> None:
    if _read(ticket):
        _process(return_id)
    else:
        _flag(return_id)
        _note(return_id)


def _one_workflow_per_return(r: Rig, url: str) -> Ran:
    global _rig
    pairs, _rig = _waiting(r), r
    with tempfile.TemporaryDirectory() as folder:
        # Where the service has its engine: a file of its own, or the same PostgreSQL database.
        engine = f"sqlite:///{folder}/engine.db" if r.ledger.is_sqlite else url
        DBOS(config=DBOSConfig(name="bench", system_database_url=engine, log_level="ERROR"))
        DBOS.launch()
        try:
            with spending(url) as spent:
                started = time.perf_counter()
                handles = [DBOS.start_workflow(_settle, *pair) for pair in pairs]
                for handle in handles:
                    handle.get_result()
                seconds = time.perf_counter() - started
            return Ran(len(pairs), seconds, spent)
        finally:
            DBOS.destroy()


# -- the sandbox alone --------------------------------------------------------------------------


class _Recorder:
    """Remembers the last request as it was sent."""

    last: Outgoing

    def __call__(self, request: Outgoing, timeouts: Timeouts, /) -> Incoming:
        self.last = request
        return NETWORK(request, timeouts)


def _sandbox_alone(number: int) -> dict[str, float]:
    """Requests a second by kind: calls of our clients, sent again for other subjects."""
    with rig(0) as r:
        _receive(r, number)
        (first, *others), recorder = _waiting(r), _Recorder()
        brands.rex11_warehouse(BRAND, r.ctx.settings, around=Around(transport=recorder)).receipt(
            first[1]
        )
        reads = _resent(recorder.last, first[1], [ticket for _, ticket in others])
        brands.loop_client(BRAND, r.ctx.settings, around=Around(transport=recorder)).process(
            first[0]
        )
        return {
            READS: reads,
            PROCESSES: _resent(recorder.last, first[0], [return_id for return_id, _ in others]),
        }


def _resent(request: Outgoing, subject: str, others: Sequence[str]) -> float:
    url, headers = urlsplit(request.url), dict(request.headers)
    path, body = url.path, request.content or b""

    def send(subjects: Sequence[str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", url.port or 80)
        for other in subjects:
            sent = body.replace(subject.encode(), other.encode())
            connection.request(request.method, path.replace(subject, other), sent, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"the sandbox answered {answer.status} to {path}")
        connection.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(send, [others[n::SENDERS] for n in range(SENDERS)]))
    return len(others) / (time.perf_counter() - started)


# -- where the time goes ------------------------------------------------------------------------


def profile(folder: Path, number: int) -> None:
    """One run of ours on each database under cProfile: the ticks' own thread, where all the
    ledger's work is; the threads that wait for an answer are not in it."""
    with databases() as kinds:
        for name, new in kinds.items():
            profiler = cProfile.Profile()

            def ours(r: Rig, url: str, profiler: Any = profiler) -> Ran:
                with profiler:
                    return _ours(r, url)

            rate = _unlimited(ours, number, new).rate
            path = folder / f"rate-{name.lower()}.pstats"
            profiler.dump_stats(path)
            print(f"{name}: {rate:.0f} returns a second under the profiler: {path}")  # noqa: T201


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("--profile", type=Path)
    asked.add_argument("--backlog", type=int, default=400)
    given, _ = asked.parse_known_args()
    if given.profile:
        profile(given.profile, given.backlog)
    else:
        main()
