"""Whole SOAP 1.1 envelopes, one builder per operation. Pure: nothing is sent from here.

Parameter names, their order, their case and what is required are those of the service's WSDL
(v3); optional values that are missing are left out. Codes are sent without outer blanks. From free
text the characters that XML cannot carry are dropped; codes that hold any are refused before
(`check_rma`, `check_products`, `check_code`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from bergen_loop.domain.rma import Product, RmaItem, RmaRequest, Supplier, TicketStatus
from bergen_loop.outside.errors import InvalidRequest
from bergen_loop.outside.warehouse.rex11 import soap
from bergen_loop.outside.warehouse.rex11.call import Call
from bergen_loop.outside.warehouse.rex11.soap import (
    ITEMS,
    METHODS,
    PRODUCT,
    SUPPLIER,
    TICKET,
    Fields,
    clean,
    local_date,
)

LONGEST = 500
"""Characters of a code. How many REX11 keeps is not documented; what is over this is no code but a
text gone astray."""
MOST_UNITS = 2**31 - 1
MOST_MONEY = Decimal(10) ** 12

_REWRITTEN = re.compile(r"[0-9]+(?:[.,][0-9]+[eE][+-]?|[eE][+-])[0-9]+|[0-9]{6,}[.,]0+")
"""What spreadsheets make of long numbers: `8.85E+11`, `885909950805.0`."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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


# -- what is refused before it is sent --------------------------------------------------------
#
# Requests that REX11 could take for something else, and those it is known to refuse.
# InvalidRequest lists everything that is wrong, by product.


def check_rma(rma: RmaRequest, call: Call) -> None:
    """InvalidRequest for an RMA that cannot be sent as it is."""
    problems: list[str] = []
    if not rma.customer_po.strip():
        problems.append("it has no CustomerPO, without which a lost answer cannot be resolved")
    elif doubt := code_doubt(rma.customer_po):
        problems.append(f"its CustomerPO {rma.customer_po[:40]!r} {doubt}")
    if not clean(rma.warehouse).strip():
        problems.append("it names no warehouse")
    if not rma.items:
        problems.append("it has no items")
    for number, item in enumerate(rma.items, start=1):
        where = _name(number, "item", item)
        problems.extend(f"{where} {p}" for p in _item_problems(item))
    if rma.supplier:
        problems.extend(_supplier_problems(rma.supplier))
    _refuse("RMA", problems, call)


def check_products(products: Sequence[Product], call: Call) -> None:
    """InvalidRequest for products that cannot be sent as they are, or that lack what REX11
    demands of a product: description, color, size and price."""
    problems: list[str] = [] if products else ["there are none"]
    for number, product in enumerate(products, start=1):
        where = _name(number, "product", product)
        problems.extend(f"{where} {p}" for p in _product_problems(product))
    _refuse("products", problems, call)


def check_code(name: str, code: str, call: Call) -> None:
    """InvalidRequest for a code (PO, ticket id, UPC) that would be sent as another one."""
    if not code.strip() or code.strip() != code:
        _refuse(name, [f"it is {code[:40]!r}: empty, or with outer blanks"], call)
    elif doubt := code_doubt(code):
        _refuse(name, [f"{code[:40]!r} {doubt}"], call)


def check_upc(upc: str, call: Call) -> None:
    """The same, and for a number that a spreadsheet rewrote."""
    if doubt := upc_doubt(upc):
        _refuse("UPC", [f"{upc[:40]!r} {doubt}"], call)


def code_doubt(code: str | None) -> str | None:
    """Why this code cannot be sent faithfully; outer blanks aside, which are not sent."""
    inner = (code or "").strip()
    if _CONTROL.search(inner):
        return "holds a control character"
    if clean(inner) != inner:
        return "holds a character XML cannot carry"
    if len(inner) > LONGEST:
        return f"has {len(inner)} characters, over {LONGEST}"
    return None


def upc_doubt(upc: str | None) -> str | None:
    """The same for a UPC, which must not be a number that a spreadsheet rewrote either."""
    if _REWRITTEN.fullmatch((upc or "").strip()):
        return "is a number in a form spreadsheets write, which has lost digits of the barcode"
    return code_doubt(upc)


def _item_problems(item: RmaItem) -> list[str]:
    problems = _code_problems(item)
    if not any((code or "").strip() for code in (item.sku, item.upc, item.style)):
        problems.append("has neither SKU nor UPC nor Style")
    if not 1 <= item.expected <= MOST_UNITS:
        problems.append(f"expects {item.expected} units")
    for name, amount in (("unit cost", item.unit_cost), ("MSRP", item.msrp)):
        if _no_amount(amount):
            problems.append(f"has the {name} {amount}")
    return problems


def _product_problems(product: Product) -> list[str]:
    problems = _code_problems(product)
    if not product.upc.strip():
        problems.append("has no UPC")
    missing = [
        name
        for name, value in (
            ("description", product.description),
            ("color", product.color),
            ("size", product.size),
        )
        if not clean(value or "").strip()
    ]
    missing += ["price"] if product.price is None else []
    if missing:
        problems.append(f"lacks {_listed(missing)}, without which REX11 takes no product")
    if _no_amount(product.price):
        problems.append(f"has the price {product.price}")
    return problems


def _code_problems(of: RmaItem | Product) -> list[str]:
    named = (
        ("UPC", of.upc, upc_doubt),
        ("SKU", of.sku, code_doubt),
        ("style", of.style, code_doubt),
        ("color", of.color, code_doubt),
        ("size", of.size, code_doubt),
    )
    return [
        f"has the {name} {(value or '')[:40]!r}, which {doubt}"
        for name, value, doubt_of in named
        if (doubt := doubt_of(value))
    ]


def _supplier_problems(supplier: Supplier) -> list[str]:
    missing = [
        name
        for name, values in (
            ("company name", (supplier.company_name,)),
            ("state", (supplier.state, supplier.non_us_region)),
            ("country", (supplier.country,)),
        )
        if not any(clean(value or "").strip() for value in values)
    ]
    return [f"its supplier has no {_listed(missing)}"] if missing else []


def _name(number: int, noun: str, of: RmaItem | Product) -> str:
    """`item 2 (SKU ABC-1, Dress)`: so that people find it in the shop."""
    known = [f"SKU {of.sku}" if of.sku else "", of.description or ""]
    words = ", ".join(clean(w)[:60] for w in known if w.strip())
    return f"{noun} {number}" + (f" ({words})" if words else "")


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _no_amount(amount: Decimal | None) -> bool:
    return amount is not None and not (amount.is_finite() and 0 <= amount <= MOST_MONEY)


def _refuse(what: str, problems: Sequence[str], call: Call) -> None:
    if problems:
        message = f"not sent, the {what} cannot be right: {'; '.join(problems)}"
        raise call.error(InvalidRequest, message)
