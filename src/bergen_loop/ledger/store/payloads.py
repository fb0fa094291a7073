"""Payloads that could not be understood, kept as they came (`Transaction.keep_raw`)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.tables.core import RawRow


def kept(session: Session, brand: str) -> list[RawRow]:
    """All of a brand, in the order they came."""
    return list(session.scalars(sa.select(RawRow).where(RawRow.brand == brand).order_by(RawRow.id)))


def drop(session: Session, pk: int) -> None:
    """It has been understood."""
    session.execute(sa.delete(RawRow).where(RawRow.id == pk))
