"""The calls a minute of a Loop key, over processes and machines."""

from __future__ import annotations

import multiprocessing
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.orm import Session

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import calls
from bergen_loop.ledger.store.calls import Asked, Finished, Granted
from bergen_loop.ledger.tables.core import Base, BudgetLeaseRow
from bergen_loop.outside.budget import LedgerStore, SharedLimiter, ahead, shared_limiter
from bergen_loop.outside.http import LimiterTimeout

LIMIT = 12
KEY = "k" * 64


def most_in_any_period(times: Sequence[float]) -> int:
    """The largest number of calls in any half-open period."""
    times = sorted(times)
    return max((bisect_left(times, t + calls.PERIOD) - i for i, t in enumerate(times)), default=0)


class MemoryStore:
    """The real dealing, on a database in memory and a clock of the test's."""

    limit = LIMIT

    def __init__(self, engine: sa.Engine, world: World) -> None:
        self._engine, self._world = engine, world

    def take(self, least: int, wanted: int, finished: Sequence[Finished]) -> Granted:
        with Session(self._engine) as session, session.begin():
            asked = Asked(least, wanted, finished)
            return calls.lease(session, KEY, LIMIT, asked, at_ms=self._world.database_ms())

    def pause(self, seconds: float) -> None:
        with Session(self._engine) as session, session.begin():
            calls.pause(session, KEY, seconds, at_ms=self._world.database_ms())


@dataclass
class World:
    """Simulated time. Each process has a clock of its own that runs alike, from another zero."""

    now: float = 1_000.0
    calls: list[float] = field(default_factory=list)

    def database_ms(self) -> int:
        return round(self.now * 1000)


class Impatient(Exception):
    pass


def process(engine: sa.Engine, world: World, zero: float) -> SharedLimiter:
    def sleep(_: float) -> None:
        raise Impatient

    return SharedLimiter(
        MemoryStore(engine, world), LIMIT, clock=lambda: world.now - zero, sleep=sleep
    )


DELAYS = (1, 900, 2_500, 4_900, 5_100, 30_000, 55_100, 57_500, 59_999, 60_001)
"""Milliseconds, about the edges of leases and periods."""
steps = st.lists(
    st.one_of(
        st.tuples(st.just("calls"), st.integers(0, 2), st.integers(1, 15)),
        st.tuples(st.just("later"), st.just(0), st.sampled_from(DELAYS)),
        st.tuples(st.just("dies"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("429"), st.integers(0, 2), st.integers(1, 10)),
    ),
    min_size=5,
    max_size=80,
)


@given(steps)
@settings(max_examples=100, deadline=None)
def test_whatever_processes_do_no_period_has_more_calls_than_allowed(
    todo: list[tuple[str, int, int]],
) -> None:
    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    world = World()
    processes = [process(engine, world, zero) for zero in (0.0, 777.0, -5_000.0)]
    for what, who, much in todo:
        if what == "later":
            world.now += much / 1000
        elif what == "dies":
            processes[who] = process(engine, world, world.now)
        elif what == "429":
            processes[who].penalize(much)
        else:
            for _ in range(much):
                try:
                    processes[who].acquire()
                except Impatient:
                    break
                world.calls.append(world.now)
    engine.dispose()
    assert most_in_any_period(world.calls) <= LIMIT


def test_leases_of_the_dead_come_back_after_a_while() -> None:
    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    world = World()
    for _ in range(3):  # each takes a lease, makes one call and dies
        process(engine, world, 0.0).acquire()
    last = process(engine, world, 0.0)
    with pytest.raises(Impatient):
        last.acquire()
    world.now += calls.PERIOD + calls.USABLE + 0.01
    for _ in range(LIMIT):
        last.acquire()
    engine.dispose()


def simulated(limit: int, workers: int, seconds_per_call: float) -> tuple[float, int]:
    """Calls a minute under backlog in simulated time, and leases taken a minute."""
    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    world = World()
    taken = 0

    class Store(MemoryStore):
        def take(self, least: int, wanted: int, finished: Sequence[Finished]) -> Granted:
            nonlocal taken
            with Session(engine) as session, session.begin():
                asked = Asked(least, wanted, finished)
                granted = calls.lease(session, KEY, limit, asked, at_ms=world.database_ms())
            taken += granted.lease is not None
            return granted

    class Waits(Exception):
        pass

    def sleep(seconds: float) -> None:
        raise Waits

    limiter = SharedLimiter(Store(engine, world), limit, clock=lambda: world.now, sleep=sleep)
    free_at = [world.now] * workers
    minutes = 10
    end = world.now + 60 * minutes
    while world.now < end:
        worker = min(range(workers), key=free_at.__getitem__)
        world.now = max(world.now, free_at[worker])
        try:
            limiter.acquire()
        except Waits:
            free_at[worker] = world.now + 0.05
            continue
        world.calls.append(world.now)
        free_at[worker] = world.now + seconds_per_call
    engine.dispose()
    assert most_in_any_period(world.calls) <= limit
    return len(world.calls) / minutes, taken // minutes


@pytest.mark.parametrize("seconds_per_call", [0.05, 0.3, 1.0, 1.5])
def test_a_process_alone_gets_nearly_the_whole_budget(seconds_per_call: float) -> None:
    calls, leases = simulated(300, 8, seconds_per_call)
    assert calls >= 0.95 * 300
    assert leases <= 300 / 10, "a transaction for at least ten calls"


def test_the_ledger_keeps_the_limit_between_threads_and_limiters(ledger: Ledger) -> None:
    """Three limiters, as three processes would have, against both databases."""
    limiters = [SharedLimiter(LedgerStore(ledger, KEY, 40), 40) for _ in range(3)]
    booked: list[float] = []
    lock = threading.Lock()

    def call(limiter: SharedLimiter) -> None:
        try:
            limiter.acquire(timeout=1.0)
        except LimiterTimeout:
            return
        with lock:
            booked.append(time.monotonic())

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(call, limiters * 30))
    assert len(booked) == 40
    with ledger.read() as session:
        assert calls.counted(session, KEY) == 40


