"""Every answer as a whole document, the quirks of real ones, and what is no answer at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rex11_schema import recorded
from rex11_support import (
    ADDED,
    ITEMS_NS,
    PASSWORD,
    SAVED,
    TICKET_NS,
    TOKEN_REFUSED,
    answer,
    call,
    envelope,
    fault,
    notifications,
    raw_token,
)

from bergen_loop.domain.rma import ProductImport, Receipt, ReceiptLine, TicketChange, TicketStatus
from bergen_loop.outside.errors import (
    Effect,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    OutsideError,
    Refused,
    Scope,
    Unauthorized,
    Unavailable,
    Unreadable,
)
from bergen_loop.outside.warehouse.rex11 import responses
from bergen_loop.outside.warehouse.rex11.call import Call
from bergen_loop.outside.warehouse.rex11.responses import Asked, InventoryItem
from bergen_loop.outside.warehouse.rex11.soap import MAX_BYTES

NY = ZoneInfo("America/New_York")
READ_TICKET = "GetReceivingTicketObjectByTicketNo"


def read_ticket(body: bytes, c: Call | None = None, po: str | None = None) -> Receipt:
    asked = Asked("WHRTN915384", po)
    return responses.get_receiving_ticket_object_by_ticket_no(
        body, c or call(READ_TICKET), asked, NY
    )


def ticket(content: str, notes: str = "<Notifications/>") -> bytes:
    return answer(
        READ_TICKET,
        f"{notes}<ReceivingTicketByTicketNo><ReceivingTicket>{content}</ReceivingTicket>"
        "</ReceivingTicketByTicketNo>",
    )


def test_token() -> None:
    c = call("AuthenticationTokenGet")
    assert responses.authentication_token_get(raw_token("\n abc=42 \n"), c) == "abc=42"


@pytest.mark.parametrize(
    "body",
    [
        raw_token(""),
        raw_token("").replace(
            b"<AuthenticationTokenGetResult></AuthenticationTokenGetResult>",
            b"<AuthenticationTokenGetResult/>",
        ),
        envelope('<AuthenticationTokenGetResponse xmlns="http://rex11.com/webmethods/"/>'),
    ],
)
def test_empty_token_means_bad_credentials(body: bytes) -> None:
    with pytest.raises(Unauthorized, match="wrong credentials"):
        responses.authentication_token_get(body, call("AuthenticationTokenGet"))


def test_ticket_added() -> None:
    c = call("ReceivingTicketAdd", changes=True)
    assert responses.receiving_ticket_add(ADDED, c) == "WHRTN1044588"
    bare = answer("ReceivingTicketAdd", "<ReceivingTicketId>WHRTN1</ReceivingTicketId>")
    assert responses.receiving_ticket_add(bare, c) == "WHRTN1"


def test_ticket_refused_lists_every_notification() -> None:
    notes = notifications(
        (12, "DataNotValid", "ReceivingTicket/SupplierDetails/Country is not valid"),
        (32, "DataNotValid", "ReceivingTicket/Shipmentitemslist/Size[item 1] is not valid"),
    )
    body = answer("ReceivingTicketAdd", f"{notes}<ReceivingTicketId/>")
    with pytest.raises(Refused) as caught:
        responses.receiving_ticket_add(body, call("ReceivingTicketAdd", changes=True))
    assert type(caught.value) is Refused
    assert caught.value.codes == (12, 32)
    assert caught.value.raw == body.decode()
    assert str(caught.value) == (
        "REX11 ReceivingTicketAdd for SUBJ (brand acme): 12 DataNotValid: "
        "ReceivingTicket/SupplierDetails/Country is not valid; 32 DataNotValid: "
        "ReceivingTicket/Shipmentitemslist/Size[item 1] is not valid"
    )


NO_ID = "<ReceivingTicketId/>"
WITH_ID = "<ReceivingTicketId>WHRTN1</ReceivingTicketId>"


@pytest.mark.parametrize(
    "result",
    [
        "",
        NO_ID,
        f"<Notifications/>{NO_ID}",
        f"{SAVED}{NO_ID}",
        # Success and error at once: a ticket may exist, so this must not pass for a refusal.
        notifications((12, "DataNotValid", "x")) + WITH_ID,
        notifications((1, "Error", "Authentication failed")) + WITH_ID,
        notifications((0, "Success", "saved"), (12, "DataNotValid", "x")) + NO_ID,
        notifications((0, "Warning", "saved, but")) + WITH_ID,
        SAVED + WITH_ID + WITH_ID.replace("1<", "2<"),
        # What is no number: the ticket is looked for by its PO.
        *(f"{SAVED}<ReceivingTicketId>{x}</ReceivingTicketId>" for x in ("0", "-1", "N/A", "1, 2")),
    ],
)
def test_ticket_add_in_doubt_is_unreadable(result: str) -> None:
    body = answer("ReceivingTicketAdd", result)
    with pytest.raises(Unreadable) as caught:
        responses.receiving_ticket_add(body, call("ReceivingTicketAdd", changes=True))
    assert caught.value.raw == body.decode()


@pytest.mark.parametrize(
    ("triple", "codes"),
    [
        ((7, "Success", "odd"), (7,)),
        ((0, "Error", "odd"), (0,)),
        (("", "", "only words"), ()),
        (("x1", "Success", "odd code"), ()),
        ((-5, "", ""), (-5,)),
    ],
)
def test_anything_but_success_is_an_error(
    triple: tuple[object, str, str], codes: tuple[int, ...]
) -> None:
    body = answer("StyleMasterProductAdd", notifications(triple))
    with pytest.raises(Refused) as caught:
        responses.style_master_product_add(body, call("StyleMasterProductAdd", changes=True))
    assert caught.value.codes == codes


@pytest.mark.parametrize(
    "notes",
    ["", "<Notifications/>", SAVED, notifications((0, "", "")), notifications(("", "success", "")),
     "<Notifications><Notification/></Notifications>"],
)  # fmt: skip
def test_success_forms(notes: str) -> None:
    body = answer("StyleMasterProductAdd", notes)
    responses.style_master_product_add(body, call("StyleMasterProductAdd", changes=True))


IMPORT = "GetStyleMasterProductAddStatus"


@pytest.mark.parametrize(
    ("triples", "state"),
    [
        ([(0, "Success", "ok")], ProductImport.KNOWN),
        ([(3, "PendingImport", "waiting")], ProductImport.PENDING),
        ([(4, "Error", "bad size")], ProductImport.FAILED),
        ([(5, "UpcCodeError", "no such UPC")], ProductImport.UNKNOWN),
        ([(5, "upccodeerror", "no such UPC")], ProductImport.UNKNOWN),
        ([(87, "Information", "waiting")], ProductImport.PENDING),
        ([(0, "Success", "ok"), (3, "PendingImport", "waiting")], ProductImport.PENDING),
        ([(0, "Success", "ok"), (4, "Error", "bad")], ProductImport.FAILED),
    ],
)
def test_product_import(triples: list[tuple[object, str, str]], state: ProductImport) -> None:
    body = answer(IMPORT, notifications(*triples))
    assert responses.get_style_master_product_add_status(body, call(IMPORT)) is state


@pytest.mark.parametrize(
    ("notes", "kind"),
    [
        ("<Notifications/>", Unreadable),
        (notifications((0, "", "")), Unreadable),
        (notifications((9, "DataNotValid", "UPC")), Refused),
        (notifications((9, "Success", "UPC")), Refused),
        (TOKEN_REFUSED, Unauthorized),
    ],
)
def test_product_import_is_never_guessed(notes: str, kind: type[OutsideError]) -> None:
    with pytest.raises(kind) as caught:
        responses.get_style_master_product_add_status(answer(IMPORT, notes), call(IMPORT))
    assert type(caught.value) is kind


def test_tickets_by_po_and_by_status() -> None:
    body = answer(
        "GetReceivingTicketsByPO",
        "<Notifications/><ReceivingTicketsByPO><string>WHRTN1</string><string/>"
        "<string>WHRTN2</string><string> whrtn1 </string></ReceivingTicketsByPO>",
    )
    c = call("GetReceivingTicketsByPO")
    assert responses.get_receiving_tickets_by_po(body, c) == ["WHRTN1", "WHRTN2"]
    for empty in ("<Notifications/>", "<ReceivingTicketsByPO/>"):
        body = answer("GetReceivingTicketsByPO", empty)
        assert responses.get_receiving_tickets_by_po(body, c) == []
    op = "GetReceivingTicketsByStatusAndCreateDate"
    body = answer(op, "<ReceivingTickets><string>WHRTN3</string></ReceivingTickets>")
    assert responses.get_receiving_tickets_by_status_and_create_date(body, call(op)) == ["WHRTN3"]


@pytest.mark.parametrize("word", ["No tickets found", "0", "none"])
def test_a_word_is_no_ticket_of_a_po(word: str) -> None:
    listed = f"<ReceivingTicketsByPO><string>{word}</string></ReceivingTicketsByPO>"
    with pytest.raises(Unreadable, match="is no ticket number"):
        responses.get_receiving_tickets_by_po(
            answer("GetReceivingTicketsByPO", listed), call("GetReceivingTicketsByPO")
        )


def test_no_tickets_is_only_believed_of_a_whole_answer() -> None:
    c = call("GetReceivingTicketsByPO")
    hollow = envelope('<GetReceivingTicketsByPOResponse xmlns="http://rex11.com/webmethods/"/>')
    other = answer("GetInventoryByUPCs", "")
    for body in (hollow, other):
        with pytest.raises(Unreadable):
            responses.get_receiving_tickets_by_po(body, c)
    refused = answer("GetReceivingTicketsByPO", notifications((77, "NoData", "nothing found")))
    with pytest.raises(Refused):
        responses.get_receiving_tickets_by_po(refused, c)
    told = call("GetReceivingTicketsByPO", nothing_found_codes=frozenset({77}))
    assert responses.get_receiving_tickets_by_po(refused, told) == []


def status_line(tag: str, ticket_id: str, status: str, code: str = "", text: str = "") -> str:
    return (
        f"<{tag}><TicketId>{ticket_id}</TicketId><TicketStatus>{status}</TicketStatus>"
        f"<StatusCode>{code}</StatusCode><StatusDescription>{text}</StatusDescription></{tag}>"
    )


@pytest.mark.parametrize(
    "operation", ["GetReceivingStatusesByDate", "GetReceivingStatusesByDateConfigurable"]
)
def test_statuses_by_date(operation: str) -> None:
    tag = "ReceivingTicketShipmentStatus"
    body = answer(
        operation,
        "<Notifications/><ReceivingTicketStatus>"
        + status_line(tag, "WHRTN1", "AddedToInventory", "600", "Added to inventory")
        + status_line(tag, "WHRTN2", "putawayinprogress")
        + status_line(tag, "WHRTN3", "QualityHold", "450")
        + "</ReceivingTicketStatus>",
    )
    assert responses.get_receiving_statuses_by_date(body, call(operation)) == [
        TicketChange(
            "WHRTN1", TicketStatus.ADDED_TO_INVENTORY, "AddedToInventory", "600",
            "Added to inventory",
        ),
        TicketChange("WHRTN2", TicketStatus.PUTAWAY_IN_PROGRESS, "putawayinprogress"),
        TicketChange("WHRTN3", None, "QualityHold", "450"),
    ]  # fmt: skip
    assert responses.get_receiving_statuses_by_date(answer(operation, ""), call(operation)) == []


BY_DATE = "GetReceivingStatusesByDate"
LINE = "ReceivingTicketShipmentStatus"


def statuses(*lines: str) -> list[TicketChange]:
    body = answer(BY_DATE, f"<ReceivingTicketStatus>{''.join(lines)}</ReceivingTicketStatus>")
    return responses.get_receiving_statuses_by_date(body, call(BY_DATE))


GOOD_LINE = status_line(LINE, "WHRTN1", "AddedToInventory", "600")
GOOD_CHANGE = TicketChange("WHRTN1", TicketStatus.ADDED_TO_INVENTORY, "AddedToInventory", "600")


@pytest.mark.parametrize(
    ("line", "status", "problem"),
    [
        (status_line(LINE, "", "Draft"), TicketStatus.DRAFT, "names no ticket: <Receiving"),
        (
            status_line(LINE, "WH&#x1D;RTN2", "Draft"),
            TicketStatus.DRAFT,
            "number of a line",
        ),
        (f"<{LINE}/>", None, "names no ticket"),
    ],
)
def test_a_status_line_without_a_ticket_is_told_and_hides_no_other(
    line: str, status: TicketStatus | None, problem: str
) -> None:
    first, bad, last = statuses(GOOD_LINE, line, GOOD_LINE)
    assert [first, last] == [GOOD_CHANGE] * 2
    assert (bad.ticket_id, bad.status) == ("", status)
    assert problem in (bad.problem or "")


@pytest.mark.parametrize(
    ("notes", "lines"),
    [([(0, "Warning", "slow")], 1), ([(99, "NoData", "No records found.")], 0),
     ([(99, "Error", "no tickets were found for this period")], 0)],
)  # fmt: skip
def test_words_beside_a_list_are_no_error(notes: list[tuple[object, str, str]], lines: int) -> None:
    """Receiving of the whole brand stood still."""
    listed = f"<ReceivingTicketStatus>{GOOD_LINE * lines}</ReceivingTicketStatus>"
    body = answer(BY_DATE, notifications(*notes) + listed)
    assert len(responses.get_receiving_statuses_by_date(body, call(BY_DATE))) == lines
    broken = answer(BY_DATE, notifications((99, "Error", "No connection"), *notes))
    with pytest.raises(Refused):
        responses.get_receiving_statuses_by_date(broken, call(BY_DATE))


@pytest.mark.parametrize("spoiled", ["&#x0B;", "\x0b", "&eacute;", "a & b", "&nosuch;", "&"])
def test_damage_in_a_description_harms_nothing(spoiled: str) -> None:
    change, last = statuses(status_line(LINE, "WHRTN2", "Draft", "100", spoiled), GOOD_LINE)
    assert (change.ticket_id, change.status, change.problem) == ("WHRTN2", TicketStatus.DRAFT, None)
    assert last == GOOD_CHANGE


def test_a_damaged_or_missing_status_is_told() -> None:
    damaged, missing = statuses(
        status_line(LINE, "WHRTN2", "Cancelled&#x0B;"), status_line(LINE, "WHRTN3", "")
    )
    assert damaged.status is TicketStatus.CANCELLED
    assert "the status of a line was damaged" in (damaged.problem or "")
    assert (missing.ticket_id, missing.status) == ("WHRTN3", None)
    assert "has no status" in (missing.problem or "")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("AddedToInventory", TicketStatus.ADDED_TO_INVENTORY),
        ("Added To Inventory", TicketStatus.ADDED_TO_INVENTORY),
        ("addedtoinventory", TicketStatus.ADDED_TO_INVENTORY),
        ("ADDED_TO-INVENTORY", TicketStatus.ADDED_TO_INVENTORY),
        (" CANCELLED ", TicketStatus.CANCELLED),
        ("canceled", TicketStatus.CANCELLED),
        ("Put Away In Progress", TicketStatus.PUTAWAY_IN_PROGRESS),
        ("Pending CSR", TicketStatus.PENDING_CSR),
        ("AddedToInventory2", None),
        ("NotAddedToInventory", None),
        ("", None),
        (None, None),
    ],
)
def test_a_status_has_one_normal_form(name: str | None, status: TicketStatus | None) -> None:
    assert TicketStatus.read(name) is status
    (change,) = statuses(status_line(LINE, "WHRTN1", name or ""))
    assert (change.status, change.status_name) == (status, (name or "").strip())


def test_add_status() -> None:
    op = "GetReceivingTicketAddStatus"
    body = answer(op, SAVED + status_line("ReceivingTicketStatus", "WHRTN1", "Draft", "100"))
    assert responses.get_receiving_ticket_add_status(body, call(op)) == TicketChange(
        "WHRTN1", TicketStatus.DRAFT, "Draft", "100"
    )
    with pytest.raises(Unreadable):
        responses.get_receiving_ticket_add_status(answer(op, SAVED), call(op))


def test_inventory() -> None:
    op = "GetInventoryByUPCs"
    body = answer(
        op,
        "<Inventory><item><Warehouse>BERGEN LOGISTICS NJ2</Warehouse><WarehouseId>2</WarehouseId>"
        "<Sku>acme-1</Sku><Style>4b141</Style><Color>red</Color><Size>au 4/us 0</Size>"
        "<Upc>28615</Upc><Description>dress</Description><Price>12.5</Price>"
        "<ActualQuantity>3</ActualQuantity><PendingQuantity>1</PendingQuantity></item>"
        "<item><Upc>28616</Upc><Sku/></item></Inventory>",
    )
    assert responses.get_inventory_by_upcs(body, call(op)) == [
        InventoryItem(
            upc="28615", sku="acme-1", style="4b141", color="red", size="au 4/us 0",
            description="dress", price="12.5", warehouse="BERGEN LOGISTICS NJ2",
            warehouse_id="2", actual_quantity="3", pending_quantity="1",
        ),
        InventoryItem(upc="28616"),
    ]  # fmt: skip


def test_errors_beside_inventory_lines_are_about_other_products() -> None:
    op = "GetInventoryByUPCs"
    error = notifications((83, "BarCodeError", "28617 is not valid"))
    body = answer(op, f"{error}<Inventory><item><Upc>28615</Upc></item></Inventory>")
    assert responses.get_inventory_by_upcs(body, call(op)) == [InventoryItem(upc="28615")]
    with pytest.raises(Refused):
        responses.get_inventory_by_upcs(answer(op, f"{error}<Inventory/>"), call(op))


def test_damaged_numbers_are_not_taken_for_others() -> None:
    op = "GetReceivingTicketsByPO"
    body = answer(op, "<ReceivingTicketsByPO><string>WHR&#1;TN1</string></ReceivingTicketsByPO>")
    with pytest.raises(Unreadable, match="damaged"):
        responses.get_receiving_tickets_by_po(body, call(op))
    with pytest.raises(Unreadable, match="damaged"):
        responses.receiving_ticket_add(
            ADDED.replace(b"WHRTN", b"WHR&#1;TN"), call("ReceivingTicketAdd", changes=True)
        )
    op = "GetInventoryByUPCs"
    lines = "<item><Upc>2861&#1;5</Upc></item><item><Upc>28616</Upc></item>"
    body = answer(op, f"<Inventory>{lines}</Inventory>")
    assert responses.get_inventory_by_upcs(body, call(op)) == [InventoryItem(upc="28616")]


def test_receipt_with_every_quirk() -> None:
    """Shipmentitemslist, SupplierDetails and Memo in the methods' namespace, empty elements,
    lower-cased values, all three date forms."""
    t, i = f'xmlns="{TICKET_NS}"', f'xmlns="{ITEMS_NS}"'
    body = ticket(
        f"""<ReceivingStatus {t}>AddedToInventory</ReceivingStatus>
        <ReceivingStatusCode {t}>600</ReceivingStatusCode>
        <CreatedDate {t}>5/23/2016 12:32:50 PM</CreatedDate>
        <Shipmentitemslist>
          <Sku {i}>acme-red-m</Sku><Style {i}>4b141</Style><Color {i}>red</Color>
          <UPC {i}>28615</UPC><Size {i}>au 4/us 0</Size>
          <ExpectedQuantity {i}>2</ExpectedQuantity><ActualQuantity {i}>2.0</ActualQuantity>
          <DamagedQuantity {i}>1</DamagedQuantity><UnitCost {i}>0</UnitCost>
          <ProductDescription {i}>dress</ProductDescription><ProductMSRP {i}>189</ProductMSRP>
          <Comments {i}>torn &amp; <!-- - -->wet</Comments><ShipmentType {i}>NA</ShipmentType>
          <ReturnReasonCode {i}/>
        </Shipmentitemslist>
        <Shipmentitemslist {t}>
          <UPC {i}>28616</UPC><ExpectedQuantity {i}/><ActualQuantity {i}/>
          <DamagedQuantity {i}>abc</DamagedQuantity>
        </Shipmentitemslist>
        <ShipmentTypelist {t}>NA</ShipmentTypelist>
        <Warehouse {t}>BERGEN LOGISTICS NJ2</Warehouse>
        <Memo>left at dock</Memo>
        <CustomerPO {t}>LOOP-acme-4711-1</CustomerPO>
        <TrackingNumbers {t}>1Z999</TrackingNumbers><TrackingNumbers {t}/>
        <ExpectedDate {t}>5/10/2016</ExpectedDate>
        <SupplierDetails><CompanyName>jane</CompanyName></SupplierDetails>
        <Carrier {t}>truck</Carrier><IMPORTSTATUSTEXT {t}/>
        <AddedToInventoryDate {t}>05/24/2016 12:47:13</AddedToInventoryDate>
        <ArrivedDate {t}>5/24/2016</ArrivedDate>"""
    )
    assert read_ticket(body) == Receipt(
        ticket_id="WHRTN915384",
        status=TicketStatus.ADDED_TO_INVENTORY,
        status_name="AddedToInventory",
        lines=(
            ReceiptLine(
                sku="acme-red-m", upc="28615", style="4b141", color="red", size="au 4/us 0",
                expected=2, actual=2, damaged=1, description="dress", comments="torn & wet",
            ),
            ReceiptLine(
                upc="28616", expected=None, actual=None, damaged=None,
                problems=("DamagedQuantity is 'abc', not a whole number",),
            ),
        ),
        customer_po="LOOP-acme-4711-1",
        warehouse="BERGEN LOGISTICS NJ2",
        memo="left at dock",
        tracking_numbers=("1Z999",),
        created_at=datetime(2016, 5, 23, 16, 32, 50, tzinfo=UTC),
        arrived_at=datetime(2016, 5, 24, 4, tzinfo=UTC),
        added_to_inventory_at=datetime(2016, 5, 24, 16, 47, 13, tzinfo=UTC),
    )  # fmt: skip


@pytest.mark.parametrize(("code", "doubt"), [("100", True), ("600", False), ("", False)])
def test_a_status_that_its_code_contradicts_is_a_doubt(code: str, doubt: bool) -> None:
    body = ticket(
        "<ReceivingStatus>AddedToInventory</ReceivingStatus>"
        f"<ReceivingStatusCode>{code}</ReceivingStatusCode>"
    )
    assert any("a Draft's" in p for p in read_ticket(body).problems) is doubt


@pytest.mark.parametrize("word", ["N/A", "none", "NULL"])
def test_a_word_for_no_code_is_none_on_a_ticket_too(word: str) -> None:
    item = f"<Shipmentitemslist><Sku>{word}</Sku><UPC>{word}</UPC></Shipmentitemslist>"
    [line] = read_ticket(ticket(item)).lines
    assert (line.sku, line.upc) == (None, None)


def test_receipt_tells_what_it_could_not_read() -> None:
    body = ticket(
        "<ReceivingStatus>Lost</ReceivingStatus><CreatedDate>yesterday</CreatedDate>"
        "<Shipmentitemslist/><Shipmentitemslist><Sku>a</Sku>"
        "<ExpectedQuantity>1.5</ExpectedQuantity><ActualQuantity>-1</ActualQuantity>"
        "</Shipmentitemslist>"
    )
    assert read_ticket(body) == Receipt(
        ticket_id="WHRTN915384",
        status=None,
        status_name="Lost",
        lines=(
            ReceiptLine(
                sku="a",
                actual=-1,
                problems=(
                    "ExpectedQuantity is '1.5', not a whole number",
                    "ActualQuantity is negative: -1",
                    "DamagedQuantity is missing",
                ),
            ),
        ),
        problems=(
            "ReceivingStatus is 'Lost', not a known status",
            "1 of 2 Shipmentitemslist elements are empty",
        ),
    )


@pytest.mark.parametrize(
    "body",
    [
        answer(READ_TICKET, notifications((41, "InvalidAsnError", "Invalid ASN Ticket number"))),
        answer(READ_TICKET, "<Notifications/>"),
        answer(READ_TICKET, "<Notifications/><ReceivingTicketByTicketNo/>"),
        ticket(""),
    ],
)
def test_no_such_ticket(body: bytes) -> None:
    with pytest.raises(NotFound):
        read_ticket(body)


def test_another_error_beside_41_is_no_proof_of_absence() -> None:
    notes = notifications((41, "InvalidAsnError", "x"), (99, "Error", "database is down"))
    with pytest.raises(Refused) as caught:
        read_ticket(answer(READ_TICKET, notes))
    assert type(caught.value) is Refused
    assert caught.value.codes == (41, 99)


@pytest.mark.parametrize(
    "code", ["soap:Client", "s:Client.Validation", "Client", "SOAP-ENV:client"]
)
def test_a_fault_that_blames_the_request_will_never_succeed(code: str) -> None:
    words = "'BERGEN LOGISTICS MARS' is not a valid value for PickTicketWareHouse."
    for changes in (True, False):
        with pytest.raises(InvalidRequest, match="PickTicketWareHouse") as caught:
            responses.receiving_ticket_add(
                fault(words, code), call("ReceivingTicketAdd", changes=changes)
            )
        assert caught.value.effect is Effect.REFUSED


def test_another_fault_concerns_its_own_call() -> None:
    for changes, effect in ((True, Effect.DOUBT), (False, Effect.NOT_SENT)):
        with pytest.raises(OutsideError) as caught:
            responses.receiving_ticket_add(fault("x"), call("ReceivingTicketAdd", changes=changes))
        assert (caught.value.effect, caught.value.scope) == (effect, Scope.CALL)


@pytest.mark.parametrize(
    ("message", "sent", "items"),
    [
        ("COLOR[item 1] is not valid", 2, (0,)),
        ("ReceivingTicket/Shipmentitemslist/Size[item 2] is not valid", 2, (1,)),
        ("COLOR[Item 1] and SIZE[item 2]; PRICE[item 1]", 2, (0, 1)),
        ("COLOR[item 9] is not valid", 2, ()),
        ("COLOR[item 0] is not valid, SIZE[item 1] is not valid", 2, (0, 1)),
        ("ReceivingTicket/SupplierDetails/Country is not valid", 2, ()),
    ],
)
def test_a_refusal_names_its_items(message: str, sent: int, items: tuple[int, ...]) -> None:
    body = answer("ReceivingTicketAdd", notifications((32, "DataNotValid", message)))
    with pytest.raises(Refused) as caught:
        responses.receiving_ticket_add(body, call("ReceivingTicketAdd", changes=True, sent=sent))
    assert (caught.value.items, caught.value.codes) == (items, (32,))


@pytest.mark.parametrize(
    "content",
    [
        "<CustomerPO>LR-9</CustomerPO>",
        "<CustomerPO>LR-10</CustomerPO>",
        "<TicketNo>WHRTN7</TicketNo>",
        "<TicketNo>WHRTN915384</TicketNo><CustomerPO>LR-9</CustomerPO>",
        "<AuthorizedNumber>LR-9</AuthorizedNumber>",
    ],
)
def test_an_answer_about_another_ticket_or_po_is_not_taken(content: str) -> None:
    body = ticket(f"<ReceivingStatus>AddedToInventory</ReceivingStatus>{content}")
    with pytest.raises(Unreadable, match=r"is about (PO LR-|ticket WHRTN7, not WHRTN915384)") as e:
        read_ticket(body, po="LR-1")
    assert e.value.raw == body.decode()


@pytest.mark.parametrize(
    ("content", "po"),
    [
        ("<CustomerPO> lr-1 </CustomerPO><TicketNo>whrtn915384</TicketNo>", "LR-1"),
        ("<CustomerPO>LR-9</CustomerPO>", None),
        ("<CustomerPO/>", "LR-1"),
        ("<AuthorizedNumber>by phone</AuthorizedNumber><CustomerPO>LR-1</CustomerPO>", "LR-1"),
        ("<Memo>x</Memo>", "LR-1"),
    ],
)
def test_an_answer_is_taken_that_does_not_contradict(content: str, po: str | None) -> None:
    assert read_ticket(ticket(content), po=po).ticket_id == "WHRTN915384"


LINES = {
    "Sku": "ab-100", "Style": "np-1", "Color": "red", "UPC": "850000000017", "Size": "m",
    "ExpectedQuantity": "2", "ActualQuantity": "2", "DamagedQuantity": "0",
    "ProductDescription": "dress", "Comments": "fine",
}  # fmt: skip


def item(**changes: str) -> str:
    fields = "".join(f"<{k}>{v}</{k}>" for k, v in {**LINES, **changes}.items())
    return f"<Shipmentitemslist>{fields}</Shipmentitemslist>"


SPOILT = {
    "control": "&#x1D;", "raw control": "\x0b", "entity": "&eacute;", "unknown": "&nosuch;",
    "ampersand": " & ",
}  # fmt: skip


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("name", LINES)
def test_damage_is_a_doubt_where_decisions_hang_on_it(name: str, spoilt: str) -> None:
    body = ticket(
        "<ReceivingStatus>AddedToInventory</ReceivingStatus>"
        + item(**{name: LINES[name] + spoilt})
        + item()
    )
    receipt = read_ticket(body)
    whole = ReceiptLine("ab-100", "850000000017", "np-1", "red", "m", 2, 2, 0, "dress", "fine")
    first, second = receipt.lines
    assert second == whole
    assert receipt.problems == ()
    if name in ("ProductDescription", "Comments"):
        assert first.problems == ()
        assert (first.actual, first.damaged, first.upc) == (2, 0, "850000000017")
    else:
        assert any(p.startswith(f"{name} came damaged") for p in first.problems)


def test_a_value_that_is_there_twice_is_a_doubt() -> None:
    end, more = "</ActualQuantity>", "</ActualQuantity><ActualQuantity>{}</ActualQuantity>"
    twice, again = (item().replace(end, more.format(units)) for units in (1, 2))
    nested = item(UPC="8500<b>00000017</b>")
    lines = read_ticket(ticket(twice + again + nested)).lines
    assert [line.problems for line in lines] == [
        ("ActualQuantity is there more than once: '1', '2'",),
        (),
        ("UPC is no plain text",),
    ]


@pytest.mark.parametrize(
    ("more", "problem", "comments"),
    [
        ("<QuarantineQuantity>1</QuarantineQuantity>", "QuarantineQuantity is '1', of", "fine"),
        ("<RejectedQty>x</RejectedQty>", "RejectedQty is 'x', of which nothing is known", "fine"),
        ("<RejectedQty>0.0</RejectedQty><HoldUnits/>", None, "fine"),
        ("<QualityCode>B</QualityCode>", None, "fine; QualityCode: B"),
        ("<DmgQty>1</DmgQty>", "DmgQty is '1', of", "fine"),
        ("<IsDamaged>true</IsDamaged>", "IsDamaged is 'true', of", "fine"),
        ("<IsDamaged>false</IsDamaged><VarianceQty>0</VarianceQty>", None, "fine"),
        ("<SellableQuantity>0</SellableQuantity>", "SellableQuantity is '0', of", "fine"),
        ("<Status>Quarantine</Status>", "Status is 'Quarantine', of", "fine"),
        ("<ShortDescription>Worn blue</ShortDescription><Lot>DMG</Lot>", None, "fine"),
        (
            "<ReturnReasonCode>DMG</ReturnReasonCode>",
            None,
            "fine; ReturnReasonCode: DMG",
        ),
    ],
)
def test_what_a_later_schema_may_say_of_an_item_is_not_lost(
    more: str, problem: str | None, comments: str
) -> None:
    (line,) = read_ticket(ticket(item(More="").replace("<More></More>", more))).lines
    assert [p for p in line.problems if problem and p.startswith(problem)] == list(line.problems)
    assert (bool(line.problems), line.comments) == (problem is not None, comments)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("<TotalDamagedQuantity>1</TotalDamagedQuantity>", "TotalDamagedQuantity is '1'"),
        ("<TotalActualQuantity>9</TotalActualQuantity>", "TotalActualQuantity is '9'"),
        ("<IsPartial>true</IsPartial>", "IsPartial is 'true'"),
        ("<Notes>one piece stained</Notes>", "Notes is 'one piece stained'"),
        ("<IMPORTSTATUSTEXT>Counts not posted</IMPORTSTATUSTEXT>", "IMPORTSTATUSTEXT is"),
        ("<IMPORTSTATUSTEXT>Imported</IMPORTSTATUSTEXT><Dock>4</Dock>", None),
    ],
)
def test_what_a_later_schema_may_say_of_a_ticket_is_not_lost(
    more: str, problem: str | None
) -> None:
    problems = read_ticket(
        ticket(f"<ReceivingStatus>AddedToInventory</ReceivingStatus>{more}")
    ).problems
    assert [p for p in problems if problem and p.startswith(problem)] == list(problems)
    assert bool(problems) is (problem is not None)


def test_nil_is_no_value_whatever_stands_in_it() -> None:
    nil = 'xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:nil="true"'
    body = ticket(item().replace("<ActualQuantity>", f"<ActualQuantity {nil}>"))
    assert read_ticket(body).lines[0].actual is None


@pytest.mark.parametrize("name", ["ReceivingStatus", "CustomerPO", "Memo", "Carrier"])
def test_damage_to_a_ticket_itself(name: str) -> None:
    values = {"ReceivingStatus": "AddedToInventory", "CustomerPO": "LR-1", "Memo": "x"}
    values[name] = values.get(name, "truck") + "&#x1D;"
    receipt = read_ticket(ticket("".join(f"<{k}>{v}</{k}>" for k, v in values.items())), po="LR-1")
    assert receipt.status is TicketStatus.ADDED_TO_INVENTORY
    assert [p.split()[0] for p in receipt.problems] == (
        [name] if name in ("ReceivingStatus", "CustomerPO") else []
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda x: b"\r\n" + x,
        lambda x: b"\xef\xbb\xbf" + x,
        lambda x: b"\xef\xbb\xbf\n" + x,
        lambda x: x.replace(b'encoding="utf-8"', b'encoding="utf-16"'),
        lambda x: x.decode().replace("utf-8", "utf-16").encode("utf-16"),
        lambda x: x.partition(b"?>")[2],
        lambda x: x.replace(b'" xmlns:xsi', b'"xmlns:xsi'),
    ],
)  # fmt: skip
def test_a_document_that_begins_badly_is_read_without_a_doubt(
    change: Callable[[bytes], bytes],
) -> None:
    body = ticket("<ReceivingStatus>AddedToInventory</ReceivingStatus>" + item(Comments="café"))
    receipt = read_ticket(change(body))
    assert receipt == read_ticket(body)
    assert receipt.lines[0].comments == "café"


@pytest.mark.parametrize("piece", ["<![CDATA[", "&a", "&#9", "&", "<?xml ", '"xmlns:a="b'])
def test_mending_takes_no_longer_than_reading(piece: str) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable):
        read_ticket(b"<a>" + piece.encode() * 200_000)
    assert time.monotonic() - started < 10


def test_an_answer_that_is_cut_off_is_never_mended() -> None:
    body = ticket(item(Comments="a & b") + item(Comments="&#x1D;"))
    for end in range(1, len(body) - 1, 7):
        with pytest.raises(Unavailable):
            read_ticket(body[:end])


@given(
    place=st.sampled_from([*LINES, "Memo", "CustomerPO"]),
    noise=st.text(st.sampled_from("&#;x1Dé\x0b\x1d\ufffeabc 0129"), min_size=1, max_size=8),
)
def test_whatever_stands_in_one_value_the_other_line_is_read_whole(place: str, noise: str) -> None:
    spoilt = {place: LINES.get(place, "") + noise}
    body = ticket(
        (item(**spoilt) if place in LINES else f"<{place}>{noise}</{place}>{item()}") + item()
    )
    receipt = read_ticket(body.decode().encode("utf-8", "surrogatepass"))
    assert receipt.lines[-1] == read_ticket(ticket(item())).lines[0]


def test_a_recorded_ticket_field_by_field() -> None:
    assert read_ticket(recorded("ticket_added"), po="LR-4711") == Receipt(
        ticket_id="WHRTN915384",
        status=TicketStatus.ADDED_TO_INVENTORY,
        status_name="AddedToInventory",
        lines=(
            ReceiptLine(
                sku=None, upc="850000000017", style="np-4471", color="moss green",
                size="au 10/us 6", expected=1, actual=1, damaged=0,
            ),
        ),
        warehouse="BERGEN LOGISTICS NJ2",
        memo="Loop return 4711",
        created_at=datetime(2026, 3, 9, 20, 5, 6, tzinfo=UTC),
        arrived_at=datetime(2026, 3, 11, 4, tzinfo=UTC),
        added_to_inventory_at=datetime(2026, 3, 12, 13, 10, 11, tzinfo=UTC),
    )  # fmt: skip


def test_the_other_recorded_answers() -> None:
    add = call("ReceivingTicketAdd", changes=True, sent=1)
    assert responses.receiving_ticket_add(recorded("ticket_add_taken"), add) == "WHRTN2040711"
    with pytest.raises(Refused) as ticket_refused:
        responses.receiving_ticket_add(recorded("ticket_add_refused"), add)
    assert (ticket_refused.value.codes, ticket_refused.value.items) == ((12, 32), (0,))
    products = call("StyleMasterProductAdd", changes=True, sent=3)
    responses.style_master_product_add(recorded("product_add_taken"), products)
    with pytest.raises(Refused) as products_refused:
        responses.style_master_product_add(recorded("product_add_refused"), products)
    assert products_refused.value.codes == (31, 43, 31, 31)
    assert products_refused.value.items == (0, 1, 2)
    for name, state in (
        ("product_pending", ProductImport.PENDING),
        ("product_is_there", ProductImport.FAILED),
    ):
        found = responses.get_style_master_product_add_status(recorded(name), call(IMPORT))
        assert found is state
    with pytest.raises(NotFound) as unknown:
        read_ticket(recorded("ticket_unknown"))
    assert unknown.value.codes == (41,)


def test_two_tickets_for_one_number_are_unreadable() -> None:
    one = "<ReceivingTicket><Memo>x</Memo></ReceivingTicket>"
    body = answer(READ_TICKET, f"<ReceivingTicketByTicketNo>{one}{one}</ReceivingTicketByTicketNo>")
    with pytest.raises(Unreadable, match="2 tickets"):
        read_ticket(body)


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    + envelope("&b;").partition(b"?>")[2]
)
FILE = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    + answer("ReceivingTicketAdd", "<ReceivingTicketId>&f;</ReceivingTicketId>").partition(b"?>")[2]
)
GARBAGE = {
    "empty": b"",
    "html": b"<!DOCTYPE html><html><body>Runtime Error</body></html>",
    "xhtml": b"<html><body>Runtime Error</body></html>",
    "cut": ADDED[:-40],
    "text": b"Service Unavailable",
    "bomb": BOMB,
    "file": FILE,
    "doctype": b"<!DOCTYPE x>" + ADDED.partition(b"?>")[2],
    "no body": b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"/>',
    "encoding": b'<?xml version="1.0" encoding="no-such"?><a/>',
    "fault": fault("Server was unable to process request. ---> Timeout expired"),
    "auth fault": fault("Authentication failed"),
    "huge": b" " * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_no_answer_to_an_add_is_a_doubt(name: str) -> None:
    with pytest.raises(OutcomeUnknown, match="look before repeating") as caught:
        responses.receiving_ticket_add(GARBAGE[name], call("ReceivingTicketAdd", changes=True))
    assert caught.value.raw is not None
    assert "root:" not in caught.value.raw


@pytest.mark.parametrize("name", [n for n in GARBAGE if n != "auth fault"])
def test_no_answer_to_a_read_is_unavailable(name: str) -> None:
    with pytest.raises(Unavailable):
        read_ticket(GARBAGE[name])


def test_fault_of_an_add_keeps_its_words() -> None:
    with pytest.raises(OutcomeUnknown, match="Timeout expired") as caught:
        responses.receiving_ticket_add(GARBAGE["fault"], call("ReceivingTicketAdd", changes=True))
    assert caught.value.raw == GARBAGE["fault"].decode()


def test_token_refused_by_fault_or_notification_of_a_read() -> None:
    for body in (GARBAGE["auth fault"], answer(READ_TICKET, TOKEN_REFUSED)):
        with pytest.raises(Unauthorized):
            read_ticket(body)
    unexpected = "'a' is an unexpected token. The expected token is '='."
    with pytest.raises(Unavailable):
        read_ticket(fault(unexpected))


@pytest.mark.parametrize(
    ("status", "body", "changes", "kind"),
    [
        (500, GARBAGE["fault"], True, OutcomeUnknown),
        (500, GARBAGE["fault"], False, Unavailable),
        (500, GARBAGE["auth fault"], False, Unauthorized),
        (500, GARBAGE["auth fault"], True, OutcomeUnknown),
        (500, fault("Instance validation error", "soap:Client"), True, InvalidRequest),
        (500, fault("Instance validation error", "soap:Client"), False, InvalidRequest),
        (500, fault("Session has expired", "soap:Client"), True, Unauthorized),
        (502, GARBAGE["html"], True, OutcomeUnknown),
        (503, b"", False, Unavailable),
        (404, GARBAGE["html"], True, OutcomeUnknown),
        (302, b"", True, OutcomeUnknown),
        (500, ADDED, True, OutcomeUnknown),
        (401, b"", True, Unauthorized),
        (403, b"", False, Unauthorized),
    ],
)
def test_http_status(status: int, body: bytes, changes: bool, kind: type[OutsideError]) -> None:
    with pytest.raises(kind) as caught:
        responses.check_status(status, body, call("ReceivingTicketAdd", changes=changes))
    assert type(caught.value) is kind
    assert caught.value.status == status
    responses.check_status(200, body, call("ReceivingTicketAdd", changes=changes))


def test_secrets_are_in_no_message_and_no_raw() -> None:
    echo = (
        "token T0KEN-1 of pa55&amp;word is no Size "
        "<AuthenticationString>OLD-T0KEN</AuthenticationString>"
    )
    body = answer("ReceivingTicketAdd", f"<X>{echo}</X>{notifications((32, 'Bad T0KEN-1', echo))}")
    c = call("ReceivingTicketAdd", changes=True, secrets=(PASSWORD, "T0KEN-1"))
    for kept in (body, body.decode().replace("utf-8", "utf-16").encode("utf-16")):
        with pytest.raises(OutsideError) as caught:
            responses.receiving_ticket_add(kept, c)
        shown = f"{caught.value} {caught.value.raw} {caught.value!r} {c!r}"
        assert caught.value.raw
        assert "[hidden]" in caught.value.raw
        for secret in ("T0KEN-1", "OLD-T0KEN", PASSWORD, "pa55&amp;word"):
            assert secret not in shown


PARSERS: dict[str, Callable[[bytes, Call], object]] = {
    "AuthenticationTokenGet": responses.authentication_token_get,
    "StyleMasterProductAdd": responses.style_master_product_add,
    IMPORT: responses.get_style_master_product_add_status,
    "ReceivingTicketAdd": responses.receiving_ticket_add,
    "GetReceivingTicketAddStatus": responses.get_receiving_ticket_add_status,
    "GetReceivingTicketsByPO": responses.get_receiving_tickets_by_po,
    "GetReceivingStatusesByDate": responses.get_receiving_statuses_by_date,
    "GetReceivingTicketsByStatusAndCreateDate": (
        responses.get_receiving_tickets_by_status_and_create_date
    ),
    READ_TICKET: read_ticket,
    "GetInventoryByUPCs": responses.get_inventory_by_upcs,
}
NAMES = [
    "Notifications", "Notification", "ErrorCode", "Severity", "Message", "ReceivingTicketId",
    "ReceivingTicketByTicketNo", "ReceivingTicket", "Shipmentitemslist", "CreatedDate",
    "ActualQuantity", "ReceivingTicketStatus", "ReceivingTicketShipmentStatus", "TicketId",
    "Inventory", "item", "string", "ReceivingTicketsByPO",
]  # fmt: skip
TEXTS = st.text(st.sampled_from("0159/: -.eaPMé"), max_size=12)
TREES = st.recursive(
    TEXTS,
    lambda inner: st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=4).map(
        lambda pairs: "".join(f"<{n}>{x}</{n}>" for n, x in pairs)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("operation", PARSERS)
@given(data=st.data())
def test_parsers_raise_nothing_but_warehouse_errors(operation: str, data: st.DataObject) -> None:
    whole = answer(operation, data.draw(TREES))
    cut = data.draw(st.integers(0, len(whole)))
    noise = data.draw(st.binary(max_size=20))
    for body in (whole, noise, whole[:cut] + noise + whole[cut + len(noise) :]):
        try:
            PARSERS[operation](body, call(operation, changes=data.draw(st.booleans())))
        except OutsideError as error:
            assert error.brand == "acme"
            assert error.call == operation
