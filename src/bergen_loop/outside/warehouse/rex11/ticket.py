"""A ticket element as a receipt, and status elements as ticket changes. Pure; never raises."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from bergen_loop.domain.receipt import Receipt, ReceiptLine
from bergen_loop.domain.rma import TicketChange, TicketStatus
from bergen_loop.outside.warehouse.rex11 import soap
from bergen_loop.outside.warehouse.rex11.quantities import read_quantity
from bergen_loop.outside.warehouse.rex11.soap import Element
from bergen_loop.outside.warehouse.rex11.times import from_local

# REX11 lower-cases values at times.
_STATUSES = {status.value.casefold(): status for status in TicketStatus}


def status_of(name: str | None) -> TicketStatus | None:
    """The status of that name, case aside; None for a name that is not known."""
    return _STATUSES.get((name or "").casefold())


def read_status(parent: Element, name: str) -> list[TicketChange]:
    """The status elements of that name that carry a ticket id."""
    return [
        TicketChange(
            ticket_id=ticket_id,
            status=status_of(status_name := soap.text(element, "TicketStatus")),
            status_name=status_name or "",
            status_code=soap.text(element, "StatusCode"),
            description=soap.text(element, "StatusDescription"),
        )
        for element in soap.children(parent, name)
        if (ticket_id := soap.text(element, "TicketId"))
    ]


def read_receipt(ticket: Element, ticket_id: str, zone: ZoneInfo) -> Receipt:
    """The ticket with its items. What cannot be understood is told in `problems`."""
    problems: list[str] = []
    status_name = soap.text(ticket, "ReceivingStatus")
    if status_of(status_name) is None:
        problems.append(f"ReceivingStatus is {status_name!r}, not a known status")
    items = list(soap.children(ticket, "Shipmentitemslist"))
    empty = sum(1 for item in items if not len(item))
    if empty:
        problems.append(f"{empty} of {len(items)} Shipmentitemslist elements are empty")
    return Receipt(
        ticket_id=ticket_id,
        status=status_of(status_name),
        status_name=status_name or "",
        lines=tuple(_line(item) for item in items if len(item)),
        customer_po=soap.text(ticket, "CustomerPO"),
        warehouse=soap.text(ticket, "Warehouse"),
        memo=soap.text(ticket, "Memo"),
        tracking_numbers=tuple(
            t for e in soap.children(ticket, "TrackingNumbers") if (t := soap.own_text(e))
        ),
        created_at=_time(ticket, "CreatedDate", zone, problems),
        arrived_at=_time(ticket, "ArrivedDate", zone, problems),
        added_to_inventory_at=_time(ticket, "AddedToInventoryDate", zone, problems),
        problems=tuple(problems),
    )


def _time(ticket: Element, name: str, zone: ZoneInfo, problems: list[str]) -> datetime | None:
    value = soap.text(ticket, name)
    if value is None:
        return None
    try:
        return from_local(value, zone)
    except ValueError as error:
        problems.append(f"{name}: {error}")
        return None


def _line(item: Element) -> ReceiptLine:
    expected, *doubts = read_quantity(soap.text(item, "ExpectedQuantity"), "ExpectedQuantity")
    actual, actual_doubt = read_quantity(soap.text(item, "ActualQuantity"), "ActualQuantity")
    damaged, damaged_doubt = read_quantity(soap.text(item, "DamagedQuantity"), "DamagedQuantity")
    if damaged is None and damaged_doubt is None:
        # Not the same as 0: nobody has said that the units are undamaged.
        damaged_doubt = "DamagedQuantity is missing"
    return ReceiptLine(
        sku=soap.text(item, "Sku"),
        upc=soap.text(item, "UPC"),
        style=soap.text(item, "Style"),
        color=soap.text(item, "Color"),
        size=soap.text(item, "Size"),
        expected=expected,
        actual=actual,
        damaged=damaged,
        description=soap.text(item, "ProductDescription"),
        comments=soap.text(item, "Comments"),
        problems=tuple(d for d in (*doubts, actual_doubt, damaged_doubt) if d),
    )
