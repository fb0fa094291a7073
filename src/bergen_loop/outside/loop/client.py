"""The Loop client: every operation the integration uses, for one brand's account."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bergen_loop.outside.errors import InvalidRequest, OutsideError
from bergen_loop.outside.http import (
    NO_ANSWER,
    Around,
    Connection,
    Limits,
    Request,
    Retries,
    Timeouts,
    limiter_for,
)
from bergen_loop.outside.loop import requests, responses, shipments
from bergen_loop.outside.loop.models import AsnRow, Listed, Note, ParsedReturn, Subscription
from bergen_loop.outside.loop.requests import (
    MAX_PAGE_SIZE,
    TIME_FORMAT,
    AssessItem,
    CurrencyType,
    GradeItem,
    ListFilter,
    Listing,
    LoopRequest,
    WebhookSettings,
    WebhookStatus,
    day_windows,
    time_windows,
)
from bergen_loop.outside.loop.shipments import ItemsPage, ShipmentHead, ShipmentItems

T = TypeVar("T")

MAX_BODY = 50 * 1024 * 1024
"""Bytes of an answer that are read before giving up."""
_VERSION = re.compile(r"\d{4}-\d{2}|v1", re.ASCII)

_FIRST_TRUST = 2
_SLOW = (408, 500, 502, 503, 504)
_MOST_STALE = 20
"""Pages in a row without a return that the one before has not: then a walk is given up."""

ALL_STATES_PASSES: tuple[str | None, ...] = (None, "cancelled", "review")
"""`state` of the passes that together list all five: none asks for open, closed, expired."""


@dataclass(frozen=True, slots=True)
class ReturnsPage:
    """One page of the list. `since` and `until` are the window it belongs to, `number` counts
    the window's pages from 1."""

    listed: tuple[Listed, ...]
    since: datetime
    until: datetime
    state: str | None
    number: int
    incomplete: str | None = None
    """On a window's last page: why the walk ended although there may be more (a repeated
    cursor ...). Do not move a watermark past such a window without saying so to someone."""

    @property
    def returns(self) -> tuple[ParsedReturn, ...]:
        """Every one of them, read."""
        return tuple(x.read for x in self.listed)


