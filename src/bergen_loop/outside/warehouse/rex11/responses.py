"""Answers of REX11 to this project's terms, one parser per operation. Pure.

Each takes the body of an HTTP answer and its Call, and raises nothing but OutsideError:
Refused/NotFound for error notifications, Unauthorized for a refused token, Unreadable for an
envelope that lacks what it must hold, InvalidRequest for a fault that blames the request; for
another fault, and for what is no SOAP answer at all (HTML, a DOCTYPE, broken XML), Unavailable if
the call only reads, else OutcomeUnknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from bergen_loop.domain.receipt import Receipt
from bergen_loop.domain.rma import ProductImport, TicketChange, normal_ticket_id
from bergen_loop.outside.errors import (
    InvalidRequest,
    NotFound,
    OutsideError,
    Refused,
    Scope,
    Unreadable,
)
from bergen_loop.outside.warehouse.rex11 import soap
from bergen_loop.outside.warehouse.rex11.call import Call
from bergen_loop.outside.warehouse.rex11.notifications import (
    Notification,
    read_notifications,
    refusal,
)
from bergen_loop.outside.warehouse.rex11.soap import Element
from bergen_loop.outside.warehouse.rex11.ticket import Asked, another, read_receipt, read_status


@dataclass(frozen=True, slots=True)
class InventoryItem:
    """A line of GetInventoryByUPCs. Text as it came (often lower-cased); None where empty."""

    upc: str | None
    sku: str | None = None
    style: str | None = None
    color: str | None = None
    size: str | None = None
    description: str | None = None
    price: str | None = None
    warehouse: str | None = None
    warehouse_id: str | None = None
    actual_quantity: str | None = None
    pending_quantity: str | None = None


PENDING_IMPORT = 87
# From the surest knowledge of trouble to none: with several notifications the first counts.
_IMPORTS = {
    "error": ProductImport.FAILED,
    "upccodeerror": ProductImport.UNKNOWN,
    "pendingimport": ProductImport.PENDING,
    "success": ProductImport.KNOWN,
}


def check_status(status: int, body: bytes, call: Call) -> None:
    """Raise unless the HTTP status is 200; a fault's own words are in the message."""
    if status == 200:
        return
    error = _status_error(status, body, call)
    error.status = status
    raise error


def _status_error(status: int, body: bytes, call: Call) -> OutsideError:
    message = f"the service answered HTTP {status}"
    if status in (401, 403):
        return call.unauthorized(message, body)
    try:
        fault = _fault(soap.open_body(body), call, body)
    except soap.NotSoap:
        fault = None
    return fault or call.no_answer(message, body)


def authentication_token_get(body: bytes, call: Call) -> str:
    """The token. An empty result means wrong credentials: Unauthorized."""
    content = _content(body, call)
    token = soap.text(content, "AuthenticationTokenGetResult")
    if token is None:
        raise call.unauthorized("REX11 gave no token, which means wrong credentials")
    return token


def style_master_product_add(body: bytes, call: Call) -> None:
    """Nothing to return; the import itself happens later."""
    _result(body, call)


def get_style_master_product_add_status(body: bytes, call: Call) -> ProductImport:
    """Success, PendingImport, Error or UpcCodeError; another Severity is Refused."""
    notifications = read_notifications(_unchecked_result(body, call))
    other = [n for n in notifications if _import(n) is None or call.signs.match(n.message, n.code)]
    if error := refusal(other, call, body):
        raise error
    found = {_import(n) for n in notifications}
    state = next((state for state in _IMPORTS.values() if state in found), None)
    if state is None:
        raise call.error(Unreadable, "the answer does not name an import status", body)
    return state


def receiving_ticket_add(body: bytes, call: Call) -> str:
    """The new ticket's id. No id and no error is Unreadable: look it up by its PO."""
    result = _unchecked_result(body, call)
    ticket_id = soap.text(result, "ReceivingTicketId")
    error = refusal(read_notifications(result), call, body, done=ticket_id is not None)
    if error:
        raise error
    if ticket_id is None:
        raise call.error(Unreadable, "the answer has neither ticket id nor error", body)
    if soap.mended(result, "ReceivingTicketId"):
        raise call.error(Unreadable, f"the new ticket's id was damaged: {ticket_id}", body)
    return ticket_id


def get_receiving_ticket_add_status(body: bytes, call: Call) -> TicketChange:
    """The status of one ticket."""
    change = next(iter(read_status(_result(body, call), "ReceivingTicketStatus")), None)
    if change is None or not change.ticket_id:
        raise call.error(Unreadable, "the answer holds no ticket status", body)
    return change


def get_receiving_tickets_by_po(body: bytes, call: Call) -> list[str]:
    """Ticket ids with that PO; empty when none."""
    return _strings(body, call, "ReceivingTicketsByPO")


def get_receiving_tickets_by_status_and_create_date(body: bytes, call: Call) -> list[str]:
    """Ticket ids; empty when none."""
    return _strings(body, call, "ReceivingTickets")


