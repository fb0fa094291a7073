"""Who writes next to an embedded ledger: those who wait go in the order in which they came.

SQLite takes one writer at a time, and lets the others look again after ever longer sleeps, in
which the unlucky starve until they give up; meanwhile each holds a connection of the pool.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy.exc import TimeoutError as PoolTimeout

PATIENCE = 30.0
"""Seconds: as long as SQLite is asked to be patient with other processes."""


class Turns:
    """A lock that is had in order. A thread that has it must not ask for it again."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._changed = threading.Condition()
        self._queue: deque[int] = deque()
        """Threads: the first has the turn."""

    @contextmanager
    def turn(self) -> Generator[None]:
        """Wait for the turn and have it. sqlalchemy.exc.TimeoutError after `patience`."""
        self._wait(threading.get_ident())
        try:
            yield
        finally:
            with self._changed:
                self._queue.popleft()
                self._changed.notify_all()

    def _wait(self, me: int) -> None:
        until = time.monotonic() + self._patience
        with self._changed:
            if me in self._queue:
                raise RuntimeError("a transaction that writes within another one of this thread")
            self._queue.append(me)
            while self._queue[0] != me:
                left = until - time.monotonic()
                if left <= 0:
                    self._queue.remove(me)
                    raise PoolTimeout(
                        f"no turn to write within {self._patience:g} s: another transaction of "
                        "this process takes too long"
                    )
                self._changed.wait(left)