class PageSize:
    """How many returns Loop manages in one page: fewer after pages that it does not answer in
    time, more again while they work. Thread-safe; a client has one for all its walks, so that a
    later walk does not begin with what failed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._most: int | None = None
        """None: as many as are asked for."""
        self._worked = 0
        self._trust = _FIRST_TRUST
        """Pages that must work before larger ones are tried: more after each failure."""

    def size(self, wanted: int) -> int:
        with self._lock:
            return min(wanted, self._most or wanted)

    def failed(self, size: int) -> None:
        with self._lock:
            self._most = max(1, size // 4)
            self._worked, self._trust = 0, min(16, 2 * self._trust)

    def worked(self) -> None:
        with self._lock:
            if self._most is None:
                return
            self._worked += 1
            if self._worked >= self._trust:
                self._worked, self._most = 0, self._most * 2
                if self._most >= MAX_PAGE_SIZE:
                    self._most, self._trust = None, _FIRST_TRUST


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How an account is called."""

    base_url: str = "https://api.loopreturns.com/api"
    version: str = "2026-10"
    time_format: str = TIME_FORMAT
    """How the list's range is written: strftime, in UTC."""
    max_pages: int = 2000
    """Bounds one window's walk, in pages of the size asked for."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=lambda: Retries(attempts=4))


class LoopClient:
    """A brand's Loop account. Safe to use from many threads.

    Every method raises a OutsideError. Arguments that Loop would refuse are a InvalidRequest
    without a status, before anything is sent.
    """

    def __init__(
        self,
        brand: str,
        api_key: str,
        config: LoopConfig | None = None,
        around: Around | None = None,
    ) -> None:
        """`around`: its limiter is by default the process's one for this key. ValueError for a bad
        key, version or URL."""
        config, around = config or LoopConfig(), around or Around()
        self.brand = brand
        self.version = config.version
        self._config = config
        self._pages = PageSize()
        _check_key(brand, api_key)
        self._base = _base(brand, config.base_url, config.version)
        self._connection = Connection(
            responses.SYSTEM,
            Limits(MAX_BODY, True, config.timeouts, config.retries),
            replace(around, limiter=around.limiter or limiter_for(api_key)),
            headers={"X-Authorization": api_key, "Accept": "application/json"},
            secrets=(api_key,),
        )

    def __repr__(self) -> str:
        return f"LoopClient(brand={self.brand!r}, version={self.version!r})"

    def list_returns(
        self,
        since: datetime,
        until: datetime,
        *,
        filter: ListFilter = "updated_at",
        state: str | None = None,
        page_size: int = MAX_PAGE_SIZE,
    ) -> Iterator[ReturnsPage]:
        """The returns of the range, page by page, oldest window first. A return may come more
        than once. Without `state`: open, closed and expired ones only."""
        windows = self._valid("list_returns", None, lambda: time_windows(since, until))
        listing = Listing(filter, state, page_size, self._config.time_format)
        self._valid("list_returns", None, lambda: requests.list_returns(windows[0], listing))
        return (page for window in windows for page in self._walk(window, listing))

    def walk_returns(
        self,
        since: datetime,
        until: datetime,
        *,
        filter: ListFilter = "updated_at",
        page_size: int = MAX_PAGE_SIZE,
    ) -> Iterator[ReturnsPage]:
        """The returns of all five states, in three passes. One that changes its state between
        the passes may be missed; it is in the next walk if ranges by updated_at overlap."""
        passes = [
            self.list_returns(since, until, filter=filter, state=state, page_size=page_size)
            for state in ALL_STATES_PASSES
        ]
        return (page for pages in passes for page in pages)

    def _walk(self, window: tuple[datetime, datetime], listing: Listing) -> Iterator[ReturnsPage]:
        cursor: str | None = None
        seen: set[str] = set()
        before: set[object] = set()
        number, walked, stale = 0, 0.0, 0
        while True:
            size = self._pages.size(listing.page_size)
            try:
                page = self._call(
                    requests.list_returns(window, replace(listing, page_size=size), cursor),
                    responses.read_list if size > 1 else responses.read_single,
                    attempts=2 if size > 1 else None,
                )
            except OutsideError as error:
                if size == 1 or not _too_large(error):
                    raise
                self._pages.failed(size)
                continue
            self._pages.worked()
            number, walked = number + 1, walked + size / listing.page_size
            cursor, incomplete = responses.next_cursor(page, seen, size)
            names = {x.name for x in page.returns}
            stale = stale + 1 if names <= before else 0
            before = names or before
            if cursor is not None and walked >= self._config.max_pages:
                cursor, incomplete = None, f"there are more than {number} pages"
            elif cursor is not None and stale >= _MOST_STALE:
                cursor, incomplete = None, f"{stale} pages in a row bring nothing new"
            yield ReturnsPage(page.returns, *window, listing.state, number, incomplete)
            if cursor is None:
                return
            seen.add(cursor)

    def details(
        self,
        return_id: str | None = None,
        *,
        order_id: str | None = None,
        order_name: str | None = None,
        currency_type: CurrencyType | None = None,
        once: bool = False,
    ) -> ParsedReturn:
        """One return, by exactly one of the three. NotFound if there is none. `once`: a person
        waits for it, so it is not tried again."""
        request = self._valid(
            "details",
            return_id,
            lambda: requests.details(
                return_id, order_id=order_id, order_name=order_name, currency_type=currency_type
            ),
        )
        return self._call(request, responses.read_details, attempts=1 if once else None)

    def asn_report(self, from_: date, to: date) -> list[AsnRow]:
        """The Advanced Shipping Notice of the days `from_` to `to`, however many. Whether Loop
        counts the last day in is not documented: ask for a day more than needed. Of a row that
        two windows both give, the later stays."""
        windows = self._valid("asn_report", None, lambda: day_windows(from_, to))
        rows: list[AsnRow] = []
        for window in windows:
            new = self._call(requests.asn_report(*window), responses.read_asn)
            again = {_row_key(x) for x in new} - {None}
            rows = [x for x in rows if _row_key(x) not in again]
            rows.extend(new)
        return rows

    def notes(self, return_id: str) -> list[Note]:
        request = self._valid("notes", return_id, lambda: requests.action("notes", return_id))
        return self._call(request, responses.read_notes)

    def shipment(self, happy_id: str) -> ShipmentHead:
        """A consolidated shipment by Happy Returns' id. NotFound if there is none; Unauthorized
        where the key lacks the scope Happy Returns Shipments."""
        request = self._valid("shipment", happy_id, lambda: shipments.head_request(happy_id))
        return self._call(request, lambda answer: shipments.read_head(answer, happy_id))

    def shipment_items(self, loop_id: str) -> ShipmentItems:
        """What a shipment holds, by Loop's own id of it, page by page. An item that cannot be
        understood is among the `bad`, and the rest is read."""

        def page_of(number: int) -> ItemsPage:
            request = self._valid(
                "shipment_items", loop_id, lambda: shipments.items_request(loop_id, number)
            )
            return self._call(request, lambda answer: shipments.read_items(answer, number))

        return shipments.walk(page_of)

    # Actions. None is repeated on its own, except after a 429.

    def process(self, return_id: str) -> None:
        """Queue the return's outcomes (refund, exchange ...). IRREVERSIBLE. Returning means
        queued; it is done only when Loop shows the return closed."""
        self._act("process", return_id)

    def flag(self, return_id: str) -> None:
        """Send the return to review. Say why with `add_note`."""
        self._act("flag", return_id)

    def remove_lines(self, return_id: str, line_item_ids: Sequence[str]) -> None:
        """Remove these lines and PROCESS the rest. IRREVERSIBLE."""
        request = self._valid(
            "remove_lines", return_id, lambda: requests.remove_lines(return_id, line_item_ids)
        )
        self._call(request, responses.read_done)

    def close(self, return_id: str) -> None:
        """Close the return without its outcomes. IRREVERSIBLE."""
        self._act("close", return_id)

    def cancel(self, return_id: str) -> None:
        """Cancel the return; the customer may return again. IRREVERSIBLE."""
        self._act("cancel", return_id)

    def add_note(self, return_id: str, content: str) -> None:
        """Put a note of 1 to 254 characters on the return."""
        request = self._valid("add_note", return_id, lambda: requests.add_note(return_id, content))
        self._call(request, responses.read_accepted)

    def grade(self, items: Sequence[GradeItem]) -> list[Any]:
        """Record conditions, 30 items a call; returns Loop's answers. The error of a later call
        says how many items the calls before it have recorded."""
        batches = self._valid("grade", None, lambda: requests.grade(items, self.version))
        return self._send_batches(batches)

    def assess(self, items: Sequence[AssessItem]) -> list[Any]:
        """Record what becomes of units, 30 a call; returns and errors as with `grade`."""
        batches = self._valid("assess", None, lambda: requests.assess(items))
        return self._send_batches(batches)

    # Webhooks

    def webhooks(self) -> list[Subscription]:
        return self._call(requests.webhooks(), responses.read_subscriptions)

    def create_webhook(
        self, topic: str, trigger: str, url: str, status: WebhookStatus = "active"
    ) -> Subscription | None:
        """None where Loop accepts it without showing it."""
        settings = WebhookSettings(topic, trigger, url, status)
        request = self._valid("create_webhook", None, lambda: requests.create_webhook(settings))
        return self._call(request, responses.read_subscription)

    def update_webhook(
        self, webhook_id: str, topic: str, trigger: str, url: str, status: WebhookStatus = "active"
    ) -> Subscription | None:
        """None where Loop accepts it without showing it."""
        settings = WebhookSettings(topic, trigger, url, status)
        request = self._valid(
            "update_webhook", None, lambda: requests.update_webhook(webhook_id, settings)
        )
        return self._call(request, responses.read_subscription)

    def delete_webhook(self, webhook_id: str) -> None:
        request = self._valid("delete_webhook", None, lambda: requests.delete_webhook(webhook_id))
        self._call(request, responses.read_removed)

    def _act(self, call: str, return_id: str) -> None:
        request = self._valid(call, return_id, lambda: requests.action(call, return_id))
        self._call(request, responses.read_done)

    def _valid(self, call: str, return_id: str | None, build: Callable[[], T]) -> T:
        try:
            return build()
        except ValueError as exc:
            raise InvalidRequest(
                str(exc), system=responses.SYSTEM, brand=self.brand, call=call, subject=return_id
            ) from exc

    def _call(
        self,
        request: LoopRequest,
        read: Callable[[responses.Answer], T],
        *,
        attempts: int | None = None,
    ) -> T:
        where = responses.Where(self.brand, request.call, request.return_id, request.changes)
        content, headers = None, dict[str, str]()
        if request.body is not None:
            content = json.dumps(request.body, ensure_ascii=False, allow_nan=False).encode()
            headers = {"Content-Type": "application/json"}
        return self._connection.call(
            Request(
                brand=self.brand,
                call=request.call,
                subject=request.return_id,
                method=request.method,
                url=self._base + request.target,
                headers=headers,
                content=content,
                changes=request.changes,
                attempts=attempts,
            ),
            lambda came: read(
                responses.check_status(
                    responses.Answer(
                        where,
                        came.status,
                        came.body.decode("utf-8-sig", errors="replace"),
                        came.headers.get("content-type", ""),
                    )
                )
            ),
        )

    def _send_batches(self, batches: list[LoopRequest]) -> list[Any]:
        answers: list[Any] = []
        for number, request in enumerate(batches, start=1):
            try:
                answers.append(self._call(request, responses.read_accepted))
            except OutsideError as error:
                if number > 1:
                    done = (number - 1) * requests.MAX_BATCH
                    error.message += f" (the first {done} items were accepted before)"
                raise
        return answers


def _too_large(error: OutsideError) -> bool:
    """Whether a smaller page may fare better: no answer in time, a gateway's, or one that is
    unreadable as a whole."""
    return error.status in _SLOW or NO_ANSWER in error.codes or responses.NO_JSON in error.codes


def _row_key(row: AsnRow) -> tuple[str, str] | None:
    if row.return_id is None or row.line_item_id is None:
        return None
    return row.return_id, row.line_item_id


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
    where = f"the Loop base URL of brand {brand}"
    try:
        url = urlsplit(base_url)
        host, _ = url.hostname, url.port
    except ValueError as exc:
        raise ValueError(f"{where} is not a URL") from exc
    plain = base_url.isascii() and base_url.isprintable() and " " not in base_url
    if url.scheme not in ("https", "http") or not host or url.query or url.fragment or not plain:
        raise ValueError(f"{where} must be like https://host/api")
    if url.username is not None or url.password is not None:
        raise ValueError(f"{where} must not contain a user or password")
    if url.scheme == "http" and host.endswith("loopreturns.com"):
        raise ValueError(f"{where} must be https: the key goes with it")
    return f"{base_url.rstrip('/')}/{version}"
