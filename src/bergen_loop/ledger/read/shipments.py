"""Consolidated shipments and claims, as people ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.codes import normal_code
from bergen_loop.domain.shipment import ShipmentUnit, places_of
from bergen_loop.ledger.read.listing import FIRST, Page, Slice
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.ledger.tables.shipments import BagRow, ClaimRow, ShipmentRmaRow, ShipmentRow

MOST_BAGS = 20


def shipments(
    session: Session,
    scope: Scope,
    *,
    stage: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Page[ShipmentRow]:
    """Shipments, the newest first, those behind `before`."""
    query = sa.select(ShipmentRow).where(scope.allows(ShipmentRow.brand))
    if stage:
        query = query.where(ShipmentRow.stage == stage)
    if before is not None:
        query = query.where(ShipmentRow.id < before)
    rows = list(session.scalars(query.order_by(ShipmentRow.id.desc()).limit(limit + 1)))
    return Page(rows[:limit], len(rows) > limit)


def one_shipment(session: Session, scope: Scope, brand: str, happy_id: str) -> ShipmentRow | None:
    """One shipment that may be seen."""
    return store.by_happy_id(session, brand, happy_id) if brand in scope else None


@dataclass(frozen=True, slots=True)
class Bag:
    """A bag (or several that one return is split over) with what it was to hold."""

    barcodes: tuple[str, ...]
    return_ids: tuple[str, ...]
    boxes: tuple[str, ...]
    units: tuple[ShipmentUnit, ...]
    claims: tuple[ClaimRow, ...]
    missing: bool
    """People were told that nothing of it has come."""


@dataclass(frozen=True, slots=True)
class ShipmentView:
    """All of a shipment."""

    row: ShipmentRow
    rmas: list[ShipmentRmaRow]
    bags: list[Bag]
    claims: list[ClaimRow]
    """Of all states, the open ones first."""
    stages: dict[str, str]
    """Of its returns that are known, by id."""


def view(session: Session, row: ShipmentRow) -> ShipmentView:
    """A shipment with its RMAs, bags and claims."""
    units = store.units_of(session, row.id)
    claims = list(store.claims_of(session, row.id).values())
    claims.sort(key=lambda c: (c.state != store.OPEN, c.id))
    gone = {b.code for b in store.bags_of(session, row.id) if b.missing_since}
    places = places_of(units)
    bags = [
        Bag(
            place.bags,
            place.return_ids,
            tuple(sorted({u.item.box or "?" for u in units if places[u.key] is place})),
            tuple(u for u in units if places[u.key] is place),
            tuple(c for c in claims if c.bags and tuple(c.bags) == place.bags),
            bool(gone.intersection(normal_code(b) or "" for b in place.bags)),
        )
        for place in dict.fromkeys(places.values())
    ]
    ids = {u.item.return_id for u in units if u.item.return_id}
    query = sa.select(ReturnRow.return_id, ReturnRow.stage).where(
        ReturnRow.brand == row.brand, ReturnRow.return_id.in_(sorted(ids))
    )
    stages = {str(return_id): str(stage) for return_id, stage in session.execute(query)}
    return ShipmentView(row, store.rmas_of(session, [row.id]), bags, claims, stages)


def bags_named(
    session: Session, scope: Scope, text: str
) -> list[tuple[BagRow, ShipmentRow | None]]:
    """Bags with this barcode that may be seen, the newest first, with their shipments."""
    code = normal_code(text)
    if code is None:
        return []
    query = sa.select(BagRow).where(BagRow.code == code, scope.allows(BagRow.brand))
    rows = list(session.scalars(query.order_by(BagRow.id.desc()).limit(MOST_BAGS)))
    known = store.by_pks(session, [b.shipment_pk for b in rows if b.shipment_pk is not None])
    return [(bag, known.get(bag.shipment_pk or 0)) for bag in rows]


def claims(
    session: Session,
    scope: Scope,
    *,
    state: str | None = None,
    kind: str | None = None,
    part: Slice = FIRST,
) -> Page[ClaimRow]:
    """Claims, the newest first."""
    query = sa.select(ClaimRow).where(scope.allows(ClaimRow.brand))
    if state:
        query = query.where(ClaimRow.state == state)
    if kind:
        query = query.where(ClaimRow.kind == kind)
    if part.behind is not None:
        query = query.where(ClaimRow.id < part.behind)
    rows = list(session.scalars(query.order_by(ClaimRow.id.desc()).limit(part.limit + 1)))
    return Page(rows[: part.limit], len(rows) > part.limit)


def shipment_ids(session: Session, claims: Sequence[ClaimRow]) -> dict[int, str]:
    """Happy Returns' ids of the shipments that claims are about, by key."""
    return {
        pk: r.happy_id for pk, r in store.by_pks(session, {c.shipment_pk for c in claims}).items()
    }


def claim_to_change(session: Session, scope: Scope, number: int) -> ClaimRow | None:
    """A claim that may be seen, which nobody else changes until the transaction ends."""
    query = sa.select(ClaimRow).where(ClaimRow.id == number, scope.allows(ClaimRow.brand))
    return session.scalar(query.with_for_update())
