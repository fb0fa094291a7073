"""Loop's reads: the detailed list with its cursor, details, and the ASN report."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from loop_sandbox import loop_errors, loop_json
from loop_sandbox.calls import Call
from loop_sandbox.faults import BIG_PAGE, RETURN_RECORD
from loop_sandbox.index import Key
from loop_sandbox.model import CLOSED, EXPIRED, OPEN, STATES, Brand, LoopReturn
from loop_sandbox.records import raw_answer, spoil_return
from loop_sandbox.wire import Answer, WireRequest, json_answer

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

DAY = 86_400
LIMIT = 120 * DAY
MAX_PAGE = 750
PAGE = 100
SHIFT = 2
"""How many returns a shifted page repeats and skips."""


class BadQuery(ValueError):
    """A query that Loop refuses with 422."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class _ListQuery:
    first: int
    last: int
    filter: str
    states: tuple[str, ...]
    paginate: bool
    page_size: int
    cursor: Key | None
    back: bool


def parse_time(text: str) -> int | None:
    """A date or time in the usual ISO forms, without zone as UTC; None when it is none."""
    cleaned = re.sub(r" (\d\d:?\d\d)$", r"+\1", text.strip())
    try:
        moment = datetime.fromisoformat(cleaned)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _window(query: WireRequest, now: int, limit: int) -> tuple[int, int]:
    found: dict[str, int | None] = {"from": None, "to": None}
    for name in found:
        text = query.query.get(name)
        if text:
            found[name] = parse_time(text)
            if found[name] is None:
                raise BadQuery(name, f"The {name} is not a valid date.")
    last = now if found["to"] is None else found["to"]
    first = last - DAY if found["from"] is None else found["from"]
    if last - first > limit:
        raise BadQuery("to", "The date range must not be greater than 120 days.")
    return first, last


def _list_query(world: SandboxWorld, request: WireRequest) -> _ListQuery:
    query = request.query
    limit = LIMIT - 1 if world.settings.refuse_120_days else LIMIT
    first, last = _window(request, world.loop_now(), limit)
    kind = query.get("filter") or "created_at"
    if kind not in ("created_at", "updated_at"):
        raise BadQuery("filter", "The selected filter is invalid.")
    state = query.get("state")
    if state and state not in STATES:
        raise BadQuery("state", "The selected state is invalid.")
    size = query.get("pageSize") or str(PAGE)
    if not size.isdigit() or not 1 <= int(size) <= MAX_PAGE:
        raise BadQuery("pageSize", f"The page size must be between 1 and {MAX_PAGE}.")
    cursor, back = _read_cursor(query.get("cursor"))
    return _ListQuery(
        first=first,
        last=last,
        filter=kind,
        states=(state,) if state else (OPEN, CLOSED, EXPIRED),
        paginate=query.get("paginate", "").lower() in ("true", "1"),
        page_size=int(size),
        cursor=cursor,
        back=back,
    )


