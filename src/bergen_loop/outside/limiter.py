"""Keeping within Loop's 300 calls a minute per API key, shared by all who use that key.

Written here because the library for it (pyrate-limiter) has neither a fair queue nor
priorities, and books a waiting call at an estimated time instead of the time it goes out.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

_TICK = 0.01
"""Seconds a waiting thread sleeps at least: less could be lost in the clock's rounding."""
_LOOK = 1.0
"""Seconds after which a waiting thread looks again at the latest: others may have left."""


class LimiterTimeout(TimeoutError):
    """No turn within the time allowed. Nothing was booked."""


class RateLimiter(Protocol):
    """What the client needs of a limiter. Safe to use from many threads."""

    def acquire(self, cost: int = 1, timeout: float | None = None, *, priority: int = 1) -> float:
        """Wait for a turn and book it. Returns the seconds waited. Of those who wait, the
        lowest priority number goes first, and among equals who came first.

        LimiterTimeout if there is no turn within `timeout` seconds (None: wait for ever)."""
        ...

    def penalize(self, seconds: float) -> None:
        """Make everyone pause: Loop said 429."""
        ...

    def snapshot(self) -> tuple[int, int]:
        """(calls booked in the period now ending, limit)."""
        ...


class SlidingWindowLimiter:
    """At most `limit` calls in any `period` seconds. A burst is let through at once."""

    def __init__(
        self,
        limit: int = 300,
        period: float = 60.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if limit < 1 or period <= 0:
            raise ValueError("a limiter needs a limit of at least 1 and a period above 0")
        self.limit = limit
        self.period = period
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._booked: deque[float] = deque()
        self._queue: list[tuple[int, int, int]] = []
        """(priority, number, cost) of those who wait; the smallest goes first."""
        self._next_number = 0
        self._paused_until = 0.0

    def acquire(self, cost: int = 1, timeout: float | None = None, *, priority: int = 1) -> float:
        if not 1 <= cost <= self.limit:
            raise ValueError(f"cost is {cost}; use 1 to {self.limit}")
        started = self._clock()
        with self._lock:
            ticket = (priority, self._next_number, cost)
            self._next_number += 1
            self._queue.append(ticket)
        try:
            while True:
                now, wait = self._try(ticket)
                if wait is None:
                    return now - started
                left = _LOOK if timeout is None else started + timeout - now
                if left <= 0:
                    raise LimiterTimeout(f"no turn within {timeout:g} seconds")
                self._sleep(min(wait, left, _LOOK))
        finally:
            with self._lock:
                if ticket in self._queue:
                    self._queue.remove(ticket)

    def penalize(self, seconds: float) -> None:
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)

    def snapshot(self) -> tuple[int, int]:
        with self._lock:
            self._forget_old(self._clock())
            return len(self._booked), self.limit

    def _try(self, ticket: tuple[int, int, int]) -> tuple[float, float | None]:
        """(now, None) when the ticket's turn was booked, (now, seconds to wait) otherwise. It
        goes when there is room for it and for all before it, so it takes no one's place.

        The booking is made by the thread that will send, at the time it is let through: booked
        any earlier, a call could go out late and fall into the next period's count.
        """
        with self._lock:
            now = self._clock()
            self._forget_old(now)
            due = sum(waiting[2] for waiting in self._queue if waiting <= ticket)
            if now >= self._paused_until and len(self._booked) + due <= self.limit:
                self._queue.remove(ticket)
                self._booked.extend([now] * ticket[2])
                return now, None
            return now, max(self._room_in(due, now), self._paused_until - now, _TICK)

    def _forget_old(self, now: float) -> None:
        while self._booked and now - self._booked[0] >= self.period:
            self._booked.popleft()

    def _room_in(self, cost: int, now: float) -> float:
        """Seconds until `cost` more calls fit, as far as it can be told from those booked."""
        surplus = min(len(self._booked) + cost - self.limit, len(self._booked))
        return self._booked[surplus - 1] + self.period - now if surplus > 0 else 0.0


_limiters: dict[str, SlidingWindowLimiter] = {}
_limiters_lock = threading.Lock()


def limiter_for(api_key: str, limit: int = 300) -> SlidingWindowLimiter:
    """The process's one limiter of this key, made at first use. The key itself is not kept.

    ValueError if it exists already with another limit: two budgets for one key are a mistake.
    """
    name = hashlib.sha256(api_key.encode()).hexdigest()
    with _limiters_lock:
        limiter = _limiters.setdefault(name, SlidingWindowLimiter(limit))
    if limiter.limit != limit:
        raise ValueError(f"this API key already has a limit of {limiter.limit} calls a minute")
    return limiter
