"""Answers of REX11 to this project's terms, one parser per operation. Pure.

Each takes the body of an HTTP answer and its Call, and raises nothing but OutsideError:
Refused/NotFound for error notifications, Unauthorized for a refused token, Unreadable for an
envelope that lacks what it must hold, InvalidRequest for a fault that blames the request; for
another fault, and for what is no SOAP answer at all (HTML, a DOCTYPE, broken XML), Unavailable if
the call only reads, else OutcomeUnknown.

REX11 reports errors with HTTP 200, as Notifications, several per answer; an empty list means
success. Errors about items name them in words, such as "COLOR[item 1] is not valid" or
"ReceivingTicket/Shipmentitemslist/Size[item 1] is not valid". It is documented nowhere what it
counts from; recorded answers begin with item 1, so 1 is taken for the first, unless the answer
names an item 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from zoneinfo import ZoneInfo

from bergen_loop.domain.codes import given_code, normal_code, normal_word
from bergen_loop.domain.remarks import plain, speaks_of_trouble
from bergen_loop.domain.rma import (
    ProductImport,
    Receipt,
    ReceiptLine,
    TicketChange,
    TicketStatus,
    normal_ticket_id,
)
from bergen_loop.outside.errors import (
    InvalidRequest,
    NotFound,
    OutsideError,
    RateLimited,
    Refused,
    Scope,
    Unreadable,
)
from bergen_loop.outside.warehouse.rex11 import soap
from bergen_loop.outside.warehouse.rex11.call import Call
from bergen_loop.outside.warehouse.rex11.soap import Element, read_time


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


_LONGEST_LINE = 500

_NUMBERS = ("TicketNo", "TicketId", "ReceivingTicketId", "AsnTicketNumber")
"""Where a ticket might name itself: the schema of 2017 has no such element, a later one may."""
_JUDGED_OF_TICKET = ("ReceivingStatus", "CustomerPO")
_JUDGED_OF_ITEM = (
    *("Sku", "UPC", "Style", "Color", "Size"),
    *("ExpectedQuantity", "ActualQuantity", "DamagedQuantity"),
)
"""What decisions hang on: damage to it is a doubt. Damage to memos and comments is not."""
INVALID_ASN = 41
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_ITEM = re.compile(r"\[item ([0-9]{1,6})\]", re.IGNORECASE)
_TICKET_NUMBER = re.compile(r"(?=.*[1-9])\w[\w./#-]{0,49}", re.ASCII)
"""`WHRTN1044588`. 0, -1 and words ("none found") are no numbers of tickets."""
_DRAFT_CODE = "100"
_WHOLE = re.compile(r"(-?[0-9]{1,9})(?:\.0*)?")

_NONE_CHANGED = re.compile(
    r"\bno (records?|tickets?|data|results?|receiving tickets?)( (was|were))? (found|available)\b",
    re.IGNORECASE,
)
PENDING_IMPORT = 87
# From the surest knowledge of trouble to none: with several notifications the first counts.
_IMPORTS = {
    "error": ProductImport.FAILED,
    "upccodeerror": ProductImport.UNKNOWN,
    "pendingimport": ProductImport.PENDING,
    "success": ProductImport.KNOWN,
}


def check_status(status: int, body: bytes, call: Call) -> bytes:
    """The body. Raises unless the HTTP status is 200; a fault's own words are in the message."""
    if status == 200:
        return body
    error = _status_error(status, body, call)
    error.status = status
    raise error


def _status_error(status: int, body: bytes, call: Call) -> OutsideError:
    message = f"the service answered HTTP {status}"
    if status in (401, 403):
        return call.unauthorized(message, body)
    if status == 429:
        return call.error(RateLimited, f"{message}, too many calls; it was not carried out", body)
    try:
        fault = _fault(soap.open_body(body), call, body)
    except soap.NotSoap:
        fault = None
    return fault or call.no_answer(message, body)


def authentication_token_get(body: bytes, call: Call) -> str:
    """The token. An empty result means wrong credentials: Unauthorized."""
    token = soap.text(_content(body, call), "AuthenticationTokenGetResult")
    if token is None:
        raise call.unauthorized("REX11 gave no token, which means wrong credentials")
    return token


