"""Receiving tickets: making them, moving them, and telling which return they are for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loop_sandbox.model import Brand, Ticket, TicketItem
from loop_sandbox.rex_time import wall_seconds

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

_RETURN_ID = re.compile(r"\d{8,}")


def add_ticket(
    world: SandboxWorld,
    brand: Brand,
    *,
    fields: dict[str, str],
    items: list[TicketItem],
    shipment_types: list[str] | None = None,
    tracking_numbers: list[str] | None = None,
    supplier: dict[str, str] | None = None,
) -> Ticket:
    """A new Draft. Nothing looks whether the PO has a ticket already: adding is not idempotent."""
    world.ticket_number += 1
    now = world.rex_now()
    ticket = Ticket(
        id=f"WHRTN{world.ticket_number}",
        brand=brand.slug,
        status="Draft",
        created=now,
        changed=now,
        fields=fields,
        items=items,
        shipment_types=shipment_types or [],
        tracking_numbers=tracking_numbers or [],
        supplier=supplier,
        made_at=world.now(),
    )
    ticket.return_id = _return_of(brand, ticket)
    brand.tickets[ticket.id] = ticket
    brand.tickets_by_po.setdefault(ticket.po, []).append(ticket.id)
    brand.by_changed.add(wall_seconds(now), ticket.id)
    return ticket


def set_status(world: SandboxWorld, ticket: Ticket, status: str) -> None:
    """The warehouse moves a ticket on; that is what statuses by date are about."""
    now = world.rex_now()
    brand = world.brands[ticket.brand]
    brand.by_changed.move(wall_seconds(ticket.changed), wall_seconds(now), ticket.id)
    ticket.status, ticket.changed = status, now
    if status == "PendingCSR":
        ticket.arrived = now
    elif status == "AddedToInventory":
        ticket.added = now
    ticket.remember(world.now())


def find_ticket(world: SandboxWorld, ticket_id: str) -> Ticket | None:
    """A ticket of any brand, by its number in any case."""
    number = ticket_id.upper()
    return next((b.tickets[number] for b in world.brands.values() if number in b.tickets), None)


def tickets_of_return(brand: Brand, return_id: str) -> list[Ticket]:
    """All tickets that name this return, oldest first."""
    return [t for t in brand.tickets.values() if t.return_id == return_id]


def _return_of(brand: Brand, ticket: Ticket) -> str | None:
    """The return id that PO, authorized number or memo name, else the one with its label."""
    for name in ("CustomerPO", "AuthorizedNumber", "Memo"):
        for number in _RETURN_ID.findall(ticket.fields.get(name, "")):
            if number in brand.returns:
                return number
    wanted = {x for x in ticket.tracking_numbers if x}
    if not wanted:
        return None
    return next(
        (
            r.id
            for r in brand.returns.values()
            if any(label.tracking_number in wanted for label in r.labels())
        ),
        None,
    )
