"""The one way out: every HTTP call to another system goes through a `Connection`.

In it, once for all systems: turns under the call budget, the guard that suspends calls, timeouts
in every phase, a limit on an answer's size while it is read, no redirects, repeats of what may be
repeated, the pause after a 429, one record of every attempt, and no secret in anything that
leaves. Connections themselves are `wire`'s.

Turns are given here because the library for it (pyrate-limiter) has neither a fair queue nor
priorities, and books a waiting call at an estimated time instead of the time it goes out.

A read is repeated where that may help. A call that changes something is sent once, except after
a 429, which says that it was not carried out.
"""

from __future__ import annotations

import hashlib
import html
import json
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NoReturn, Protocol, TypeVar
from urllib.parse import quote

import structlog

from bergen_loop import __version__
from bergen_loop.outside.errors import (
    Effect,
    OutcomeUnknown,
    OutsideError,
    RateLimited,
    Scope,
    Unavailable,
    Unreadable,
)
from bergen_loop.outside.wire import (
    NETWORK,
    Interrupted,
    NotSent,
    Outgoing,
    Timeouts,
    Transport,
    Undecodable,
    unpacked,
)

T = TypeVar("T")

HIDDEN = "[hidden]"
NO_ANSWER = "no answer"
"""Among an error's codes: the request was sent, and the time was up before all of its answer
came."""
_UNMISTAKABLE = 16
"""Characters of a secret that no ordinary text holds by chance: these are hidden in answers before
they are read. A short password may be a word of a product's title, which must stay as it came."""
_KEPT_OF_TOO_LARGE = 10_000
QUOTED = 4000
"""Characters of a body in a `CallRecord`."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Retries:
    """Attempts in all at a read (1: never again), and at any call after a 429; and the seconds
    before the next one: `first_wait` or `first_wait_limited`, doubled each time, up to `jitter`
    added, at most `longest_wait`. A Retry-After goes before that, up to `longest_wait` too."""

    attempts: int = 3
    rate_limited: int = 6
    first_wait: float = 0.5
    first_wait_limited: float = 2.0
    longest_wait: float = 60.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if min(self.attempts, self.rate_limited) < 1:
            raise ValueError(f"retries.attempts is {self.attempts}: it must be at least 1")
        waits = (self.first_wait, self.first_wait_limited, self.longest_wait, self.jitter)
        if min(waits) < 0:
            raise ValueError("retries: no wait can be negative")


@dataclass(frozen=True, slots=True)
class Request:
    """One call, complete."""

    brand: str
    call: str
    """What the call is named in errors, records and metrics."""
    subject: str | None
    """What it is about: a return, ticket, PO or UPC."""
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    content: bytes | None = field(default=None, repr=False)
    changes: bool = False
    """True for a call that may change something: it is never repeated after a doubt."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Besides the connection's own: they are in nothing that leaves."""
    attempts: int | None = None
    """At most so many attempts, instead of the connection's."""
    private: bool = False
    """Nothing of what is said in it is kept: a token is asked for."""
    routine: bool = False
    """A look at a list that every tick takes."""
    final: bool = True
    """False where a refusal of access proves nothing yet: the caller gets a new token then."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names in lower case."""
    whole: bool = True
    """False where it was over the limit: then `body` is only its beginning."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One attempt at one call to any system. `outcome` is `ok`, the name of the error's class,
    or `crashed`; `effect` and `scope` are the error's."""

    system: str
    """As in errors: Loop, REX11 ..."""
    brand: str
    call: str
    subject: str | None
    started_at: datetime
    """UTC."""
    seconds: float
    outcome: str
    effect: Effect | None = None
    scope: Scope | None = None
    status: int | None = None
    attempt: int = 1
    waited: float = 0.0
    """Seconds waited for a turn before `started_at`."""
    changes: bool = False
    routine: bool = False
    sent: str | None = None
    received: str | None = None
    """What was said, without secrets and cut at `QUOTED`: of calls that change something, and of
    those that failed."""


OnCall = Callable[[CallRecord], None]


