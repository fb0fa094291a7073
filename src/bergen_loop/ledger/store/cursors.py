"""How far recurring reads have come, and since when something is so: named times of a brand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.tables.core import CursorRow


def get(session: Session, brand: str, name: str) -> datetime | None:
    """The time of this name; None: not set."""
    row = session.get(CursorRow, (brand, name))
    return row.value if row else None


def get_all(session: Session, brand: str, names: Sequence[str]) -> dict[str, datetime]:
    """Those of these that are set."""
    query = sa.select(CursorRow).where(CursorRow.brand == brand, CursorRow.name.in_(names))
    return {row.name: row.value for row in session.scalars(query)}


def set(session: Session, brand: str, name: str, value: datetime) -> None:
    """Remember it."""
    session.merge(CursorRow(brand=brand, name=name, value=value))


def drop(session: Session, brand: str, name: str) -> None:
    """Forget it."""
    session.execute(sa.delete(CursorRow).where(CursorRow.brand == brand, CursorRow.name == name))
