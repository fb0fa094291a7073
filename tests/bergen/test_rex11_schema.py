"""Every request we can build fits the service's schema, and so do its recorded answers, the known
quirks aside: a request that does not is refused by a fault before the service looks at it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rex11_schema import faults, recorded
from rex11_support import PRODUCT, RMA, call

from bergen_loop.domain.rma import Product, RmaItem, RmaRequest, Supplier, TicketStatus
from bergen_loop.outside.errors import InvalidRequest
from bergen_loop.outside.warehouse.rex11 import requests
from bergen_loop.outside.warehouse.rex11.config import SHIPMENT_TYPES, WAREHOUSES
from bergen_loop.outside.warehouse.rex11.requests import check_products, check_rma

TEXT = st.text(st.characters(codec=None), max_size=20)
MAYBE = st.none() | TEXT
MONEY = st.none() | st.decimals()
DAYS = st.dates()
ITEMS = st.builds(
    RmaItem,
    sku=MAYBE,
    upc=MAYBE,
    expected=st.integers(-1, 2**33),
    description=MAYBE,
    style=MAYBE,
    color=MAYBE,
    size=MAYBE,
    unit_cost=MONEY,
    msrp=MONEY,
    reason_code=MAYBE,
    comments=MAYBE,
)
SUPPLIERS = st.builds(Supplier, *[MAYBE] * 11)
RMAS = st.builds(
    RmaRequest,
    customer_po=TEXT,
    warehouse=st.sampled_from(WAREHOUSES),
    items=st.lists(ITEMS, max_size=4).map(tuple),
    created_on=DAYS,
    expected_on=st.none() | DAYS,
    authorized_number=MAYBE,
    memo=MAYBE,
    carrier=MAYBE,
    tracking_numbers=st.lists(TEXT, max_size=3).map(tuple),
    supplier=st.none() | SUPPLIERS,
)
PRODUCTS = st.builds(Product, TEXT, *[MAYBE] * 5, MONEY, *[MAYBE] * 3)


@given(rma=RMAS, shipment_type=st.sampled_from(SHIPMENT_TYPES))
def test_every_ticket_that_is_sent_fits_the_schema(rma: RmaRequest, shipment_type: str) -> None:
    try:
        check_rma(rma, call("ReceivingTicketAdd", changes=True))
    except InvalidRequest:
        # Most drawn ones are refused somewhere: what is right of it must still be sent.
        good = [i for i in rma.items if not _refused(replace(RMA, items=(i,)))]
        rma = replace(rma, customer_po="LR-1", items=tuple(good), supplier=RMA.supplier)
        if not good:
            return
        check_rma(rma, call("ReceivingTicketAdd", changes=True))
    assert faults(requests.receiving_ticket_add("T", rma, shipment_type)) == []


def _refused(rma: RmaRequest) -> bool:
    try:
        check_rma(rma, call("ReceivingTicketAdd", changes=True))
    except InvalidRequest:
        return True
    return False


@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "unit_cost": st.none() | st.decimals(0, 10**9),
            "msrp": st.none() | st.decimals(0, 10**9),
            "color": st.none() | st.sampled_from(["Red", " Red ", "", "AU 4/US 0", "<&>"]),
            "comments": MAYBE,
            "description": MAYBE,
            "expected": st.integers(1, 2**31 - 1),
        },
    )
)
def test_every_item_that_is_sent_has_its_required_values(fields: dict[str, object]) -> None:
    rma = replace(RMA, items=(replace(RMA.items[1], **fields),))
    check_rma(rma, call("ReceivingTicketAdd", changes=True))
    assert faults(requests.receiving_ticket_add("T", rma)) == []


@given(st.lists(PRODUCTS, max_size=3))
def test_every_product_that_is_sent_fits_the_schema(products: list[Product]) -> None:
    whole = replace(PRODUCT, description=products[0].description or "x") if products else PRODUCT
    fine = [whole] if not _lacking(whole) else []
    fine += [p for p in products if not _lacking(p)]
    assert faults(requests.style_master_product_add("T", fine)) == []


def _lacking(product: Product) -> bool:
    try:
        check_products([product], call("StyleMasterProductAdd", changes=True))
    except InvalidRequest:
        return True
    return False


@given(texts=st.lists(TEXT, min_size=3, max_size=3), number=st.integers(-(2**31), 2**31 - 1))
def test_every_other_request_fits_the_schema(texts: list[str], number: int) -> None:
    a, b, c = texts
    days = date(2026, 3, 8), date(2026, 3, 9)
    for built in (
        requests.authentication_token_get(a, b, c),
        requests.get_style_master_product_add_status(a, b),
        requests.get_receiving_ticket_add_status(a, b),
        requests.get_receiving_tickets_by_po(a, b),
        requests.get_receiving_statuses_by_date(a, b, c),
        requests.get_receiving_statuses_by_date_configurable(a, b, c, number),
        *(
            requests.get_receiving_tickets_by_status_and_create_date(a, status, *days)
            for status in TicketStatus
        ),
        requests.get_receiving_ticket_object_by_ticket_no(a, b),
        requests.get_inventory_by_upcs(a, texts),
    ):
        assert faults(built) == []


def test_the_schema_refuses_what_the_service_would() -> None:
    """The judge judges: an unknown warehouse, a missing value, another order."""
    newer = requests.receiving_ticket_add("T", replace(RMA, warehouse="BERGEN LOGISTICS CA"))
    assert any("BERGEN LOGISTICS CA" in fault for fault in faults(newer))
    good = requests.receiving_ticket_add("T", RMA).decode()
    cost = good.index("<UnitCost"), good.index("</UnitCost>") + len("</UnitCost>")
    assert any("UnitCost" in f for f in faults((good[: cost[0]] + good[cost[1] :]).encode()))
    swapped = good.replace("Memo>", "Carrier>")
    assert faults(swapped.encode())


@pytest.mark.parametrize(
    "name",
    ["ticket_add_taken", "product_add_taken", "product_is_there", "product_pending",
     "ticket_add_refused", "ticket_unknown"],
)  # fmt: skip
def test_recorded_answers_fit_the_schema(name: str) -> None:
    assert faults(recorded(name)) == []


def test_recorded_answers_with_quirks_fit_it_without_them() -> None:
    # Some elements of a ticket stand in the wrong namespace.
    ticket = recorded("ticket_added").decode()
    assert faults(ticket.encode())
    right = ticket.replace(
        "<Memo>", '<Memo xmlns="http://rex11.com/swpublicapi/ReceivingTicket.xsd">'
    )
    assert faults(right.encode()) == []
    # A blank is missing between two declarations.
    refused = recorded("product_add_refused").decode()
    assert faults(refused.replace('"xmlns', '" xmlns').encode()) == []
