"""How many calls a token may make a minute, and what its programs are told of it.

Each process counts for itself, in memory: looking it up in the ledger would cost more than the
calls that it is to keep away."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW = 60.0
"""Seconds."""
MOST = 10_000
"""Callers that are remembered; beyond it those go whose minute is over."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A call was counted."""

    limit: int
    left: int
    """Calls that are left of this minute; negative: this one was too much."""
    seconds: int
    """Until the next minute begins."""

    @property
    def over(self) -> bool:
        """Whether it is refused."""
        return self.left < 0

    @property
    def headers(self) -> dict[str, str]:
        """What programs are told (draft-ietf-httpapi-ratelimit-headers)."""
        told = {
            "RateLimit-Policy": f'"calls";q={self.limit};w={int(WINDOW)}',
            "RateLimit": f'"calls";r={max(0, self.left)};t={self.seconds}',
        }
        return told | ({"Retry-After": str(self.seconds)} if self.over else {})


class Rates:
    """The calls of this minute. A caller's minute begins with its first call. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._made: dict[str, tuple[float, int]] = {}
        """When the caller's minute ends, and its calls in it."""

    def take(self, caller: str, limit: int) -> Taken:
        """Count a call."""
        now = self._clock()
        with self._lock:
            if len(self._made) >= MOST:
                self._made = {c: made for c, made in self._made.items() if made[0] > now}
            ends, calls = self._made.get(caller, (now, 0))
            if ends <= now:
                ends, calls = now + WINDOW, 0
            self._made[caller] = (ends, calls + 1)
        return Taken(limit, limit - calls - 1, max(1, math.ceil(ends - now)))
