"""The warehouse floor: what comes in a parcel, and how its ticket walks to the shelf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from loop_sandbox import hostile, tickets
from loop_sandbox.dice import Dice
from loop_sandbox.model import Brand, Product, Ticket, TicketItem

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

KINDS = ("complete", "short", "damaged", "extra", "wrong", "garbled", "never")
DEFAULT_MIX: dict[str, float] = {
    "complete": 70,
    "short": 8,
    "damaged": 8,
    "extra": 5,
    "wrong": 4,
    "garbled": 2,
    "never": 3,
}
STEPS = (
    "PendingCSR",
    "PendingPrinting",
    "PrintedPendingCount",
    "CountingInProgress",
    "PendingPutaway",
    "PutAwayInProgress",
    "AddedToInventory",
)
REOPENINGS = ("found", "damaged", "none")
_GARBLED = ("1O", "one", "", "2 pcs", "1.5", "--")


class ParcelError(ValueError):
    """A parcel that cannot be received; the message says why."""


def receive(
    world: SandboxWorld,
    ticket: Ticket,
    kind: str = "complete",
    detail: dict[str, Any] | None = None,
) -> Ticket:
    """A parcel for this ticket comes to the dock and is worked off.

    `detail` may have `lines`: [{"sku" or "upc", "actual", "damaged", "comments"}], which replace
    what the kind would give for these items (an item not on the ticket is added), and `seconds`
    for the way to the shelf. Quantities may be text, to have them unreadable.
    """
    if kind not in KINDS:
        raise ParcelError(f"no parcel kind {kind!r}; there are: {', '.join(KINDS)}")
    if ticket.status != "Draft":
        raise ParcelError(f"ticket {ticket.id} is {ticket.status}, not Draft")
    if ticket.parcel not in (None, "never"):
        raise ParcelError(f"ticket {ticket.id} has a parcel on its way already")
    counts = _checked_lines(detail or {})
    seconds = _seconds(detail or {}, world.settings.warehouse_seconds)
    ticket.parcel = kind
    if kind == "never":
        return ticket
    brand = world.brands[ticket.brand]
    dice = world.dice("parcel", brand.slug, ticket.return_id or ticket.po, kind)

    def step(position: int) -> None:
        if ticket.status == "Cancelled":
            return
        if STEPS[position] == "CountingInProgress":
            _count(world, brand, ticket, kind, dice, counts)
        tickets.set_status(world, ticket, STEPS[position])
        if position + 1 == len(STEPS):
            _plan_reopening(world, ticket)
        else:
            if seconds > 0:
                world.later(seconds / len(STEPS), lambda: step(position + 1))
            else:
                step(position + 1)

    step(0)
    return ticket


def reopen(
    world: SandboxWorld, ticket: Ticket, kind: str = "found", detail: dict[str, Any] | None = None
) -> Ticket:
    """A finished ticket is opened, counted again, and finished again after `seconds`
    (reopen_seconds): a missing unit is `found`, a unit is `damaged`, or `none` of them.
    `detail.lines` say exactly what is counted then, as with `receive`."""
    if kind not in REOPENINGS:
        raise ParcelError(f"no reopening {kind!r}; there are: {', '.join(REOPENINGS)}")
    if ticket.status != "AddedToInventory":
        raise ParcelError(f"ticket {ticket.id} is {ticket.status}, not AddedToInventory")
    counts = _checked_lines(detail or {})
    seconds = _seconds(detail or {}, world.settings.reopen_seconds)
    tickets.set_status(world, ticket, "CountingInProgress")
    ticket.added = None

    def finish() -> None:
        if ticket.status == "CountingInProgress":
            correct(world, ticket, kind, counts)
            tickets.set_status(world, ticket, "AddedToInventory")

    if seconds > 0:
        world.later(seconds, finish)
    else:
        finish()
    return ticket


def correct(
    world: SandboxWorld, ticket: Ticket, kind: str, counts: list[dict[str, Any]] | None = None
) -> Ticket:
    """Change what a ticket counted, without a word about it in its status."""
    checked = _checked_lines({"lines": counts or []})
    numbers = [x for x in ticket.items if x.actual.isdigit() and x.damaged.isdigit()]
    if kind == "found":
        item = next((x for x in numbers if int(x.actual) < x.expected), None)
        if item:
            item.actual = str(int(item.actual) + 1)
    elif kind == "damaged":
        item = next((x for x in numbers if int(x.actual) > int(x.damaged)), None)
        if item:
            item.damaged = str(int(item.damaged) + 1)
            if not world.settings.actual_includes_damaged:
                item.actual = str(int(item.actual) - 1)
    for line in checked:
        _apply(world, ticket, line)
    ticket.corrections.append(kind if not checked else f"{kind}, {len(checked)} lines")
    ticket.remember(world.now())
    return ticket


def _plan_reopening(world: SandboxWorld, ticket: Ticket) -> None:
    """Whether, and for what, the warehouse opens this ticket again later."""
    dice = world.dice("reopen", ticket.brand, ticket.return_id or ticket.po)
    if not dice.chance(world.settings.reopen_share):
        return
    short = any(x.actual.isdigit() and int(x.actual) < x.expected for x in ticket.items)
    kind = "found" if short else "damaged"

    def act() -> None:
        if ticket.status == "AddedToInventory":
            reopen(world, ticket, kind)

    world.later(world.settings.reopen_after_seconds, act)


def auto(
    world: SandboxWorld,
    mix: dict[str, float] | None = None,
    *,
    brand: str | None = None,
    limit: int | None = None,
) -> list[Ticket]:
    """Receive parcels for all Draft tickets that have none yet. The kind is fixed by the seed
    and the return, so that two runs give every return the same parcel."""
    weights = _checked_mix(mix or DEFAULT_MIX)
    done: list[Ticket] = []
    for home in world.brands.values():
        if brand not in (None, home.slug):
            continue
        for ticket in list(home.tickets.values()):
            if limit is not None and len(done) >= limit:
                return done
            consolidated = any(s.happy_id in ticket.po for s in home.shipments)
            if ticket.status == "Draft" and ticket.parcel is None and not consolidated:
                done.append(receive(world, ticket, planned_kind(world, ticket, weights)))
    return done


def planned_kind(world: SandboxWorld, ticket: Ticket, mix: dict[str, float]) -> str:
    """The kind that the seed has for this ticket's return."""
    return world.dice("plan", ticket.brand, ticket.return_id or ticket.po).weighted(mix)


