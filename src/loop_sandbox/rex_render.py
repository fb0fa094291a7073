"""Writing REX11 answers, with what is odd about the real ones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
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
from loop_sandbox.settings import Settings

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


def status(name: str, ticket: Ticket, settings: Settings, raw: str | None = None) -> str:
    """A ticket's status, as element `name`; `raw` is XML text for its description."""
    listed = name == "ReceivingTicketShipmentStatus" and settings.ticket_ids_lowered
    lowered = listed and Dice("lowered", ticket.id).chance(0.2)
    word = ticket.status
    if settings.status_spelling != "exact":
        word = _spelling(word, Dice("spelling", ticket.id, word))
    text = ticket.fields.get("IMPORTSTATUSTEXT", "")
    inner = (
        tag("TicketId", ticket.id.lower() if lowered else ticket.id)
        + tag("TicketStatus", word)
        + tag("StatusCode", str(TICKET_STATUSES[ticket.status]))
        + tag("StatusDescription", raw or text, raw=raw is not None)
    )
    return tag(name, inner, raw=True)


def _spelling(status: str, dice: Dice) -> str:
    """A status as it is, lower-cased, or in words."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", status)
    return dice.pick((status, status, status.lower(), words))


def strings(name: str, values: Iterable[str]) -> str:
    return tag(name, "".join(tag("string", v) for v in values), raw=True)


def inventory_item(brand: Brand, product: RexProduct, upc: str) -> str:
    values = product.values
    count = Dice("stock", values.get("UPC", "")).whole(0, 400)
    inner = (
        tag("Warehouse", brand.warehouse)
        + tag("WarehouseId", "1")
        + tag("Sku", values.get("Sku", "").lower())
        + tag("Style", values.get("Style", "").lower())
        + tag("Color", values.get("Color", "").lower())
        + tag("Size", values.get("Size", "").lower())
        + tag("Upc", upc.lower())
        + tag("Description", values.get("Description", "").lower())
        + tag("Price", values.get("Price", ""))
        + tag("ActualQuantity", str(count))
        + tag("PendingQuantity", "0")
    )
    return tag("item", inner, raw=True)


_PLAIN = (
    "Memo", "AuthorizedNumber", "CustomerPO", "LicensePlate", "DriverName", "ExpectedDate",
    "Carrier", "IMPORTSTATUSTEXT",
)  # fmt: skip


def ticket(t: Ticket, settings: Settings, raw: str | None = None) -> str:
    """A ticket read back; `raw` is XML text for an item's Comments. `<Memo>` always, and the
    item list and the supplier of some tickets, stand in the service's namespace instead of the
    ticket's. As recorded, there are no elements for what was not sent."""
    odd = Dice("namespaces", t.id)
    items_space = None if odd.chance(0.3) else TICKET
    supplier_space = None if odd.chance(0.2) else TICKET
    recorded = settings.read_back_as_recorded
    word = t.status
    if settings.status_spelling == "everywhere":
        word = _spelling(word, Dice("spelling-of-object", t.id, word))

    def plain(name: str) -> str:
        value = t.fields.get(name)
        if recorded and not value:
            return ""
        if name == "ExpectedDate":
            value = day_only(value or "")
        if name == "Carrier" and recorded:
            value = (value or "").lower()
        return tag(name, value or "", None if name == "Memo" else TICKET)

    raws = [raw, *[None] * len(t.items)]
    types, tracking = t.shipment_types or ["NA"], t.tracking_numbers
    parts = [
        tag("ReceivingStatus", word, TICKET),
        tag("ReceivingStatusCode", str(TICKET_STATUSES[t.status]), TICKET),
        tag("CreatedDate", twelve_hours(t.created), TICKET),
        *(_item(x, items_space, settings, text) for x, text in zip(t.items, raws, strict=False)),
        *(tag("ShipmentTypelist", _shipment_type(x, recorded), TICKET) for x in types),
        tag("Warehouse", t.fields.get("Warehouse", ""), TICKET),
        *(plain(name) for name in _PLAIN[:5]),
        *(tag("TrackingNumbers", x, TICKET) for x in tracking or ([] if recorded else [""])),
        plain("ExpectedDate"),
        "" if recorded and t.supplier is None else _supplier(t.supplier, supplier_space, recorded),
        *(plain(name) for name in _PLAIN[6:]),
        tag("AddedToInventoryDate", _date(t.added, t.id, settings), TICKET),
        tag("ArrivedDate", _date(t.arrived, f"{t.id}-arrived", settings), TICKET),
    ]
    return tag("ReceivingTicket", "".join(parts), raw=True)


_MIN_DATES = ("1/1/0001", "1/1/0001 12:00:00 AM", "01/01/0001 00:00:00", "0001-01-01T00:00:00")


def _date(moment: datetime | None, key: str, settings: Settings) -> str:
    """A date; DateTime.MinValue for one that is not set, and for a few that should be."""
    if settings.min_dates:
        dice = Dice("min-date", key)
        if moment is None or dice.chance(0.05):
            return dice.pick(_MIN_DATES)
    return padded(moment)


def _shipment_type(value: str, recorded: bool) -> str:
    return "NA" if recorded or value == "OPENTOHANG" else value


def _item(item: TicketItem, namespace: str | None, settings: Settings, raw: str | None) -> str:
    recorded = settings.read_back_as_recorded
    values = {
        **item.values,
        "ExpectedQuantity": str(item.expected),
        "ActualQuantity": item.actual,
        "DamagedQuantity": item.damaged,
        "ShipmentType": _shipment_type(item.values.get("ShipmentType", "NA"), recorded),
    }
    for name in _LOWERED:
        values[name] = values.get(name, "").lower()
    if settings.upc_zeros_dropped:
        values["UPC"] = values["UPC"].lstrip("0")
    names = ITEM_ELEMENTS
    if recorded:
        values = {"UnitCost": "0", "ProductMSRP": "0", **{k: v for k, v in values.items() if v}}
        names = tuple(n for n in ITEM_ELEMENTS if n in values or n == "ReturnReasonCode")
    if raw is not None and "Comments" not in names:
        names = tuple(n for n in ITEM_ELEMENTS if n in names or n == "Comments")
    inner = "".join(
        tag(n, raw, ITEMS, raw=True)
        if raw is not None and n == "Comments"
        else tag(n, values.get(n, ""), ITEMS)
        for n in names
    )
    return tag("Shipmentitemslist", inner, namespace, raw=True)


def _supplier(supplier: dict[str, str] | None, namespace: str | None, recorded: bool) -> str:
    values = dict(supplier or {})
    country = values.get("Country", "")
    values["Country"] = COUNTRIES.get(country.lower(), country)
    names = SUPPLIER_ELEMENTS
    if recorded:
        names = tuple(n for n in names if values.get(n) or n in ("Address1", "State"))
        values["State"] = ""
    inner = "".join(tag(name, values.get(name, ""), ADDRESS) for name in names)
    return tag("SupplierDetails", inner, namespace, raw=True)
