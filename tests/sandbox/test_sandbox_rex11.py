from __future__ import annotations

from datetime import UTC, datetime

import pytest
from lxml import etree
from sandbox_support import (
    ADDRESS_NS,
    ENDPOINT,
    ITEMS_NS,
    PRODUCT_NS,
    START,
    TICKET_NS,
    TNS,
    Box,
    credentials,
    item_xml,
    notes,
    text,
    texts,
    ticket_xml,
    tree,
)

SAVED = [(0, "Success", "Data saved successfully.")]


def read(box: Box, ticket_id: str):
    return box.rex(
        "GetReceivingTicketObjectByTicketNo", f"<AsnTicketNumber>{ticket_id}</AsnTicketNumber>"
    )


def by_po(box: Box, po: str) -> list[str]:
    return texts(box.rex("GetReceivingTicketsByPO", f"<customerPO>{po}</customerPO>"), "string")


def changed(box: Box, start: str, end: str, operation: str = "GetReceivingStatusesByDate"):
    extra = "<dateType>1</dateType>" if operation.endswith("Configurable") else ""
    inner = f"<StartDate>{start}</StartDate><EndDate>{end}</EndDate>{extra}"
    return texts(box.rex(operation, inner), "TicketId")


def product(box: Box, upc: str = "999", **change: str) -> str:
    values = {"Style": "NEW", "Color": "Red", "Size": "M", "UPC": upc, "Price": "10.00", **change}
    inner = "".join(f'<{n} xmlns="{PRODUCT_NS}">{v}</{n}>' for n, v in values.items())
    return f"<products><StyleMasterProduct>{inner}</StyleMasterProduct></products>"


def import_status(box: Box, upc: str) -> tuple[int, str]:
    answer = box.rex("GetStyleMasterProductAddStatus", f"<UPC>{upc}</UPC>")
    ((code, severity, _),) = notes(answer)
    return code, severity


def test_bad_credentials_give_an_empty_token(box: Box) -> None:
    b = box.brand
    for address, user, password in (
        (b.web_address, b.user_name, "wrong"),
        ("elsewhere", b.user_name, b.password),
    ):
        answer = box.soap("AuthenticationTokenGet", credentials(address, user, password))
        assert answer.status_code == 200
        assert text(answer, "AuthenticationTokenGetResult") == ""
    assert box.token() != ""


def test_tokens_expire(box: Box) -> None:
    token = box.token()
    call = f"<AuthenticationString>{token}</AuthenticationString><customerPO>X</customerPO>"
    box.clock.advance(30 * 60 - 1)
    assert notes(box.soap("GetReceivingTicketsByPO", call)) == []
    box.clock.advance(1)
    answer = box.soap("GetReceivingTicketsByPO", call)
    message = "Authentication token is not valid or has expired"
    assert notes(answer) == [(10, "AuthenticationError", message)]
    box.world.settings.update({"auth_failure": "soap_fault"})
    answer = box.soap("GetReceivingTicketsByPO", call)
    assert (answer.status_code, text(answer, "faultstring")) == (500, message)


def test_a_token_sees_its_own_brand_only(box: Box) -> None:
    ticket_id = text(box.add("PO-1"), "ReceivingTicketId")
    box.brand = box.world.brands["lumen"]
    assert by_po(box, "PO-1") == []
    box.world.settings.update({"missing_ticket": "notification"})
    assert notes(read(box, ticket_id)) == [(41, "InvalidAsnError", "Invalid ASN Ticket number")]


