"""Consolidated shipments: learned, read, announced, counted, and what is claimed of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.codes import normal_code
from bergen_loop.domain.rma import Receipt, TicketStatus, normal_ticket_id
from bergen_loop.domain.shipment import ShipmentStage, ShipmentUnit
from bergen_loop.domain.words import Need
from bergen_loop.ledger.codec import document, load_receipt, load_unit, storable
from bergen_loop.ledger.store import effects
from bergen_loop.ledger.store.returns import ticket_spellings
from bergen_loop.ledger.store.statements import BRAND, VALUES, Lookup, chunks, rows_of
from bergen_loop.ledger.tables.core import RmaRow
from bergen_loop.ledger.tables.shipments import (
    BagRow,
    ClaimRow,
    ShipmentReceiptRow,
    ShipmentRmaRow,
    ShipmentRow,
    ShipmentUnitRow,
)

# -- shipments --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """A shipment that somebody has told of."""

    happy_id: str
    loop_id: str | None
    who: str


def learn(session: Session, now: datetime, brand: str, heard: Heard) -> ShipmentRow | None:
    """A shipment to be read at once; None where it is known already."""
    if by_happy_id(session, brand, heard.happy_id) is not None:
        return None
    row = ShipmentRow(
        brand=brand,
        happy_id=heard.happy_id,
        loop_id=heard.loop_id,
        stage=ShipmentStage.LEARNED,
        due_at=now,
        learned_at=now,
        learned_from=heard.who,
    )
    session.add(row)
    session.flush()
    return row


def by_happy_id(session: Session, brand: str, happy_id: str) -> ShipmentRow | None:
    """One shipment by Happy Returns' id."""
    return session.scalar(
        sa.select(ShipmentRow).where(ShipmentRow.brand == brand, ShipmentRow.happy_id == happy_id)
    )


by_pks: Lookup[int, ShipmentRow] = Lookup(
    sa.select(ShipmentRow.id, ShipmentRow).where(ShipmentRow.id.in_(VALUES))
)
"""Shipments by key."""


def due(
    session: Session, brand: str, stages: Sequence[ShipmentStage], now: datetime, limit: int
) -> list[ShipmentRow]:
    """Shipments in these stages whose time has come."""
    query = sa.select(ShipmentRow).where(
        ShipmentRow.brand == brand, ShipmentRow.stage.in_(stages), ShipmentRow.due_at <= now
    )
    return list(session.scalars(query.order_by(ShipmentRow.due_at, ShipmentRow.id).limit(limit)))


def waiting(
    session: Session, brand: str, stages: Sequence[ShipmentStage], now: datetime
) -> list[ShipmentRow]:
    """Shipments in these stages whose time is yet to come."""
    query = sa.select(ShipmentRow).where(
        ShipmentRow.brand == brand, ShipmentRow.stage.in_(stages), ShipmentRow.due_at > now
    )
    return list(session.scalars(query.order_by(ShipmentRow.id)))


def to_read_again(session: Session, brand: str, now: datetime, limit: int) -> list[ShipmentRow]:
    """Known shipments that are to be read again by now."""
    query = sa.select(ShipmentRow).where(
        ShipmentRow.brand == brand, ShipmentRow.again_at <= now, ShipmentRow.read_at.is_not(None)
    )
    return list(session.scalars(query.order_by(ShipmentRow.again_at, ShipmentRow.id).limit(limit)))


def since(session: Session, brand: str, earliest: datetime) -> list[ShipmentRow]:
    """Shipments that are known to have left a hub since, or may have."""
    left = sa.func.coalesce(ShipmentRow.shipped_at, ShipmentRow.learned_at)
    query = sa.select(ShipmentRow).where(ShipmentRow.brand == brand, left >= earliest)
    return list(session.scalars(query.order_by(ShipmentRow.id)))


def of_loop_id(session: Session, brand: str, loop_id: str, besides: int) -> ShipmentRow | None:
    """Another shipment that is the same one in Loop, and has been read."""
    query = sa.select(ShipmentRow).where(
        ShipmentRow.brand == brand,
        ShipmentRow.loop_id == loop_id,
        ShipmentRow.id != besides,
        ShipmentRow.read_at.is_not(None),
    )
    return session.scalar(query.limit(1))