def _count(
    world: SandboxWorld,
    brand: Brand,
    ticket: Ticket,
    kind: str,
    dice: Dice,
    counts: list[dict[str, Any]],
) -> None:
    for item in ticket.items:
        item.actual, item.damaged = str(item.expected), "0"
    if ticket.items:
        _spoil(world, brand, ticket, kind, dice)
    for line in counts:
        _apply(world, ticket, line)
    if world.settings.hostile:
        hostile.spoil_ticket(ticket)


def _spoil(world: SandboxWorld, brand: Brand, ticket: Ticket, kind: str, dice: Dice) -> None:
    item = dice.pick(ticket.items)
    if kind in ("short", "wrong"):
        item.actual = str(item.expected - 1)
    if kind == "damaged":
        item.damaged = "1"
        if not world.settings.actual_includes_damaged:
            item.actual = str(item.expected - 1)
        item.values["Comments"] = dice.pick(("Stained", "Torn seam", "Seal broken", "Worn soles"))
    elif kind == "garbled":
        item.actual = dice.pick(_GARBLED)
    elif kind == "wrong" or (kind == "extra" and dice.chance(0.5)):
        _add_stranger(world, ticket, dice)
    elif kind == "extra":
        item.actual = str(item.expected + 1)


def _add_stranger(world: SandboxWorld, ticket: Ticket, dice: Dice) -> None:
    """One unit of a product that is not on the ticket."""
    brand = world.brands[ticket.brand]
    listed = {x.values.get("UPC", "").lower() for x in ticket.items}
    listed |= {x.values.get("Sku", "").lower() for x in ticket.items}
    strangers = [
        p for p in brand.catalogue if p.upc.lower() not in listed and p.sku.lower() not in listed
    ]
    values = _item_values(world, brand, dice.pick(strangers)) | {"Comments": "Not on ASN"}
    ticket.items.append(TicketItem(values, 0, "1"))


