"""The limiter: never too many in any window, in fair order."""

from __future__ import annotations

import threading
import time
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_api import FakeClock

from bergen_loop.outside.http import LimiterTimeout
from bergen_loop.outside.loop import SlidingWindowLimiter, limiter_for


def make(limit: int = 300, period: float = 60.0) -> tuple[SlidingWindowLimiter, FakeClock]:
    clock = FakeClock()
    return SlidingWindowLimiter(limit, period, clock=clock, sleep=clock.sleep), clock


def most_in_any_window(times: list[float], period: float) -> int:
    """The largest number of times within any [t, t + period)."""
    times = sorted(times)
    return max(
        sum(1 for _ in takewhile(lambda x, t=t: x - t < period, times[i:]))
        for i, t in enumerate(times)
    )


def test_a_burst_goes_through_at_once_and_the_next_waits_for_the_window() -> None:
    limiter, clock = make()
    assert [limiter.acquire() for _ in range(300)] == [0.0] * 300
    assert limiter.snapshot() == (300, 300)
    clock.at += 12
    assert limiter.acquire() == pytest.approx(48)
    assert limiter.snapshot() == (1, 300)


def test_a_cost_above_one_waits_for_room_for_all_of_it() -> None:
    limiter, clock = make(3, 10)
    limiter.acquire()
    clock.at += 4
    limiter.acquire(2)
    assert limiter.acquire(2) == pytest.approx(10)
    with pytest.raises(ValueError, match="use 1 to 3"):
        limiter.acquire(4)


def test_a_timeout_books_nothing_and_takes_no_longer_than_allowed() -> None:
    limiter, clock = make(1, 60)
    limiter.acquire()
    with pytest.raises(LimiterTimeout, match="no turn within 5 seconds"):
        limiter.acquire(timeout=5)
    assert sum(clock.slept) == pytest.approx(5)
    with pytest.raises(LimiterTimeout):
        limiter.acquire(timeout=0)
    assert limiter.acquire(timeout=56) == pytest.approx(55)


def test_a_penalty_pauses_also_where_there_is_room_and_the_longest_counts() -> None:
    limiter, clock = make()
    limiter.penalize(30)
    limiter.penalize(10)
    limiter.penalize(-5)
    clock.at += 1
    assert limiter.acquire() == pytest.approx(29)


@pytest.mark.parametrize(("limit", "period"), [(0, 60), (1, 0)])
def test_nonsense_is_refused(limit: int, period: float) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        SlidingWindowLimiter(limit, period)


@settings(deadline=None)
@given(
    limit=st.integers(1, 8),
    steps=st.lists(
        st.tuples(st.floats(0, 20), st.integers(1, 3), st.sampled_from([0.0, 0.0, 0.0, 7.5])),
        min_size=1,
        max_size=40,
    ),
)
def test_no_window_ever_holds_more_than_the_limit(
    limit: int, steps: list[tuple[float, int, float]]
) -> None:
    limiter, clock = make(limit, 10.0)
    times: list[float] = []
    paused_until = 0.0
    for gap, cost, penalty in steps:
        clock.at += gap
        if penalty:
            limiter.penalize(penalty)
            paused_until = clock.at + penalty
        called = clock.at
        waited = limiter.acquire(min(cost, limit))
        assert waited == clock.at - called
        assert clock.at >= paused_until
        times += [clock.at] * min(cost, limit)
    assert most_in_any_window(times, 10.0) <= limit


class ThreadClock(FakeClock):
    """Knows the time each thread last read: after `acquire`, that of its booking."""

    def __init__(self) -> None:
        super().__init__()
        self._read = threading.local()

    def __call__(self) -> float:
        self._read.at = self.at
        return self._read.at

    def last(self) -> float:
        return self._read.at


@settings(max_examples=20, deadline=None)
@given(
    gaps=st.lists(st.floats(0, 0.5), min_size=2, max_size=5),
    penalty=st.sampled_from([0.0, 0.0, 20.0]),
)
def test_threads_that_share_a_limiter_never_exceed_300_in_any_window(
    gaps: list[float], penalty: float
) -> None:
    clock = ThreadClock()
    limiter = SlidingWindowLimiter(clock=clock, sleep=clock.sleep)
    times: list[float] = []

    def work(gap: float) -> None:
        for number in range(200):
            clock.sleep(gap)
            if number == 50:
                limiter.penalize(penalty)
            limiter.acquire()
            times.append(clock.last())

    threads = [threading.Thread(target=work, args=(gap,), daemon=True) for gap in gaps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(times) == 200 * len(gaps)
    assert most_in_any_window(times, 60.0) <= 300


def wait_until(condition: Any) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.001)


def test_turns_go_by_priority_and_then_by_who_came_first() -> None:
    limiter = SlidingWindowLimiter(1, 0.05)
    limiter.acquire()
    limiter.penalize(0.2)
    order: list[str] = []

    def take(name: str, priority: int) -> None:
        limiter.acquire(priority=priority)
        order.append(name)

    threads: list[threading.Thread] = []
    for name, priority in [("read 1", 1), ("read 2", 1), ("action 1", 0), ("action 2", 0)]:
        threads.append(threading.Thread(target=take, args=(name, priority), daemon=True))
        threads[-1].start()
        wait_until(lambda: len(limiter._queue) == len(threads))  # pyright: ignore
    for thread in threads:
        thread.join(5)
    assert order == ["action 1", "action 2", "read 1", "read 2"]


def test_one_who_needs_more_room_is_not_overtaken() -> None:
    limiter = SlidingWindowLimiter(2, 0.3)
    limiter.acquire()
    order: list[str] = []

    def take(name: str, cost: int) -> None:
        limiter.acquire(cost)
        order.append(name)

    big = threading.Thread(target=take, args=("big", 2), daemon=True)
    big.start()
    wait_until(lambda: len(limiter._queue) == 1)  # pyright: ignore
    take("small", 1)
    big.join(5)
    assert order == ["big", "small"]


def test_one_who_gave_up_does_not_hold_up_the_others() -> None:
    limiter = SlidingWindowLimiter(1, 0.1)
    limiter.acquire()
    with pytest.raises(LimiterTimeout):
        limiter.acquire(timeout=0.01, priority=0)
    assert limiter.acquire(timeout=1) < 0.5


def test_one_key_has_one_limiter() -> None:
    first = limiter_for("key-of-a-test")
    assert limiter_for("key-of-a-test") is first
    assert limiter_for("another-key-of-a-test") is not first
    assert first.snapshot() == (0, 300)
    with pytest.raises(ValueError, match="already has a limit of 300") as caught:
        limiter_for("key-of-a-test", 200)
    assert "key-of-a-test" not in str(caught.value)
