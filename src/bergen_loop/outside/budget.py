"""The limiter of a Loop key that all processes and machines share, through the ledger.

Within the process it is as fair as its base: lowest priority number first, then who came first.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bergen_loop.ledger.database import Ledger, LedgerError
from bergen_loop.ledger.store import calls
from bergen_loop.ledger.store.calls import Asked, Finished, Granted
from bergen_loop.outside.http import LimiterTimeout, SlidingWindowLimiter

FIRST, MOST = 4, 20
"""Calls in a lease: the first after a quiet time, and at most, while they are all used."""
_SHORTEST = 0.01
_NEWS = 1.0
"""Seconds by which a pause must be longer than the one that is known to be told to others."""


class Store(Protocol):
    """Where leases come from. The errors are `LedgerError`s."""

    limit: int

    def take(self, least: int, wanted: int, finished: Sequence[Finished]) -> Granted: ...

    def pause(self, seconds: float) -> None: ...


class LedgerStore:
    """Leases of one key from the ledger: a transaction each."""

    def __init__(self, ledger: Ledger, key_hash: str, limit: int) -> None:
        self._ledger, self._key, self.limit = ledger, key_hash, limit

    def take(self, least: int, wanted: int, finished: Sequence[Finished]) -> Granted:
        with self._ledger.write() as session:
            return calls.lease(session, self._key, self.limit, Asked(least, wanted, finished))

    def pause(self, seconds: float) -> None:
        with self._ledger.write() as session:
            calls.pause(session, self._key, seconds)


@dataclass(frozen=True, slots=True)
class _Question:
    """What the ledger is asked for a limiter: nothing else is, until it is answered."""

    asked: Asked
    told: list[_Lease]
    at: float


@dataclass(slots=True)
class _Lease:
    id: int
    counts_until_ms: int
    left: int
    usable_until: float
    used: int = 0
    last: float = 0.0


class SharedLimiter(SlidingWindowLimiter):
    """A `RateLimiter` whose calls come out of leases."""

    def __init__(
        self,
        store: Store,
        limit: int = 300,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(limit, calls.PERIOD, clock=clock, sleep=sleep)
        self._store = store
        self._open: list[_Lease] = []
        self._over: list[_Lease] = []
        """Leases that are over, to be told of with the next question."""
        self._chunk = FIRST
        self._ask_again = 0.0
        self._asking = False
        """A thread is asking the ledger, without the lock: the others wait for what it gets."""
        self._told_until = 0.0

    def change(self, limit: int) -> None:
        """Go on with another limit: the key's owner has given it."""
        with self._lock:
            self.limit = self._store.limit = limit

    def penalize(self, seconds: float) -> None:
        """Make everyone pause, in this process at once, in others at their next lease."""
        super().penalize(seconds)
        with self._lock:
            until = self._clock() + seconds
            if until < self._told_until + _NEWS:
                return
            self._told_until = until
        try:
            self._store.pause(seconds)
        except LedgerError:
            with self._lock:
                self._told_until = 0.0  # this process pauses all the same

    def _try(self, ticket: tuple[int, int, int]) -> tuple[float, float | None]:
        while True:
            with self._lock:
                now = self._clock()
                self._forget_old(now)
                due = sum(waiting[2] for waiting in self._queue if waiting <= ticket)
                if now < self._paused_until:
                    return now, max(self._paused_until - now, _SHORTEST)
                missing = due - self._in_hand(now)
                if missing <= 0:
                    self._queue.remove(ticket)
                    self._booked.extend([now] * ticket[2])
                    self._use(ticket[2], now)
                    return now, None
                if self._asking or now < self._ask_again:
                    return now, max(self._ask_again - now, _SHORTEST)
                least, wanted = min(missing, ticket[2]), max(missing, self._chunk)
                question = self._question(least, wanted, now)
            granted = self._ask(question)
            if granted.lease is not None and granted.permits < missing:
                return now, _SHORTEST  # for others who go first

    def wish(self, calls: int) -> _Question | None:
        """What to ask for so many calls that are to be made soon; None where there is nothing to
        be asked now. Whoever gets a question has it answered."""
        with self._lock:
            now = self._clock()
            self._forget_old(now)
            waits = self._queue or self._asking or now < max(self._ask_again, self._paused_until)
            if waits or self._in_hand(now):
                return None
            return self._question(calls, calls, now)

    def _question(self, least: int, wanted: int, now: float) -> _Question:
        told, self._over, self._asking = self._over, [], True
        finished = [Finished(x.id, x.counts_until_ms, x.used, max(0.0, now - x.last)) for x in told]
        return _Question(Asked(least, min(wanted, self.limit), finished), told, now)

    def _ask(self, question: _Question) -> Granted:
        """Get a lease, or learn when to ask again. Called without the lock: the ledger may take
        its time."""
        asked = question.asked
        try:
            granted = self._store.take(asked.least, asked.wanted, asked.finished)
        except BaseException as error:
            self.unanswered(question)
            if not isinstance(error, LedgerError):
                raise
            why = f"the ledger does not give out calls ({type(error).__name__}): no turn"
            raise LimiterTimeout(why) from error
        self.answered(question, granted)
        return granted

    def unanswered(self, question: _Question) -> None:
        with self._lock:
            self._over.extend(question.told)
            self._asking = False

    def answered(self, question: _Question, granted: Granted) -> None:
        now = question.at
        with self._lock:
            self._asking = False
            if granted.lease is None:
                self._ask_again = now + granted.wait
                if granted.paused:
                    self._paused_until = max(self._paused_until, now + granted.wait)
            else:
                # Usable counted from before the question: the grant was made after it.
                until = now + calls.USABLE
                self._open.append(
                    _Lease(granted.lease, granted.counts_until_ms, granted.permits, until, last=now)
                )

    def _in_hand(self, now: float) -> int:
        """Calls that may be made now; leases that are over are put aside to be told of."""
        for lease in [x for x in self._open if x.left == 0 or now >= x.usable_until]:
            self._open.remove(lease)
            self._over.append(lease)
            busy = lease.left == 0 and lease.used >= FIRST
            self._chunk = min(MOST, 2 * self._chunk) if busy else FIRST
        return sum(lease.left for lease in self._open)

    def _use(self, cost: int, now: float) -> None:
        for lease in self._open:
            taken = min(cost, lease.left)
            lease.left -= taken
            lease.used += taken
            if taken:
                lease.last = now
            cost -= taken


