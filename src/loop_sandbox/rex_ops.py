"""REX11's operations."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from loop_sandbox import rex_render as render
from loop_sandbox import tickets
from loop_sandbox.calls import Call
from loop_sandbox.dice import Dice
from loop_sandbox.model import TICKET_STATUSES, Brand, RexProduct, TicketItem
from loop_sandbox.rex_names import COUNTRIES
from loop_sandbox.rex_parse import ParsedCall, ParsedTicket
from loop_sandbox.rex_render import NO_TICKET, SAVED, Note
from loop_sandbox.rex_time import parse_query, wall_seconds

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

_DAY = re.compile(r"\d{2}/\d{2}/\d{4}")
_ITEM_PATH = "ReceivingTicket/Shipmentitemslist"


def token(world: SandboxWorld, parsed: ParsedCall) -> str:
    """A token, or nothing for bad credentials."""
    given = tuple(parsed.values.get(n, "") for n in ("WebAddress", "UserName", "Password"))
    for brand in world.brands.values():
        if given == (brand.web_address, brand.user_name, brand.password):
            number = len(world.tokens) + 1
            made = f"T{world.dice('token', brand.slug, number).whole(0, 2**32 - 1):08X}-{number}"
            world.tokens[made] = (brand.slug, world.now() + world.settings.token_minutes * 60)
            return made
    return ""


def token_brand(world: SandboxWorld, text: str) -> str | None:
    """Whose token it is, however old."""
    found = world.tokens.get(text)
    return found[0] if found else None


def expire_token(world: SandboxWorld, text: str) -> None:
    """As if its time were over already."""
    if text in world.tokens:
        world.tokens[text] = (world.tokens[text][0], 0.0)


def token_valid(world: SandboxWorld, text: str) -> bool:
    found = world.tokens.get(text)
    return found is not None and world.now() < found[1]


def perform(world: SandboxWorld, brand: Brand, parsed: ParsedCall, call: Call) -> str:
    """The content of the operation's result element."""
    return _OPERATIONS[parsed.operation](world, brand, parsed, call)


def _add_products(world: SandboxWorld, brand: Brand, parsed: ParsedCall, call: Call) -> str:
    wrong = [
        Note(32, "DataNotValid", f"StyleMasterProduct/UPC[product {n}] is not valid")
        for n, product in enumerate(parsed.products, 1)
        if not product.get("UPC")
    ]
    if wrong or not parsed.products:
        return render.notifications(
            wrong or [Note(12, "DataNotValid", "products/StyleMasterProduct is not valid")]
        )
    ready = world.now() + world.settings.import_seconds
    for values in parsed.products:
        key = values["UPC"].lower()
        if key not in brand.rex_products:
            brand.rex_products[key] = RexProduct(values.get("Sku", ""), values, ready)
    call.effect = f"{len(parsed.products)} products added"
    return render.notifications([SAVED])


def _product_status(world: SandboxWorld, brand: Brand, parsed: ParsedCall, call: Call) -> str:
    upc = parsed.values.get("UPC", "")
    product = brand.rex_products.get(upc.lower())
    if product is None:
        note = Note(33, "UpcCodeError", f"UPC {upc} is not known")
    elif product.ready_at > world.now():
        note = Note(0, "PendingImport", "The product is waiting for its import.")
    elif not product.values.get("Style"):
        note = Note(34, "Error", "Style is required")
    else:
        note = Note(0, "Success", "The product has been imported.")
    return render.notifications([note])


def _add_ticket(world: SandboxWorld, brand: Brand, parsed: ParsedCall, call: Call) -> str:
    sent = parsed.ticket or ParsedTicket()
    wrong = _ticket_errors(world, brand, sent)
    if wrong:
        return render.notifications(wrong) + render.tag("ReceivingTicketId", "")
    ticket = tickets.add_ticket(
        world,
        brand,
        fields=sent.fields,
        items=[TicketItem(item, int(item["ExpectedQuantity"])) for item in sent.items],
        shipment_types=sent.shipment_types,
        tracking_numbers=sent.tracking_numbers,
        supplier=sent.supplier,
    )
    call.effect = f"ticket {ticket.id} created"
    return render.notifications([SAVED]) + render.tag("ReceivingTicketId", ticket.id)


def _ticket_errors(world: SandboxWorld, brand: Brand, sent: ParsedTicket) -> list[Note]:
    errors: list[Note] = []
    if not sent.items:
        errors.append(Note(12, "DataNotValid", f"{_ITEM_PATH} is not valid"))
    for name in ("CreatedDate", "ExpectedDate"):
        text = sent.fields.get(name)
        if (text or name == "CreatedDate") and not _is_day(text or ""):
            errors.append(Note(12, "DataNotValid", f"ReceivingTicket/{name} is not valid"))
    if sent.fields.get("ReceivingStatus") != "Draft":
        errors.append(Note(12, "DataNotValid", "ReceivingTicket/ReceivingStatus is not valid"))
    if sent.supplier is not None and sent.supplier.get("Country", "").lower() not in COUNTRIES:
        message = "ReceivingTicket/SupplierDetails/Country is not valid"
        errors.append(Note(12, "DataNotValid", message))
    for number, item in enumerate(sent.items, 1):
        field = _bad_field(world, brand, item)
        if field:
            message = f"{_ITEM_PATH}/{field}[item {number}] is not valid"
            errors.append(Note(32, "DataNotValid", message))
    return errors


