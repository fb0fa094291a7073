"""Writing REX11 answers, with what is odd about the real ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

from loop_sandbox.dice import Dice
from loop_sandbox.model import TICKET_STATUSES, Brand, RexProduct, Ticket, TicketItem
from loop_sandbox.rex_names import (
    ADDRESS,
    COUNTRIES,
    ITEM_ELEMENTS,
    ITEMS,
    SOAP,
    SUPPLIER_ELEMENTS,
    TICKET,
    TNS,
)
from loop_sandbox.rex_time import day_only, padded, twelve_hours

_HEAD = '<?xml version="1.0" encoding="utf-8"?>'
_LOWERED = ("Sku", "Style", "Color", "UPC", "Size", "ProductDescription")


@dataclass(frozen=True, slots=True)
class Note:
    """A notification."""

    code: int
    severity: str
    message: str


SAVED = Note(0, "Success", "Data saved successfully.")
NO_TICKET = Note(41, "InvalidAsnError", "Invalid ASN Ticket number")


def envelope(inner: str) -> bytes:
    text = (
        f'{_HEAD}<soap:Envelope xmlns:soap="{SOAP}" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
        f"<soap:Body>{inner}</soap:Body></soap:Envelope>"
    )
    return text.encode()


def fault(message: str, side: str = "Client") -> bytes:
    return envelope(
        f"<soap:Fault><faultcode>soap:{side}</faultcode>"
        f"<faultstring>{escape(message)}</faultstring><detail /></soap:Fault>"
    )


def result(operation: str, inner: str) -> bytes:
    """The answer to an operation around its result's content."""
    return envelope(
        f'<{operation}Response xmlns="{TNS}">{tag(f"{operation}Result", inner, raw=True)}'
        f"</{operation}Response>"
    )


def tag(name: str, value: str, namespace: str | None = None, *, raw: bool = False) -> str:
    """An element; an empty value gives an empty element, not a missing one."""
    space = f' xmlns="{namespace}"' if namespace else ""
    if not value:
        return f"<{name}{space} />"
    return f"<{name}{space}>{value if raw else escape(value)}</{name}>"


def notifications(notes: Iterable[Note]) -> str:
    inner = "".join(
        "<Notification>"
        + tag("ErrorCode", str(n.code))
        + tag("Severity", n.severity)
        + tag("Message", n.message)
        + "</Notification>"
        for n in notes
    )
    return tag("Notifications", inner, raw=True)


def status(name: str, ticket: Ticket) -> str:
    """A ticket's status, as element `name`."""
    inner = (
        tag("TicketId", ticket.id)
        + tag("TicketStatus", ticket.status)
        + tag("StatusCode", str(TICKET_STATUSES[ticket.status]))
        + tag("StatusDescription", ticket.fields.get("IMPORTSTATUSTEXT", ""))
    )
    return tag(name, inner, raw=True)


def strings(name: str, values: Iterable[str]) -> str:
    return tag(name, "".join(tag("string", v) for v in values), raw=True)


def inventory_item(brand: Brand, product: RexProduct) -> str:
    values = product.values
    count = Dice("stock", values.get("UPC", "")).whole(0, 400)
    inner = (
        tag("Warehouse", brand.warehouse)
        + tag("WarehouseId", "1")
        + tag("Sku", values.get("Sku", "").lower())
        + tag("Style", values.get("Style", "").lower())
        + tag("Color", values.get("Color", "").lower())
        + tag("Size", values.get("Size", "").lower())
        + tag("Upc", values.get("UPC", "").lower())
        + tag("Description", values.get("Description", "").lower())
        + tag("Price", values.get("Price", ""))
        + tag("ActualQuantity", str(count))
        + tag("PendingQuantity", "0")
    )
    return tag("item", inner, raw=True)


def ticket(t: Ticket) -> str:
    """A ticket read back. `<Memo>` always, and the item list and the supplier of some tickets,
    stand in the service's namespace instead of the ticket's."""
    odd = Dice("namespaces", t.id)
    items_space = None if odd.chance(0.3) else TICKET
    supplier_space = None if odd.chance(0.2) else TICKET
    fields = t.fields
    parts = [
        tag("ReceivingStatus", t.status, TICKET),
        tag("ReceivingStatusCode", str(TICKET_STATUSES[t.status]), TICKET),
        tag("CreatedDate", twelve_hours(t.created), TICKET),
        *(_item(item, items_space) for item in t.items),
        *(tag("ShipmentTypelist", _shipment_type(x), TICKET) for x in t.shipment_types or ["NA"]),
        tag("Warehouse", fields.get("Warehouse", ""), TICKET),
        tag("Memo", fields.get("Memo", "")),
        tag("AuthorizedNumber", fields.get("AuthorizedNumber", ""), TICKET),
        tag("CustomerPO", t.po, TICKET),
        tag("LicensePlate", fields.get("LicensePlate", ""), TICKET),
        tag("DriverName", fields.get("DriverName", ""), TICKET),
        *(tag("TrackingNumbers", x, TICKET) for x in t.tracking_numbers or [""]),
        tag("ExpectedDate", day_only(fields.get("ExpectedDate", "")), TICKET),
        _supplier(t.supplier, supplier_space),
        tag("Carrier", fields.get("Carrier", ""), TICKET),
        tag("IMPORTSTATUSTEXT", fields.get("IMPORTSTATUSTEXT", ""), TICKET),
        tag("AddedToInventoryDate", padded(t.added), TICKET),
        tag("ArrivedDate", padded(t.arrived), TICKET),
    ]
    return tag("ReceivingTicket", "".join(parts), raw=True)


def _shipment_type(value: str) -> str:
    return "NA" if value == "OPENTOHANG" else value


def _item(item: TicketItem, namespace: str | None) -> str:
    values = {
        **item.values,
        "ExpectedQuantity": str(item.expected),
        "ActualQuantity": item.actual,
        "DamagedQuantity": item.damaged,
        "ShipmentType": _shipment_type(item.values.get("ShipmentType", "NA")),
    }
    for name in _LOWERED:
        values[name] = values.get(name, "").lower()
    inner = "".join(tag(name, values.get(name, ""), ITEMS) for name in ITEM_ELEMENTS)
    return tag("Shipmentitemslist", inner, namespace, raw=True)


def _supplier(supplier: dict[str, str] | None, namespace: str | None) -> str:
    values = dict(supplier or {})
    country = values.get("Country", "")
    values["Country"] = COUNTRIES.get(country.lower(), country)
    inner = "".join(tag(name, values.get(name, ""), ADDRESS) for name in SUPPLIER_ELEMENTS)
    return tag("SupplierDetails", inner, namespace, raw=True)