def style_master_product_add(body: bytes, call: Call) -> None:
    """Nothing to return; the import itself happens later."""
    _result(body, call)


def get_style_master_product_add_status(body: bytes, call: Call) -> ProductImport:
    """Success, PendingImport, Error or UpcCodeError; another Severity is Refused."""
    notifications = read_notifications(_result(body, call, checked=False))
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
    result = _result(body, call, checked=False)
    ids = {soap.own_text(e) for e in soap.children(result, "ReceivingTicketId")} - {None}
    ticket_id = soap.text(result, "ReceivingTicketId")
    error = refusal(read_notifications(result), call, body, done=ticket_id is not None)
    if error:
        raise error
    if ticket_id is None:
        raise call.error(Unreadable, "the answer has neither ticket id nor error", body)
    if len(ids) > 1:
        raise call.error(Unreadable, f"the answer has {len(ids)} ticket ids: {_listed(ids)}", body)
    if soap.mended(result, "ReceivingTicketId"):
        raise call.error(Unreadable, f"the new ticket's id was damaged: {ticket_id}", body)
    if not _TICKET_NUMBER.fullmatch(ticket_id):
        raise call.error(Unreadable, f"{ticket_id[:60]!r} is no ticket number", body)
    return ticket_id


def get_receiving_ticket_add_status(body: bytes, call: Call) -> TicketChange:
    """The status of one ticket."""
    element = soap.child(_result(body, call), "ReceivingTicketStatus")
    change = None if element is None else _status(element)
    if change is None or not change.ticket_id:
        raise call.error(Unreadable, "the answer holds no ticket status", body)
    return change


