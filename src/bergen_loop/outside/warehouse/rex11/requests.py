"""Whole SOAP 1.1 envelopes, one builder per operation. Pure: nothing is sent from here.

Parameter names, their order, their case and what is required are those of the service's WSDL
(v3); optional values that are missing are left out. Codes are sent without outer blanks. From free
text the characters that XML cannot carry are dropped; codes that hold any are refused before
(`checks`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from bergen_loop.domain.rma import Product, RmaItem, RmaRequest, Supplier, TicketStatus
from bergen_loop.outside.warehouse.rex11 import soap
from bergen_loop.outside.warehouse.rex11.soap import (
    ITEMS,
    METHODS,
    PRODUCT,
    SUPPLIER,
    TICKET,
    Fields,
)
from bergen_loop.outside.warehouse.rex11.times import local_date


def authentication_token_get(web_address: str, user_name: str, password: str) -> bytes:
    """AuthenticationTokenGet: the account's three credentials."""
    return _simple(
        "AuthenticationTokenGet",
        ("WebAddress", web_address),
        ("UserName", user_name),
        ("Password", password),
    )


def style_master_product_add(token: str, products: Iterable[Product]) -> bytes:
    """StyleMasterProductAdd: products to import."""
    call = soap.add(None, METHODS, "StyleMasterProductAdd", [("AuthenticationString", token)])
    listed = soap.add(call, METHODS, "products")
    for product in products:
        soap.fill(soap.add(listed, METHODS, "StyleMasterProduct"), PRODUCT, _product(product))
    return soap.envelope(call)


def get_style_master_product_add_status(token: str, upc: str) -> bytes:
    """GetStyleMasterProductAddStatus: how far one product's import is."""
    return _simple("GetStyleMasterProductAddStatus", ("AuthenticationString", token), ("UPC", upc))


def receiving_ticket_add(token: str, rma: RmaRequest, shipment_type: str = "NA") -> bytes:
    """ReceivingTicketAdd: the RMA as a Draft ticket, in the order of the ticket schema."""
    call = soap.add(None, METHODS, "ReceivingTicketAdd", [("AuthenticationString", token)])
    ticket = soap.add(
        call,
        TICKET,
        "receivingTicket",
        [
            ("ReceivingStatus", TicketStatus.DRAFT.value),
            ("ReceivingStatusCode", "0"),
            ("CreatedDate", local_date(rma.created_on)),
        ],
    )
    for item in rma.items:
        listed = soap.add(ticket, TICKET, "Shipmentitemslist")
        soap.fill(listed, ITEMS, _item(item, shipment_type))
    soap.fill(
        ticket,
        TICKET,
        [
            ("ShipmentTypelist", shipment_type),
            ("Warehouse", rma.warehouse),
            ("Memo", rma.memo),
            ("AuthorizedNumber", rma.authorized_number),
            ("CustomerPO", _code(rma.customer_po)),
            ("LicensePlate", _code(rma.license_plate)),
            *(("TrackingNumbers", _code(number)) for number in rma.tracking_numbers),
            ("ExpectedDate", local_date(rma.expected_on) if rma.expected_on else None),
        ],
    )
    if rma.supplier:
        details = soap.add(ticket, TICKET, "SupplierDetails")
        soap.fill(details, SUPPLIER, _supplier(rma.supplier))
    soap.fill(ticket, TICKET, [("Carrier", rma.carrier)])
    return soap.envelope(call)


def get_receiving_ticket_add_status(token: str, ticket_id: str) -> bytes:
    """GetReceivingTicketAddStatus: its parameters begin in lower case."""
    return _simple(
        "GetReceivingTicketAddStatus",
        ("authenticationString", token),
        ("receivingTicketId", ticket_id),
    )


def get_receiving_tickets_by_po(token: str, customer_po: str) -> bytes:
    """GetReceivingTicketsByPO."""
    return _simple(
        "GetReceivingTicketsByPO", ("AuthenticationString", token), ("customerPO", customer_po)
    )


