"""Sending requests to Loop: the limit, the retries, the record of every attempt.

A read is repeated where that may help. A call that changes something is sent once, except
after 429, which says that it was not carried out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx2
import structlog
import tenacity

from bergen_loop import __version__
from bergen_loop.outside.errors import (
    InvalidRequest,
    OutcomeUnknown,
    OutsideError,
    RateLimited,
    Unavailable,
    Unreadable,
)
from bergen_loop.outside.loop.limiter import LimiterTimeout, RateLimiter, limiter_for
from bergen_loop.outside.loop.requests import LoopRequest
from bergen_loop.outside.loop.responses import SYSTEM, Answer, Where, check_status

T = TypeVar("T")

MAX_BODY = 50 * 1024 * 1024
"""Bytes of an answer that are read before giving up."""
_KEPT_OF_TOO_LARGE = 10_000
_NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)
_VERSION = re.compile(r"\d{4}-\d{2}|v1", re.ASCII)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `read` and `write` are per piece of data, `total` is for a whole answer, `turn`
    for the wait for the limiter (None: wait for ever)."""

    connect: float = 5.0
    read: float = 30.0
    write: float = 30.0
    pool: float = 30.0
    total: float = 120.0
    turn: float | None = 300.0


@dataclass(frozen=True, slots=True)
class Retries:
    """Attempts in all (1: never again), and the seconds before the next one: `initial` or
    `rate_limit_initial`, doubled each time, up to a second of jitter added, at most `longest`.
    A Retry-After of Loop's goes before that, up to `longest` as well."""

    reads: int = 4
    rate_limited: int = 6
    initial: float = 0.5
    rate_limit_initial: float = 2.0
    longest: float = 60.0


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One attempt at one call. `outcome` is `ok` or the name of the error's class."""

    brand: str
    call: str
    return_id: str | None
    started_at: datetime
    seconds: float
    outcome: str
    status: int | None
    attempt: int = 1
    waited: float = 0.0
    """Seconds waited for the limiter before `started_at`."""


