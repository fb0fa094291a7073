"""The embedded warehouse's tickets: made, found by what a worker scans, and counted."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer

from bergen_loop.domain.codes import normal_code, normal_upc
from bergen_loop.domain.rma import BagCount, RmaRequest, TicketStatus
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.store.statements import chunks
from bergen_loop.ledger.tables.floor import (
    FloorCodeRow,
    FloorCountRow,
    FloorItemRow,
    FloorPhotoRow,
    FloorTicketRow,
)

OPEN = (TicketStatus.DRAFT, TicketStatus.COUNTING_IN_PROGRESS)
"""May still be counted."""
MOST_FOUND = 20


def add(session: Session, brand: str, rma: RmaRequest, now: datetime) -> FloorTicketRow:
    """Make the ticket of an RMA, with what it expects and may be found by."""
    row = FloorTicketRow(
        brand=brand,
        customer_po=rma.customer_po,
        status=TicketStatus.DRAFT,
        status_at=now,
        warehouse=rma.warehouse,
        memo=rma.memo,
        carrier=rma.carrier,
        authorized_number=rma.authorized_number,
        tracking_numbers=list(rma.tracking_numbers),
        expected_on=rma.expected_on,
        created_at=now,
    )
    session.add(row)
    session.flush()
    session.add_all(
        FloorItemRow(
            ticket_pk=row.id,
            sku=storable(item.sku),
            upc=storable(item.upc),
            description=storable(item.description),
            expected=item.expected,
            actual=0,
            damaged=0,
        )
        for item in rma.items
    )
    session.add_all(_codes(row, rma))
    return row


def _codes(row: FloorTicketRow, rma: RmaRequest) -> list[FloorCodeRow]:
    found = {
        (code, "ticket") for code in (normal_code(row.ticket_id), normal_code(rma.customer_po))
    }
    found |= {(normal_code(n), "tracking") for n in (*rma.tracking_numbers, rma.license_plate)}
    for item in rma.items:
        found |= {(normal_upc(item.upc), "product"), (normal_code(item.sku), "product")}
    return [FloorCodeRow(ticket_pk=row.id, code=c, kind=k) for c, k in found if c]


def by_po(session: Session, brand: str, po: str) -> FloorTicketRow | None:
    """A brand's ticket by its PO."""
    return session.scalar(
        sa.select(FloorTicketRow).where(
            FloorTicketRow.brand == brand, FloorTicketRow.customer_po == po
        )
    )


def by_ticket(
    session: Session, brand: str, ticket_id: str, *, lock: bool = False
) -> FloorTicketRow | None:
    """A brand's ticket by its number; `lock`: until the transaction ends."""
    digits = ticket_id.removeprefix("FLR")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        return None
    query = sa.select(FloorTicketRow).where(
        FloorTicketRow.id == int(digits), FloorTicketRow.brand == brand
    )
    return session.scalar(query.with_for_update() if lock else query)


def called(session: Session, brands: Collection[str], code: str) -> Sequence[FloorTicketRow]:
    """The newest tickets of these brands with this number, PO or tracking number."""
    query = _with_code(brands, code).where(FloorCodeRow.kind.in_(("ticket", "tracking")))
    return session.scalars(query).all()


def expecting(session: Session, brands: Collection[str], code: str) -> Sequence[FloorTicketRow]:
    """The newest open tickets of these brands that expect the product of this code."""
    query = _with_code(brands, code).where(
        FloorCodeRow.kind == "product", FloorTicketRow.status.in_(OPEN)
    )
    return session.scalars(query).all()


def _with_code(brands: Collection[str], code: str) -> sa.Select[FloorTicketRow]:
    return (
        sa.select(FloorTicketRow)
        .join(FloorCodeRow, FloorCodeRow.ticket_pk == FloorTicketRow.id)
        .where(FloorCodeRow.code == code, FloorTicketRow.brand.in_(list(brands)))
        .order_by(FloorTicketRow.id.desc())
        .limit(MOST_FOUND)
    )