def again(session: Session, now: datetime, brand: str, need: Need, subject: str) -> None:
    """A person wants tried again what an item of the attention list is about."""
    if need is Need.SHIPMENT_COUNTS and (rma := rma_of_po(session, brand, subject)) is not None:
        rma.to_read, rma.read_due_at = rma.ticket_id is not None, None
        return
    if need is Need.SHIPMENT_RMA:
        rma = rma_of_po(session, brand, subject)
        effect = effects.find(session, brand, effects.ticket_key(subject))
        if effect is not None and effect.state in effects.SENDABLE:
            effect.attempts, effect.try_at = 0, None
        if rma is not None and rma.ticket_id is None:
            rma.due_at = now
        return
    row = by_happy_id(session, brand, subject)
    if row is None:
        return
    if need is Need.SHIPMENT_UNREADABLE:
        read_soon(row, now)
    elif need is Need.SHIPMENT_COUNTS:
        for rma in rmas_of(session, [row.id]):
            rma.to_read, rma.read_due_at = rma.ticket_id is not None, None


def read_soon(row: ShipmentRow, now: datetime) -> None:
    """Have it read, or read again."""
    if row.read_at is None:
        row.due_at, row.problem, row.unread_since = now, None, None
    row.again_at = now


# -- what a shipment holds --------------------------------------------------------------------


def add_units(
    session: Session, now: datetime, row: ShipmentRow, units: Sequence[ShipmentUnit], first: int = 0
) -> None:
    """Store units that it holds, from place `first` on, and their bags."""
    session.add_all(
        ShipmentUnitRow(
            shipment_pk=row.id,
            key=storable(unit.key),
            place=place,
            return_id=storable(unit.item.return_id),
            box=storable(unit.item.box),
            content=document(unit),
        )
        for place, unit in enumerate(units, start=first)
    )
    _in_bags(session, now, row, units)


def change_units(
    session: Session, now: datetime, row: ShipmentRow, units: Sequence[ShipmentUnit]
) -> None:
    """Units are listed in other bags or boxes than before."""
    for unit in units:
        kept = session.get_one(ShipmentUnitRow, (row.id, storable(unit.key)))
        kept.box, kept.content = storable(unit.item.box), document(unit)
    _in_bags(session, now, row, units)


def _in_bags(
    session: Session, now: datetime, row: ShipmentRow, units: Sequence[ShipmentUnit]
) -> None:
    """Their bags are its own. One that a return names is another bag, though its barcode may be the
    same, unless nothing says whose the shipment's is."""
    named = {
        (code, unit.item.return_id or ""): bag
        for unit in units
        for bag in unit.item.bags
        if (code := normal_code(bag))
    }
    known = list(rows_of(session, _BAGS, {code for code, _ in named}, brand=row.brand))
    for bag in known:
        if (bag.code, bag.return_id) in named or (
            bag.shipment_pk is None and (not bag.return_id or (bag.code, "") in named)
        ):
            bag.shipment_pk, bag.missing_since = row.id, None
    there = {(bag.code, bag.return_id) for bag in known}
    session.add_all(
        BagRow(
            brand=row.brand,
            code=storable(code),
            barcode=storable(barcode),
            return_id=return_id,
            shipment_pk=row.id,
            seen_at=now,
        )
        for (code, return_id), barcode in named.items()
        if (code, return_id) not in there
    )
    session.flush()


def listed_elsewhere(
    session: Session, brand: str, besides: int, return_ids: Collection[str]
) -> dict[str, set[int]]:
    """Which other shipments (keys) list units of these returns, by return id."""
    found: dict[str, set[int]] = {}
    for chunk in chunks(sorted(return_ids)):
        query = (
            sa.select(ShipmentUnitRow.return_id, ShipmentUnitRow.shipment_pk)
            .join(ShipmentRow, ShipmentRow.id == ShipmentUnitRow.shipment_pk)
            .where(
                ShipmentUnitRow.return_id.in_(chunk),
                ShipmentUnitRow.shipment_pk != besides,
                ShipmentRow.brand == brand,
            )
            .distinct()
        )
        for return_id, pk in session.execute(query):
            found.setdefault(str(return_id), set()).add(pk)
    return found


def units_of(session: Session, shipment_pk: int) -> tuple[ShipmentUnit, ...]:
    """What a shipment holds."""
    query = sa.select(ShipmentUnitRow.content).where(ShipmentUnitRow.shipment_pk == shipment_pk)
    rows = session.scalars(query.order_by(ShipmentUnitRow.place))
    return tuple(load_unit(content) for content in rows)


# -- bags -------------------------------------------------------------------------------------


_BAGS = sa.select(BagRow).where(BagRow.brand == BRAND, BagRow.code.in_(VALUES))


