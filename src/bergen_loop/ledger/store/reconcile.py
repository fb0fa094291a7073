"""What a reconcile asks: what should have moved and did not, by which return or ticket."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.returns import ENDED, Stage
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow


class OldTicket(NamedTuple):
    """A ticket that is not finished, and its return."""

    ticket_id: str
    return_id: str
    stage: str


def going_on(session: Session, brand: str, since: datetime) -> list[ReturnRow]:
    """Returns submitted since that have not ended, the longest unseen in Loop first."""
    query = sa.select(ReturnRow).where(
        ReturnRow.brand == brand,
        ReturnRow.stage.not_in(ENDED),
        ReturnRow.submitted_at >= since,
    )
    return list(session.scalars(query.order_by(ReturnRow.loop_updated_at)))


def unheard_tickets(session: Session, brand: str, before: datetime, limit: int) -> list[RmaRow]:
    """Open tickets of returns that go on, whose status was not seen since, the longest unheard
    first."""
    heard = sa.func.coalesce(RmaRow.status_seen_at, RmaRow.created_at)
    query = (
        sa.select(RmaRow)
        .join(ReturnRow, RmaRow.return_pk == ReturnRow.id)
        .where(
            RmaRow.brand == brand,
            RmaRow.ticket_id.is_not(None),
            RmaRow.closed_at.is_(None),
            ReturnRow.stage.not_in(ENDED),
            heard <= before,
        )
    )
    return list(session.scalars(query.order_by(heard).limit(limit)))


def rma_of_po(session: Session, brand: str, po: str) -> RmaRow | None:
    """The RMA of this PO, whatever its case."""
    return session.scalar(
        sa.select(RmaRow).where(
            RmaRow.brand == brand, sa.func.lower(RmaRow.customer_po) == po.casefold()
        )
    )


def without_ticket(session: Session, brand: str, before: datetime, limit: int) -> list[ReturnRow]:
    """Returns submitted before that still have no ticket, or lack one."""
    of_it = RmaRow.return_pk == ReturnRow.id
    query = sa.select(ReturnRow).where(
        ReturnRow.brand == brand,
        ReturnRow.stage == Stage.SEEN,
        ReturnRow.submitted_at <= before,
        sa.or_(
            ~sa.exists().where(of_it),
            sa.exists().where(of_it, RmaRow.ticket_id.is_(None)),
        ),
    )
    return list(session.scalars(query.order_by(ReturnRow.id).limit(limit)))


def old_tickets(session: Session, brand: str, before: datetime) -> Sequence[OldTicket]:
    """Tickets made before that the warehouse has not finished, the oldest first."""
    query = (
        sa.select(RmaRow.ticket_id, ReturnRow.return_id, ReturnRow.stage)
        .join(ReturnRow, RmaRow.return_pk == ReturnRow.id)
        .where(
            RmaRow.brand == brand,
            RmaRow.ticket_id.is_not(None),
            RmaRow.closed_at.is_(None),
            ReturnRow.stage.in_((Stage.ANNOUNCED, Stage.CLOSING)),
            RmaRow.created_at <= before,
        )
    )
    rows = session.execute(query.order_by(RmaRow.created_at))
    return [OldTicket(ticket or "", return_id, stage) for ticket, return_id, stage in rows]
