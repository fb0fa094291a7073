"""What brands' own endpoints were told, and how they fare."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.tables.operations import AttemptRow, EndpointRow, OutboxRow


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event, and the last attempt to deliver it."""

    event: OutboxRow
    last: AttemptRow | None


def latest(session: Session, brand: str | None, state: str | None, limit: int) -> list[Delivery]:
    """The newest events, of one brand or all, in one state or any."""
    query = sa.select(OutboxRow).order_by(OutboxRow.id.desc()).limit(limit)
    if brand:
        query = query.where(OutboxRow.brand == brand)
    if state:
        query = query.where(OutboxRow.state == state)
    return [Delivery(event, _last(session, event)) for event in session.scalars(query)]


def _last(session: Session, event: OutboxRow) -> AttemptRow | None:
    query = sa.select(AttemptRow).where(AttemptRow.event_pk == event.id)
    return session.scalar(query.order_by(AttemptRow.id.desc()).limit(1))


def event_of(session: Session, brand: str, event_id: str) -> OutboxRow | None:
    """A brand's event of this id."""
    return session.scalar(
        sa.select(OutboxRow).where(OutboxRow.brand == brand, OutboxRow.event_id == event_id)
    )


def endpoints(session: Session) -> dict[str, EndpointRow]:
    """Every endpoint that was ever delivered to, by its brand."""
    query = sa.select(EndpointRow).order_by(EndpointRow.brand)
    return {row.brand: row for row in session.scalars(query)}