class Held(Exception):
    """No call is made now: `error` is its kind, the message says why and when the next is."""

    def __init__(self, error: type[OutsideError], message: str) -> None:
        super().__init__(message)
        self.error = error


class Guard(Protocol):
    """What decides whether a system is called at all. Safe to use from many threads."""

    def admit(self, call: str) -> None:
        """Before every attempt. Raises Held."""
        ...

    def attempted(self, call: str, error: OutsideError | None, seconds: float) -> None:
        """After every attempt that got an answer or a failure."""
        ...

    def untold(self, call: str) -> None:
        """After an attempt that says nothing: whoever tries next may do so at once."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What an answer may take of time and room. `compressed`: whether it may come packed;
    `max_bytes` then holds unpacked."""

    max_bytes: int
    compressed: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around a connection: who gives turns to its calls, who holds them back and who
    is told of every attempt (where that fails, it is logged and does not disturb the call); and
    the network and the clocks, in whose place tests put their own."""

    limiter: RateLimiter | None = None
    guard: Guard | None = None
    on_call: OnCall | None = None
    transport: Transport | None = None
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Sender:
    """Sends single requests, bounded in time and size; thread-safe. Redirects are never followed:
    they would carry credentials elsewhere. Proxies are the environment's."""

    def __init__(
        self,
        timeouts: Timeouts,
        *,
        max_bytes: int,
        compressed: bool = False,
        transport: Transport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`compressed`: whether answers may come packed; the limit then holds unpacked."""
        self._timeouts = timeouts
        self._max_bytes = max_bytes
        self._transport = transport or NETWORK
        self._monotonic = monotonic
        self._headers = {
            "Accept": "*/*",
            "Accept-Encoding": "gzip" if compressed else "identity",
            "User-Agent": f"bergen-loop/{__version__}",
        }

    def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None
    ) -> Answer:
        """The answer, whatever its status. Raises NotSent or Interrupted."""
        request = Outgoing(method, url, {**self._headers, **headers}, content)
        came = self._transport(request, self._timeouts)
        deadline, body = self._monotonic() + self._timeouts.answer, bytearray()
        with closing(unpacked(came)) as pieces:
            for piece in pieces:
                body += piece
                if len(body) > self._max_bytes:
                    kept = bytes(body[:_KEPT_OF_TOO_LARGE])
                    return Answer(came.status, kept, came.headers, whole=False)
                if self._monotonic() > deadline:
                    late = f"the answer was not complete after {self._timeouts.answer:g} seconds"
                    raise Interrupted(late)
        return Answer(came.status, bytes(body), came.headers)


class Connection:
    """The way to one system for one account. Safe to use from many threads."""

    def __init__(
        self,
        system: str,
        limits: Limits,
        around: Around | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        """`headers` go with every request."""
        around = around or Around()
        self.system = system
        self._headers = dict(headers or {})
        self._secrets = tuple(secrets)
        self._limits = limits
        self._limiter = around.limiter
        self._guard = around.guard
        self._on_call = around.on_call
        self._sleep = around.sleep
        self._monotonic = around.monotonic
        self._now = around.now
        self._sender = Sender(
            limits.timeouts,
            max_bytes=limits.max_bytes,
            compressed=limits.compressed,
            transport=around.transport,
            monotonic=around.monotonic,
        )

    def __repr__(self) -> str:
        return f"Connection(system={self.system!r})"

    def call(self, request: Request, read: Callable[[Answer], T]) -> T:
        """Send, with repeats where they are safe; what `read` makes of the answer. OutsideError
        otherwise, `read`'s own or one of the way there."""
        last, number = None, 0
        while True:
            number += 1
            try:
                return self._attempt(request, read, number)
            except _NotTried as held:
                raise (last or held.error) from None  # what went wrong says more than the hold
            except OutsideError as error:
                if not _may_repeat(request, error):
                    raise
                pause = self._pause(error, number)
                if number >= self._most(request, error):
                    raise
                last = error
            self._sleep(pause)

    def _most(self, request: Request, error: OutsideError) -> int:
        """How often a call that failed so is made at most."""
        settings = self._limits.retries
        if error.status == 429:
            return settings.rate_limited
        return min(settings.attempts, request.attempts or settings.attempts)

    def _pause(self, error: OutsideError, number: int) -> float:
        """Seconds before the next attempt. After a 429 all who share the budget pause with us,
        also when this call gives up."""
        settings, limited = self._limits.retries, error.status == 429
        if error.retry_after is not None:
            pause = min(error.retry_after, settings.longest_wait)
        else:
            first = settings.first_wait_limited if limited else settings.first_wait
            doubled = first * 2 ** min(number - 1, 20) + random.uniform(0, settings.jitter)  # noqa: S311
            pause = min(doubled, settings.longest_wait)
        if limited and self._limiter is not None:
            self._limiter.penalize(pause)
        return pause

    def _attempt(self, request: Request, read: Callable[[Answer], T], number: int) -> T:
        waited = self._admission(request)
        started_at, start = self._now(), self._monotonic()
        error: OutsideError | None = None
        answer: Answer | None = None
        outcome = "crashed"
        try:
            answer = self._exchange(request)
            if not answer.whole and 200 <= answer.status < 300:
                raw = answer.body.decode("utf-8", "replace")
                message = f"the answer is over {self._limits.max_bytes} bytes and was not read on"
                where = self._where(request)
                raise Unreadable(message, **where, status=answer.status, raw=raw)
            result = read(answer)
            outcome = "ok"
            return result
        except OutsideError as failure:
            error, outcome = failure, type(failure).__name__
            if answer is not None and error.retry_after is None:
                error.retry_after = retry_after(answer.headers.get("retry-after"), self._now())
            error.message = self._clean(request, error.message)
            error.args = (error.message,)
            error.raw = self._clean(request, error.raw) if error.raw is not None else None
            raise
        finally:
            record = CallRecord(
                system=self.system,
                brand=request.brand,
                call=request.call,
                subject=request.subject,
                started_at=started_at,
                seconds=self._monotonic() - start,
                outcome=outcome,
                effect=error.effect if error else None,
                scope=error.scope if error else None,
                status=(error.status if error else None) or (answer.status if answer else None),
                attempt=number,
                waited=waited,
                changes=request.changes,
                routine=request.routine,
                **self._said(request, answer, failed=outcome != "ok"),
            )
            self._tell(request, record, error)

    def _admission(self, request: Request) -> float:
        """Seconds waited for the turn. Actions go before reads: a customer waits for them."""
        self._ask_guard(request)
        if self._limiter is None:
            return 0.0
        try:
            priority = 0 if request.changes else 1
            waited = self._limiter.acquire(timeout=self._limits.timeouts.turn, priority=priority)
        except LimiterTimeout as why:
            self._untold(request)
            message = f"{why} under the limit of calls per minute; nothing was sent"
            self._not_tried(request, RateLimited, message)
        if waited > 1:  # much may have happened meanwhile
            self._untold(request)
            self._ask_guard(request)
        return waited

    def _ask_guard(self, request: Request) -> None:
        if self._guard is None:
            return
        try:
            self._guard.admit(request.call)
        except Held as why:
            self._not_tried(request, why.error, f"{why}; nothing was sent")

    def _not_tried(self, request: Request, kind: type[OutsideError], message: str) -> NoReturn:
        raise _NotTried(kind(self._clean(request, message), **self._where(request))) from None

    def _exchange(self, request: Request) -> Answer:
        """The answer, without secrets that no ordinary text holds by chance."""
        codes: tuple[str, ...] = ()
        try:
            headers = {**request.headers, **self._headers}
            answer = self._sender.send(request.method, request.url, headers, request.content)
        except NotSent as reason:
            kind, message = Unavailable, f"not reached ({reason}); nothing was sent"
        except Undecodable as reason:
            kind = Unreadable if request.changes else Unavailable
            message = f"the answer cannot be decoded ({reason})"
        except Interrupted as reason:
            kind = OutcomeUnknown if request.changes else Unavailable
            message = f"no answer ({reason}); {_consequence(request)}"
            codes = (NO_ANSWER,)
        else:
            secrets = (x for x in (*self._secrets, *request.secrets) if len(x) >= _UNMISTAKABLE)
            for form in _forms(tuple(secrets)):
                if (found := form.encode("utf-8", "surrogatepass")) in answer.body:
                    answer = replace(answer, body=answer.body.replace(found, HIDDEN.encode()))
            return answer
        raise kind(self._clean(request, message), **self._where(request), codes=codes)

    def _where(self, request: Request) -> dict[str, Any]:
        return {
            "system": self.system,
            "brand": request.brand,
            "call": request.call,
            "subject": request.subject,
        }

    def _untold(self, request: Request) -> None:
        if self._guard is not None:
            self._guard.untold(request.call)

    def _tell(self, request: Request, record: CallRecord, error: OutsideError | None) -> None:
        """The guard, and whoever keeps records: one that fails must not lose what a call has
        brought."""
        unproven = error is not None and error.scope is Scope.ACCESS and not request.final
        if unproven or record.outcome == "crashed":
            self._untold(request)
        elif self._guard is not None:
            self._guard.attempted(request.call, error, record.seconds)
        try:
            if self._on_call is not None:
                self._on_call(record)
        except Exception:
            _log.exception(
                "on_call_failed", system=record.system, brand=record.brand, call=record.call
            )

    def _said(self, request: Request, answer: Answer | None, *, failed: bool) -> dict[str, Any]:
        if request.private or not (request.changes or failed):
            return {}
        bodies = {"sent": request.content, "received": answer.body if answer else None}
        texts = {
            name: body[: 4 * QUOTED].decode("utf-8", "replace").replace("\x00", "")
            for name, body in bodies.items()
            if body
        }
        # Cut after the secrets are out: half of one would not be found.
        return {name: self._clean(request, text)[:QUOTED] for name, text in texts.items()}

    def _clean(self, request: Request, text: str) -> str:
        return redact(text, (*self._secrets, *request.secrets))


class _NotTried(Exception):
    """Carries an error past the repeats: nothing was attempted, so nothing is repeated."""

    def __init__(self, error: OutsideError) -> None:
        super().__init__(str(error))
        self.error = error


def _consequence(request: Request) -> str:
    if request.changes:
        return "it may have taken effect: look before it is made again"
    return "nothing was changed"


def _may_repeat(request: Request, error: OutsideError) -> bool:
    """Only what certainly had no effect, and may fare better in a moment."""
    passing = error.effect is Effect.NOT_SENT and error.scope is not Scope.ACCESS
    return passing and (error.status == 429 or not request.changes)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header (seconds, or an HTTP date); None if absent or odd."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0.0, (at - now).total_seconds())
    except (ValueError, OverflowError):
        return None


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets, in any of the spellings they have in JSON, XML and URLs."""
    for form in _forms(tuple(secrets)):
        if form in text:
            text = text.replace(form, HIDDEN)
    return text


@lru_cache(maxsize=1000)
def _forms(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """All spellings, the longest first, so that none is broken up by a shorter one."""
    forms = {
        form
        for secret in secrets
        if secret
        for form in (
            secret,
            html.escape(secret),
            html.escape(secret, quote=False),
            json.dumps(secret)[1:-1],
            json.dumps(secret)[1:-1].replace("/", r"\/"),
            quote(secret, safe=""),
        )
    }
    return tuple(sorted(forms, key=len, reverse=True))


def secret_parts(headers: Mapping[str, str]) -> tuple[str, ...]:
    """What of a request's headers is to be hidden: the values, also without a scheme such as
    `Bearer`; the very short hold none."""
    return tuple(
        part
        for value in headers.values()
        for part in (value, re.sub(r"^\S+\s+", "", value))
        if len(part) >= 6
    )


# -- Loop's 300 calls a minute per API key, shared by all who use that key ---------------------

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
