"""The warehouse floor: what comes in a parcel, and how its ticket walks to the shelf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from loop_sandbox import tickets
from loop_sandbox.dice import Dice
from loop_sandbox.model import Brand, Ticket, TicketItem

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
        if position + 1 < len(STEPS):
            if seconds > 0:
                world.later(seconds / len(STEPS), lambda: step(position + 1))
            else:
                step(position + 1)

    step(0)
    return ticket


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
            if ticket.status == "Draft" and ticket.parcel is None:
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
        _apply(brand, ticket, line)


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
        _add_stranger(brand, ticket, dice)
    elif kind == "extra":
        item.actual = str(item.expected + 1)


def _add_stranger(brand: Brand, ticket: Ticket, dice: Dice) -> None:
    """One unit of a product that is not on the ticket."""
    listed = {x.values.get("UPC", "").lower() for x in ticket.items}
    listed |= {x.values.get("Sku", "").lower() for x in ticket.items}
    strangers = [
        p for p in brand.catalogue if p.upc.lower() not in listed and p.sku.lower() not in listed
    ]
    product = dice.pick(strangers)
    values = {
        "Sku": product.sku,
        "Style": product.style,
        "Color": product.color,
        "UPC": product.upc,
        "Size": product.size,
        "UnitCost": "0",
        "ProductDescription": product.title,
        "ProductMSRP": f"{product.price / 100:.2f}",
        "Comments": "Not on ASN",
    }
    ticket.items.append(TicketItem(values, 0, "1"))


def _apply(brand: Brand, ticket: Ticket, line: dict[str, Any]) -> None:
    code = str(line.get("upc") or line.get("sku")).lower()
    item = next(
        (
            x
            for x in ticket.items
            if code in (x.values.get("UPC", "").lower(), x.values.get("Sku", "").lower())
        ),
        None,
    )
    if item is None:
        known = next((p for p in brand.catalogue if code in (p.upc.lower(), p.sku.lower())), None)
        sku = known.sku if known else str(line.get("sku") or "")
        upc = known.upc if known else str(line.get("upc") or "")
        item = TicketItem({"Sku": sku, "UPC": upc}, 0)
        ticket.items.append(item)
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
