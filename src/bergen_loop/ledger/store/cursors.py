"""How far recurring reads have come, and since when something is so: named times of a brand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.store.chunks import BRAND, VALUES, told_of
from bergen_loop.ledger.store.inserts import insert
from bergen_loop.ledger.tables.core import CursorRow

FIRST_PULL = "loop.first_pull"
"""When this ledger first looked at the brand's returns."""
FORMER = "ledger.former"
"""Until when an earlier ledger of the brand, that was lost, may have worked."""


def get(session: Session, brand: str, name: str) -> datetime | None:
    """The time of this name; None: not set."""
    return get_all(session, brand, [name]).get(name)


def get_all(session: Session, brand: str, names: Sequence[str]) -> dict[str, datetime]:
    """Those of these that are set."""
    return dict(told_of(session, _MARKS, names, brand=brand))


_MARKS = sa.select(CursorRow.name, CursorRow.value).where(
    CursorRow.brand == BRAND, CursorRow.name.in_(VALUES)
)


def set(session: Session, brand: str, name: str, value: datetime) -> None:
    """Remember it."""
    new = insert(session, CursorRow).values(brand=brand, name=name, value=value)
    session.execute(
        new.on_conflict_do_update(
            index_elements=["brand", "name"], set_={"value": new.excluded.value}
        )
    )


def drop(session: Session, brand: str, name: str) -> None:
    """Forget it."""
    session.execute(sa.delete(CursorRow).where(CursorRow.brand == brand, CursorRow.name == name))
