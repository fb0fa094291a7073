"""REX11's operations."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from loop_sandbox import rex_render as render
from loop_sandbox import tickets
from loop_sandbox.calls import Call
from loop_sandbox.dice import Dice
from loop_sandbox.model import TICKET_STATUSES, Brand, RexProduct, Ticket, TicketItem
from loop_sandbox.records import ticket_text
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


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation that a brand called with a good token."""

    world: SandboxWorld
    brand: Brand
    parsed: ParsedCall
    call: Call
    about_another: bool = False
    """Whether the answer is to be about another ticket than the asked one."""

    def value(self, name: str) -> str:
        """A plain parameter; "" where it is missing."""
        return self.parsed.values.get(name, "")


def perform(asked: Asked) -> str:
    """The content of the operation's result element."""
    return _OPERATIONS[asked.parsed.operation](asked)


def _add_products(asked: Asked) -> str:
    """All of them, or none where any is not right. What is there already stays as it is."""
    world, brand, products = asked.world, asked.brand, asked.parsed.products
    wrong = _product_errors(products, strict=world.settings.strict_products)
    if wrong:
        return render.notifications(wrong)
    ready = world.now() + world.settings.import_seconds
    for values in products:
        known = find_product(world, brand, values["UPC"])
        if known is None:
            key = _stored_upc(world, values["UPC"]).lower()
            brand.rex_products[key] = RexProduct(values.get("Sku", ""), values, ready)
        elif known.ready_at <= world.now():
            known.added_again = True
    asked.call.effect = f"{len(products)} products added"
    return render.notifications([SAVED])


def _product_errors(products: list[dict[str, str]], *, strict: bool) -> list[Note]:
    if not products:
        return [Note(12, "DataNotValid", "products/StyleMasterProduct is not valid")]
    errors: list[Note] = []
    for n, product in enumerate(products, 1):
        if not product.get("UPC"):
            path = f"StyleMasterProduct/UPC[product {n}]"
            note = Note(83, "BarCodeError", f"BARCODE[item {n}] is not valid")
            errors.append(note if strict else Note(32, "DataNotValid", f"{path} is not valid"))
        if not strict:
            continue
        for name, code, severity in _PRODUCT_NEEDS:
            text = product.get(name, "")
            if not text or (name == "Price" and not float(text) > 0):
                errors.append(Note(code, severity, f"{name.upper()}[item {n}] is not valid"))
    return errors


_PRODUCT_NEEDS = (
    ("Style", 12, "DataNotValid"),
    ("Description", 12, "DataNotValid"),
    ("Color", 31, "ColorError"),
    ("Size", 32, "SizeError"),
    ("Price", 43, "PriceError"),
)


def _product_status(asked: Asked) -> str:
    world, upc = asked.world, asked.value("UPC")
    codes = world.settings.import_codes
    product = find_product(world, asked.brand, upc)
    if product is None:
        note = Note(33, "UpcCodeError", f"UPC {upc} is not known")
    elif product.ready_at > world.now():
        waiting = Note(0, "PendingImport", "The product is waiting for its import.")
        note = Note(87, "PendingImport", "Pending import") if codes else waiting
    elif codes and (product.added_again or Dice("in-stock", upc).chance(0.2)):
        note = Note(1, "Error", _IN_STOCK)
    elif not product.values.get("Style"):
        note = Note(34, "Error", "Style is required")
    else:
        note = Note(0, "Success", "The product has been imported.")
    return render.notifications([note])


_IN_STOCK = (
    "Failed: There are either open PTs or ASNs that include the original product, or you "
    "currently have inventory for that product"
)


def _add_ticket(asked: Asked) -> str:
    world, sent = asked.world, asked.parsed.ticket or ParsedTicket()
    wrong = _ticket_errors(world, asked.brand, sent)
    if wrong:
        return render.notifications(wrong) + render.tag("ReceivingTicketId", "")
    ticket = tickets.add_ticket(
        world,
        asked.brand,
        fields=sent.fields,
        items=[TicketItem(item, int(item["ExpectedQuantity"])) for item in sent.items],
        shipment_types=sent.shipment_types,
        tracking_numbers=sent.tracking_numbers,
        supplier=sent.supplier,
    )
    asked.call.effect = f"ticket {ticket.id} created"
    return render.notifications([SAVED]) + render.tag("ReceivingTicketId", ticket.id)


