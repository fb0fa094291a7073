"""What a flow works with, for one brand."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

import structlog

from bergen_loop.config import BrandSettings
from bergen_loop.domain.announce import AnnounceRules
from bergen_loop.domain.criteria import Criteria
from bergen_loop.domain.hours import WorkingHours
from bergen_loop.domain.rma import TicketChange
from bergen_loop.ledger import transaction
from bergen_loop.ledger.database import Ledger, Session, record_at_fault
from bergen_loop.ledger.locks import LockLost
from bergen_loop.ledger.store import calls, cursors, modes, returns
from bergen_loop.ledger.transaction import FencedTransaction, Transaction
from bergen_loop.outside.breaker import Breakers
from bergen_loop.outside.errors import OutsideError
from bergen_loop.outside.loop.client import LoopClient
from bergen_loop.outside.loop.models import Listed
from bergen_loop.outside.warehouse.port import WarehousePort
from bergen_loop.tell import tracing
from bergen_loop.tell.calls import Calls

A = TypeVar("A")
B = TypeVar("B")

log = structlog.get_logger()

AHEAD = timedelta(minutes=5)
"""A list's end is set this far ahead, against a clock of ours that is behind the other system's."""


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


class Said:
    """What the elements of Loop's lists were found to say, by their bytes. Lists overlap, so most
    of what they show is the same as a minute ago: it is not read and compared again."""

    MOST = 10_000

    def __init__(self) -> None:
        self._said: dict[bytes, tuple[str, str]] = {}

    def by(self, listed: Listed) -> tuple[str, str] | None:
        """The id and the content hash of the return it shows, where that is remembered: it is no
        news to a ledger that has just this."""
        return self._said.get(listed.fingerprint) if listed.fingerprint else None

    def remember(self, fingerprint: bytes | None, return_id: str, content_hash: str) -> None:
        """This element shows this content, at least to who has this content already."""
        if fingerprint is None:
            return
        if len(self._said) >= self.MOST:
            self._said.clear()
        self._said[fingerprint] = return_id, content_hash


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Tick:
    """What is known for one tick only: made anew at its beginning."""

    backlog: bool = False
    """It only goes on with what the one before left: the lists of changes have been read within
    the last `poll`, and are not read again except before money moves."""
    mode: str | None = None
    """The mode as the ledger, or else the configuration, has it."""
    epoch: int | None = None
    """The fence of the lock this tick holds."""
    restored_at: datetime | None = None
    """When the ledger was put back from a backup, if it was."""
    waits: frozenset[str] | None = None
    """What of the brand's waited for a tick when it began (`store.quiet.at_hand`). None: not known,
    or not any more, for something has been written since."""
    marks: Mapping[str, datetime] | None = None
    """How far recurring reads had come when it began (`store.cursors`)."""
    moved: set[str] = field(default_factory=set[str])
    """Which of them may have moved on since."""
    other_shop: str | None = None
    """Why Loop is not asked with the brand's key."""
    other_account: str | None = None
    """Why the brand's warehouse is not asked."""
    bars_until: datetime | None = None
    """Until when a brand that has no return bars any more had some: what was dropped off by then
    comes in consolidated shipments all the same."""
    walked: set[str] = field(default_factory=set[str])
    """Loop's lists that were walked to their end since it began."""
    reached_back: bool = False
    """Whether it walked Loop's list from farther back than usual (`loop.deep_every`)."""
    statuses_seen: bool = False
    """REX11's list of changed tickets was read since it began."""
    changes: list[TicketChange] = field(default_factory=list[TicketChange])
    """What that list said, of all that changed since `changes_since`."""
    changes_since: datetime | None = None
    tickets_read: set[int] = field(default_factory=set[int])
    """RMAs (keys) whose ticket was read since it began."""
    asked: set[str] = field(default_factory=set[str])
    """Products (normal UPCs) that the warehouse was asked for since it began."""
    blind: bool | None = None
    """Whether looking up tickets by their POs finds none that are there. None: not tried yet."""
    failed: dict[str, OutsideError] = field(default_factory=dict[str, OutsideError])
    """By what each step failed."""
    calls: dict[str, str | None] = field(default_factory=dict[str, str | None])
    """Kinds of calls that fail while others are answered, and how; None: one went well."""

    @property
    def calm(self) -> bool:
        """Whether nothing waits, so that a step has nothing to ask the ledger for."""
        return self.waits is not None and not self.waits


LEARNT_FROM, LEARNT_AGAIN = timedelta(days=28), timedelta(hours=1)
"""Receipts that tell when the warehouse works, and how long what they told holds."""

BATCH = 4
"""Calls of each thread between two commits: more make a commit cheaper, and a crash leave more
calls whose outcome has to be looked for."""


@dataclass(frozen=True, slots=True)
class _Derived:
    settings: BrandSettings
    bars_until: datetime | None
    rules: AnnounceRules
    version: str


