from __future__ import annotations

from typing import Any

import pytest
from sandbox_support import Box, text


def ticket(box: Box, po: str = "PO-1", quantity: str = "2") -> str:
    items = box.item(0, ExpectedQuantity=quantity) + box.item(1, ExpectedQuantity="1")
    return text(box.add(po, items), "ReceivingTicketId")


def counted(row: Any) -> list[tuple[int, str, str]]:
    return [(x["expected"], x["actual"], x["damaged"]) for x in row["items"]]


def receive(box: Box, kind: str, **more: Any) -> Any:
    return box.control("parcels", {"ticket": ticket(box), "kind": kind, **more})


def test_complete(box: Box) -> None:
    row = receive(box, "complete")
    assert (row["status"], counted(row)) == ("AddedToInventory", [(2, "2", "0"), (1, "1", "0")])


def test_short(box: Box) -> None:
    row = receive(box, "short")
    assert sum(int(x["actual"]) for x in row["items"]) == 2
    assert len(row["items"]) == 2


@pytest.mark.parametrize("included", [True, False])
def test_damaged(included: bool) -> None:
    box = Box(returns=0, actual_includes_damaged=included)
    row = receive(box, "damaged")
    assert sum(int(x["damaged"]) for x in row["items"]) == 1
    assert sum(int(x["actual"]) for x in row["items"]) == (3 if included else 2)


def test_extra_is_a_unit_more_or_an_item_not_on_the_ticket(box: Box) -> None:
    shapes: set[int] = set()
    for n in range(12):
        row = box.control("parcels", {"ticket": ticket(box, f"PO-{n}"), "kind": "extra"})
        assert sum(int(x["actual"]) for x in row["items"]) == 4
        shapes.add(len(row["items"]))
        if len(row["items"]) == 3:
            assert row["items"][2]["expected"] == 0
    assert shapes == {2, 3}


def test_wrong_swaps_a_unit_for_another_product(box: Box) -> None:
    row = receive(box, "wrong")
    assert sum(int(x["actual"]) for x in row["items"][:2]) == 2
    assert counted(row)[2] == (0, "1", "0")
    assert row["items"][2]["sku"] not in (x["sku"] for x in row["items"][:2])


def test_garbled_has_a_quantity_that_is_no_number(box: Box) -> None:
    row = receive(box, "garbled")
    assert sum(not x["actual"].isdigit() for x in row["items"]) == 1


def test_never_stays_a_draft_until_it_comes_after_all(box: Box) -> None:
    row = receive(box, "never")
    assert (row["status"], row["parcel"]) == ("Draft", "never")
    assert box.control("parcels", {"ticket": row["id"]})["status"] == "AddedToInventory"


def test_detail_says_exactly_what_was_counted(box: Box) -> None:
    p, q = box.brand.catalogue[0], box.brand.catalogue[5]
    lines = [
        {"sku": p.sku.lower(), "actual": 1, "damaged": 1, "comments": "Stained"},
        {"upc": q.upc, "actual": "3 pcs"},
    ]
    row = receive(box, "complete", detail={"lines": lines})
    assert counted(row) == [(2, "1", "1"), (1, "1", "0"), (0, "3 pcs", "0")]
    assert row["items"][2]["sku"] == q.sku


def test_the_walk_takes_warehouse_seconds() -> None:
    box = Box(returns=0, warehouse_seconds=70.0)
    row = receive(box, "complete")
    seen = [row["status"]]
    assert counted(row) == [(2, "0", "0"), (1, "0", "0")]
    for _ in range(8):
        box.clock.advance(10)
        seen.append(box.control("tickets")["tickets"][0]["status"])
    assert seen == [
        "PendingCSR", "PendingPrinting", "PrintedPendingCount", "CountingInProgress",
        "PendingPutaway", "PutAwayInProgress", "AddedToInventory", "AddedToInventory",
        "AddedToInventory",
    ]  # fmt: skip


def test_cancelling_stops_the_walk() -> None:
    box = Box(returns=0, warehouse_seconds=70.0)
    row = receive(box, "complete")
    assert box.control(f"tickets/{row['id']}/cancel", {})["status"] == "Cancelled"
    box.clock.advance(100)
    assert box.control("tickets?status=Cancelled")["total"] == 1


def test_a_second_parcel_for_the_same_ticket_is_refused(box: Box) -> None:
    row = receive(box, "complete")
    answer = box.http.post("/control/parcels", json={"ticket": row["id"]})
    assert (answer.status_code, answer.json()) == (
        422, {"error": f"ticket {row['id']} is AddedToInventory, not Draft"},
    )  # fmt: skip


def test_by_return(box: Box) -> None:
    return_id = box.open_return()
    ticket_id = ticket(box, f"LOOP-{return_id}-1")
    row = box.control("parcels", {"return": return_id, "kind": "complete"})
    assert (row["id"], row["return_id"]) == (ticket_id, return_id)
    assert box.control("effects")["returns"][return_id]["tickets"] == {
        f"LOOP-{return_id}-1": [ticket_id]
    }


def test_auto_gives_every_return_the_same_parcel_in_every_run() -> None:
    mix = {"complete": 50, "short": 20, "damaged": 20, "never": 10}
    plans: list[dict[str, str]] = []
    for order in (1, -1):
        box = Box(returns=0)
        ids = [box.open_return() for _ in range(30)]
        for return_id in ids[::order]:
            ticket(box, f"LOOP-{return_id}")
        assert box.control("parcels/auto", {"mix": mix, "limit": 12})["received"] == 12
        assert box.control("parcels/auto", {"mix": mix})["received"] == 18
        assert box.control("parcels/auto", {"mix": mix})["received"] == 0
        rows = box.control("tickets")["tickets"]
        plans.append({t["return_id"]: t["parcel"] for t in rows})
    assert plans[0] == plans[1]
    assert set(plans[0].values()) == set(mix)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"mix": {"lost": 1}}, "no parcel kind 'lost'"),
        ({"mix": {"short": -1}}, "weight of short"),
        ({"mix": {"short": 0}}, "at least one weight"),
        ({"limit": -1}, "limit must be"),
        ({"many": 1}, "no field 'many'"),
    ],
)
def test_auto_says_what_is_wrong(box: Box, body: dict[str, Any], error: str) -> None:
    answer = box.http.post("/control/parcels/auto", json=body)
    assert answer.status_code == 422
    assert error in answer.json()["error"]
