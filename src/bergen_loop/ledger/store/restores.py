"""A ledger put back from a backup: what of it is of a time that is over."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.tables.core import BrandRow, BudgetLeaseRow, BudgetRow, WorkerRow


def mark(session: Session, now: datetime) -> list[str]:
    """Have every brand know of it, whoever still works on what was there before intend nothing
    more, and forget the workers and leases of that time. The brands, by name."""
    rows = list(session.scalars(sa.select(BrandRow).order_by(BrandRow.brand)))
    for row in rows:
        row.restored_at, row.nudged_at = now, now
        row.epoch += 1
    for table in (BudgetLeaseRow, BudgetRow, WorkerRow):
        session.execute(sa.delete(table))
    return [row.brand for row in rows]