def get_receiving_statuses_by_date(body: bytes, call: Call) -> list[TicketChange]:
    """Every ticket in the window; the Configurable operation answers in the same form. A line
    that cannot be read is told by its `problem`, and never hides the others."""
    try:
        groups = _lists(body, call, "ReceivingTicketStatus")
    except Refused as error:
        if not all(map(_NONE_CHANGED.search, error.message.split("; "))):
            raise
        groups = []  # no ticket is made for what this list does not show, nor is anything paid
    return [
        _status(element)
        for group in groups
        for element in soap.children(group, "ReceivingTicketShipmentStatus")
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
    result = _result(body, call, checked=False)
    lines = [item for x in soap.children(result, "Inventory") for item in soap.children(x, "item")]
    if not any(soap.text(line, "Upc") for line in lines):
        _lists(body, call, "Inventory")
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


def _fault(content: Element, call: Call, body: bytes) -> OutsideError | None:
    if soap.local_name(content) != "Fault":
        return None
    words = soap.fault_text(content)
    # A fault can come after a change was made, so there it is a doubt, whatever it says; unless
    # it blames the request, which it does before anything is done.
    blamed = soap.fault_blames_request(content)
    if (blamed or not call.changes) and call.signs.match(words):
        return call.unauthorized(f"REX11 refused the token: {words[:500]}", body)
    if blamed:
        message = f"REX11 does not take this request: {words[:500]}"
        return call.error(InvalidRequest, message, body)
    # The service is there: what it cannot do for this call it may do for others, unless they all
    # need a token first.
    scope = Scope.SYSTEM if call.operation == "AuthenticationTokenGet" else Scope.CALL
    return call.no_answer(f"SOAP fault: {words[:500]}", body, scope=scope)


def _content(body: bytes, call: Call) -> Element:
    """The operation's response element."""
    try:
        content = soap.open_body(body)
    except soap.NotSoap as reason:
        raise call.no_answer(str(reason), body, status=200) from None
    if error := _fault(content, call, body):
        raise error
    if soap.local_name(content) != f"{call.operation}Response":
        message = f"this answers another call: <{soap.local_name(content)[:60]}>"
        raise call.error(Unreadable, message, body)
    return content


def _result(body: bytes, call: Call, *, checked: bool = True) -> Element:
    """The operation's result; `checked`: its notifications as well."""
    name = f"{call.operation}Result"
    result = next(soap.children(_content(body, call), name), None)
    if result is None:
        raise call.error(Unreadable, f"the answer holds no {name}", body)
    if checked and (error := refusal(read_notifications(result), call, body)):
        raise error
    return result


def _lists(body: bytes, call: Call, name: str) -> list[Element]:
    """A list operation's result: its lists of that name, none where a configured code says so."""
    try:
        return list(soap.children(_result(body, call), name))
    except Refused as error:
        if error.codes and set(error.codes) <= call.nothing_found_codes:
            return []
        raise


def _ticket_ids(body: bytes, call: Call, name: str) -> list[str]:
    """Ticket ids; empty when none."""
    groups = _lists(body, call, name)
    if any(soap.mended(group, "string") for group in groups):
        raise call.error(Unreadable, "a ticket number of the answer was damaged", body)
    found: dict[str, str] = {}
    for group in groups:
        for element in soap.children(group, "string"):
            if number := soap.own_text(element):
                if not _TICKET_NUMBER.fullmatch(number):
                    raise call.error(Unreadable, f"{number[:60]!r} is no ticket number", body)
                found.setdefault(normal_ticket_id(number), number)
    return list(found.values())


get_receiving_tickets_by_po = partial(_ticket_ids, name="ReceivingTicketsByPO")
get_receiving_tickets_by_status_and_create_date = partial(_ticket_ids, name="ReceivingTickets")


def _import(notification: Notification) -> ProductImport | None:
    if notification.code == PENDING_IMPORT:
        return ProductImport.PENDING
    state = _IMPORTS.get((notification.severity or "").casefold())
    return None if state is ProductImport.KNOWN and not notification.ok else state


# -- notifications ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Notification:
    """ErrorCode (None if missing or no number), Severity and Message of one."""

    code: int | None
    severity: str | None
    message: str | None

    @property
    def ok(self) -> bool:
        """ErrorCode 0 and Severity Success, as far as both are there (and one is)."""
        fine = self.code in (None, 0) and (self.severity or "success").casefold() == "success"
        return fine and not (self.code is None and self.severity is None)

    @property
    def remark(self) -> bool:
        """Words beside what was read. Beside what was to be changed they are a doubt."""
        return self.code == 0 and normal_word(self.severity) in ("warning", "information", "info")

    def __str__(self) -> str:
        code = "" if self.code is None else f"{self.code} "
        return f"{code}{self.severity or 'error'}: {self.message or 'no message'}"


def read_notifications(result: Element) -> list[Notification]:
    """All notifications of a result that say anything."""
    found: list[Notification] = []
    for group in soap.children(result, "Notifications"):
        for element in soap.children(group, "Notification"):
            code, severity = soap.text(element, "ErrorCode"), soap.text(element, "Severity")
            message = soap.text(element, "Message")
            if code and (not _INTEGER.fullmatch(code) or soap.mended(element, "ErrorCode")):
                # An unreadable code is an error in itself, so Severity must not excuse it.
                severity = f"{severity or 'error'} (ErrorCode {code[:20]!r})"
                code = None
            if code or severity or message:
                found.append(Notification(int(code) if code else None, severity, message))
    return found


def refusal(
    notifications: Sequence[Notification], call: Call, raw: bytes, *, done: bool = False
) -> OutsideError | None:
    """The error these notifications stand for; None if there is none.

    `done`: the answer also holds what a success would (a ticket id). Success and error in one
    answer to a change are a contradiction, so a doubt (Unreadable), not a refusal.
    """
    errors = [n for n in notifications if not (n.ok or (n.remark and not call.changes))]
    if not errors:
        return None
    message = "; ".join(str(n) for n in errors)
    codes = tuple(n.code for n in errors if n.code is not None)
    if call.changes and (done or len(errors) < len(notifications)):
        return call.error(
            Unreadable,
            f"the answer reports both success and errors ({message}); look before repeating",
            raw,
        )
    if any(call.signs.match(n.message, n.code) for n in errors):
        return call.unauthorized(f"REX11 refused the token: {message}", raw)
    gone = len(codes) == len(errors) and set(codes) == {INVALID_ASN}
    kind = NotFound if gone else Refused
    return call.error(kind, message, raw, codes=codes, items=_items(message, call.sent))


def _items(message: str, sent: int) -> tuple[int, ...]:
    """The places (from 0) of the items the words name, as far as the request has them."""
    named = {int(number) for number in _ITEM.findall(message)}
    first = 0 if 0 in named else 1
    return tuple(sorted(n - first for n in named if n - first < sent))


# -- tickets ----------------------------------------------------------------------------------


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
    # Both are given the PO when a ticket is made; real ones have come back without the first.
    po = po or soap.text(ticket, "AuthorizedNumber")
    if po and asked.customer_po and normal_code(po) != normal_code(asked.customer_po):
        cut = (normal_code(asked.customer_po) or "").startswith(normal_code(po) or "?")
        most = f" (does REX11 keep {len(po)} characters of it? See announce.po_length)"
        return f"PO {po}, not {asked.customer_po}{most if cut else ''}"
    return None


def _status(element: Element) -> TicketChange:
    """A line of a list of changed tickets, also one that cannot be read."""
    ticket_id, status_name = soap.text(element, "TicketId"), soap.text(element, "TicketStatus")
    problem = None
    if ticket_id is None:
        problem = "a line of the list names no ticket"
    elif soap.mended(element, "TicketId"):
        # The id that is left may be another ticket's.
        problem, ticket_id = "the ticket number of a line was damaged", None
    elif status_name is None:
        problem = "a line of the list has no status"
    elif soap.mended(element, "TicketStatus"):
        problem = "the status of a line was damaged"
    if problem:
        problem += f": {soap.as_text(element)[:_LONGEST_LINE]}"
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
    code = soap.text(ticket, "ReceivingStatusCode")
    if status is TicketStatus.ADDED_TO_INVENTORY and code == _DRAFT_CODE:
        problems.append(f"ReceivingStatus is {status_name}, but its code {code} is a Draft's")
    items = list(soap.children(ticket, "Shipmentitemslist"))
    empty = sum(1 for item in items if not len(item))
    if empty:
        problems.append(f"{empty} of {len(items)} Shipmentitemslist elements are empty")
    lines = tuple(_line(item) for item in items if len(item))
    counted, damaged = sum(x.actual or 0 for x in lines), sum(x.damaged or 0 for x in lines)
    problems += _not_known(_said(ticket), _KNOWN_OF_TICKET, counted, damaged)
    return Receipt(
        ticket_id=ticket_id,
        status=status,
        status_name=status_name or "",
        lines=lines,
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


_KNOWN_OF_TICKET = frozenset(
    {"ReceivingStatus", "ReceivingStatusCode", "CreatedDate", "Shipmentitemslist",
     "ShipmentTypelist", "Warehouse", "Memo", "AuthorizedNumber", "CustomerPO", "LicensePlate",
     "DriverName", "TrackingNumbers", "ExpectedDate", "SupplierDetails", "Carrier",
     "AddedToInventoryDate", "ArrivedDate"}
)  # fmt: skip
_KNOWN_OF_ITEM = frozenset(
    {"Sku", "Style", "Color", "UPC", "Size", "ExpectedQuantity", "ActualQuantity",
     "DamagedQuantity", "UnitCost", "ProductDescription", "ProductMSRP", "Comments",
     "ShipmentType", "ReturnReasonCode"}
)  # fmt: skip
_BAD = re.compile(
    r"damag|dmg|reject|quarantin|defect|unsell|unsal|scrap|dispos|b ?stock|seconds|\bhold|\bheld"
    r"|missing|lost|\bbad\b|wrong|discrep|varianc|partial|refurb|salvage|recount"
    r"|short(age|ed)?( \w+)? (quantity|qty|units|count)"
)
_GOOD = re.compile(
    r"(total )?(good|available|sellable|saleable|accepted|approved|passed|actual|received|counted)"
    r" (total )?(quantity|qty|units|count|pieces)"
)
_NAMES = re.compile(r"description|title|name|lot|serial|style|color|size|\bby\b")
_SAYS_NO = frozenset({"false", "no", "n", "none", "nil", "null", "-", "n/a", "ok"})
_REMARKS = re.compile(
    r"comments|remarks?|notes?|condition|quality\w*|grade|disposition", re.IGNORECASE
)
"""Elements that the schema of 2017 has not, but for `Comments`; a later one may."""


def _said(element: Element) -> list[tuple[str, str]]:
    """What stands in its elements that are not judged one by one."""
    return [
        (name, text)
        for e in element.iterchildren("*")
        if (name := soap.local_name(e)) not in _JUDGED_OF_ITEM and (text := soap.own_text(e))
    ]


def _not_known(
    said: Iterable[tuple[str, str]], known: frozenset[str], counted: int, damaged: int
) -> list[str]:
    """Elements that are not documented, and speak of goods that are not as they were counted: by
    their name, by a lower count of good ones, or by what stands in them."""
    found: list[str] = []
    for name, text in said:
        if name in known or (_REMARKS.fullmatch(name) and known is _KNOWN_OF_ITEM):
            continue
        words, units = plain(name), read_quantity(text, name)[0]
        if _BAD.search(words):
            says = units not in (0, damaged) and text.casefold() not in _SAYS_NO
        elif _GOOD.fullmatch(words):
            says = units != counted
        else:
            says = not _NAMES.search(words) and speaks_of_trouble(text)
        if says:
            found.append(f"{name} is {text[:40]!r}, of which nothing is known")
    return found


def _remarks(said: Iterable[tuple[str, str]]) -> str | None:
    """What the warehouse says of the item in words. A reason is the customer's, unless it speaks
    of the goods and was not announced."""
    words = [
        text if name.casefold() == "comments" else f"{name}: {text}"
        for name, text in said
        if _REMARKS.fullmatch(name) or (name == "ReturnReasonCode" and speaks_of_trouble(text))
    ]
    return "; ".join(words) or None


def _line(item: Element) -> ReceiptLine:
    said = _said(item)
    expected, *doubts = read_quantity(soap.text(item, "ExpectedQuantity"), "ExpectedQuantity")
    actual, actual_doubt = read_quantity(soap.text(item, "ActualQuantity"), "ActualQuantity")
    damaged, damaged_doubt = read_quantity(soap.text(item, "DamagedQuantity"), "DamagedQuantity")
    if damaged is None and damaged_doubt is None:
        # Not the same as 0: nobody has said that the units are undamaged.
        damaged_doubt = "DamagedQuantity is missing"
    return ReceiptLine(
        sku=given_code(soap.text(item, "Sku")),
        upc=given_code(soap.text(item, "UPC")),
        style=soap.text(item, "Style"),
        color=soap.text(item, "Color"),
        size=soap.text(item, "Size"),
        expected=expected,
        actual=actual,
        damaged=damaged,
        description=soap.text(item, "ProductDescription"),
        comments=_remarks(said),
        problems=(
            *(d for d in (*doubts, actual_doubt, damaged_doubt) if d),
            *_not_known(said, _KNOWN_OF_ITEM, actual or 0, damaged or 0),
            *_damage(item, _JUDGED_OF_ITEM),
        ),
    )


def _damage(element: Element, names: Iterable[str]) -> list[str]:
    found, of = list[str](), soap.by_name(element)
    for name in names:
        same = of.get(name)
        if not same or (len(same) == 1 and soap.is_plain(same[0])):
            continue
        values = {soap.own_text(e) for e in same}
        if soap.mended(element, name):
            found.append(f"{name} came damaged; what is left of it is {_listed(values)}")
        elif len(values) > 1:
            found.append(f"{name} is there more than once: {_listed(values)}")
        elif any(len(e) for e in same):
            found.append(f"{name} is no plain text")
    return found


def _listed(values: Iterable[str | None]) -> str:
    return ", ".join(sorted(repr((value or "")[:40]) for value in values))


def read_quantity(text: str | None, name: str) -> tuple[int | None, str | None]:
    """The units and, if there is doubt, what stood there instead.

    `2`, `2.0` and `2.00` are 2; a missing value is None without a problem; a negative number is
    given with a problem; anything else is None with one. Never raises.
    """
    if text is None or not text.strip():
        return None, None
    match = _WHOLE.fullmatch(text.strip())
    if match is None:
        return None, f"{name} is {text[:40]!r}, not a whole number"
    units = int(match[1])
    return units, f"{name} is negative: {units}" if units < 0 else None
