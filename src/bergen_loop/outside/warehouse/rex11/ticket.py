"""A ticket element as a receipt, and status elements as ticket changes. Pure; never raises."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from bergen_loop.domain.codes import normal_code
from bergen_loop.domain.receipt import Receipt, ReceiptLine
from bergen_loop.domain.rma import TicketChange, TicketStatus, normal_ticket_id
from bergen_loop.outside.warehouse.rex11 import soap
from bergen_loop.outside.warehouse.rex11.quantities import read_quantity
from bergen_loop.outside.warehouse.rex11.soap import Element
from bergen_loop.outside.warehouse.rex11.times import read_time

_LONGEST_LINE = 500

_NUMBERS = ("TicketNo", "TicketId", "ReceivingTicketId", "AsnTicketNumber")
"""Where a ticket might name itself: the schema of 2017 has no such element, a later one may."""
_JUDGED_OF_TICKET = ("ReceivingStatus", "CustomerPO")
_JUDGED_OF_ITEM = (
    *("Sku", "UPC", "Style", "Color", "Size"),
    *("ExpectedQuantity", "ActualQuantity", "DamagedQuantity"),
)
"""What decisions hang on: damage to it is a doubt. Damage to memos and comments is not."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which ticket is read, and the PO it must have, where that is known."""

    ticket_id: str
    customer_po: str | None = None


def another(ticket: Element, asked: Asked) -> str | None:
    """What this ticket is, if it is not the one that was asked for. A ticket that names neither
    its number nor its PO is taken for it (real ones have come without)."""
    for name in _NUMBERS:
        number = soap.text(ticket, name)
        if number and normal_ticket_id(number) != normal_ticket_id(asked.ticket_id):
            return f"ticket {number}, not {asked.ticket_id}"
    po = soap.text(ticket, "CustomerPO")
    if po and asked.customer_po and normal_code(po) != normal_code(asked.customer_po):
        return f"PO {po}, not {asked.customer_po}"
    return None


def read_status(parent: Element, name: str) -> list[TicketChange]:
    """The status elements of that name, those that cannot be read included."""
    return [_status(element) for element in soap.children(parent, name)]


def _status(element: Element) -> TicketChange:
    ticket_id, status_name = soap.text(element, "TicketId"), soap.text(element, "TicketStatus")
    whole = soap.as_text(element)[:_LONGEST_LINE]
    problem = None
    if ticket_id is None:
        problem = f"a line of the list names no ticket: {whole}"
    elif soap.mended(element, "TicketId"):
        # The id that is left may be another ticket's.
        problem, ticket_id = f"the ticket number of a line was damaged: {whole}", None
    elif status_name is None:
        problem = f"a line of the list has no status: {whole}"
    elif soap.mended(element, "TicketStatus"):
        problem = f"the status of a line was damaged: {whole}"
    return TicketChange(
        ticket_id=ticket_id or "",
        status=TicketStatus.read(status_name),
        status_name=status_name or "",
        status_code=soap.text(element, "StatusCode"),
        description=soap.text(element, "StatusDescription"),
        problem=problem,
    )


def read_receipt(ticket: Element, ticket_id: str, zone: ZoneInfo) -> Receipt:
    """The ticket with its items. What cannot be understood is told in `problems`; a date that
    cannot be is no date, which is no problem."""
    problems = _damage(ticket, _JUDGED_OF_TICKET)
    status_name = soap.text(ticket, "ReceivingStatus")
    status = TicketStatus.read(status_name)
    if status is None:
        problems.append(f"ReceivingStatus is {status_name!r}, not a known status")
    items = list(soap.children(ticket, "Shipmentitemslist"))
    empty = sum(1 for item in items if not len(item))
    if empty:
        problems.append(f"{empty} of {len(items)} Shipmentitemslist elements are empty")
    return Receipt(
        ticket_id=ticket_id,
        status=status,
        status_name=status_name or "",
        lines=tuple(_line(item) for item in items if len(item)),
        customer_po=soap.text(ticket, "CustomerPO"),
        warehouse=soap.text(ticket, "Warehouse"),
        memo=soap.text(ticket, "Memo"),
        tracking_numbers=tuple(
            t for e in soap.children(ticket, "TrackingNumbers") if (t := soap.own_text(e))
        ),
        created_at=read_time(soap.text(ticket, "CreatedDate"), zone),
        arrived_at=read_time(soap.text(ticket, "ArrivedDate"), zone),
        added_to_inventory_at=read_time(soap.text(ticket, "AddedToInventoryDate"), zone),
        problems=tuple(problems),
    )


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
        problems=(
            *(d for d in (*doubts, actual_doubt, damaged_doubt) if d),
            *_damage(item, _JUDGED_OF_ITEM),
        ),
    )


def _damage(element: Element, names: Iterable[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        values = {soap.own_text(e) for e in soap.children(element, name)}
        if soap.mended(element, name):
            found.append(f"{name} came damaged; what is left of it is {_listed(values)}")
        elif len(values) > 1:
            found.append(f"{name} is there more than once: {_listed(values)}")
        elif any(len(e) for e in soap.children(element, name)):
            found.append(f"{name} is no plain text")
    return found


def _listed(values: Iterable[str | None]) -> str:
    return ", ".join(sorted(repr((value or "")[:40]) for value in values))
