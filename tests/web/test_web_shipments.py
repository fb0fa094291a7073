"""Consolidated shipments and claims in the console, the API and the command line."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from web_support import NOW, Desk, add_return

from bergen_loop.domain.returns import ReturnLine, Stage
from bergen_loop.domain.shipment import ShipmentItem, ShipmentStage, ShipmentUnit
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.tables.shipments import ClaimRow, ShipmentRmaRow
from support.brands import changed


@pytest.fixture
def shipped(desk: Desk) -> Desk:
    """A shipment of two bags, one of which has not come; its return is known."""
    brands = desk.registry.settings.brands
    brands["acme"] = changed(brands["acme"], loop={"happy_returns": True})
    add_return(desk.ledger, "acme", "77", stage=Stage.COMPLETE)
    units = [
        ShipmentUnit(
            ShipmentItem(return_id, (f"HRBAG{return_id}",), "BOX1", sku="TEE"),
            ReturnLine(f"{return_id}:1", sku="TEE", title="=1+1"),
            "1",
        )
        for return_id in ("77", "78")
    ]
    with desk.ledger.write() as session:
        row = store.learn(session, NOW, "acme", store.Heard("HRS1", "12", "webhook"))
        assert row is not None
        store.add_units(session, NOW, row, units)
        row.stage, row.judged_at, row.arrived_at = ShipmentStage.DONE, NOW, NOW
        row.expected, row.counted, row.missing, row.bags = 2, 1, 1, 2
        bag = store.bags_of(session, row.id)[0]
        bag.missing_since = NOW
        session.add(
            ShipmentRmaRow(
                brand="acme", shipment_pk=row.id, box="BOX1", part=1, customer_po="HR-HRS1-BOX1",
                ticket_id="WHRTN9", unit_keys=[u.key for u in units], left_out=[], items=[],
                tracking_numbers=[], created_at=NOW, ticket_status="AddedToInventory",
            )
        )  # fmt: skip
        session.add(
            ClaimRow(
                brand="acme", shipment_pk=row.id, key="missing:tee:hrbag77", kind="missing",
                state="open", bags=["HRBAG77"], return_id="77", order_name="#1001", sku="TEE",
                title="=1+1", units=1, value="10.00", currency="USD", opened_at=NOW,
            )
        )  # fmt: skip
    return desk


def test_a_shipment_is_shown_bag_by_bag_with_each_bags_return(shipped: Desk) -> None:
    browser = shipped.signed_in(Role.READ_ONLY)
    assert "HRS1" in browser.text("/shipments")
    shown = browser.text("/shipments/acme/HRS1?bag=HRBAG77")
    for words in ("2 units", "WHRTN9", "HRBAG77", "nothing has come", "1 × TEE missing"):
        assert words in shown
    assert 'href="/returns/acme/77"' in browser.get("/shipments/acme/HRS1").text
    assert "78 not known here" in shown
    assert browser.get("/shipments/zebra/HRS1").status_code == 404
    assert "HRS1" not in shipped.signed_in(brands=["zebra"]).text("/shipments")
    assert shipped.signed_in(brands=["zebra"]).get("/shipments/acme/HRS1").status_code == 404


def test_a_bags_barcode_is_found_by_search(shipped: Desk) -> None:
    browser = shipped.signed_in()
    found = browser.get("/returns?q=hrbag77 ").text
    assert 'href="/shipments/acme/HRS1?bag=HRBAG77"' in found
    assert "HRBAG77" not in shipped.signed_in(brands=["zebra"]).text("/returns?q=none")
    foreign = shipped.signed_in(brands=["zebra"]).get("/returns?q=hrbag77").text
    assert "/shipments/acme" not in foreign


def test_claims_are_listed_saved_and_closed_with_a_reason(shipped: Desk) -> None:
    browser = shipped.signed_in(Role.OPERATOR, name="mara")
    assert "10.00 USD" in browser.text("/claims")
    answer = browser.get("/claims.csv")
    [row] = csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff")))
    assert (row["shipment"], row["bags"], row["product"]) == ("HRS1", "HRBAG77", "'=1+1")
    assert browser.post("/claims/1/close", {"why": ""}).status_code == 409
    assert browser.post("/claims/1/close", {"why": "carrier pays"}).status_code == 303
    assert browser.post("/claims/1/close", {"why": "again"}).status_code == 409
    assert "No claims here" in browser.text("/claims")
    assert "carrier pays" in browser.text("/claims?state=all")
    assert shipped.signed_in(Role.READ_ONLY).post("/claims/1/close").status_code == 403
    zebra = shipped.signed_in(Role.OPERATOR, brands=["zebra"])
    assert zebra.post("/claims/1/close", {"why": "x"}).status_code == 404


def test_a_shipment_whose_webhook_was_lost_is_entered(shipped: Desk) -> None:
    browser = shipped.signed_in()
    form = {"brand": "acme", "shipment": " HRS 2 "}
    answer = browser.post("/shipments", form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/shipments/acme/HRS%202")
    assert shipped.nudged == ["acme"]
    assert browser.post("/shipments", form).status_code == 303, "one that is known is read again"
    for bad in ("", "a/b", "x" * 101):
        assert browser.post("/shipments", {"brand": "acme", "shipment": bad}).status_code == 409
    assert browser.post("/shipments", {"brand": "zebra", "shipment": "1"}).status_code == 409
    assert browser.post("/shipments", {"brand": "nobody", "shipment": "1"}).status_code == 404


def test_programs_see_shipments_and_claims_of_their_brands(shipped: Desk) -> None:
    client = shipped.token(Role.READ_ONLY)
    listed: Any = client.get("/api/v1/shipments?brand=acme").json()
    assert [(s["happy_id"], s["missing"]) for s in listed["shipments"]] == [("HRS1", 1)]
    one: Any = client.get("/api/v1/shipments/acme/HRS1").json()
    assert [(b["barcodes"], b["return_ids"], b["missing"]) for b in one["contents"]] == [
        (["HRBAG77"], ["77"], True),
        (["HRBAG78"], ["78"], False),
    ]
    claims: Any = client.get("/api/v1/claims?state=open&kind=missing").json()["claims"]
    assert [(c["shipment"], c["value"], c["bags"]) for c in claims] == [
        ("HRS1", "10.00", ["HRBAG77"])
    ]
    assert datetime.fromisoformat(claims[0]["opened_at"]) == NOW.replace(tzinfo=UTC)
    foreign = shipped.token(Role.READ_ONLY, ["zebra"])
    assert foreign.get("/api/v1/claims").json()["claims"] == []
    assert foreign.get("/api/v1/shipments/acme/HRS1").status_code == 404
