"""Reading the journal on, entry by entry, without missing one.

SQLite has one writer: ids appear in their order. PostgreSQL gives an id out before its
transaction commits, so an entry may appear behind one that is there already. A reader therefore
stops before a missing id until every transaction that was running when the gap was seen has
ended; the gap is then known to stay empty (its transaction was rolled back).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.tables.core import JournalRow
from bergen_loop.ledger.tables.operations import FollowerRow

JOURNAL = "journal"
SETTLE = timedelta(seconds=5)
"""A gap is minded so long at least: an id is given out a moment before its transaction gets the
number by which its end is seen."""


def behind(session: Session) -> bool:
    """Whether there is something to read."""
    newest = sa.select(sa.func.max(JournalRow.id)).scalar_subquery()
    query = sa.select(FollowerRow.name).where(
        FollowerRow.name == JOURNAL, FollowerRow.position < newest
    )
    return session.scalar(query) is not None


def read_on(session: Session, now: datetime, limit: int) -> Sequence[JournalRow]:
    """The next entries, oldest first; the position moves with the session's transaction. Empty
    also where another process is reading on right now."""
    row = session.scalar(
        sa.select(FollowerRow).where(FollowerRow.name == JOURNAL).with_for_update(skip_locked=True)
    )
    if row is None:
        return ()
    ended = _every_transaction_ended_before(session)
    entries = session.scalars(
        sa.select(JournalRow)
        .where(JournalRow.id > row.position)
        .order_by(JournalRow.id)
        .limit(limit)
    ).all()
    safe = entries if ended is None else _until_gap(session, row, entries, ended, now)
    if safe:
        row.position = safe[-1].id
    return safe


def _every_transaction_ended_before(session: Session) -> int | None:
    """The number before which no transaction runs any more; None where it does not matter."""
    if session.get_bind().dialect.name == "sqlite":
        return None
    return session.scalar(sa.text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"))


def _until_gap(
    session: Session, row: FollowerRow, entries: Sequence[JournalRow], ended: int, now: datetime
) -> Sequence[JournalRow]:
    expected = row.position + 1
    for number, entry in enumerate(entries):
        if entry.id != expected and not _stays_empty(session, row, entry.id, ended, now):
            return entries[:number]
        expected = entry.id + 1
    row.gap_until = None
    return entries


def _stays_empty(session: Session, row: FollowerRow, until: int, ended: int, now: datetime) -> bool:
    """Whether the gap before the id `until` will not be filled any more."""
    if row.gap_until != until or row.gap_horizon is None or row.gap_seen_at is None:
        row.gap_until, row.gap_seen_at = until, now
        row.gap_horizon = session.scalar(
            sa.text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        )
        return False
    return ended >= row.gap_horizon and now - row.gap_seen_at >= SETTLE
