"""Systems that do not answer a brand, and calls that they refuse it: what outlives a tick."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.tables.core import BreakerRow


def of_brand(session: Session, brand: str | None = None) -> list[BreakerRow]:
    """The systems with failures and the calls refused, of a brand or of all."""
    query = sa.select(BreakerRow).order_by(BreakerRow.brand, BreakerRow.system)
    return list(session.scalars(query.where(BreakerRow.brand == brand) if brand else query))


def keep(session: Session, brand: str, system: str, values: Mapping[str, object]) -> BreakerRow:
    """Bring a system's row to these values, made where there is none."""
    row = session.get(BreakerRow, (brand, system))
    if row is None:
        row = BreakerRow(brand=brand, system=system)
        session.add(row)
    for name, value in values.items():
        setattr(row, name, value)
    return row


def drop(session: Session, row: BreakerRow) -> None:
    """All is well again."""
    session.delete(row)