def _ticket_errors(world: SandboxWorld, brand: Brand, sent: ParsedTicket) -> list[Note]:
    strict = world.settings.strict_products
    errors: list[Note] = []
    if not sent.items:
        errors.append(Note(12, "DataNotValid", f"{_ITEM_PATH} is not valid"))
    for name in ("CreatedDate", "ExpectedDate"):
        text = sent.fields.get(name)
        if (text or name == "CreatedDate") and not _is_day(text or ""):
            errors.append(Note(12, "DataNotValid", f"ReceivingTicket/{name} is not valid"))
    if sent.fields.get("ReceivingStatus") != "Draft":
        errors.append(Note(12, "DataNotValid", "ReceivingTicket/ReceivingStatus is not valid"))
    errors += _supplier_errors(sent.supplier, strict=strict)
    for number, item in enumerate(sent.items, 1):
        fields = _misfits(world, brand, item) if strict else _bad_field(world, brand, item)
        for field in fields:
            message = f"{_ITEM_PATH}/{field}[item {number}] is not valid"
            code, severity = _ITEM_CODES.get(field, (32, "DataNotValid"))
            errors.append(
                Note(code, severity, message) if strict else Note(32, "DataNotValid", message)
            )
    return errors


_ITEM_CODES = {"Color": (31, "ColorError"), "UPC": (83, "BarCodeError")}


def _supplier_errors(supplier: dict[str, str] | None, *, strict: bool) -> list[Note]:
    values = supplier or {}
    country = values.get("Country", "").lower()
    wrong: list[str] = []
    if strict:
        wrong = [x for x in ("CompanyName", "State") if not values.get(x)]
        if COUNTRIES.get(country, "United States") != "United States" and "State" in wrong:
            wrong.remove("State")
    if (strict or supplier is not None) and country not in COUNTRIES:
        wrong.append("Country")
    path = "ReceivingTicket/SupplierDetails"
    return [Note(12, "DataNotValid", f"{path}/{x} is not valid") for x in wrong]


def _is_day(text: str) -> bool:
    return bool(_DAY.fullmatch(text)) and parse_query(text) is not None


def _bad_field(world: SandboxWorld, brand: Brand, item: dict[str, str]) -> list[str]:
    """The first field of an item that a kind service minds."""
    product = _known_product(world, brand, item)
    if product is None:
        return ["UPC" if item.get("UPC") else "Sku"]
    size = item.get("Size", "").lower()
    if size and size != product.values.get("Size", "").lower():
        return ["Size"]
    return ["ExpectedQuantity"] if int(item["ExpectedQuantity"]) < 1 else []


def _misfits(world: SandboxWorld, brand: Brand, item: dict[str, str]) -> list[str]:
    """All fields of an item that are not what REX11 has as its product's."""
    product = find_product(world, brand, item.get("UPC", ""))
    if product is None or product.ready_at > world.now():
        # Without the product there is nothing that its names could fit.
        return ["UPC", *(x for x in ("Style", "Color", "Size") if not item.get(x))]
    wrong = [
        x
        for x in ("Style", "Color", "Size")
        if item.get(x, "").lower() != product.values.get(x, "").lower()
    ]
    return wrong + (["ExpectedQuantity"] if int(item["ExpectedQuantity"]) < 1 else [])


def find_product(world: SandboxWorld, brand: Brand, upc: str) -> RexProduct | None:
    """By UPC, with and without its leading zeros where REX11 has dropped them."""
    found = brand.rex_products.get(upc.lower())
    if found is None and world.settings.upc_zeros_dropped and upc:
        return brand.rex_products.get(upc.lower().lstrip("0"))
    return found


def _stored_upc(world: SandboxWorld, upc: str) -> str:
    return upc.lstrip("0") if world.settings.upc_zeros_dropped else upc


def _known_product(world: SandboxWorld, brand: Brand, item: dict[str, str]) -> RexProduct | None:
    """By UPC, else by SKU, else by style, color and size; imports still pending do not count."""
    if item.get("UPC"):
        found = find_product(world, brand, item["UPC"])
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