class _Started(Generic[A, B]):
    """Work that is being done by some threads, and by the one that waits for it."""

    def __init__(
        self, pool: ThreadPoolExecutor, work: Callable[[A], B], items: Sequence[A], threads: int
    ) -> None:
        self._work = work
        self._todo, self._found = iter(enumerate(items)), dict[int, B]()
        self._jobs = [pool.submit(tracing.carried(self._take)) for _ in range(threads)]

    def _take(self) -> None:
        for place, item in self._todo:  # taking one is one step of the interpreter's
            self._found[place] = self._work(item)

    def results(self) -> list[B]:
        """All, in the order of the items, when it is done. What the work raises."""
        try:
            self._take()
        finally:
            self.wait()
        for job in self._jobs:
            job.result()
        return [self._found[place] for place in range(len(self._found))]

    def wait(self) -> None:
        """Until none of its threads is at it."""
        for job in self._jobs:
            job.exception()


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
    calls: Calls = field(default_factory=Calls)
    breakers: Breakers = field(default_factory=Breakers)
    said: Said = field(default_factory=Said)
    now: Callable[[], datetime] = utc_now
    behind: bool = False
    """The last tick left work over that is to go on at once."""
    tick: Tick = field(default_factory=Tick)
    boundary: Callable[[str], None] = lambda _name: None
    """Called at every point where a crash must be survivable; tests put one there."""
    _pool: ThreadPoolExecutor | None = None
    _made: _Derived | None = None
    _hours: tuple[datetime, WorkingHours] | None = None

    def __post_init__(self) -> None:
        self.breakers.use_clock(lambda: self.now())  # whatever clock it is given later

    @property
    def rules(self) -> AnnounceRules:
        return self._derived().rules

    @property
    def config_version(self) -> str:
        """Content hash of the settings."""
        return self._derived().version

    @property
    def judged_by(self) -> str:
        """Content hash of the settings and the criteria: what its returns are looked at by."""
        return f"{self.config_version}/{self.criteria.version}"

    def _derived(self) -> _Derived:
        """What follows from the settings; made anew only where they have been replaced."""
        until, made = self.tick.bars_until, self._made
        if made is None or made.settings is not self.settings or made.bars_until != until:
            rules, version = self.settings.announce_rules(until), self.settings.version()
            made = self._made = _Derived(self.settings, until, rules, version)
        return made

    @property
    def live(self) -> bool:
        """Whether decisions are acted on (else they are only journaled)."""
        return (self.tick.mode or self.settings.mode) == modes.LIVE

    @property
    def paused(self) -> bool:
        """Whether nothing at all is done for the brand."""
        return (self.tick.mode or self.settings.mode) == modes.PAUSED

    def warehouse_hours(self, session: Session) -> WorkingHours:
        """When the brand's warehouse works, by its newest receipts; learnt anew every hour."""
        now = self.now()
        if self._hours is None or now - self._hours[0] >= LEARNT_AGAIN:
            received = returns.received_times(session, self.brand, now - LEARNT_FROM)
            zone = ZoneInfo(self.settings.rex11.time_zone)
            self._hours = (now, WorkingHours.learnt(received, zone))
        return self._hours[1]

    def in_parallel(self, work: Callable[[A], B], items: Sequence[A]) -> list[B]:
        """`work` on every item with the brand's bounded concurrency, results in order."""
        if len(items) <= 1:
            return [work(item) for item in items]
        with self.threads() as pool:
            others = min(len(items), self.settings.settle.concurrency) - 1
            return _Started(pool, work, items, others).results()

    def ahead(self, work: Callable[[A], B], items: Sequence[A]) -> Generator[list[B]]:
        """The same batch by batch, for work that changes nothing: while one batch's results are
        looked at, the next one is under way."""
        most = self.settings.settle.concurrency - 1
        with self.threads() as pool:
            under_way: _Started[A, B] | None = None
            try:
                for batch in self.batches(items):
                    done = under_way.results() if under_way else None
                    others = len(batch) - 1 if under_way is None else len(batch)
                    under_way = _Started(pool, work, batch, min(others, most))
                    if done is not None:
                        yield done
                if under_way:
                    yield under_way.results()
            finally:
                if under_way:
                    under_way.wait()

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

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that writes; it cannot intend."""
        self.tick.waits = None
        return self.noting()

    def noting(self, *names: str) -> AbstractContextManager[Transaction]:
        """One that moves these marks on, and writes nothing that a step would have to do."""
        self.tick.moved.update(names)
        return transaction.transaction(self.ledger, self.brand, self.now())

    def marks(self, *names: str) -> Mapping[str, datetime]:
        """How far these recurring reads have come, without those that have never been made."""
        known = self.tick.marks
        if known is None or not self.tick.moved.isdisjoint(names):
            with self.ledger.read() as session:
                return cursors.get_all(session, self.brand, names)
        return {name: known[name] for name in names if name in known}

    def acting(self) -> AbstractContextManager[FencedTransaction]:
        """A transaction that may intend calls: refused when another sync has taken over."""
        self.tick.waits = None
        return transaction.fenced(self.ledger, self.brand, self.now(), self.tick.epoch)

    def log_calls(self, tx: Transaction) -> None:
        """Write down which calls were made since the last time."""
        rows, over = self.calls.take()
        calls.add(tx.session, rows)
        if over:
            self.counts.add("calls.not_kept", over)

    def take_in(
        self,
        items: Sequence[A],
        work: Callable[[Transaction, Sequence[A]], None],
        set_aside: Callable[[Transaction, A, Exception], None],
    ) -> None:
        """`work` on all in one transaction. Where that fails, on each by itself, so that one bad
        record never holds the rest: that one is set aside, and the others go on. `work` is done
        again from the start, so it may leave nothing but what it writes."""
        if not items:
            return
        try:
            with self.write() as tx:
                work(tx, items)
            return
        except Exception as error:
            if isinstance(error, LockLost) or not record_at_fault(error):
                raise
            log.warning("taken in one by one", brand=self.brand, error=type(error).__name__)
        for item in items:
            try:
                with self.write() as tx:
                    work(tx, [item])
            except Exception as error:
                if isinstance(error, LockLost) or not record_at_fault(error):
                    raise
                log.exception("set aside", brand=self.brand)
                with self.write() as tx:
                    set_aside(tx, item, error)