_limiters: dict[tuple[str, str], SharedLimiter] = {}
_limiters_lock = threading.Lock()


def shared_limiter(ledger: Ledger, api_key: str, limit: int = 300) -> SharedLimiter:
    """The process's one limiter of this key in this ledger. The key itself is not kept.

    ValueError if it exists already with another limit: two budgets for one key are a mistake.
    """
    name = _name(ledger, api_key)
    with _limiters_lock:
        if name not in _limiters:
            _limiters[name] = SharedLimiter(LedgerStore(ledger, name[1], limit), limit)
        limiter = _limiters[name]
    if limiter.limit != limit:
        raise ValueError(f"this API key already has a limit of {limiter.limit} calls a minute")
    return limiter


def ahead(ledger: Ledger, api_keys: Iterable[str], number: int) -> None:
    """Have so many calls in hand for each of these keys that has none, in one transaction: for
    many brands that are about to be looked at. What is not to be had now, each asks for itself."""
    questions: list[tuple[str, SharedLimiter, _Question]] = []
    for name in sorted({_name(ledger, key) for key in api_keys}):
        limiter = _limiters.get(name)
        if limiter is not None and (question := limiter.wish(number)) is not None:
            questions.append((name[1], limiter, question))
    if not questions:
        return
    try:
        with ledger.write() as session:
            # In the order of their names, as every process asks: none waits for another in turn.
            granted = [calls.lease(session, key, one.limit, q.asked) for key, one, q in questions]
    except BaseException as error:
        for _, limiter, question in questions:
            limiter.unanswered(question)
        if not isinstance(error, LedgerError):
            raise
        return
    for (_, limiter, question), given in zip(questions, granted, strict=True):
        limiter.answered(question, given)


def change_limit(ledger: Ledger, api_key: str, limit: int) -> None:
    """Have the limiter of this key, if there is one, go on with another limit."""
    with _limiters_lock:
        limiter = _limiters.get(_name(ledger, api_key))
    if limiter is not None and limiter.limit != limit:
        limiter.change(limit)


def _name(ledger: Ledger, api_key: str) -> tuple[str, str]:
    key_hash = hashlib.sha256(api_key.encode()).hexdigest()
    return ledger.url.render_as_string(hide_password=True), key_hash
