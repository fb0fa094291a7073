"""The warehouse port over REX11, and the ways to close an RMA."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from rex11_schema import recorded
from rex11_support import ADDED, PRODUCT, RMA, SAVED, Rex11, answer, config, fault, notifications

from bergen_loop.domain.rma import (
    CloseEvidence,
    ProductImport,
    TicketChange,
    TicketStatus,
    WarehouseProduct,
)
from bergen_loop.outside.errors import (
    NotFound,
    OutcomeUnknown,
    OutsideError,
    Refused,
    Unauthorized,
    Unavailable,
)
from bergen_loop.outside.http import Around, Retries
from bergen_loop.outside.warehouse.port import WarehousePort
from bergen_loop.outside.warehouse.rex11 import ConfirmFinished, FileDrop, HttpCall, Rex11Warehouse
from support.wires import answering

SEEN = datetime(2026, 6, 1, 14, tzinfo=UTC)
NOW = datetime(2026, 6, 2, 9, 30, tzinfo=UTC)


def warehouse(rex: Rex11, **changes: object) -> Rex11Warehouse:
    return Rex11Warehouse("acme", config(**changes), around=Around(transport=answering(rex)))


INVENTORY, IMPORT = "GetInventoryByUPCs", "GetStyleMasterProductAddStatus"


def inventory(*lines: dict[str, str]) -> bytes:
    items = "".join(
        f"<item>{''.join(f'<{k}>{v}</{k}>' for k, v in line.items())}</item>" for line in lines
    )
    return answer(INVENTORY, f"<Inventory>{items}</Inventory>")


def test_products_in_batches_and_in_the_callers_spelling() -> None:
    rex = Rex11(
        GetInventoryByUPCs=[
            inventory({"Upc": "abc-1"}, {"Upc": "28615"}, {"Upc": "never asked for"}),
            inventory({"Upc": "777", "Color": "red"}),
        ]
    )
    found = warehouse(rex, inventory_batch=3).products(
        ["ABC-1", "28615", "28615", " ", "9", " 777 ", "8.85E+11", "A\x0bB"]
    )
    assert found == {
        "ABC-1": WarehouseProduct("abc-1"),
        "28615": WarehouseProduct("28615"),
        " 777 ": WarehouseProduct("777", color="red"),
    }
    sent = [r.content.count(b"<string>") for r in rex.requests[1:]]
    assert sent == [3, 1], "blanks, rewritten numbers and control characters are not asked for"


def test_what_the_warehouse_calls_a_product_comes_from_all_of_its_lines() -> None:
    line = {"Upc": "850000000017", "Sku": "np-1", "Style": "4471", "Color": "moss", "Size": "m",
            "Description": "dress", "Price": "89.5", "ActualQuantity": "3"}  # fmt: skip
    rex = Rex11(
        GetInventoryByUPCs=inventory(
            {**line, "Warehouse": "BERGEN LOGISTICS NJ"},
            {**line, "Color": "MOSS", "Sku": "", "Price": "free", "ActualQuantity": "4"},
            {**line, "Size": "medium", "ActualQuantity": "0"},
        )
    )
    assert warehouse(rex).products(["850000000017"]) == {
        "850000000017": WarehouseProduct(
            "850000000017", "np-1", "4471", "moss", None, "dress", None, 7
        )
    }


@pytest.mark.parametrize(
    ("shop", "rex11"),
    [
        ("0885909950805", "885909950805"),
        ("885909950805", "0885909950805"),
        ("12345678905", "012345678905"),
        ("00885909950805", "885909950805"),
    ],
)
def test_leading_zeros_of_a_gtin_do_not_count(shop: str, rex11: str) -> None:
    def only_its_own(request: httpx2.Request) -> httpx2.Response:
        known = f"<string>{rex11}</string>".encode() in request.content
        body = inventory({"Upc": rex11, "Style": "a"}) if known else inventory()
        return httpx2.Response(200, content=body)

    rex = Rex11(GetInventoryByUPCs=only_its_own)
    assert warehouse(rex).products([shop]) == {shop: WarehouseProduct(rex11, style="a")}
    assert rex.operations().count(INVENTORY) == 1


def test_of_two_spellings_the_one_asked_for_counts() -> None:
    lines = {"Upc": "0885909950805", "Color": "red"}, {"Upc": "885909950805", "Color": "blue"}
    rex = Rex11(GetInventoryByUPCs=inventory(*lines))
    found = warehouse(rex).products(["885909950805", "0885909950805"])
    assert [p.color for p in found.values()] == ["blue", "red"]


def test_a_refused_inventory_is_asked_for_in_the_shops_spelling_then_proves_nothing() -> None:
    no = answer(INVENTORY, notifications((5, "UpcCodeError", "no such UPC")))
    rex = Rex11(GetInventoryByUPCs=[no, no, inventory({"Upc": "885909950805"})])
    assert warehouse(rex).products(["885909950805"])
    assert rex.requests[-1].content.count(b"<string>") == 1
    rex = Rex11(GetInventoryByUPCs=no)
    assert warehouse(rex).products(["885909950805"]) == {}


def test_an_import_that_failed_because_the_product_is_there_is_known() -> None:
    there = inventory({"Upc": "28615"})
    for stock, state in ((there, ProductImport.KNOWN), (inventory(), ProductImport.FAILED)):
        rex = Rex11(**{IMPORT: recorded("product_is_there"), INVENTORY: stock})
        assert warehouse(rex).product_import("28615") is state
    rex = Rex11(**{IMPORT: recorded("product_pending")})
    assert warehouse(rex).product_import("28615") is ProductImport.PENDING


def test_an_unknown_gtin_is_asked_for_with_other_zeros() -> None:
    no = answer(IMPORT, notifications((5, "UpcCodeError", "no such UPC")))
    rex = Rex11(**{IMPORT: [no, answer(IMPORT, SAVED)]})
    assert warehouse(rex).product_import("0885909950805") is ProductImport.KNOWN
    assert b"<UPC>885909950805</UPC>" in rex.requests[-1].content
    rex = Rex11(**{IMPORT: no})
    assert warehouse(rex).product_import("28615") is ProductImport.UNKNOWN
    assert rex.operations().count(IMPORT) == 1


def test_nothing_is_asked_for_nothing() -> None:
    rex = Rex11()
    assert warehouse(rex).products([]) == {}
    warehouse(rex).add_products([])
    assert not rex.requests


def test_the_port_from_announcement_to_receipt() -> None:
    change = (
        "<ReceivingTicketStatus><ReceivingTicketShipmentStatus><TicketId>WHRTN1</TicketId>"
        "<TicketStatus>AddedToInventory</TicketStatus></ReceivingTicketShipmentStatus>"
        "</ReceivingTicketStatus>"
    )
    rex = Rex11(
        StyleMasterProductAdd=answer("StyleMasterProductAdd", SAVED),
        GetStyleMasterProductAddStatus=answer("GetStyleMasterProductAddStatus", SAVED),
        ReceivingTicketAdd=ADDED,
        GetReceivingTicketsByPO=answer(
            "GetReceivingTicketsByPO",
            "<ReceivingTicketsByPO><string>WHRTN1</string></ReceivingTicketsByPO>",
        ),
        GetReceivingStatusesByDate=answer("GetReceivingStatusesByDate", change),
        GetReceivingTicketObjectByTicketNo=answer(
            "GetReceivingTicketObjectByTicketNo",
            "<ReceivingTicketByTicketNo><ReceivingTicket><ReceivingStatus>AddedToInventory"
            "</ReceivingStatus></ReceivingTicket></ReceivingTicketByTicketNo>",
        ),
    )
    port: WarehousePort = warehouse(rex)
    port.add_products([PRODUCT])
    assert port.product_import("28615") is ProductImport.KNOWN
    assert port.create_rma(RMA) == "WHRTN1044588"
    assert port.find_rmas(RMA.customer_po) == ["WHRTN1"]
    changed = TicketChange("WHRTN1", TicketStatus.ADDED_TO_INVENTORY, "AddedToInventory")
    assert port.changed_tickets(SEEN, NOW) == [changed]
    assert port.receipt("WHRTN1").status is TicketStatus.ADDED_TO_INVENTORY
    assert port.close_rma("WHRTN1", changed.status, SEEN).closed


def test_a_configured_date_type_calls_the_configurable_operation() -> None:
    op = "GetReceivingStatusesByDateConfigurable"
    rex = Rex11(**{op: answer(op, "")})
    assert warehouse(rex, statuses_date_type=2).changed_tickets(SEEN, NOW) == []
    assert b"<dateType>2</dateType>" in rex.requests[-1].content


@pytest.mark.parametrize("status", TicketStatus)
def test_confirm_finished(status: TicketStatus) -> None:
    rex = Rex11()
    evidence = warehouse(rex).close_rma("WHRTN1", status, SEEN)
    finished = status in (TicketStatus.ADDED_TO_INVENTORY, TicketStatus.CANCELLED)
    sentence = f"REX11 showed ticket WHRTN1 as {status.value} at 2026-06-01 14:00:00 UTC"
    rest = "" if finished else ": the warehouse has not finished it"
    assert evidence == CloseEvidence(finished, sentence + rest, SEEN)
    assert not rex.requests


def test_confirm_finished_without_an_observation() -> None:
    assert ConfirmFinished().close("acme", "WHRTN1", None, SEEN) == CloseEvidence(
        False, "No status of ticket WHRTN1 is known yet", None
    )


def test_file_drop_writes_once(tmp_path: Path) -> None:
    drop = FileDrop(tmp_path, clock=lambda: NOW)
    first = drop.close("acme", "WHRTN1", None, None)
    assert first == CloseEvidence(True, "Close file acme_WHRTN1.json dropped", NOW)
    (file,) = tmp_path.iterdir()
    assert file.name == "acme_WHRTN1.json"
    assert json.loads(file.read_text()) == {
        "ticket": "WHRTN1",
        "brand": "acme",
        "time": "2026-06-02T09:30:00+00:00",
    }
    file.write_text("taken in hand")
    again = drop.close("acme", "WHRTN1", None, None)
    assert again == CloseEvidence(True, "Close file acme_WHRTN1.json was there already", NOW)
    assert file.read_text() == "taken in hand"


def test_file_drop_stays_in_its_folder_and_keeps_names_apart(tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    drop = FileDrop(folder)
    for brand, ticket in (("../x", "/etc/y"), ("a_b", "c"), ("a", "b_c")):
        assert drop.close(brand, ticket, None, None).closed
    assert sorted(p.name for p in folder.iterdir()) == [
        "..%2Fx_%2Fetc%2Fy.json", "a%5Fb_c.json", "a_b%5Fc.json",
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == [folder]


def test_file_drop_that_fails_is_not_closed(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"acme_WHRTN1\.json was not written"):
        FileDrop(tmp_path / "missing").close("acme", "WHRTN1", None, None)


def test_file_drop_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        FileDrop(tmp_path).close("acme", "WHRTN1", None, None)
    assert list(tmp_path.iterdir()) == []


def http_call(reply: Callable[[httpx2.Request], httpx2.Response], method: str = "post") -> HttpCall:
    return HttpCall(
        "https://close.test/{brand}/rma/{ticket}/close?by={brand}",
        method,
        {"Authorization": "Bearer KEY-12345"},
        around=Around(transport=answering(reply), now=lambda: NOW),
    )


def test_http_call_closes_through_the_port() -> None:
    sent: list[httpx2.Request] = []

    def reply(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(204)

    port = Rex11Warehouse("ac/me", config(), close_strategy=http_call(reply))
    assert not port.close_rma("W{brand}/1?", TicketStatus.DRAFT, SEEN).closed
    assert not sent, "its parcel may be under way"
    assert port.close_rma("W{brand}/1?", TicketStatus.ADDED_TO_INVENTORY, SEEN) == CloseEvidence(
        True, "The close endpoint answered 204 for ticket W{brand}/1?", NOW
    )
    (request,) = sent
    assert request.method == "POST"
    assert str(request.url) == "https://close.test/ac%2Fme/rma/W%7Bbrand%7D%2F1%3F/close?by=ac%2Fme"
    assert request.headers["Authorization"] == "Bearer KEY-12345"
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.content) == {
        "ticket": "W{brand}/1?",
        "brand": "ac/me",
        "time": "2026-06-02T09:30:00+00:00",
    }


def test_http_delete_has_no_body() -> None:
    sent: list[httpx2.Request] = []

    def reply(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(200)

    assert http_call(reply, "delete").close("acme", "W1", None, None).closed
    assert sent[0].method == "DELETE"
    assert sent[0].content == b""


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (401, Unauthorized),
        (404, NotFound),
        (422, Refused),
        (302, OutcomeUnknown),
        (408, OutcomeUnknown),
        (500, OutcomeUnknown),
        (httpx2.ReadTimeout("slow"), OutcomeUnknown),
        (httpx2.ConnectError("refused"), Unavailable),
    ],
)
def test_http_call_that_fails_is_not_closed(
    trouble: int | Exception, kind: type[OutsideError]
) -> None:
    def reply(_: httpx2.Request) -> httpx2.Response:
        if isinstance(trouble, Exception):
            raise trouble
        return httpx2.Response(trouble, text="key KEY-12345 refused")

    with pytest.raises(kind) as caught:
        http_call(reply).close("acme", "WHRTN1", None, None)
    assert type(caught.value) is kind
    assert "KEY-12345" not in f"{caught.value} {caught.value.raw}"


@pytest.mark.parametrize(
    ("url", "method", "words"),
    [
        ("https://{brand}.test/", "POST", "after the host"),
        ("https://close.test/{return}", "POST", "only {ticket} and {brand}"),
        ("http://close.test/{ticket}", "POST", "plain http"),
        ("https://close.test/{ticket}", "GET", "none of POST"),
    ],
)
def test_http_call_refuses_a_wrong_setting(url: str, method: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        HttpCall(url, method)


@pytest.mark.parametrize("bad", ["10004", "10001", ""])
def test_a_code_that_brings_about_a_fault_hides_no_other(bad: str) -> None:
    """One did: nothing was announced for the whole brand. A fault for every code is the
    service's, and is raised after a few calls."""
    upcs = [str(10000 + n) for n in range(8)]

    def reply(request: httpx2.Request) -> httpx2.Response:
        body = request.content.decode()
        if bad in body:
            return httpx2.Response(500, content=fault("Server was unable to process request."))
        asked = [u for u in upcs if u in body]
        return httpx2.Response(200, content=inventory(*({"Upc": u, "Style": "a"} for u in asked)))

    rex = Rex11(GetInventoryByUPCs=reply)
    asked = warehouse(rex, retries=Retries(attempts=1))
    if bad:
        assert set(asked.products(upcs)) == set(upcs) - {bad}
    else:
        with pytest.raises(Unavailable):
            asked.products(upcs)
        assert rex.operations().count(INVENTORY) == 4
