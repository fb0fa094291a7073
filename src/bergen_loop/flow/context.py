"""What a flow works with, for one brand."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from bergen_loop.config import BrandSettings
from bergen_loop.domain.announce import AnnounceRules
from bergen_loop.domain.criteria import Criteria
from bergen_loop.ledger import locks
from bergen_loop.ledger.codec import digest
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention, journal, modes
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.outside.breaker import Breakers
from bergen_loop.outside.loop.client import LoopClient
from bergen_loop.outside.warehouse.port import WarehousePort
from bergen_loop.tell import tracing

A = TypeVar("A")
B = TypeVar("B")

log = structlog.get_logger()


class Counts:
    """Thread-safe counts of a tick, written to the ledger at its end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, by: int = 1) -> None:
        with self._lock:
            self._counts[name] += by

    def take(self) -> dict[str, int]:
        """All counts so far; starts again from zero."""
        with self._lock:
            counts, self._counts = dict(self._counts), Counter()
        return counts


def utc_now() -> datetime:
    return datetime.now(UTC)


BATCH = 4
"""Calls of each thread between two commits: more make a commit cheaper, and a crash leave more
calls whose outcome has to be looked for."""


@dataclass(frozen=True, slots=True)
class _Derived:
    settings: BrandSettings
    rules: AnnounceRules
    version: str


@dataclass(slots=True)
class BrandContext:
    """A brand's settings, connections and memory."""

    brand: str
    settings: BrandSettings
    ledger: Ledger
    loop: LoopClient
    warehouse: WarehousePort
    criteria: Criteria
    counts: Counts = field(default_factory=Counts)
    breakers: Breakers = field(default_factory=Breakers)
    now: Callable[[], datetime] = utc_now
    quiet_ticks: int = 0
    """How many ticks in a row nothing has happened."""
    backlog: bool = False
    """This tick only goes on with what the one before left: both lists of changes have been
    read within the last `poll`, and are not read again."""
    mode: str | None = None
    """The mode of this tick, as the ledger or else the configuration has it."""
    epoch: int | None = None
    """The fence of the lock this tick holds."""
    restored_at: datetime | None = None
    """When the ledger was put back from a backup, if it was."""
    boundary: Callable[[str], None] = lambda _name: None
    """Called at every point where a crash must be survivable; tests put one there."""
    _pool: ThreadPoolExecutor | None = None
    _made: _Derived | None = None

    def __post_init__(self) -> None:
        self.breakers.use_clock(lambda: self.now())  # whatever clock it is given later

    @property
    def rules(self) -> AnnounceRules:
        return self._derived().rules

    @property
    def config_version(self) -> str:
        """Content hash of the settings."""
        return self._derived().version

    def _derived(self) -> _Derived:
        """What follows from the settings; made anew only where they have been replaced."""
        if self._made is None or self._made.settings is not self.settings:
            version = self.settings.version()
            self._made = _Derived(self.settings, self.settings.announce_rules(), version)
        return self._made

    @property
    def live(self) -> bool:
        """Whether decisions are acted on (else they are only journaled)."""
        return (self.mode or self.settings.mode) == modes.LIVE

    @property
    def paused(self) -> bool:
        """Whether nothing at all is done for the brand."""
        return (self.mode or self.settings.mode) == modes.PAUSED

    def in_parallel(self, work: Callable[[A], B], items: Sequence[A]) -> list[B]:
        """`work` on every item with the brand's bounded concurrency, results in order."""
        if len(items) <= 1:
            return [work(item) for item in items]
        with self.threads() as pool:
            jobs = [pool.submit(job) for job in tracing.carried(work, items)]
            return [job.result() for job in jobs]

    @contextmanager
    def threads(self) -> Generator[ThreadPoolExecutor]:
        """The brand's threads; those of a whole tick, where one holds them."""
        if self._pool is not None:
            yield self._pool
            return
        with ThreadPoolExecutor(self.settings.settle.concurrency) as pool:
            self._pool = pool
            try:
                yield pool
            finally:
                self._pool = None

    def batches(self, items: Sequence[A]) -> Iterable[Sequence[A]]:
        """Items in batches of some times the brand's concurrency: at most one batch is in doubt
        after a crash."""
        size = BATCH * self.settings.settle.concurrency
        return (items[start : start + size] for start in range(0, len(items), size))

    @contextmanager
    def acting(self) -> Generator[Session]:
        """A transaction that writes intents: refused when another sync has taken over."""
        with self.ledger.write() as session:
            locks.fence(session, self.brand, self.epoch)
            yield session

    def keep_raw(self, source: str, body: str, problem: str, return_id: str | None = None) -> None:
        """Keep a payload that could not be understood."""
        with self.ledger.write() as session:
            journal.keep_raw(
                session,
                self.now(),
                brand=self.brand,
                source=source,
                digest=digest(body),
                body=body,
                problem=problem,
                return_id=return_id,
            )

    def needs_person(
        self, row_pk: int, kind: str, reason: str, tried: str = "", *, raw: str | None = None
    ) -> None:
        """Put a return on the attention list, in a transaction of its own."""
        with self.ledger.write() as session:
            row = session.get_one(ReturnRow, row_pk)
            attention.raise_item(
                session,
                self.now(),
                brand=self.brand,
                kind=kind,
                reason=reason,
                tried=tried,
                row=row,
            )
            return_id = row.return_id
        if raw:
            self.keep_raw(kind, raw, reason, return_id)