def _write_cursor(key: Key, back: bool = False) -> str:
    text = json.dumps({"t": key[0], "id": key[1], "back": back}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(text: str | None) -> tuple[Key | None, bool]:
    if not text:
        return None, False
    try:
        value: Any = json.loads(base64.urlsafe_b64decode(text))
        return (int(value["t"]), str(value["id"])), bool(value["back"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise BadQuery("cursor", "The cursor is invalid.") from None


def returns_list(
    world: SandboxWorld, brand: Brand, request: WireRequest, call: Call, quirk: str | None
) -> Answer:
    """The Detailed Returns List. Without paginate it is a bare array, whatever the cursor says."""
    query = _list_query(world, request)
    if query.paginate:
        keys, more = _page(world, brand, query)
    else:
        keys, more = list(_keys(world, brand, query)), False
    if quirk == "shifting_pages":
        keys = _shifted(world, brand, query, keys)
    if world.faults.waits_for(BIG_PAGE) and _times_out(world, call, len(keys)):
        return loop_errors.page(504)
    rows = [loop_json.return_json(brand, brand.returns[i], world.settings) for _, i in keys]
    spoilt = world.faults.waits_for(RETURN_RECORD)
    if spoilt:
        rows = [spoil_return(world, call, i, row) for row, (_, i) in zip(rows, keys, strict=True)]
    answer = raw_answer if spoilt else json_answer
    if not query.paginate:
        return answer(rows)
    body = {
        "returns": rows,
        "nextPageUrl": _next_url(request, query, keys, more, quirk),
        "previousPageUrl": (
            _url(request, query, _write_cursor(keys[0], back=True)) if query.cursor and keys
            else None
        ),
    }  # fmt: skip
    return answer(body)


def _times_out(world: SandboxWorld, call: Call, size: int) -> bool:
    rule = world.faults.pick(
        BIG_PAGE, system="loop", operation=call.operation, brand=call.brand, subject=None, size=size
    )
    if rule:
        call.fault = f"{call.fault}+{rule.kind}" if call.fault else rule.kind
    return rule is not None


def _keys(world: SandboxWorld, brand: Brand, query: _ListQuery) -> Iterator[Key]:
    """All matching keys after (or, walking back, before) the cursor, in walking order."""
    index = brand.by_created if query.filter == "created_at" else brand.by_updated
    ascending = (world.settings.list_order == "asc") != query.back
    if ascending:
        keys = index.forward(query.first, query.last, query.cursor)
    else:
        keys = index.backward(query.first, query.last, query.cursor or (query.last + 1, ""))
    return _of_states(brand, keys, query.states)


def _of_states(brand: Brand, keys: Iterable[Key], states: tuple[str, ...]) -> Iterator[Key]:
    return (key for key in keys if brand.returns[key[1]].state in states)


def _page(world: SandboxWorld, brand: Brand, query: _ListQuery) -> tuple[list[Key], bool]:
    keys = list(islice(_keys(world, brand, query), query.page_size + 1))
    more = len(keys) > query.page_size or query.back
    keys = keys[: query.page_size]
    return (keys[::-1] if query.back else keys), more


def _shifted(world: SandboxWorld, brand: Brand, query: _ListQuery, keys: list[Key]) -> list[Key]:
    """As when returns change during a walk: some of the page before come again, and some of
    this one are missing although the cursor has passed them."""
    if query.cursor is None or len(keys) <= SHIFT:
        return keys
    index = brand.by_created if query.filter == "created_at" else brand.by_updated
    bound = (query.cursor[0], query.cursor[1] + "\0")
    before = _of_states(brand, index.backward(query.first, query.last, bound), query.states)
    return [*list(islice(before, SHIFT))[::-1], *keys[SHIFT:]]


def _next_url(
    request: WireRequest, query: _ListQuery, keys: list[Key], more: bool, quirk: str | None
) -> str | None:
    if quirk == "repeat_cursor" and keys:
        return _url(request, query, request.query.get("cursor") or _write_cursor(keys[-1]))
    if quirk == "empty_last_page" and not more:
        cursor = _write_cursor(keys[-1]) if keys else request.query.get("cursor")
        return _url(request, query, cursor)
    if not more or not keys:
        return None
    return _url(request, query, None if quirk == "lost_cursor" else _write_cursor(keys[-1]))


def _url(request: WireRequest, query: _ListQuery, cursor: str | None) -> str:
    """The URL without from, state and paginate: that is how Loop hands it out."""
    kept = {"filter": query.filter, "pageSize": str(query.page_size)}
    if cursor:
        kept["cursor"] = cursor
    return f"{request.root}/loop{request.path}?{urlencode(kept)}"


def details(world: SandboxWorld, brand: Brand, request: WireRequest, call: Call) -> Answer:
    """One return by its id, or the latest of an order."""
    query = request.query
    if query.get("currency_type", "shop") not in ("shop", "presentment"):
        return loop_errors.invalid("currency_type", "The selected currency type is invalid.")
    found: LoopReturn | None = None
    if query.get("return_id"):
        found = brand.returns.get(query["return_id"])
        code = "NOT_FOUND"
    elif query.get("order_id") or query.get("order_name"):
        name = query.get("order_name") or ""
        ids = brand.orders.get(query.get("order_id") or name) or brand.orders.get(f"#{name}")
        found = brand.returns[ids[-1]] if ids else None
        code = "ORDER_NOT_FOUND"
    else:
        return loop_errors.invalid("return_id", "One of return_id, order_id, order_name is needed.")
    if found is None:
        return loop_errors.no_return(world.settings.not_found, "error", code)
    body = loop_json.details_json(brand, found, world.settings)
    return raw_answer(spoil_return(world, call, found.id, body))


def asn(world: SandboxWorld, brand: Brand, request: WireRequest, version: str) -> Answer:
    """The ASN report: a bare array of units. A date it cannot read becomes 1970-01-01."""
    now = world.loop_now()
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = _asn_day(request.query.get("from"), today - timedelta(days=7))
    last = _asn_day(request.query.get("to"), today) + DAY - 1
    # The span is measured in days, both ends included up to 120 days apart.
    limit = LIMIT if world.settings.refuse_120_days else LIMIT + DAY
    if version not in ("v1", "2026-07") and last - first >= limit:
        return loop_errors.invalid("to", "The date range must not be greater than 120 days.")
    index = brand.by_created if world.settings.asn_filter == "created_at" else brand.by_updated
    found = [brand.returns[i] for _, i in index.forward(first, last)]
    rows = [loop_json.asn_row(r, x, world.settings) for r in found for x in r.lines]
    status = request.query.get("tracking_status")
    return json_answer([x for x in rows if not status or x["label_status"] == status])


def _asn_day(text: str | None, default: datetime) -> int:
    if not text:
        return int(default.timestamp())
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return 0
    return int(day.timestamp())
