"""Consolidated shipments of Happy Returns, as Loop answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_api import answer, loop

from bergen_loop.domain.shipment import ShipmentItem
from bergen_loop.outside.errors import InvalidRequest, NotFound, Scope, Unauthorized, Unreadable
from bergen_loop.outside.loop.shipments import ShipmentHead

HEAD = {
    "loop_shipment_id": 12,
    "happy_returns_shipment_id": "hr-9",
    "line_item_count": 3,
    "return_count": 2,
    "created_at": "2026-11-10T08:00:00.000Z",
    "updated_at": "2026-11-10 09:00:00",
}


def raw_item(number: int = 1, **changes: Any) -> dict[str, Any]:
    """As the contract names its fields."""
    raw: dict[str, Any] = {
        "carrier": "UPS",
        "happy_returns_return_bag_barcodes": [f"HRBAG{number}"],
        "happy_returns_rma_id": f"HR{number}",
        "happy_returns_shipment_id": "hr-9",
        "item_title": "Tee",
        "order_name": "#1001",
        "po_number": None,
        "return_id": number,
        "shipment_id": 12,
        "shipping_box_barcode": "HRBOX1",
        "sku": "TEE-RED-M",
        "tracking_number": "1Z9",
        "variant_title": "M / Red",
    }
    return raw | changes


def page(number: int, last: int, *items: Any, total: int | None = None) -> dict[str, Any]:
    here = "https://api.loopreturns.com/api/2026-10/happy-returns/shipments/12/items"
    return {
        "current_page": number,
        "data": list(items),
        "next_page_url": f"{here}?page={number + 1}" if number < last else None,
        "last_page": last,
        "per_page": 200,
        "total": len(items) if total is None else total,
    }


def test_a_shipment_and_its_items_are_read_page_by_page() -> None:
    fake = loop(
        answer(HEAD),
        answer(page(1, 2, raw_item(1), raw_item(2), total=3)),
        answer(page(2, 2, raw_item(3, sku=None, shipping_box_barcode=""), total=3)),
    )
    client = fake.client()
    head = client.shipment("hr-9")
    found = client.shipment_items(head.loop_id)
    assert (head.loop_id, head.line_item_count, head.return_count) == ("12", 3, 2)
    assert (
        head.created_at is not None and head.created_at.isoformat() == "2026-11-10T08:00:00+00:00"
    )
    assert fake.paths == [
        "GET /happy-returns/shipments/hr-9",
        "GET /happy-returns/shipments/12/items?page=1",
        "GET /happy-returns/shipments/12/items?page=2",
    ]
    assert (found.pages, found.bad, found.incomplete) == (2, (), None)
    assert found.items[0] == ShipmentItem(
        return_id="1", bags=("HRBAG1",), box="HRBOX1", sku="TEE-RED-M", title="Tee",
        variant_title="M / Red", order_name="#1001", rma_id="HR1", carrier="UPS",
        tracking_number="1Z9",
    )  # fmt: skip
    assert (found.items[2].sku, found.items[2].box) == (None, None)


def test_pages_that_do_not_end_or_do_not_add_up_are_said_to_be_incomplete() -> None:
    circle = page(2, 3, raw_item(2), total=9) | {"next_page_url": "https://x/items?page=1"}
    fake = loop(answer(page(1, 3, raw_item(1), total=9)), answer(circle))
    assert fake.client().shipment_items("12").incomplete == "after page 2 comes page 1"
    fewer = loop(answer(page(1, 1, raw_item(1), total=4)))
    assert fewer.client().shipment_items("12").incomplete == (
        "Loop counts 4 items, its pages hold 1"
    )
    wrong = loop(answer(page(7, 9, raw_item(1))))
    with pytest.raises(Unreadable, match="page 1 was asked for, page 7 came"):
        wrong.client().shipment_items("12")


def test_what_cannot_be_read_or_is_not_there_is_its_own_error() -> None:
    gone = loop(answer({"error": {"message": "No shipment found with this ID."}}))
    with pytest.raises(NotFound):
        gone.client().shipment("hr-9")
    with pytest.raises(NotFound):
        loop(answer({"message": "x"}, 404)).client().shipment("hr-9")
    denied = {"error": {"code": "401", "http_code": "GEN-UNAUTHORIZED", "message": "Unauthorized."}}
    with pytest.raises(Unauthorized) as refused:
        loop(answer(denied, 401)).client().shipment_items("12")
    assert refused.value.scope is Scope.ACCESS
    with pytest.raises(Unreadable, match="about shipment hr-8"):
        loop(answer(HEAD | {"happy_returns_shipment_id": "hr-8"})).client().shipment("hr-9")
    with pytest.raises(Unreadable, match="no loop_shipment_id"):
        loop(answer({"happy_returns_shipment_id": "hr-9"})).client().shipment("hr-9")
    with pytest.raises(Unreadable, match="has no data"):
        loop(answer({"current_page": 1})).client().shipment_items("12")
    with pytest.raises(InvalidRequest, match="shipment id"):
        loop(answer(HEAD)).client().shipment("a/b")


_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@given(st.sampled_from(sorted(raw_item())), _JUNK)
def test_one_spoiled_field_spoils_at_most_its_own_item(field: str, junk: Any) -> None:
    fake = loop(answer(page(1, 1, raw_item(1), raw_item(2, **{field: junk}))))
    found = fake.client().shipment_items("12")
    assert len(found.items) + len(found.bad) == 2
    assert found.items[0].return_id == "1"
    assert found.incomplete is None


@given(st.sampled_from(sorted(HEAD)), _JUNK)
def test_a_spoiled_field_of_the_shipment_is_unknown_or_a_typed_error(field: str, junk: Any) -> None:
    try:
        head = loop(answer(HEAD | {field: junk})).client().shipment("hr-9")
    except Unreadable:
        return
    assert isinstance(head, ShipmentHead)
    assert head.happy_id == "hr-9"
