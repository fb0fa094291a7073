"""Times that a clock which was ahead has left behind. What lies ahead of now cannot have been: a
brand would stand still until the clock gets there again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.returns import WORKING, Stage
from bergen_loop.ledger.tables.core import BrandRow, EffectRow, ReturnRow, RmaRow

SEEN = (BrandRow.last_sync_started_at, BrandRow.last_pull_at, BrandRow.last_good_sync_at)
_HAPPENED = (
    (BrandRow, (*SEEN, BrandRow.last_sync_finished_at)),
    (ReturnRow, (ReturnRow.received_at, ReturnRow.decided_at)),
    (RmaRow, (RmaRow.status_seen_at, RmaRow.unread_since, RmaRow.read_due_at)),
    (EffectRow, (EffectRow.intended_at, EffectRow.doubt_since, EffectRow.try_at,
                 EffectRow.finished_at)),
)  # fmt: skip
"""When something was, or is tried again: never later than now, or than soon."""


def by(row: BrandRow, now: datetime) -> timedelta:
    """How far ahead of now the brand was looked at last; negative or zero: it was not."""
    return max((at - now for c in SEEN if (at := getattr(row, c.key))), default=timedelta(0))


def put_right(session: Session, brand: str, now: datetime, confirm_within: timedelta) -> None:
    """What was is taken to have been now; what waits is looked at now, and waits on by what it is
    judged on then. Calls that Loop has taken get their time from now on."""
    for table, columns in _HAPPENED:
        for column in columns:
            late = sa.update(table).where(table.brand == brand, column > now)
            session.execute(late.values({column.key: now}))
    waiting = sa.update(ReturnRow).where(ReturnRow.brand == brand, ReturnRow.due_at > now)
    working = [stage for stage in WORKING if stage is not Stage.CONFIRMING]
    session.execute(waiting.where(ReturnRow.stage.in_(working)).values(due_at=now))
    soon = now + confirm_within
    confirming = waiting.where(ReturnRow.stage == Stage.CONFIRMING, ReturnRow.due_at > soon)
    session.execute(confirming.values(due_at=soon))
    session.expire_all()