def name_bags(
    session: Session, now: datetime, brand: str, named: Iterable[tuple[str, str]]
) -> None:
    """Bags that returns name: (return id, barcode)."""
    wanted = {
        (code, return_id): barcode for return_id, barcode in named if (code := normal_code(barcode))
    }
    if not wanted:
        return
    there = list(rows_of(session, _BAGS, {c for c, _ in wanted}, brand=brand))
    known = {(bag.code, bag.return_id) for bag in there}
    anyones = {bag.code: bag.shipment_pk for bag in there if not bag.return_id}
    session.add_all(
        BagRow(
            brand=brand,
            code=storable(code),
            barcode=storable(barcode),
            return_id=return_id,
            shipment_pk=anyones.get(code),
            seen_at=now,
        )
        for (code, return_id), barcode in wanted.items()
        if (code, return_id) not in known
    )
    session.flush()


def loose_bags(session: Session, brand: str, before: datetime) -> list[BagRow]:
    """Bags that returns have named since before then, and no known shipment has."""
    query = sa.select(BagRow).where(
        BagRow.brand == brand, BagRow.shipment_pk.is_(None), BagRow.seen_at <= before
    )
    return list(session.scalars(query.order_by(BagRow.id)))


def bags_of(session: Session, shipment_pk: int) -> list[BagRow]:
    """The bags of a shipment."""
    query = sa.select(BagRow).where(BagRow.shipment_pk == shipment_pk)
    return list(session.scalars(query.order_by(BagRow.code, BagRow.id)))


def in_bag(
    session: Session, brands: Collection[str], code: str
) -> list[tuple[BagRow, ShipmentRmaRow, tuple[ShipmentUnit, ...]]]:
    """The bags of known shipments with this barcode, the newest first: each with an RMA that
    announces units of it, and these."""
    query = sa.select(BagRow).where(
        BagRow.code == normal_code(code),
        BagRow.brand.in_(list(brands)),
        BagRow.shipment_pk.is_not(None),
    )
    found: list[tuple[BagRow, ShipmentRmaRow, tuple[ShipmentUnit, ...]]] = []
    for bag in session.scalars(query.order_by(BagRow.id.desc()).limit(MOST_BAGS)):
        units = [
            u
            for u in units_of(session, bag.shipment_pk or 0)
            if bag.code in {normal_code(b) for b in u.item.bags}
            and bag.return_id in ("", u.item.return_id)
        ]
        for rma in rmas_of(session, [bag.shipment_pk or 0]):
            mine = tuple(u for u in units if u.key in rma.unit_keys)
            if mine and rma.ticket_id:
                found.append((bag, rma, mine))
    return found


MOST_BAGS = 20


# -- RMAs and what was counted ----------------------------------------------------------------


def rmas_of(session: Session, shipment_pks: Collection[int]) -> list[ShipmentRmaRow]:
    """The RMAs of shipments, in the order they were made."""
    return list(rows_of(session, _RMAS_OF, sorted(set(shipment_pks))))


_RMAS_OF = (
    sa.select(ShipmentRmaRow)
    .where(ShipmentRmaRow.shipment_pk.in_(VALUES))
    .order_by(ShipmentRmaRow.id)
)

rmas_by_pks: Lookup[int, ShipmentRmaRow] = Lookup(
    sa.select(ShipmentRmaRow.id, ShipmentRmaRow).where(ShipmentRmaRow.id.in_(VALUES))
)
"""The same by key."""


def rma_of_po(session: Session, brand: str, po: str) -> ShipmentRmaRow | None:
    """The RMA with this PO, whatever its case: REX11 may not tell two such POs apart."""
    exact = ShipmentRmaRow.customer_po == po
    query = sa.select(ShipmentRmaRow).where(
        ShipmentRmaRow.brand == brand,
        sa.or_(exact, sa.func.lower(ShipmentRmaRow.customer_po) == po.lower()),
    )
    return session.scalar(query.order_by(exact.desc()).limit(1))


def rmas_due(session: Session, brand: str, now: datetime, limit: int) -> list[ShipmentRmaRow]:
    """RMAs that are to be announced by now."""
    query = sa.select(ShipmentRmaRow).where(
        ShipmentRmaRow.brand == brand,
        ShipmentRmaRow.ticket_id.is_(None),
        ShipmentRmaRow.due_at <= now,
    )
    return list(session.scalars(query.order_by(ShipmentRmaRow.id).limit(limit)))


