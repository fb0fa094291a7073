"""The log of calls to Loop and REX11: written at a tick's end, forgotten after a time. And the
systems that do not answer a brand, with the calls that they refuse it: what outlives a tick."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.store.chunks import chunks
from bergen_loop.ledger.tables.core import BreakerRow
from bergen_loop.ledger.tables.operations import CallRow

AT_A_TIME = 1000


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write them, in one statement."""
    if rows:
        session.execute(sa.insert(CallRow), list(rows))


def forget(session: Session, brand: str, before: datetime) -> int:
    """Delete those of before; some at a time. How many."""
    oldest = sa.select(CallRow.id).where(CallRow.brand == brand).order_by(CallRow.id)
    ids = list(session.scalars(oldest.limit(AT_A_TIME)))
    gone = 0
    for some in chunks(ids):
        done = session.execute(
            sa.delete(CallRow)
            .where(CallRow.id.in_(some), CallRow.at < before)
            .returning(CallRow.id)
        )
        gone += len(done.all())
    return gone


def unsay(session: Session, brand: str, subjects: Collection[str]) -> None:
    """Delete what was said in calls about these returns, POs and tickets."""
    for some in chunks([s for s in subjects if s]):
        session.execute(
            sa.update(CallRow)
            .where(CallRow.brand == brand, CallRow.subject.in_(some))
            .values(sent=None, received=None)
        )


# -- breakers ---------------------------------------------------------------------------------


def breakers_of(session: Session, brand: str | None = None) -> list[BreakerRow]:
    """The systems with failures and the calls refused, of a brand or of all."""
    query = sa.select(BreakerRow).order_by(BreakerRow.brand, BreakerRow.system)
    return list(session.scalars(query.where(BreakerRow.brand == brand) if brand else query))


def keep_breaker(
    session: Session, brand: str, system: str, values: Mapping[str, object]
) -> BreakerRow:
    """Bring a system's row to these values, made where there is none."""
    row = session.get(BreakerRow, (brand, system))
    if row is None:
        row = BreakerRow(brand=brand, system=system)
        session.add(row)
    for name, value in values.items():
        setattr(row, name, value)
    return row


def drop_breaker(session: Session, row: BreakerRow) -> None:
    """All is well again."""
    session.delete(row)
