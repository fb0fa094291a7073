"""Alerts, from the first sign until people were told that the cause has gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.store.statements import chunks
from bergen_loop.ledger.tables.operations import AlertRow


def unfinished(session: Session) -> list[AlertRow]:
    """Those whose cause is there, or has gone without people being told, oldest first."""
    # As the partial index says it.
    query = sa.select(AlertRow).where(sa.text("(resolved_at IS NULL OR recovery_sent_at IS NULL)"))
    return list(session.scalars(query.order_by(AlertRow.id)))


def latest(session: Session, kinds: Sequence[str], limit: int) -> list[AlertRow]:
    """The newest of these kinds, over or not."""
    query = sa.select(AlertRow).where(AlertRow.kind.in_(kinds))
    return list(session.scalars(query.order_by(AlertRow.id.desc()).limit(limit)))


def open_one(
    session: Session, now: datetime, kind: str, subject: str, brand: str | None
) -> AlertRow:
    """A cause has come: of a brand, or (None) of several at once, known by its subject. What it is
    like is for the caller to say, on the row."""
    row = AlertRow(kind=kind, brand=brand, open_key=subject, detail="", data={}, since=now)
    session.add(row)
    return row


def resolve(row: AlertRow, now: datetime) -> None:
    """The cause has gone."""
    row.resolved_at, row.open_key = now, None
    if row.sent_at is None:
        row.recovery_sent_at = now  # nobody heard of it: nothing to take back


def told(session: Session, rows: Sequence[AlertRow], now: datetime) -> None:
    """People were told that these have come."""
    _set(session, rows, sent_at=now)


def told_gone(session: Session, rows: Sequence[AlertRow], now: datetime) -> None:
    """People were told that these have gone."""
    _set(session, rows, recovery_sent_at=now)


def _set(session: Session, rows: Sequence[AlertRow], **values: datetime) -> None:
    for ids in chunks([row.id for row in rows]):
        session.execute(sa.update(AlertRow).where(AlertRow.id.in_(ids)).values(**values))
