"""The log of calls to Loop and REX11: written at a tick's end, forgotten after a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.store.chunks import chunks
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