def test_adding_is_not_idempotent(box: Box) -> None:
    first, second = box.add("PO-1"), box.add("PO-1")
    assert notes(first) == notes(second) == SAVED
    ids = [text(x, "ReceivingTicketId") for x in (first, second)]
    assert ids == ["WHRTN1044588", "WHRTN1044589"]
    assert by_po(box, "PO-1") == ids
    assert by_po(box, "PO-2") == []
    assert box.control("effects")["violations"] == [
        "northpine: PO 'PO-1' has 2 tickets: WHRTN1044588, WHRTN1044589"
    ]


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        (ticket_xml("P", item_xml(UPC="1"), namespace=TNS), "receivingTicket in"),
        (
            ticket_xml("P", item_xml(UPC="1").replace(ITEMS_NS, TICKET_NS)),
            "UPC in Shipmentitemslist",
        ),
        (
            ticket_xml("P", item_xml(UPC="1")).replace(ADDRESS_NS, TICKET_NS),
            "CompanyName in SupplierDetails",
        ),
        (
            ticket_xml("P", item_xml(UPC="1")).replace("<Carrier>UPS</Carrier>", "").replace(
                "<ReceivingStatus>", "<Carrier>UPS</Carrier><ReceivingStatus>"
            ),
            "out of order",
        ),
        (ticket_xml("P", "").replace("CustomerPO", "customerPO"), "customerPO in receivingTicket"),
        (ticket_xml("P", "", warehouse="ATLANTIS"), "'ATLANTIS' is not a valid value"),
        (ticket_xml("P", item_xml(UPC="1", ExpectedQuantity="two")), "not in a correct format"),
        (
            ticket_xml("P", item_xml(UPC="1").replace("DamagedQuantity", "Comments")),
            "DamagedQuantity is required",
        ),
    ],
)  # fmt: skip
def test_wrong_requests_are_refused_with_a_fault(box: Box, inner: str, why: str) -> None:
    token = f"<AuthenticationString>{box.token()}</AuthenticationString>"
    answer = box.soap("ReceivingTicketAdd", token + inner)
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/xml")
    assert why in text(answer, "faultstring")
    assert box.brand.tickets == {}


def test_parameters_are_named_and_ordered_exactly(box: Box) -> None:
    token = box.token()
    first = f"<authenticationString>{token}</authenticationString>"
    second = "<receivingTicketId>1</receivingTicketId>"
    good = first + second
    assert box.soap("GetReceivingTicketAddStatus", good).status_code == 200
    for bad in (
        good.replace("authenticationString", "AuthenticationString"),
        second + first,
    ):
        assert box.soap("GetReceivingTicketAddStatus", bad).status_code == 500


@pytest.mark.parametrize("action", ["", "http://tempuri.org/AuthenticationTokenGet", f"{TNS}Other"])
def test_soap_action_must_fit(box: Box, action: str) -> None:
    b = box.brand
    inner = credentials(b.web_address, b.user_name, b.password)
    answer = box.soap("AuthenticationTokenGet", inner, action)
    assert answer.status_code == 500
    assert "SOAPAction" in text(answer, "faultstring")


