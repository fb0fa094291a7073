"""The embedded warehouse and the floor's countings, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bergen_loop.domain.rma import (
    ProductImport,
    RmaItem,
    RmaRequest,
    TicketStatus,
    WarehouseProduct,
)
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.ledger.tables.floor import FloorCountRow, FloorTicketRow
from bergen_loop.outside.errors import NotFound, Unreadable
from bergen_loop.outside.warehouse.floor.backend import FloorBackend, FloorRefused
from bergen_loop.outside.warehouse.floor.embedded import EmbeddedFloor
from bergen_loop.outside.warehouse.floor.warehouse import EmbeddedWarehouse
from loop_sandbox.floor import SandboxFloor
from support.worlds import World

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SHIRT, SOCK = "012345678905", "4006381333931"


def request_for(po: str = "LR-1", tracking: str = "9400111899223817304215") -> RmaRequest:
    return RmaRequest(
        customer_po=po,
        warehouse="BERGEN LOGISTICS NJ",
        items=(
            RmaItem("SHIRT-M", SHIRT, 2, "Shirt, M"),
            RmaItem("SOCK", SOCK, 1, "Sock"),
        ),
        created_on=date(2026, 11, 24),
        memo="Loop return 1, order #1001",
        tracking_numbers=(tracking,),
    )


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def warehouse(ledger: Ledger, clock: Clock) -> EmbeddedWarehouse:
    return EmbeddedWarehouse("acme", ledger, now=clock)


@pytest.fixture
def floor(ledger: Ledger, clock: Clock) -> EmbeddedFloor:
    return EmbeddedFloor(ledger, ["acme"], now=clock)


def counting(ticket: str, key: str = "0123456789abcdef", **changes: Any) -> dict[str, Any]:
    lines = [
        {"upc": SHIRT, "sku": None, "counted": 1, "damaged": 1, "reasons": ["Torn"]},
        {"upc": SOCK, "sku": "SOCK", "counted": 1, "damaged": 0, "reasons": []},
    ]
    return {
        "key": key, "brand": "acme", "ticket": ticket, "finish": True, "lines": lines, "photos": [],
    } | changes  # fmt: skip


def test_a_po_has_one_ticket_however_often_it_is_asked_for(
    warehouse: EmbeddedWarehouse, ledger: Ledger
) -> None:
    made = warehouse.create_rma(request_for())
    assert warehouse.create_rma(request_for()) == made
    assert warehouse.find_rmas("LR-1") == [made]
    assert warehouse.find_rmas("LR-2") == []
    with ledger.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(FloorTicketRow)) == 1


def test_it_knows_every_product(warehouse: EmbeddedWarehouse) -> None:
    assert warehouse.products(["1", "2"]) == {
        "1": WarehouseProduct("1"),
        "2": WarehouseProduct("2"),
    }
    assert warehouse.product_import("1") is ProductImport.KNOWN


def test_a_counting_becomes_a_receipt(
    warehouse: EmbeddedWarehouse, floor: EmbeddedFloor, clock: Clock, ledger: Ledger
) -> None:
    ticket = warehouse.create_rma(request_for())
    assert [c.status for c in warehouse.changed_tickets(NOW, NOW)] == [TicketStatus.DRAFT]
    clock.now = NOW + timedelta(hours=1)
    assert floor.count(counting(ticket), "Ann")["repeated"] is False
    (change,) = warehouse.changed_tickets(NOW + timedelta(minutes=30), clock.now)
    assert (change.ticket_id, change.status) == (ticket, TicketStatus.ADDED_TO_INVENTORY)
    receipt = warehouse.receipt(ticket)
    assert receipt.customer_po == "LR-1"
    assert receipt.added_to_inventory_at == clock.now
    assert [(x.sku, x.expected, x.actual, x.damaged, x.comments) for x in receipt.lines] == [
        ("SHIRT-M", 2, 1, 1, "Torn"),
        ("SOCK", 1, 1, 0, None),
    ]
    assert warehouse.close_rma(ticket, None, None).closed
    with ledger.read() as session:
        assert session.scalars(sa.select(FloorCountRow)).one().who == "Ann"
        assert session.get_one(BrandRow, "acme").nudged_at == clock.now, "judged soon"


def test_counting_twice_with_one_key_counts_once(
    warehouse: EmbeddedWarehouse, floor: EmbeddedFloor
) -> None:
    ticket = warehouse.create_rma(request_for())
    first = floor.count(counting(ticket), "Ann")
    again = floor.count(counting(ticket), "Ann")
    assert (first["repeated"], again["repeated"]) == (False, True)
    assert first["ticket"] == again["ticket"]


def test_the_same_counting_at_the_same_moment_counts_once(
    warehouse: EmbeddedWarehouse, floor: EmbeddedFloor
) -> None:
    ticket = warehouse.create_rma(request_for())
    start, results = threading.Barrier(6), list[dict[str, Any]]()

    def send() -> None:
        start.wait()
        results.append(floor.count(counting(ticket, finish=False), "Ann"))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r["repeated"] for r in results) == [False] + [True] * 5
    assert [x.actual for x in warehouse.receipt(ticket).lines] == [1, 1]


def test_two_countings_of_a_ticket_add_up(
    warehouse: EmbeddedWarehouse, floor: EmbeddedFloor
) -> None:
    ticket = warehouse.create_rma(request_for())
    floor.count(counting(ticket, finish=False), "Ann")
    assert warehouse.receipt(ticket).status is TicketStatus.COUNTING_IN_PROGRESS
    assert not warehouse.close_rma(ticket, None, None).closed
    line = {"upc": SHIRT.removeprefix("0"), "counted": 1, "damaged": 0, "reasons": []}
    floor.count(counting(ticket, "fedcba9876543210", lines=[line]), "Bob")
    assert [(x.actual, x.damaged) for x in warehouse.receipt(ticket).lines] == [(2, 1), (1, 0)]


def test_an_item_that_is_not_on_the_ticket_is_a_line_of_its_own(
    warehouse: EmbeddedWarehouse, floor: EmbeddedFloor
) -> None:
    ticket = warehouse.create_rma(request_for())
    floor.count(counting(ticket, lines=[{"upc": "777", "counted": 1}]), "Ann")
    line = warehouse.receipt(ticket).lines[-1]
    assert (line.upc, line.expected, line.actual, line.comments) == ("777", 0, 1, "not on the RMA")


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        (lambda t: {"ticket": "FLR9999999"}, 404, "there is no RMA FLR9999999 here"),
        (lambda t: {"brand": "other"}, 404, "there is no RMA"),
        (lambda t: {"key": "short"}, 422, "not right at key"),
        (lambda t: {"lines": [{"upc": "1", "counted": -1}]}, 422, "lines.0.counted"),
        (lambda t: {"lines": [{"upc": "1", "counted": 1.5}]}, 422, "lines.0.counted"),
        (lambda t: {"lines": [{"upc": "1", "counted": "2"}]}, 422, "lines.0.counted"),
        (lambda t: {"lines": [{"counted": 1}]}, 422, "neither UPC nor SKU"),
        (lambda t: {"photos": [{"code": "1", "data": "data:text/html;base64,A"}]}, 422, "photos"),
        (lambda t: {"photos": [{"code": "1", "data": "data:image/png;base64,A"}]}, 422, "broken"),
    ],
)  # fmt: skip
def test_a_counting_that_is_not_right_changes_nothing(
    warehouse: EmbeddedWarehouse,
    floor: EmbeddedFloor,
    changes: Callable[[str], dict[str, Any]],
    status: int,
    words: str,
) -> None:
    ticket = warehouse.create_rma(request_for())
    with pytest.raises(FloorRefused, match=words) as caught:
        floor.count(counting(ticket) | changes(ticket), "Ann")
    assert caught.value.status == status
    receipt = warehouse.receipt(ticket)
    assert receipt.status is TicketStatus.DRAFT
    assert [x.actual for x in receipt.lines] == [0, 0]


def test_a_finished_ticket_takes_no_more(
    warehouse: EmbeddedWarehouse, floor: EmbeddedFloor
) -> None:
    ticket = warehouse.create_rma(request_for())
    floor.count(counting(ticket), "Ann")
    with pytest.raises(FloorRefused, match="cannot be counted any more") as caught:
        floor.count(counting(ticket, "another-key-0000"), "Ann")
    assert caught.value.status == 409
    assert [x.actual for x in warehouse.receipt(ticket).lines] == [1, 1]


def test_a_ticket_nobody_waits_for_any_more_is_closed(
    warehouse: EmbeddedWarehouse, floor: EmbeddedFloor
) -> None:
    ticket = warehouse.create_rma(request_for())
    closed = warehouse.close_rma(ticket, TicketStatus.DRAFT, NOW)
    assert closed.closed
    assert "not awaited" in closed.evidence
    assert warehouse.close_rma(ticket, TicketStatus.CANCELLED, NOW).closed
    with pytest.raises(FloorRefused, match="Cancelled"):
        floor.count(counting(ticket), "Ann")


def test_a_ticket_of_another_brand_is_not_there(ledger: Ledger, clock: Clock) -> None:
    ticket = EmbeddedWarehouse("acme", ledger, now=clock).create_rma(request_for())
    other = EmbeddedWarehouse("other", ledger, now=clock)
    with pytest.raises(NotFound):
        other.receipt(ticket)
    assert not other.close_rma(ticket, None, None).closed
    own = EmbeddedWarehouse("acme", ledger, now=clock)
    assert own.receipt(ticket, " lr-1 ").ticket_id == ticket
    with pytest.raises(Unreadable, match="of PO LR-1, not LR-2"):
        own.receipt(ticket, "LR-2")
    assert EmbeddedFloor(ledger, ["other"], now=clock).find("LR-1") == []


@pytest.mark.parametrize(
    "code",
    [
        "FLR0000001",
        "flr0000001",
        "lr-1",
        "9400 1118 9922 3817 3042 15",
        "420100019400111899223817304215",
        SHIRT,
        SHIRT.removeprefix("0"),
        "sock",
    ],
)
def test_whatever_is_on_the_label_finds_the_ticket(
    warehouse: EmbeddedWarehouse, floor: EmbeddedFloor, code: str
) -> None:
    warehouse.create_rma(request_for())
    assert [t["po"] for t in floor.find(code)] == ["LR-1"]


def test_a_product_finds_open_tickets_only_and_nothing_finds_nothing(
    warehouse: EmbeddedWarehouse, floor: EmbeddedFloor
) -> None:
    ticket = warehouse.create_rma(request_for())
    warehouse.create_rma(request_for("LR-2", "1Z999"))
    floor.count(counting(ticket), "Ann")
    assert [t["po"] for t in floor.find(SHIRT)] == ["LR-2"]
    assert [t["finished"] for t in floor.find("LR-1")] == [True]
    assert floor.find("nothing") == floor.find("  ") == []


def test_both_back_ends_are_what_the_page_needs(world: World, sqlite_ledger: Ledger) -> None:
    embedded: FloorBackend = EmbeddedFloor(sqlite_ledger, [])
    sandbox: FloorBackend = SandboxFloor(world.sandbox)
    assert isinstance(embedded, FloorBackend)
    assert isinstance(sandbox, FloorBackend)