class Transport:
    """The connection to one Loop account. Safe to use from many threads."""

    def __init__(
        self,
        *,
        brand: str,
        api_key: str,
        base_url: str,
        version: str,
        limiter: RateLimiter | None = None,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        transport: httpx2.BaseTransport | None = None,
        on_call: Callable[[CallRecord], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        _check_key(brand, api_key)
        self.brand = brand
        self._api_key = api_key
        self._base = _base(brand, base_url, version)
        self._limiter = limiter or limiter_for(api_key)
        self._timeouts = timeouts or Timeouts()
        self._retries = retries or Retries()
        self._on_call = on_call
        self._sleep = sleep
        self._monotonic = monotonic
        self._now = now
        self._http = httpx2.Client(
            transport=transport,
            follow_redirects=False,
            headers={"Accept": "application/json", "User-Agent": f"bergen-loop/{__version__}"},
            timeout=httpx2.Timeout(
                connect=self._timeouts.connect,
                read=self._timeouts.read,
                write=self._timeouts.write,
                pool=self._timeouts.pool,
            ),
        )

    def __repr__(self) -> str:
        return f"Transport(brand={self.brand!r}, base={self._base!r})"

    def close(self) -> None:
        self._http.close()

    def invalid(self, request_call: str, return_id: str | None, exc: ValueError) -> OutsideError:
        """A request that was refused here, before sending."""
        return InvalidRequest(
            str(exc), system=SYSTEM, brand=self.brand, call=request_call, subject=return_id
        )

    def call(self, request: LoopRequest, read: Callable[[Answer], T]) -> T:
        """Send, with retries where they are safe, and read the answer. OutsideError otherwise."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda exc: _may_repeat(request, exc)),
            stop=self._enough,
            wait=self._pause,
            sleep=self._sleep,
            reraise=True,
        )
        for attempt in retrying:
            with attempt:
                number = attempt.retry_state.attempt_number
                return self._attempt(request, read, number)
        raise AssertionError("tenacity neither returned nor raised")

    def _enough(self, state: tenacity.RetryCallState) -> bool:
        limited = isinstance(_failure(state), RateLimited)
        most = self._retries.rate_limited if limited else self._retries.reads
        return state.attempt_number >= most

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Seconds before the next attempt. After a 429 all who use the key pause with us, also
        when this call gives up."""
        error = _failure(state)
        limited = isinstance(error, RateLimited)
        asked = error.retry_after if isinstance(error, OutsideError) else None
        if asked is not None:
            pause = min(asked, self._retries.longest)
        else:
            first = self._retries.rate_limit_initial if limited else self._retries.initial
            pause = tenacity.wait_exponential_jitter(
                multiplier=first, max=self._retries.longest, jitter=1.0
            )(state)
        if limited:
            self._limiter.penalize(pause)
        return pause

    def _attempt(self, request: LoopRequest, read: Callable[[Answer], T], number: int) -> T:
        where = Where(self.brand, request.call, request.return_id, request.changes)
        waited = self._wait_for_turn(request, where)
        started_at, start = self._now(), self._monotonic()
        outcome, status = "crashed", None
        try:
            answer = self._exchange(request, where)
            status = answer.status
            result = read(answer)
            outcome = "ok"
            return result
        except OutsideError as exc:
            outcome, status = type(exc).__name__, exc.status
            raise
        finally:
            seconds = self._monotonic() - start
            self._record(
                CallRecord(
                    brand=self.brand,
                    call=request.call,
                    return_id=request.return_id,
                    started_at=started_at,
                    seconds=seconds,
                    outcome=outcome,
                    status=status,
                    attempt=number,
                    waited=waited,
                )
            )

    def _wait_for_turn(self, request: LoopRequest, where: Where) -> float:
        """Actions go before reads: they are what a customer waits for."""
        try:
            return self._limiter.acquire(
                timeout=self._timeouts.turn, priority=0 if request.changes else 1
            )
        except LimiterTimeout as exc:
            raise RateLimited(
                f"{exc} under the key's limit of calls per minute; the call was not sent",
                system=SYSTEM,
                brand=where.brand,
                call=where.call,
                subject=where.return_id,
            ) from exc

    def _exchange(self, request: LoopRequest, where: Where) -> Answer:
        try:
            with self._http.stream(
                request.method,
                self._base + request.target,
                json=request.body,
                headers={"X-Authorization": self._api_key},
            ) as response:
                content, complete = self._read_body(response)
        except (httpx2.RequestError, httpx2.StreamError) as exc:
            raise self._broken(where, exc) from exc
        answer = Answer(
            where=where,
            status=response.status_code,
            text=self._scrub(content.decode("utf-8-sig", errors="replace")),
            content_type=response.headers.get("content-type", ""),
        )
        try:
            check_status(answer)
        except OutsideError as error:
            error.retry_after = retry_after(response.headers.get("retry-after"), self._now())
            raise
        if not complete:
            raise answer.error(Unreadable, f"the answer is larger than {MAX_BODY} bytes")
        return answer

    def _read_body(self, response: httpx2.Response) -> tuple[bytes, bool]:
        """The body and whether it is whole. One that is too large is cut: it is not read."""
        deadline = self._monotonic() + self._timeouts.total
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > MAX_BODY:
                return bytes(content[:_KEPT_OF_TOO_LARGE]), False
            if self._monotonic() > deadline:
                raise httpx2.ReadTimeout(f"not complete after {self._timeouts.total:g} seconds")
        return bytes(content), True

    def _broken(self, where: Where, exc: Exception) -> OutsideError:
        reason = self._scrub(f"{type(exc).__name__}: {exc}").rstrip(": ")
        if isinstance(exc, _NOT_SENT):
            kind, message = Unavailable, f"Loop could not be reached ({reason})"
        elif not where.changes:
            kind, message = Unavailable, f"no complete answer ({reason})"
        elif isinstance(exc, httpx2.DecodingError):
            kind, message = Unreadable, f"the answer cannot be decoded ({reason})"
        else:
            kind, message = OutcomeUnknown, f"no answer ({reason}); it may have taken effect"
        return kind(
            message, system=SYSTEM, brand=where.brand, call=where.call, subject=where.return_id
        )

    def _scrub(self, text: str) -> str:
        return text.replace(self._api_key, "[API key]")

    def _record(self, record: CallRecord) -> None:
        """A journal that fails must not make a call that succeeded look failed."""
        if self._on_call is None:
            return
        try:
            self._on_call(record)
        except Exception:
            _log.exception("loop.on_call_failed", brand=record.brand, call=record.call)


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


def _failure(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _may_repeat(request: LoopRequest, exc: BaseException) -> bool:
    if isinstance(exc, RateLimited):
        return exc.status == 429
    return isinstance(exc, Unavailable) and not request.changes


def _check_key(brand: str, api_key: str) -> None:
    """Also keeps a key out of the messages of HTTP libraries, which quote a bad header."""
    if not api_key or not re.fullmatch(r"[\x21-\x7e]+", api_key):
        raise ValueError(
            f"the Loop API key of brand {brand} is empty or contains blanks or special characters"
        )


def _base(brand: str, base_url: str, version: str) -> str:
    if not _VERSION.fullmatch(version):
        raise ValueError(
            f"the Loop version of brand {brand} is {version!r}; pin one as YYYY-MM, such as 2026-10"
        )
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL as exc:
        raise ValueError(f"the Loop base URL of brand {brand} is not a URL") from exc
    if url.scheme not in ("https", "http") or not url.host or url.query or url.fragment:
        raise ValueError(f"the Loop base URL of brand {brand} must be like https://host/api")
    if url.userinfo:
        raise ValueError(f"the Loop base URL of brand {brand} must not contain a user or password")
    if url.scheme == "http" and url.host.endswith("loopreturns.com"):
        raise ValueError(f"the Loop base URL of brand {brand} must be https: the key goes with it")
    return f"{base_url.rstrip('/')}/{version}"