def _ticket(asked: Asked, number: str) -> Ticket | None:
    """A ticket of the brand by its number in any case, or another one where a fault wants so."""
    found = asked.brand.tickets.get(number) or asked.brand.tickets.get(number.upper())
    if not asked.about_another:
        return found
    others = [t for t in asked.brand.tickets.values() if t is not found]
    return others[-1] if others else found


def _ticket_status(asked: Asked) -> str:
    ticket = _ticket(asked, asked.value("receivingTicketId"))
    if ticket is None:
        return render.notifications([NO_TICKET])
    return render.notifications([]) + _status("ReceivingTicketStatus", asked, ticket)


def _status(name: str, asked: Asked, ticket: Ticket) -> str:
    raw = ticket_text(asked.world, asked.call, ticket.id)
    return render.status(name, ticket, asked.world.settings, raw)


def _tickets_by_po(asked: Asked) -> str:
    """All tickets with this PO that are old enough to be found."""
    if asked.about_another:
        other = _ticket(asked, "")
        found = [other.id] if other else []
    else:
        latest = asked.world.now() - asked.world.settings.po_lookup_delay_seconds
        every = asked.brand.tickets_by_po.get(asked.value("customerPO"), [])
        found = [i for i in every if asked.brand.tickets[i].made_at <= latest]
    return render.notifications([]) + render.strings("ReceivingTicketsByPO", found)


def _window(parsed: ParsedCall, start: str, end: str) -> tuple[datetime, datetime] | Note:
    first = parse_query(parsed.values.get(start, ""))
    last = parse_query(parsed.values.get(end, ""))
    if first is None or last is None:
        return Note(12, "DataNotValid", f"{start if first is None else end} is not valid")
    return first, last


def _statuses(asked: Asked) -> str:
    """Tickets whose last status change is in the window. A query knows minutes, so its end
    covers the whole minute; a bare date is midnight, also as the end."""
    window, brand = _window(asked.parsed, "StartDate", "EndDate"), asked.brand
    if isinstance(window, Note):
        return render.notifications([window])
    found = brand.by_changed.forward(wall_seconds(window[0]), wall_seconds(window[1]) + 59)
    name = "ReceivingTicketShipmentStatus"
    rows = [_status(name, asked, brand.tickets[i]) for _, i in found]
    inner = render.tag("ReceivingTicketStatus", "".join(rows), raw=True)
    return render.notifications([]) + inner


def _by_status_and_date(asked: Asked) -> str:
    window = _window(asked.parsed, "startDate", "endDate")
    wanted = asked.value("receivingTicketStatus")
    if isinstance(window, Note):
        return render.notifications([window])
    if wanted not in TICKET_STATUSES:
        return render.notifications(
            [Note(12, "DataNotValid", "receivingTicketStatus is not valid")]
        )
    first, last = wall_seconds(window[0]), wall_seconds(window[1]) + 59
    found = [
        t.id
        for t in asked.brand.tickets.values()
        if t.status == wanted and first <= wall_seconds(t.created) <= last
    ]
    return render.notifications([]) + render.strings("ReceivingTickets", found)


def _ticket_object(asked: Asked) -> str:
    number = asked.value("AsnTicketNumber")
    ticket = _ticket(asked, number)
    if ticket is None:
        mode = asked.world.settings.missing_ticket
        empty = mode == "empty" or (mode == "mixed" and Dice("missing", number).chance(0.5))
        note = render.notifications([] if empty else [NO_TICKET])
        return note + render.tag("ReceivingTicketByTicketNo", "")
    raw = ticket_text(asked.world, asked.call, ticket.id)
    shown = render.ticket(ticket, asked.world.settings, raw)
    inner = render.tag("ReceivingTicketByTicketNo", shown, raw=True)
    return render.notifications([]) + inner


def _inventory(asked: Asked) -> str:
    world, brand = asked.world, asked.brand
    known = [find_product(world, brand, upc) for upc in asked.parsed.upcs]
    rows = [
        render.inventory_item(brand, p, _stored_upc(world, p.values.get("UPC", "")))
        for p in known
        if p and p.ready_at <= world.now()
    ]
    return render.notifications([]) + render.tag("Inventory", "".join(rows), raw=True)


_OPERATIONS: dict[str, Callable[[Asked], str]] = {
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
