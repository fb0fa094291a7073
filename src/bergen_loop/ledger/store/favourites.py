"""The brands that somebody wants to see first."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.tables.access import FavouriteRow

NOBODY = 0
"""Where nobody signs in, all share theirs."""


def of(session: Session, account: int | None) -> frozenset[str]:
    """Theirs."""
    query = sa.select(FavouriteRow.brand).where(FavouriteRow.account_id == (account or NOBODY))
    return frozenset(session.scalars(query))


def turn(session: Session, account: int | None, brand: str) -> None:
    """Make it one, or none any more."""
    row = session.get(FavouriteRow, (account or NOBODY, brand))
    if row is None:
        session.add(FavouriteRow(account_id=account or NOBODY, brand=brand))
    else:
        session.delete(row)