def test_what_is_no_soap_is_refused(box: Box) -> None:
    headers = {"Content-Type": "text/xml", "SOAPAction": f'"{TNS}AuthenticationTokenGet"'}
    for body in (b"not xml", b"<a/>", b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'):
        assert box.http.post(ENDPOINT, content=body, headers=headers).status_code == 500
    headers["Content-Type"] = "application/json"
    assert box.http.post(ENDPOINT, content=b"{}", headers=headers).status_code == 415
    assert box.http.get(ENDPOINT).status_code == 405
    assert box.http.post("/rex11/ws/v9/x.asmx", content=b"").status_code == 404


def test_all_validation_errors_come_at_once(box: Box) -> None:
    unknown = box.brand.catalogue[-1]
    items = box.item(0, Size="Huge") + box.item(0) + item_xml(UPC=unknown.upc) + item_xml(Sku="?")
    answer = box.add("PO-1", items, country="Narnia")
    path = "ReceivingTicket/Shipmentitemslist"
    assert answer.status_code == 200
    assert notes(answer) == [
        (12, "DataNotValid", "ReceivingTicket/SupplierDetails/Country is not valid"),
        (32, "DataNotValid", f"{path}/Size[item 1] is not valid"),
        (32, "DataNotValid", f"{path}/UPC[item 3] is not valid"),
        (32, "DataNotValid", f"{path}/Sku[item 4] is not valid"),
    ]
    assert text(answer, "ReceivingTicketId") == ""
    assert box.brand.tickets == {}


def test_products_are_imported_later(box: Box) -> None:
    assert import_status(box, "999") == (33, "UpcCodeError")
    assert notes(box.rex("StyleMasterProductAdd", product(box))) == SAVED
    assert import_status(box, "999") == (0, "PendingImport")
    item = item_xml(UPC="999", Size="m")
    assert notes(box.add("PO-1", item))[0][0] == 32
    inventory = "<UPCs><string>999</string></UPCs>"
    assert texts(box.rex("GetInventoryByUPCs", inventory), "item") == []
    box.clock.advance(3)
    assert import_status(box, "999") == (0, "Success")
    assert notes(box.add("PO-1", item)) == SAVED
    assert texts(box.rex("GetInventoryByUPCs", inventory), "Upc") == ["999"]


def test_a_product_without_style_fails_to_import(box: Box) -> None:
    box.rex("StyleMasterProductAdd", product(box, Style=""))
    box.clock.advance(3)
    assert import_status(box, "999") == (34, "Error")


def test_inventory_is_lower_cased_and_leaves_unknown_upcs_out(box: Box) -> None:
    p = box.brand.catalogue[0]
    answer = box.rex(
        "GetInventoryByUPCs", f"<UPCs><string>{p.upc}</string><string>nope</string></UPCs>"
    )
    assert notes(answer) == []
    (item,) = tree(answer).iter(f"{{{TNS}}}item")
    values = {etree.QName(x).localname: x.text for x in item}
    assert values == {
        "Warehouse": "BERGEN LOGISTICS NJ", "WarehouseId": "1", "Sku": "np-tt-red-xs",
        "Style": "trailtee", "Color": "red", "Size": "xs", "Upc": p.upc,
        "Description": "trail tee - red / xs", "Price": "38.00",
        "ActualQuantity": values["ActualQuantity"], "PendingQuantity": "0",
    }  # fmt: skip


def test_a_ticket_read_back(box: Box) -> None:
    ticket_id = text(box.add("PO-1"), "ReceivingTicketId")
    box.clock.advance(3600)
    box.control("parcels", {"ticket": ticket_id, "kind": "complete"})
    (ticket,) = tree(read(box, ticket_id)).iter(f"{{{TNS}}}ReceivingTicket")
    plain = [(etree.QName(x).localname, x.text) for x in ticket if len(x) == 0]
    assert plain == [
        ("ReceivingStatus", "AddedToInventory"),
        ("ReceivingStatusCode", "600"),
        ("CreatedDate", "11/20/2026 10:30:00 AM"),
        ("ShipmentTypelist", "NA"),
        ("Warehouse", "BERGEN LOGISTICS NJ"),
        ("Memo", "A memo"),
        ("AuthorizedNumber", None),
        ("CustomerPO", "PO-1"),
        ("LicensePlate", None),
        ("DriverName", None),
        ("TrackingNumbers", "1Z1"),
        ("TrackingNumbers", "1Z2"),
        ("ExpectedDate", "12/1/2026"),
        ("Carrier", "UPS"),
        ("IMPORTSTATUSTEXT", None),
        ("AddedToInventoryDate", "11/20/2026 11:30:00"),
        ("ArrivedDate", "11/20/2026 11:30:00"),
    ]
    p = box.brand.catalogue[0]
    (item,) = ticket.iter("{*}Shipmentitemslist")
    assert [(etree.QName(x).localname, x.text) for x in item] == [
        ("Sku", "np-tt-red-xs"), ("Style", "trailtee"), ("Color", "red"), ("UPC", p.upc),
        ("Size", "xs"), ("ExpectedQuantity", "2"), ("ActualQuantity", "2"),
        ("DamagedQuantity", "0"), ("UnitCost", None), ("ProductDescription", None),
        ("ProductMSRP", None), ("Comments", None), ("ShipmentType", "NA"),
        ("ReturnReasonCode", None),
    ]  # fmt: skip
    assert {etree.QName(x).namespace for x in item} == {ITEMS_NS}
    (supplier,) = ticket.iter("{*}SupplierDetails")
    values = {etree.QName(x).localname: x.text for x in supplier}
    assert (values["CompanyName"], values["Country"], values["City"]) == (
        "Ada Okafor", "United States", None,
    )  # fmt: skip


def test_some_elements_carry_the_wrong_namespace(box: Box) -> None:
    spaces: dict[str, set[str | None]] = {}
    for n in range(25):
        ticket_id = text(box.add(f"PO-{n}"), "ReceivingTicketId")
        (ticket,) = tree(read(box, ticket_id)).iter(f"{{{TNS}}}ReceivingTicket")
        for x in ticket:
            name = etree.QName(x)
            spaces.setdefault(name.localname, set()).add(name.namespace)
    assert spaces.pop("Memo") == {TNS}
    assert spaces.pop("Shipmentitemslist") == {TNS, TICKET_NS}
    assert spaces.pop("SupplierDetails") == {TNS, TICKET_NS}
    assert set(map(frozenset, spaces.values())) == {frozenset({TICKET_NS})}


def test_a_missing_ticket_is_41_or_nothing(box: Box) -> None:
    found = {tuple(notes(read(box, f"WHRTN{n}"))) for n in range(10)}
    assert found == {(), ((41, "InvalidAsnError", "Invalid ASN Ticket number"),)}
    assert texts(read(box, "WHRTN1"), "ReceivingTicket") == []


def test_ticket_status(box: Box) -> None:
    ticket_id = text(box.add("PO-1"), "ReceivingTicketId")
    answer = box.rex(
        "GetReceivingTicketAddStatus",
        f"<receivingTicketId>{ticket_id}</receivingTicketId>",
        "authenticationString",
    )
    (status,) = tree(answer).iter(f"{{{TNS}}}ReceivingTicketStatus")
    assert [(etree.QName(x).localname, x.text) for x in status] == [
        ("TicketId", ticket_id), ("TicketStatus", "Draft"), ("StatusCode", "100"),
        ("StatusDescription", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "operation", ["GetReceivingStatusesByDate", "GetReceivingStatusesByDateConfigurable"]
)
def test_statuses_by_date_of_the_last_change_in_local_minutes(box: Box, operation: str) -> None:
    box.clock.advance(45)
    first = text(box.add("PO-1"), "ReceivingTicketId")  # 10:30:45 in New Jersey
    box.clock.advance(3600)
    second = text(box.add("PO-2"), "ReceivingTicketId")  # 11:30:45
    day = "11/20/2026"
    assert changed(box, f"{day} 10:30", f"{day} 10:30", operation) == [first]
    assert changed(box, f"{day} 10:31", f"{day} 11:29", operation) == []
    assert changed(box, f"{day} 10:00", f"{day} 12:00", operation) == [first, second]
    assert changed(box, day, "11/21/2026", operation) == [first, second]
    assert changed(box, "11/19/2026", day, operation) == []
    box.clock.advance(3600)
    box.control("parcels", {"ticket": first})
    assert changed(box, f"{day} 10:00", f"{day} 12:00", operation) == [second]
    assert changed(box, f"{day} 12:30", f"{day} 12:30", operation) == [first]


def test_a_bad_date_is_12(box: Box) -> None:
    inner = "<StartDate>2026-11-20</StartDate><EndDate>11/20/2026</EndDate>"
    answer = box.rex("GetReceivingStatusesByDate", inner)
    assert notes(answer) == [(12, "DataNotValid", "StartDate is not valid")]


def test_tickets_by_status_and_create_date(box: Box) -> None:
    first = text(box.add("PO-1"), "ReceivingTicketId")
    second = text(box.add("PO-2"), "ReceivingTicketId")
    box.control("parcels", {"ticket": second})

    def ask(status: str) -> list[str]:
        inner = (
            f"<receivingTicketStatus>{status}</receivingTicketStatus>"
            "<startDate>11/20/2026</startDate><endDate>11/21/2026</endDate>"
        )
        return texts(box.rex("GetReceivingTicketsByStatusAndCreateDate", inner), "string")

    assert ask("Draft") == [first]
    assert ask("AddedToInventory") == [second]
    assert ask("Cancelled") == []


def test_autumn_repeats_an_hour(box: Box) -> None:
    box.clock.advance((datetime(2027, 11, 7, 5, 45, tzinfo=UTC) - START).total_seconds())
    first = text(box.add("PO-1"), "ReceivingTicketId")
    box.clock.advance(3600)
    second = text(box.add("PO-2"), "ReceivingTicketId")
    assert changed(box, "11/07/2027 01:45", "11/07/2027 01:45") == [first, second]