def get_receiving_statuses_by_date(token: str, start: str, end: str) -> bytes:
    """GetReceivingStatusesByDate; dates as from `times.query_window`."""
    return _simple(
        "GetReceivingStatusesByDate",
        ("AuthenticationString", token),
        ("StartDate", start),
        ("EndDate", end),
    )


def get_receiving_statuses_by_date_configurable(
    token: str, start: str, end: str, date_type: int
) -> bytes:
    """GetReceivingStatusesByDateConfigurable; the meaning of dateType is not documented."""
    return _simple(
        "GetReceivingStatusesByDateConfigurable",
        ("AuthenticationString", token),
        ("StartDate", start),
        ("EndDate", end),
        ("dateType", str(date_type)),
    )


def get_receiving_tickets_by_status_and_create_date(
    token: str, status: TicketStatus, start: date, end: date
) -> bytes:
    """GetReceivingTicketsByStatusAndCreateDate; the days are warehouse-local."""
    return _simple(
        "GetReceivingTicketsByStatusAndCreateDate",
        ("AuthenticationString", token),
        ("receivingTicketStatus", status.value),
        ("startDate", local_date(start)),
        ("endDate", local_date(end)),
    )


def get_receiving_ticket_object_by_ticket_no(token: str, ticket_id: str) -> bytes:
    """GetReceivingTicketObjectByTicketNo."""
    return _simple(
        "GetReceivingTicketObjectByTicketNo",
        ("AuthenticationString", token),
        ("AsnTicketNumber", ticket_id),
    )


def get_inventory_by_upcs(token: str, upcs: Iterable[str]) -> bytes:
    """GetInventoryByUPCs."""
    call = soap.add(None, METHODS, "GetInventoryByUPCs", [("AuthenticationString", token)])
    soap.add(call, METHODS, "UPCs", [("string", upc) for upc in upcs])
    return soap.envelope(call)


def _simple(operation: str, *parameters: tuple[str, str]) -> bytes:
    return soap.envelope(soap.add(None, METHODS, operation, parameters))


def _money(amount: Decimal) -> str:
    # To the ten-thousandth: a tiny one would be written with all of its zeros.
    fine = isinstance(places := amount.as_tuple().exponent, int) and places >= -4
    return format(amount if fine else round(amount, 4), "f")


def _code(value: str | None) -> str | None:
    return (value or "").strip() or None


def _product(product: Product) -> Fields:
    return [
        ("Sku", _code(product.sku)),
        ("Style", _code(product.style)),
        ("Description", product.description),
        ("Color", _code(product.color)),
        ("Size", _code(product.size)),
        ("UPC", _code(product.upc)),
        ("Price", None if product.price is None else _money(product.price)),
        ("CountryOfOrigin", _code(product.country_of_origin)),
        ("CustomsDescription", product.customs_description),
        ("HarmonizedCode", _code(product.harmonized_code)),
    ]


def _item(item: RmaItem, shipment_type: str) -> Fields:
    return [
        ("Sku", _code(item.sku)),
        ("Style", _code(item.style)),
        ("Color", _code(item.color)),
        ("UPC", _code(item.upc)),
        ("Size", _code(item.size)),
        ("ExpectedQuantity", str(item.expected)),
        # Required by the schema, ignored by the service.
        ("ActualQuantity", "0"),
        ("DamagedQuantity", "0"),
        # Required too: 0 where they are not known.
        ("UnitCost", _money(item.unit_cost or Decimal(0))),
        ("ProductDescription", item.description),
        ("ProductMSRP", _money(item.msrp or Decimal(0))),
        ("Comments", item.comments),
        ("ShipmentType", shipment_type),
        ("ReturnReasonCode", item.reason_code),
    ]


def _supplier(supplier: Supplier) -> Fields:
    return [
        ("CompanyName", supplier.company_name),
        ("Address1", supplier.address1),
        ("Address2", supplier.address2),
        ("City", supplier.city),
        ("State", supplier.state),
        ("Zip", supplier.zip),
        ("Country", supplier.country),
        ("Non_US_Region", supplier.non_us_region),
        ("Phone", supplier.phone),
        ("Fax", supplier.fax),
        ("Email", supplier.email),
    ]