def expected(session: Session, brands: Collection[str], limit: int) -> Sequence[FloorTicketRow]:
    """Open tickets of these brands: those begun first, then by the day on which they are due."""
    query = sa.select(FloorTicketRow).where(
        FloorTicketRow.brand.in_(list(brands)), FloorTicketRow.status.in_(OPEN)
    )
    begun = FloorTicketRow.status == TicketStatus.COUNTING_IN_PROGRESS
    due = (FloorTicketRow.expected_on.is_(None), FloorTicketRow.expected_on)
    return session.scalars(query.order_by(begun.desc(), *due, FloorTicketRow.id).limit(limit)).all()


def changed(
    session: Session, brand: str, since: datetime, until: datetime
) -> Sequence[FloorTicketRow]:
    """Tickets whose status changed in the window, in order."""
    query = sa.select(FloorTicketRow).where(
        FloorTicketRow.brand == brand,
        FloorTicketRow.status_at >= since,
        FloorTicketRow.status_at <= until,
    )
    return session.scalars(query.order_by(FloorTicketRow.status_at)).all()


def items_of(session: Session, ticket_pk: int) -> Sequence[FloorItemRow]:
    """A ticket's items, in order."""
    return session.scalars(
        sa.select(FloorItemRow).where(FloorItemRow.ticket_pk == ticket_pk).order_by(FloorItemRow.id)
    ).all()


def items_of_each(session: Session, tickets: Collection[int]) -> dict[int, list[FloorItemRow]]:
    """The items of several tickets, in order."""
    found: dict[int, list[FloorItemRow]] = {pk: [] for pk in tickets}
    for ids in chunks(list(tickets)):
        query = sa.select(FloorItemRow).where(FloorItemRow.ticket_pk.in_(ids))
        for item in session.scalars(query.order_by(FloorItemRow.id)):
            found[item.ticket_pk].append(item)
    return found


def counting(session: Session, key: str) -> FloorCountRow | None:
    """The counting of this key, if it has been taken."""
    return session.scalar(sa.select(FloorCountRow).where(FloorCountRow.key == key))


def bag_counts(session: Session, ticket_pk: int) -> list[BagCount]:
    """What was counted bag by bag, each counting for itself."""
    query = sa.select(FloorCountRow.content).where(FloorCountRow.ticket_pk == ticket_pk)
    return [
        BagCount(
            str(content["bag"]),
            line.get("sku"),
            line.get("upc"),
            int(line["counted"]),
            int(line["damaged"]),
        )
        for content in session.scalars(query.order_by(FloorCountRow.id))
        if content.get("bag")
        for line in content["lines"]
    ]


def photo(session: Session, brands: Collection[str], photo_id: int) -> FloorPhotoRow | None:
    """A photo of a ticket of these brands."""
    return session.scalar(
        sa.select(FloorPhotoRow)
        .join(FloorTicketRow, FloorTicketRow.id == FloorPhotoRow.ticket_pk)
        .where(FloorPhotoRow.id == photo_id, FloorTicketRow.brand.in_(list(brands)))
    )


def give(session: Session, brand: str, pos: Collection[str]) -> dict[str, list[str]]:
    """Let who knows an address fetch the photos of these POs: code -> the secret parts of the
    addresses, made where there are none yet."""
    query = (
        sa.select(FloorPhotoRow)
        .join(FloorTicketRow, FloorTicketRow.id == FloorPhotoRow.ticket_pk)
        .where(FloorTicketRow.brand == brand, FloorTicketRow.customer_po.in_(list(pos)))
        .options(defer(FloorPhotoRow.body))
        .order_by(FloorPhotoRow.id)
    )
    found: dict[str, list[str]] = {}
    for row in session.scalars(query):
        address = row.given_as or secrets.token_urlsafe(32)
        row.given_as = address
        found.setdefault(row.code, []).append(address)
    return found


def given(session: Session, address: str) -> FloorPhotoRow | None:
    """The photo that was given away under this address."""
    return session.scalar(sa.select(FloorPhotoRow).where(FloorPhotoRow.given_as == address))
