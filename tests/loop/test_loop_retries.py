"""Retries: when, how often, how long after."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from loop_api import Step, answer, fails, loop, raw_return

from bergen_loop.outside.errors import RateLimited, Unavailable
from bergen_loop.outside.http import retry_after
from bergen_loop.outside.loop import LoopClient, Retries, SlidingWindowLimiter, Timeouts

LIMITED = answer({}, status=429)
CALLS: list[tuple[Callable[[LoopClient], Any], Any]] = [
    (lambda c: c.details("77"), raw_return()),
    (lambda c: c.process("77"), True),
]


def test_a_read_gets_through_after_failures_with_growing_pauses() -> None:
    fake = loop(
        fails(httpx2.ConnectError), answer({}, status=500), answer(text="<p>"), answer(raw_return())
    )
    assert fake.client().details("77").return_id == "77"
    pauses = fake.clock.slept
    assert [0.5 * 2**n <= p <= 0.5 * 2**n + 0.5 for n, p in enumerate(pauses)] == [True] * 3


def test_a_read_gives_up_with_the_last_failure() -> None:
    fake = loop(answer({"message": "down"}, status=503))
    with pytest.raises(Unavailable, match="Loop answered 503: down"):
        fake.client(retries=Retries(attempts=2)).details("77")
    assert len(fake.sent) == 2


@pytest.mark.parametrize(("call", "reply"), CALLS)
def test_a_429_is_repeated_for_reads_and_actions(
    call: Callable[[LoopClient], Any], reply: Any
) -> None:
    fake = loop(LIMITED, LIMITED, answer(reply))
    call(fake.client())
    assert [r.outcome for r in fake.records] == ["RateLimited", "RateLimited", "ok"]
    assert 6 <= sum(fake.clock.slept) <= 8


@pytest.mark.parametrize(("call", "reply"), CALLS)
def test_a_429_that_stays_is_given_up_after_more_than_a_minute(
    call: Callable[[LoopClient], Any], reply: Any
) -> None:
    fake = loop(LIMITED)
    with pytest.raises(RateLimited) as caught:
        call(fake.client())
    assert (caught.value.status, len(fake.sent)) == (429, 6)
    assert 62 <= sum(fake.clock.slept) <= 65


def test_an_action_that_fails_after_a_429_is_not_sent_again() -> None:
    fake = loop(LIMITED, fails(httpx2.ConnectError), answer(True))
    with pytest.raises(Unavailable):
        fake.client().process("77")
    assert len(fake.sent) == 2


@pytest.mark.parametrize(
    ("header", "pause"),
    [("7", 7.0), ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0), ("3600", 60.0), ("0", 0.0)],
)
def test_retry_after_is_honoured_up_to_a_minute(header: str, pause: float) -> None:
    fake = loop(answer({}, status=429, retry_after=header), answer(True))
    fake.client().process("77")
    assert sum(fake.clock.slept) == pause


def test_the_error_tells_how_long_loop_asked_to_wait() -> None:
    step: Step = answer({}, status=503, retry_after="3600")
    with pytest.raises(Unavailable) as caught:
        loop(step).client().details("77")
    assert caught.value.retry_after == 3600


@pytest.mark.parametrize("header", [None, "", "soon", "-5", "1.5", "²", "Fri, 99 Nov 2026"])
def test_an_odd_retry_after_is_none(header: str | None) -> None:
    assert retry_after(header, datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_a_retry_date_in_the_past_is_now() -> None:
    past = "Fri, 20 Nov 2020 12:00:30 GMT"
    assert retry_after(past, datetime(2026, 1, 1, tzinfo=UTC)) == 0


def test_a_429_makes_everyone_on_the_key_pause() -> None:
    limited, other = loop(answer({}, status=429, retry_after="20")), loop(answer(True))
    limiter = SlidingWindowLimiter(clock=other.clock, sleep=other.clock.sleep)
    with pytest.raises(RateLimited):
        limited.client(limiter=limiter, retries=Retries(rate_limited=1)).process("1")
    other.client(limiter=limiter).process("2")
    assert sum(other.clock.slept) == pytest.approx(20)
    assert other.records[0].waited == pytest.approx(20)


def test_no_turn_within_the_time_allowed_is_not_sent() -> None:
    fake = loop(answer(True))
    limiter = SlidingWindowLimiter(1, clock=fake.clock, sleep=fake.clock.sleep)
    client = fake.client(limiter=limiter, timeouts=Timeouts(turn=10))
    client.process("1")
    with pytest.raises(RateLimited, match="no turn within 10 seconds") as caught:
        client.process("2")
    assert (caught.value.status, len(fake.sent), sum(fake.clock.slept)) == (None, 1, 10)


def test_actions_ask_for_their_turn_before_reads() -> None:
    asked: list[tuple[int, float | None, int]] = []

    class Recording(SlidingWindowLimiter):
        def acquire(
            self, cost: int = 1, timeout: float | None = None, *, priority: int = 1
        ) -> float:
            asked.append((cost, timeout, priority))
            return 0.0

    acting, reading = loop(answer(True)), loop(answer(raw_return()))
    acting.client(limiter=Recording()).process("77")
    reading.client(limiter=Recording()).details("77")
    assert asked == [(1, 300.0, 0), (1, 300.0, 1)]