def test_many_keys_get_calls_ahead_in_one_transaction(ledger: Ledger) -> None:
    keys, commits = [f"ahead-{n}" for n in range(5)], list[object]()
    limiters = [shared_limiter(ledger, key) for key in keys]
    event.listen(ledger.engine, "commit", commits.append)
    for _ in range(2):  # the first of them is told of with the second, as a lease that is over
        ahead(ledger, [*keys, "unknown to this process"], 1)
        ahead(ledger, keys, 1)  # nothing more to ask
        for limiter in limiters:
            limiter.acquire(timeout=0.0)
    assert len(commits) == 2
    with ledger.read() as session:
        assert {calls.counted(session, calls.key_hash(key)) for key in keys} == {2}


def test_what_is_not_to_be_had_ahead_is_asked_for_when_it_is_needed(sqlite_ledger: Ledger) -> None:
    limiter = shared_limiter(sqlite_ledger, "ahead")
    with sqlite_ledger.write() as session:
        session.execute(sa.text("ALTER TABLE budget_leases RENAME TO elsewhere"))
    ahead(sqlite_ledger, ["ahead"], 1)
    with sqlite_ledger.write() as session:
        session.execute(sa.text("ALTER TABLE elsewhere RENAME TO budget_leases"))
    limiter.acquire(timeout=0.0)


def test_a_pause_reaches_the_other_processes(ledger: Ledger) -> None:
    one, two = (SharedLimiter(LedgerStore(ledger, KEY, 300), 300) for _ in range(2))
    one.penalize(30.0)
    for limiter in (one, two):
        with pytest.raises(LimiterTimeout):
            limiter.acquire(timeout=0.05)


def test_nothing_is_sent_when_the_ledger_cannot_be_asked(sqlite_ledger: Ledger) -> None:
    with sqlite_ledger.write() as session:
        session.execute(sa.text("DROP TABLE budget_leases"))
    limiter = SharedLimiter(LedgerStore(sqlite_ledger, KEY, 300), 300)
    with pytest.raises(LimiterTimeout, match="the ledger does not give out calls"):
        limiter.acquire(timeout=1.0)


