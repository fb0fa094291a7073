"""Dying on purpose: every moment at which the service may be killed is a numbered point."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from sqlalchemy import event
from sqlalchemy.orm import Session

from bergen_loop.ledger.database import Ledger


class CrashNow(BaseException):
    """The process dies here. Not an Exception: nothing in the service may catch it."""


class Fuse:
    """Counts the points that are passed and blows at the one that `when` picks. From then on
    every point raises, so that other threads of the dead process do nothing more either."""

    def __init__(self, when: Callable[[int, str], bool] = lambda _n, _name: False) -> None:
        self._when = when
        self._lock = threading.Lock()
        self.passed: list[str] = []
        self.blown: str | None = None

    def __call__(self, name: str) -> None:
        with self._lock:
            if self.blown is None:
                self.passed.append(name)
                if self._when(len(self.passed), name):
                    self.blown = name
            if self.blown is not None:
                raise CrashNow(self.blown)


class MortalLedger(Ledger):
    """A ledger whose every commit has a point before it (nothing is kept) and one after it.

    Commits do not wait for the disk: it is the process that dies here, not the machine."""

    fuse: Callable[[str], None] = staticmethod(lambda _name: None)

    def __init__(self, url: str, *, pool_size: int = 20) -> None:
        super().__init__(url, pool_size=pool_size)
        if self.is_sqlite:
            event.listen(
                self.engine, "connect", lambda raw, _record: raw.execute("PRAGMA synchronous=OFF")
            )

    @contextmanager
    def write(self) -> Generator[Session]:
        with super().write() as session:
            yield session
            self.fuse("before commit")
        self.fuse("after commit")
