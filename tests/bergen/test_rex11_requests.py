"""Every request as a whole document."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from rex11_support import ITEMS_NS, RMA, TICKET_NS, c14n

from bergen_loop.domain.rma import Product, RmaItem, RmaRequest, TicketStatus
from bergen_loop.outside.warehouse.rex11 import requests
from bergen_loop.outside.warehouse.rex11.soap import clean


def whole(method: str) -> str:
    return c14n(
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
        f"<soap:Body>{method}</soap:Body></soap:Envelope>"
    )


SIMPLE = {
    "AuthenticationTokenGet": (
        requests.authentication_token_get("web", "user", "p<&>w"),
        "<WebAddress>web</WebAddress><UserName>user</UserName><Password>p&lt;&amp;&gt;w</Password>",
    ),
    "GetStyleMasterProductAddStatus": (
        requests.get_style_master_product_add_status("T", "28615"),
        "<AuthenticationString>T</AuthenticationString><UPC>28615</UPC>",
    ),
    "GetReceivingTicketAddStatus": (
        requests.get_receiving_ticket_add_status("T", "WHRTN1"),
        "<authenticationString>T</authenticationString>"
        "<receivingTicketId>WHRTN1</receivingTicketId>",
    ),
    "GetReceivingTicketsByPO": (
        requests.get_receiving_tickets_by_po("T", "PO-1"),
        "<AuthenticationString>T</AuthenticationString><customerPO>PO-1</customerPO>",
    ),
    "GetReceivingStatusesByDate": (
        requests.get_receiving_statuses_by_date("T", "03/08/2026 01:59", "03/08/2026 03:00"),
        "<AuthenticationString>T</AuthenticationString>"
        "<StartDate>03/08/2026 01:59</StartDate><EndDate>03/08/2026 03:00</EndDate>",
    ),
    "GetReceivingStatusesByDateConfigurable": (
        requests.get_receiving_statuses_by_date_configurable("T", "03/08/2026", "03/09/2026", 2),
        "<AuthenticationString>T</AuthenticationString>"
        "<StartDate>03/08/2026</StartDate><EndDate>03/09/2026</EndDate><dateType>2</dateType>",
    ),
    "GetReceivingTicketsByStatusAndCreateDate": (
        requests.get_receiving_tickets_by_status_and_create_date(
            "T", TicketStatus.PUTAWAY_IN_PROGRESS, date(2026, 1, 2), date(2026, 1, 3)
        ),
        "<AuthenticationString>T</AuthenticationString>"
        "<receivingTicketStatus>PutAwayInProgress</receivingTicketStatus>"
        "<startDate>01/02/2026</startDate><endDate>01/03/2026</endDate>",
    ),
    "GetReceivingTicketObjectByTicketNo": (
        requests.get_receiving_ticket_object_by_ticket_no("T", "WHRTN1"),
        "<AuthenticationString>T</AuthenticationString><AsnTicketNumber>WHRTN1</AsnTicketNumber>",
    ),
    "GetInventoryByUPCs": (
        requests.get_inventory_by_upcs("T", ["1", "2"]),
        "<AuthenticationString>T</AuthenticationString>"
        "<UPCs><string>1</string><string>2</string></UPCs>",
    ),
}


@pytest.mark.parametrize("operation", SIMPLE)
def test_simple_requests(operation: str) -> None:
    built, parameters = SIMPLE[operation]
    assert c14n(built) == whole(
        f'<{operation} xmlns="http://rex11.com/webmethods/">{parameters}</{operation}>'
    )


def test_product_add() -> None:
    built = requests.style_master_product_add(
        "T",
        [
            Product(
                " 28615 ",
                "ACME-1",
                "4B141",
                "Red",
                "M",
                "Dress",
                Decimal("1E+2"),
                country_of_origin="PT",
                customs_description="Dress, cotton",
                harmonized_code="6204.42",
            ),
            Product("28616", color=" "),
        ],
    )
    p = 'xmlns="http://rex11.com/swpublicapi/StyleMasterProduct.xsd"'
    assert c14n(built) == whole(
        f"""<StyleMasterProductAdd xmlns="http://rex11.com/webmethods/">
        <AuthenticationString>T</AuthenticationString>
        <products>
          <StyleMasterProduct>
            <Sku {p}>ACME-1</Sku><Style {p}>4B141</Style><Description {p}>Dress</Description>
            <Color {p}>Red</Color><Size {p}>M</Size><UPC {p}>28615</UPC><Price {p}>100</Price>
            <CountryOfOrigin {p}>PT</CountryOfOrigin>
            <CustomsDescription {p}>Dress, cotton</CustomsDescription>
            <HarmonizedCode {p}>6204.42</HarmonizedCode>
          </StyleMasterProduct>
          <StyleMasterProduct><UPC {p}>28616</UPC></StyleMasterProduct>
        </products></StyleMasterProductAdd>"""
    )


def test_ticket_add_in_schema_order_with_nested_namespaces() -> None:
    i = f'xmlns="{ITEMS_NS}"'
    s = 'xmlns="http://rex11.com/swpublicapi/CustomerOrder.xsd"'
    assert c14n(requests.receiving_ticket_add("T", RMA)) == whole(
        f"""<ReceivingTicketAdd xmlns="http://rex11.com/webmethods/">
        <AuthenticationString>T</AuthenticationString>
        <receivingTicket xmlns="{TICKET_NS}">
          <ReceivingStatus>Draft</ReceivingStatus>
          <ReceivingStatusCode>0</ReceivingStatusCode>
          <CreatedDate>03/08/2026</CreatedDate>
          <Shipmentitemslist>
            <Sku {i}>ACME-RED-M</Sku><Style {i}>4B141</Style><Color {i}>Red</Color>
            <UPC {i}>0012345678905</UPC><Size {i}>AU 4/US 0</Size>
            <ExpectedQuantity {i}>2</ExpectedQuantity><ActualQuantity {i}>0</ActualQuantity>
            <DamagedQuantity {i}>0</DamagedQuantity><UnitCost {i}>12.50</UnitCost>
            <ProductDescription {i}>Dress &amp; belt</ProductDescription>
            <ProductMSRP {i}>189</ProductMSRP>
            <Comments {i}>Kept the &lt;bag&gt;</Comments><ShipmentType {i}>NA</ShipmentType>
            <ReturnReasonCode {i}>TOO_SMALL</ReturnReasonCode>
          </Shipmentitemslist>
          <Shipmentitemslist>
            <UPC {i}>28615</UPC><ExpectedQuantity {i}>1</ExpectedQuantity>
            <ActualQuantity {i}>0</ActualQuantity><DamagedQuantity {i}>0</DamagedQuantity>
            <UnitCost {i}>0</UnitCost><ProductMSRP {i}>0</ProductMSRP>
            <ShipmentType {i}>NA</ShipmentType>
          </Shipmentitemslist>
          <ShipmentTypelist>NA</ShipmentTypelist>
          <Warehouse>BERGEN LOGISTICS NJ2</Warehouse>
          <Memo>Loop return 4711</Memo>
          <AuthorizedNumber>AUTH-9</AuthorizedNumber>
          <CustomerPO>LOOP-acme-4711-1</CustomerPO>
          <TrackingNumbers>1Z999</TrackingNumbers><TrackingNumbers>1Z998</TrackingNumbers>
          <ExpectedDate>03/18/2026</ExpectedDate>
          <SupplierDetails>
            <CompanyName {s}>Jane Doe</CompanyName><Address1 {s}>1 Main St</Address1>
            <Address2 {s}>Apt 2</Address2><City {s}>Newark</City><State {s}>NJ</State>
            <Zip {s}>07102</Zip><Country {s}>United States</Country>
            <Non_US_Region {s}>-</Non_US_Region><Phone {s}>555</Phone><Fax {s}>556</Fax>
            <Email {s}>jane@example.com</Email>
          </SupplierDetails>
          <Carrier>FEDEX</Carrier>
        </receivingTicket></ReceivingTicketAdd>"""
    )


@given(memo=st.text(st.characters(codec=None)), description=st.text(st.characters(codec=None)))
def test_any_text_goes_through_but_for_what_xml_cannot_carry(memo: str, description: str) -> None:
    item = RmaItem("S", "1", 1, description=description)
    rma = RmaRequest("PO", "BERGEN LOGISTICS NJ", (item,), date(2026, 1, 1), memo=memo)
    read = etree.fromstring(requests.receiving_ticket_add("T", rma))
    assert (read.findtext(f".//{{{TICKET_NS}}}Memo") or "") == clean(memo)
    assert (read.findtext(f".//{{{ITEMS_NS}}}ProductDescription") or "") == clean(description)


def test_clean_drops_only_what_is_illegal() -> None:
    assert clean("a\x00b\x1b\x0cc\ud800\ufffe\t\n\rd é 😀") == "abc\t\n\rd é 😀"