def test_one_limiter_for_a_key_and_the_key_is_not_kept(sqlite_ledger: Ledger) -> None:
    limiter = shared_limiter(sqlite_ledger, "a-secret-key")
    assert shared_limiter(sqlite_ledger, "a-secret-key") is limiter
    with pytest.raises(ValueError, match="already has a limit of 300"):
        shared_limiter(sqlite_ledger, "a-secret-key", 100)
    limiter.acquire()
    with sqlite_ledger.read() as session:
        assert "a-secret-key" not in session.scalars(sa.select(BudgetLeaseRow.key_hash)).one()


def _one_process(url: str, limit: int, seconds: float, results: multiprocessing.Queue[int]) -> None:
    ledger = Ledger(url)
    limiter = SharedLimiter(LedgerStore(ledger, KEY, limit), limit)
    made, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            limiter.acquire(timeout=0.2)
            made += 1
        except LimiterTimeout:
            pass
    ledger.close()
    results.put(made)


def test_real_processes_share_one_budget(ledger: Ledger) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = context.Queue()
    url = ledger.url.render_as_string(hide_password=False)
    children = [
        context.Process(target=_one_process, args=(url, 50, 3.0, results)) for _ in range(3)
    ]
    for child in children:
        child.start()
    made = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join(10)
    assert 50 - 2 * 4 <= sum(made) <= 50, "a lease may be left over in a process that ended"


def as_many_as_it_gets(limiter: SharedLimiter, world: World, most: int = 10**6) -> None:
    for _ in range(most):
        try:
            limiter.acquire()
        except Impatient:
            return
        world.calls.append(world.now)


def test_a_lease_counts_from_its_last_possible_call() -> None:
    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    world = World()
    early, late = process(engine, world, 0.0), process(engine, world, 5.0)
    as_many_as_it_gets(early, world, 1)
    world.now += 4.9
    as_many_as_it_gets(early, world, 3)  # what was left of the first lease
    world.now += 55.2
    as_many_as_it_gets(late, world)
    engine.dispose()
    assert most_in_any_period(world.calls) <= LIMIT


def test_a_lease_that_is_used_up_counts_from_its_last_call() -> None:
    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    world = World()
    early, late = process(engine, world, 0.0), process(engine, world, 5.0)
    as_many_as_it_gets(early, world, 1)
    world.now += 4.9
    as_many_as_it_gets(early, world, 11)  # the first lease is used up: told of with the next
    world.now += 55.2
    as_many_as_it_gets(late, world)
    engine.dispose()
    assert most_in_any_period(world.calls) <= LIMIT


def test_a_lease_told_of_late_is_not_taken_for_another_with_its_number() -> None:
    """SQLite gives the number of a row that is gone to the next one."""
    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    world = World()
    early, late = process(engine, world, 0.0), process(engine, world, 5.0)
    as_many_as_it_gets(early, world, 1)
    world.now += calls.PERIOD + calls.USABLE + 1
    as_many_as_it_gets(late, world, 4)
    as_many_as_it_gets(early, world)
    as_many_as_it_gets(late, world)
    engine.dispose()
    assert most_in_any_period(world.calls) <= LIMIT


def test_who_waits_for_the_ledger_does_not_hold_up_the_others() -> None:
    asked, answered = threading.Event(), threading.Event()

    class Slow:
        limit = 300

        def take(self, least: int, wanted: int, finished: Sequence[Finished]) -> Granted:
            asked.set()
            assert answered.wait(10)
            return Granted(1, 20, counts_until_ms=1)

        def pause(self, seconds: float) -> None:
            pass

    limiter = SharedLimiter(Slow(), 20)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(limiter.acquire, timeout=10.0) for _ in range(2)]
        assert asked.wait(10)
        started = time.monotonic()
        assert limiter.snapshot() == (0, 20)
        limiter.penalize(0.0)
        assert time.monotonic() - started < 1
        answered.set()
        for call in calls:
            call.result()
    assert limiter.snapshot() == (2, 20)