def rmas_by_ticket(
    session: Session, brand: str, ticket_ids: Sequence[str]
) -> dict[str, ShipmentRmaRow]:
    """Known RMAs by ticket id, as it is spelled in `ticket_ids`."""
    asked = rows_of(session, _BY_TICKET, ticket_spellings(ticket_ids), brand=brand)
    found = {normal_ticket_id(row.ticket_id): row for row in asked if row.ticket_id}
    return {i: found[normal] for i in ticket_ids if (normal := normal_ticket_id(i)) in found}


_BY_TICKET = sa.select(ShipmentRmaRow).where(
    ShipmentRmaRow.brand == BRAND, ShipmentRmaRow.ticket_id.in_(VALUES)
)


def to_read(session: Session, brand: str, now: datetime, limit: int) -> list[ShipmentRmaRow]:
    """RMAs whose ticket is to be read by now, those that failed least recently first."""
    due = sa.or_(ShipmentRmaRow.read_due_at.is_(None), ShipmentRmaRow.read_due_at <= now)
    query = sa.select(ShipmentRmaRow).where(
        ShipmentRmaRow.brand == brand, ShipmentRmaRow.to_read.is_(True), due
    )
    order = (ShipmentRmaRow.unread_since.is_not(None), ShipmentRmaRow.id)
    return list(session.scalars(query.order_by(*order).limit(limit)))


def counts_final(rma: ShipmentRmaRow) -> bool:
    """Whether what was last read of a ticket still is its last word."""
    return rma.ticket_status == TicketStatus.ADDED_TO_INVENTORY == rma.read_status


latest_receipts: Lookup[int, ShipmentReceiptRow] = Lookup(
    sa.select(ShipmentReceiptRow.rma_pk, ShipmentReceiptRow)
    .where(ShipmentReceiptRow.rma_pk.in_(VALUES))
    .order_by(ShipmentReceiptRow.id)
)
"""The newest receipt of each RMA that has one."""


def final_receipts(session: Session, rmas: Sequence[ShipmentRmaRow]) -> dict[int, Receipt]:
    """The newest receipt of each of these RMAs whose ticket is final now."""
    final = [rma.id for rma in rmas if counts_final(rma)]
    rows = latest_receipts(session, final)
    return {pk: load_receipt(row.content) for pk, row in rows.items()}


def add_receipt(
    session: Session, now: datetime, rma: ShipmentRmaRow, receipt: Receipt, content_hash: str
) -> bool:
    """Store what was read; False where it says what the newest one says."""
    newest = latest_receipts(session, [rma.id]).get(rma.id)
    if newest is not None and newest.content_hash == content_hash:
        return False
    session.add(
        ShipmentReceiptRow(
            rma_pk=rma.id,
            read_at=now,
            content=document(receipt),
            content_hash=content_hash,
        )
    )
    session.flush()
    return True


# -- returns that are still open --------------------------------------------------------------


def shares(session: Session, shipment_pks: Collection[int]) -> list[RmaRow]:
    """The shares that open returns have in shipments."""
    return list(rows_of(session, _SHARES, sorted(set(shipment_pks))))


_SHARES = sa.select(RmaRow).where(RmaRow.shipment_pk.in_(VALUES)).order_by(RmaRow.id)


def shares_to_read(session: Session, brand: str) -> list[RmaRow]:
    """The shares whose counts are to be looked at once more."""
    query = sa.select(RmaRow).where(
        RmaRow.brand == brand, RmaRow.to_read.is_(True), RmaRow.shipment_pk.is_not(None)
    )
    return list(session.scalars(query))


# -- claims -----------------------------------------------------------------------------------


def claims_of(session: Session, shipment_pk: int) -> dict[str, ClaimRow]:
    """All claims of a shipment, by key."""
    query = sa.select(ClaimRow).where(ClaimRow.shipment_pk == shipment_pk)
    return {row.key: row for row in session.scalars(query.order_by(ClaimRow.id))}


def other_claims(
    session: Session, brand: str, besides: int, kinds: Sequence[str], since: datetime
) -> list[tuple[ClaimRow, str]]:
    """Open claims of these kinds in other shipments of a brand, each with its shipment's id."""
    query = (
        sa.select(ClaimRow, ShipmentRow.happy_id)
        .join(ShipmentRow, ShipmentRow.id == ClaimRow.shipment_pk)
        .where(
            ClaimRow.brand == brand,
            ClaimRow.shipment_pk != besides,
            ClaimRow.state == OPEN,
            ClaimRow.kind.in_(kinds),
            ClaimRow.opened_at >= since,
        )
    )
    return [(claim, happy_id) for claim, happy_id in session.execute(query.order_by(ClaimRow.id))]


OPEN, WITHDRAWN, CLOSED = "open", "withdrawn", "closed"
"""States of a claim."""