def get_receiving_statuses_by_date(body: bytes, call: Call) -> list[TicketChange]:
    """Every ticket in the window; the Configurable operation answers in the same form. A line
    that cannot be read is told by its `problem`, and never hides the others."""
    return [
        change
        for group in soap.children(_listing(body, call), "ReceivingTicketStatus")
        for change in read_status(group, "ReceivingTicketShipmentStatus")
    ]


def get_receiving_ticket_object_by_ticket_no(
    body: bytes, call: Call, asked: Asked, zone: ZoneInfo
) -> Receipt:
    """The ticket with its counts. No ticket in the answer is NotFound; another one than was
    asked for is Unreadable."""
    result = _result(body, call)
    tickets = [
        ticket
        for group in soap.children(result, "ReceivingTicketByTicketNo")
        for ticket in soap.children(group, "ReceivingTicket")
        if len(ticket)
    ]
    if not tickets:
        raise call.error(NotFound, "the answer holds no ticket", body)
    if len(tickets) > 1:
        message = f"the answer holds {len(tickets)} tickets for one number"
        raise call.error(Unreadable, message, body)
    if other := another(tickets[0], asked):
        raise call.error(Unreadable, f"the answer is about {other}", body)
    return read_receipt(tickets[0], asked.ticket_id, zone)


def get_inventory_by_upcs(body: bytes, call: Call) -> list[InventoryItem]:
    """The inventory lines; a UPC can have one per warehouse, or none. Errors beside lines are
    about other UPCs, so the lines count."""
    result = _unchecked_result(body, call)
    lines = [item for x in soap.children(result, "Inventory") for item in soap.children(x, "item")]
    if not any(soap.text(line, "Upc") for line in lines):
        _listing(body, call)
    return [
        InventoryItem(
            upc=soap.text(item, "Upc"),
            sku=soap.text(item, "Sku"),
            style=soap.text(item, "Style"),
            color=soap.text(item, "Color"),
            size=soap.text(item, "Size"),
            description=soap.text(item, "Description"),
            price=soap.text(item, "Price"),
            warehouse=soap.text(item, "Warehouse"),
            warehouse_id=soap.text(item, "WarehouseId"),
            actual_quantity=soap.text(item, "ActualQuantity"),
            pending_quantity=soap.text(item, "PendingQuantity"),
        )
        for item in lines
        if not soap.mended(item, "Upc")
    ]


def _content(body: bytes, call: Call) -> Element:
    """The operation's response element."""
    try:
        content = soap.open_body(body)
    except soap.NotSoap as reason:
        problem = str(reason)
    else:
        if error := _fault(content, call, body):
            raise error
        if soap.local_name(content) == f"{call.operation}Response":
            return content
        message = f"this answers another call: <{soap.local_name(content)[:60]}>"
        raise call.error(Unreadable, message, body)
    raise call.no_answer(problem, body, status=200)


def _fault(content: Element, call: Call, body: bytes) -> OutsideError | None:
    words = soap.fault_text(content)
    if words is None:
        return None
    # A fault can come after a change was made, so there it is a doubt, whatever it says; unless
    # it blames the request, which it does before anything is done.
    blamed = soap.fault_blames_request(content)
    if (blamed or not call.changes) and call.signs.match(words):
        return call.unauthorized(f"REX11 refused the token: {words[:500]}", body)
    if blamed:
        message = f"REX11 does not take this request: {words[:500]}"
        return call.error(InvalidRequest, message, body)
    # The service is there: what it cannot do for this call it may do for others.
    return call.no_answer(f"SOAP fault: {words[:500]}", body, scope=Scope.CALL)


def _unchecked_result(body: bytes, call: Call) -> Element:
    result = soap.child(_content(body, call), f"{call.operation}Result")
    if result is None:
        message = f"the answer holds no {call.operation}Result"
        raise call.error(Unreadable, message, body)
    return result


def _result(body: bytes, call: Call) -> Element:
    """The result, its notifications checked."""
    result = _unchecked_result(body, call)
    if error := refusal(read_notifications(result), call, body):
        raise error
    return result


def _listing(body: bytes, call: Call) -> Element | None:
    """The result of a list operation; None where a configured code says that there is none."""
    try:
        return _result(body, call)
    except Refused as error:
        if error.codes and set(error.codes) <= call.nothing_found_codes:
            return None
        raise


def _strings(body: bytes, call: Call, name: str) -> list[str]:
    result = _listing(body, call)
    groups = list(soap.children(result, name))
    if any(soap.mended(group, "string") for group in groups):
        raise call.error(Unreadable, "a ticket number of the answer was damaged", body)
    found: dict[str, str] = {}
    for group in groups:
        for element in soap.children(group, "string"):
            if number := soap.own_text(element):
                found.setdefault(normal_ticket_id(number), number)
    return list(found.values())


def _import(notification: Notification) -> ProductImport | None:
    if notification.code == PENDING_IMPORT:
        return ProductImport.PENDING
    state = _IMPORTS.get((notification.severity or "").casefold())
    return None if state is ProductImport.KNOWN and not notification.ok else state
