"""A ledger put back from a backup is told so: what was done since the backup is not in it.

What follows from it is in `flow.tick`: RMAs are looked for before they are made (I3), and nothing
is settled until Loop must have carried out what it had taken from us before (I1).
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.words import What
from bergen_loop.flow.pull import FIRST_PULL
from bergen_loop.ledger.store import cursors, journal
from bergen_loop.ledger.tables.core import BrandRow, BudgetLeaseRow, BudgetRow, WorkerRow


def mark(session: Session, now: datetime, *, who: str, source: str) -> list[str]:
    """Tell a restored ledger that it was restored; its brands."""
    brands = list(session.scalars(sa.select(BrandRow.brand).order_by(BrandRow.brand)))
    for brand in brands:
        row = session.get_one(BrandRow, brand)
        row.restored_at, row.nudged_at = now, now
        row.epoch += 1  # whoever still works on what was there before can intend nothing more
        cursors.set(session, brand, FIRST_PULL, now)
    for table in (BudgetLeaseRow, BudgetRow, WorkerRow):
        session.execute(sa.delete(table))  # of a time that is over
    why = f"put back from {source}; RMAs are looked for before they are made"
    journal.record(session, now, What.LEDGER_RESTORED, why, brand=None, who=who)
    return brands
