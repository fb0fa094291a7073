"""After the ledger was put back from a backup: what was done since the backup is not in it.

So an RMA is looked for by its PO before it is made (I3), and nothing is settled until Loop must
have carried out what it had taken from us before: a return that then still looks open was not
processed (I1).
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger import journal, returns
from bergen_loop.ledger.tables import BrandRow, BudgetLeaseRow, BudgetRow, WorkerRow
from bergen_loop.sync.context import BrandContext
from bergen_loop.sync.guard import GuardedWarehouse
from bergen_loop.sync.pull import FIRST_PULL

LOOK_FIRST = timedelta(days=90)
"""How long after a restore RMAs are looked for first: a return may be announced late."""


def mark(session: Session, now: datetime, *, who: str, source: str) -> list[str]:
    """Tell a restored ledger that it was restored; its brands."""
    brands = list(session.scalars(sa.select(BrandRow.brand).order_by(BrandRow.brand)))
    for brand in brands:
        row = session.get_one(BrandRow, brand)
        row.restored_at, row.nudged_at = now, now
        row.epoch += 1  # whoever still works on what was there before can intend nothing more
        returns.set_cursor(session, brand, FIRST_PULL, now)
    for table in (BudgetLeaseRow, BudgetRow, WorkerRow):
        session.execute(sa.delete(table))  # of a time that is over
    why = f"put back from {source}; RMAs are looked for before they are made"
    journal.record(session, now, "ledger restored", why, brand=None, who=who)
    return brands


def prepare(ctx: BrandContext, row: BrandRow) -> None:
    """At a tick's start."""
    if isinstance(ctx.warehouse, GuardedWarehouse):
        at = row.restored_at
        ctx.warehouse.look_first = at is not None and ctx.now() - at < LOOK_FIRST
    ctx.restored_at = row.restored_at


def hold(ctx: BrandContext) -> str | None:
    """Why nothing is to be settled yet; None where it may."""
    if ctx.restored_at is None:
        return None
    until = ctx.restored_at + ctx.settings.settle.confirm_within
    if ctx.now() >= until:
        return None
    return (
        f"the ledger was restored at {ctx.restored_at:%H:%M} UTC: nothing is settled until "
        f"{until:%H:%M} UTC, for Loop may still carry out calls that the backup does not know"
    )
