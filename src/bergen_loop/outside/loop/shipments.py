"""Consolidated shipments of Happy Returns, as Loop shows them: requests and answers. Pure.

`GET /happy-returns/shipments/{happy_returns_shipment_id}` and
`GET /happy-returns/shipments/{loop_shipment_id}/items`; there is no list of shipments. Scope:
Happy Returns Shipments (read).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bergen_loop.domain.shipment import ShipmentItem
from bergen_loop.outside.errors import NotFound, Unreadable
from bergen_loop.outside.loop.json_values import as_array, as_object, as_text, brief
from bergen_loop.outside.loop.models import parse_time
from bergen_loop.outside.loop.requests import LoopRequest, path_segment
from bergen_loop.outside.loop.responses import Answer, json_object

MOST_PAGES = 500
"""Of one shipment: at 200 items a page, more than any truck takes."""
_PAGE = re.compile(r"[?&]page=(\d{1,9})(?:&|$)")


@dataclass(frozen=True, slots=True)
class ShipmentHead:
    """What Loop says of a shipment as a whole."""

    loop_id: str
    happy_id: str
    line_item_count: int | None
    return_count: int | None
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class BadItem:
    """An item that could not be understood, as it came."""

    raw: Any
    problem: str


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """One page of a shipment's items."""

    items: tuple[ShipmentItem, ...]
    bad: tuple[BadItem, ...]
    number: int
    next: int | None
    total: int | None


@dataclass(frozen=True, slots=True)
class ShipmentItems:
    """All items of a shipment. `incomplete`: in words, why there may be more."""

    items: tuple[ShipmentItem, ...]
    bad: tuple[BadItem, ...] = ()
    pages: int = 0
    incomplete: str | None = None


def head_request(happy_id: str) -> LoopRequest:
    path = f"/happy-returns/shipments/{path_segment('shipment id', happy_id)}"
    return LoopRequest("shipment", "GET", path)


def items_request(loop_id: str, page: int) -> LoopRequest:
    path = f"/happy-returns/shipments/{path_segment('shipment id', loop_id)}/items"
    return LoopRequest("shipment_items", "GET", path, (("page", str(page)),))


def read_head(answer: Answer, happy_id: str) -> ShipmentHead:
    """The shipment asked for; by Happy Returns' id, which the answer has to repeat, in whatever
    case."""
    fields = _data(json_object(answer, "a shipment"))
    loop_id, own = (
        as_text(fields.get("loop_shipment_id")),
        as_text(fields.get("happy_returns_shipment_id")),
    )
    if own is not None and own.casefold() != happy_id.casefold():
        raise answer.error(Unreadable, f"the answer is about shipment {own}")
    if loop_id is None:
        if not fields:
            raise answer.error(NotFound, "there is no such shipment")
        raise answer.error(Unreadable, "the shipment has no loop_shipment_id: its items cannot be "
                           "asked for")  # fmt: skip
    return ShipmentHead(
        loop_id,
        own or happy_id,
        _count(fields.get("line_item_count")),
        _count(fields.get("return_count")),
        _time(fields.get("created_at")),
        _time(fields.get("updated_at")),
    )


def read_items(answer: Answer, page: int) -> ItemsPage:
    """One page. An item that cannot be understood spoils only itself."""
    fields = json_object(answer, "a page of items")
    data = as_array(fields.get("data"))
    if data is None:
        raise answer.error(Unreadable, "the page of items has no data")
    number = _count(fields.get("current_page"))
    if number is not None and number != page:
        raise answer.error(Unreadable, f"page {page} was asked for, page {number} came")
    parsed = [_item(x) for x in data]
    return ItemsPage(
        tuple(x for x in parsed if isinstance(x, ShipmentItem)),
        tuple(x for x in parsed if isinstance(x, BadItem)),
        page,
        _next(fields, page, bool(data)),
        _count(fields.get("total")),
    )


def walk(page_of: Callable[[int], ItemsPage]) -> ShipmentItems:
    """Every page of a shipment, once each."""
    items: list[ShipmentItem] = []
    bad: list[BadItem] = []
    number, pages, total = 1, 0, None
    incomplete: str | None = None
    while True:
        page = page_of(number)
        pages += 1
        items += page.items
        bad += page.bad
        total = page.total if page.total is not None else total
        if page.next is None:
            break
        if page.next <= number or pages >= MOST_PAGES:
            incomplete = f"after page {number} comes page {page.next}"
            break
        number = page.next
    if incomplete is None and total is not None and total != len(items) + len(bad):
        incomplete = f"Loop counts {total} items, its pages hold {len(items) + len(bad)}"
    return ShipmentItems(tuple(items), tuple(bad), pages, incomplete)


def _next(fields: dict[str, Any], page: int, some: bool) -> int | None:
    """By `next_page_url`, and `last_page` where that is not there."""
    url = as_text(fields.get("next_page_url"))
    if url is not None:
        named = _PAGE.search(url)
        return int(named[1]) if named else page + 1
    last = _count(fields.get("last_page"))
    if "next_page_url" not in fields and last is not None and page < last and some:
        return page + 1
    return None


def _item(raw: object) -> ShipmentItem | BadItem:
    fields = as_object(raw)
    if fields is None:
        return BadItem(raw, f"the item is {brief(raw)}, not an object")
    bags = as_array(fields.get("happy_returns_return_bag_barcodes"))
    single = as_text(fields.get("happy_returns_return_bag_barcodes"))
    codes = [as_text(b) for b in bags or []] if single is None else [single]
    item = ShipmentItem(
        return_id=as_text(fields.get("return_id")),
        bags=tuple(dict.fromkeys(b for b in codes if b)),
        box=as_text(fields.get("shipping_box_barcode")),
        sku=as_text(fields.get("sku")),
        title=as_text(fields.get("item_title")),
        variant_title=as_text(fields.get("variant_title")),
        order_name=as_text(fields.get("order_name")),
        rma_id=as_text(fields.get("happy_returns_rma_id")),
        carrier=as_text(fields.get("carrier")),
        tracking_number=as_text(fields.get("tracking_number")),
        po_number=as_text(fields.get("po_number")),
    )
    if not (item.sku or item.title):
        return BadItem(raw, "the item has neither a SKU nor a title")
    return item


def _data(fields: dict[str, Any]) -> dict[str, Any]:
    return as_object(fields.get("data")) or fields


def _count(value: object) -> int | None:
    text = as_text(value)
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


def _time(value: object) -> datetime | None:
    try:
        return parse_time(value)
    except ValueError:
        return None