def _item_values(world: SandboxWorld, brand: Brand, product: Product) -> dict[str, str]:
    """An item that the warehouse adds by itself: in REX11's words where it knows the product,
    and without the Sku that nobody sent, as recorded."""
    known = brand.rex_products.get(product.upc)
    words = known.values if known else {}
    values = {
        "Sku": product.sku,
        "Style": words.get("Style", product.style),
        "Color": words.get("Color", product.color),
        "UPC": product.upc,
        "Size": words.get("Size", product.size),
        "UnitCost": "0",
        "ProductDescription": product.title,
        "ProductMSRP": f"{product.price / 100:.2f}",
    }
    if world.settings.read_back_as_recorded:
        del values["Sku"]
    return values


def item_of(world: SandboxWorld, ticket: Ticket, codes: set[str]) -> TicketItem:
    """The ticket's item with one of these codes (lower-cased UPCs or SKUs; a UPC's leading
    zeros do not count), else a new one, with all that is known of the product."""
    brand = world.brands[ticket.brand]
    short = {code.lstrip("0") for code in codes}
    product = next(
        (p for p in brand.catalogue if p.upc.lstrip("0") in short or p.sku.lower() in codes), None
    )
    if product:
        short.add(product.upc.lstrip("0"))
    for item in ticket.items:
        upc, sku = item.values.get("UPC", "").lower(), item.values.get("Sku", "").lower()
        if (upc and upc.lstrip("0") in short) or (sku and sku in codes):
            return item
    values = _item_values(world, brand, product) if product else {}
    ticket.items.append(TicketItem(values, 0))
    return ticket.items[-1]


def _apply(world: SandboxWorld, ticket: Ticket, line: dict[str, Any]) -> None:
    item = item_of(world, ticket, {str(line[n]).lower() for n in ("upc", "sku") if line.get(n)})
    if not item.values:
        item.values = {"Sku": str(line.get("sku") or ""), "UPC": str(line.get("upc") or "")}
    item.actual = str(line.get("actual", item.actual))
    item.damaged = str(line.get("damaged", item.damaged))
    if "comments" in line:
        item.values["Comments"] = str(line["comments"])


def _checked_lines(detail: dict[str, Any]) -> list[dict[str, Any]]:
    unknown = set(detail) - {"lines", "seconds"}
    if unknown:
        raise ParcelError(f"detail: no field {sorted(unknown)[0]!r}; there are: lines, seconds")
    lines: Any = detail.get("lines", [])
    if not isinstance(lines, list):
        raise ParcelError("detail.lines must be a list")
    rows = cast("list[Any]", lines)
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not {"sku", "upc"} & set(cast("dict[str, Any]", row)):
            raise ParcelError(f"detail.lines[{number}] must be an object with sku or upc")
    return rows


def _seconds(detail: dict[str, Any], default: float) -> float:
    value: Any = detail.get("seconds", default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ParcelError(f"detail.seconds must be a number from 0, not {value!r}")
    return float(value)


def _checked_mix(mix: dict[str, Any]) -> dict[str, float]:
    for kind, weight in mix.items():
        if kind not in KINDS:
            raise ParcelError(f"mix: no parcel kind {kind!r}; there are: {', '.join(KINDS)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0:
            raise ParcelError(f"mix: the weight of {kind} must be a number from 0, not {weight!r}")
    if sum(mix.values()) <= 0:
        raise ParcelError("mix: at least one weight must be over 0")
    return {kind: float(weight) for kind, weight in mix.items()}