def _is_day(text: str) -> bool:
    return bool(_DAY.fullmatch(text)) and parse_query(text) is not None


def _bad_field(world: SandboxWorld, brand: Brand, item: dict[str, str]) -> str | None:
    product = _known_product(world, brand, item)
    if product is None:
        return "UPC" if item.get("UPC") else "Sku"
    size = item.get("Size", "").lower()
    if size and size != product.values.get("Size", "").lower():
        return "Size"
    return "ExpectedQuantity" if int(item["ExpectedQuantity"]) < 1 else None


def _known_product(world: SandboxWorld, brand: Brand, item: dict[str, str]) -> RexProduct | None:
    """By UPC, else by SKU, else by style, color and size; imports still pending do not count."""
    upc = item.get("UPC", "").lower()
    if upc:
        found = brand.rex_products.get(upc)
    else:
        names = ("Sku",) if item.get("Sku") else ("Style", "Color", "Size")
        found = next(
            (
                p
                for p in brand.rex_products.values()
                if all(
                    item.get(n) and p.values.get(n, "").lower() == item[n].lower() for n in names
                )
            ),
            None,
        )
    return found if found and found.ready_at <= world.now() else None


def _ticket_status(world: SandboxWorld, brand: Brand, parsed: ParsedCall, call: Call) -> str:
    ticket = brand.tickets.get(parsed.values.get("receivingTicketId", ""))
    if ticket is None:
        return render.notifications([NO_TICKET])
    return render.notifications([]) + render.status("ReceivingTicketStatus", ticket)


def _tickets_by_po(world: SandboxWorld, brand: Brand, parsed: ParsedCall, call: Call) -> str:
    found = brand.tickets_by_po.get(parsed.values.get("customerPO", ""), [])
    return render.notifications([]) + render.strings("ReceivingTicketsByPO", found)


def _window(parsed: ParsedCall, start: str, end: str) -> tuple[datetime, datetime] | Note:
    first = parse_query(parsed.values.get(start, ""))
    last = parse_query(parsed.values.get(end, ""))
    if first is None or last is None:
        return Note(12, "DataNotValid", f"{start if first is None else end} is not valid")
    return first, last


def _statuses(world: SandboxWorld, brand: Brand, parsed: ParsedCall, call: Call) -> str:
    """Tickets whose last status change is in the window. A query knows minutes, so its end
    covers the whole minute; a bare date is midnight, also as the end."""
    window = _window(parsed, "StartDate", "EndDate")
    if isinstance(window, Note):
        return render.notifications([window])
    found = brand.by_changed.forward(wall_seconds(window[0]), wall_seconds(window[1]) + 59)
    rows = [render.status("ReceivingTicketShipmentStatus", brand.tickets[i]) for _, i in found]
    inner = render.tag("ReceivingTicketStatus", "".join(rows), raw=True)
    return render.notifications([]) + inner


def _by_status_and_date(world: SandboxWorld, brand: Brand, parsed: ParsedCall, call: Call) -> str:
    window = _window(parsed, "startDate", "endDate")
    wanted = parsed.values.get("receivingTicketStatus", "")
    if isinstance(window, Note):
        return render.notifications([window])
    if wanted not in TICKET_STATUSES:
        return render.notifications(
            [Note(12, "DataNotValid", "receivingTicketStatus is not valid")]
        )
    first, last = wall_seconds(window[0]), wall_seconds(window[1]) + 59
    found = [
        t.id
        for t in brand.tickets.values()
        if t.status == wanted and first <= wall_seconds(t.created) <= last
    ]
    return render.notifications([]) + render.strings("ReceivingTickets", found)


def _ticket_object(world: SandboxWorld, brand: Brand, parsed: ParsedCall, call: Call) -> str:
    number = parsed.values.get("AsnTicketNumber", "")
    ticket = brand.tickets.get(number)
    if ticket is None:
        mode = world.settings.missing_ticket
        empty = mode == "empty" or (mode == "mixed" and Dice("missing", number).chance(0.5))
        note = render.notifications([] if empty else [NO_TICKET])
        return note + render.tag("ReceivingTicketByTicketNo", "")
    inner = render.tag("ReceivingTicketByTicketNo", render.ticket(ticket), raw=True)
    return render.notifications([]) + inner


def _inventory(world: SandboxWorld, brand: Brand, parsed: ParsedCall, call: Call) -> str:
    known = (brand.rex_products.get(upc.lower()) for upc in parsed.upcs)
    rows = [render.inventory_item(brand, p) for p in known if p and p.ready_at <= world.now()]
    return render.notifications([]) + render.tag("Inventory", "".join(rows), raw=True)


_OPERATIONS: dict[str, Callable[[SandboxWorld, Brand, ParsedCall, Call], str]] = {
    "StyleMasterProductAdd": _add_products,
    "GetStyleMasterProductAddStatus": _product_status,
    "ReceivingTicketAdd": _add_ticket,
    "GetReceivingTicketAddStatus": _ticket_status,
    "GetReceivingTicketsByPO": _tickets_by_po,
    "GetReceivingStatusesByDate": _statuses,
    "GetReceivingStatusesByDateConfigurable": _statuses,
    "GetReceivingTicketsByStatusAndCreateDate": _by_status_and_date,
    "GetReceivingTicketObjectByTicketNo": _ticket_object,
    "GetInventoryByUPCs": _inventory,
}
