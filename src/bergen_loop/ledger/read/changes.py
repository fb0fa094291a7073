"""Lists of what has changed, for programs that follow: none is missed, whoever writes meanwhile.

They go by the database's clock. A transaction that is still open may have written a time that
has passed already, and shows it only at its end; so a list ends before the first of these, and
says until when it is whole.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer

from bergen_loop.ledger import database
from bergen_loop.ledger.read.listing import ReturnFilter
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.tables.core import AttentionRow, ReturnRow, held_only

T = TypeVar("T", ReturnRow, AttentionRow)

ChangeKey = tuple[datetime, int]
"""Where a page ends: (changed_at, id)."""
SETTLED = timedelta(seconds=2)
"""What is younger comes with the next list: on PostgreSQL a transaction shows as a writer a
moment after it has read the clock, on SQLite the clock has milliseconds."""
_OPEN = sa.text(
    "SELECT min(xact_start) FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_xid IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class Changes(Generic[T]):
    """Some rows by when they changed, the longest ago first."""

    rows: list[T]
    more: bool
    until: datetime
    """With no more behind them, every change before this is there."""


@dataclass(frozen=True, slots=True)
class Since:
    """Where a list of changes begins."""

    at: datetime
    """With those that changed at this time."""
    after: ChangeKey | None = None
    """Behind this one."""


def returns(
    session: Session, scope: Scope, wanted: ReturnFilter, since: Since, limit: int
) -> Changes[ReturnRow]:
    """Returns that changed, without their `content`. A return that changes while somebody pages
    moves to the end of the list."""
    query = sa.select(ReturnRow).options(defer(ReturnRow.content, raiseload=True))
    stages = wanted.stages()
    if stages is not None:
        query = query.where(ReturnRow.stage.in_(stages))
    if wanted.held:
        query = query.where(held_only())
    if wanted.since:
        query = query.where(ReturnRow.submitted_at >= wanted.since)
    if wanted.until:
        query = query.where(ReturnRow.submitted_at < wanted.until)
    return _changes(session, scope, query, since, limit)


def attention(
    session: Session, scope: Scope, kind: str | None, since: Since, limit: int
) -> Changes[AttentionRow]:
    """Items that were opened, told anew, or resolved."""
    query = sa.select(AttentionRow)
    if kind:
        query = query.where(AttentionRow.kind == kind)
    return _changes(session, scope, query, since, limit)


def key_of(row: ReturnRow | AttentionRow) -> ChangeKey:
    """Where a page ends whose last row is `row`."""
    assert row.changed_at is not None  # or it would not have been found
    return (row.changed_at, row.id)


def _changes(
    session: Session, scope: Scope, query: sa.Select[T], since: Since, limit: int
) -> Changes[T]:
    until = _horizon(session)
    table: Any = query.column_descriptions[0]["entity"]
    query = query.where(table.changed_at >= since.at, table.changed_at < until)
    if since.after:
        query = query.where(sa.tuple_(table.changed_at, table.id) > since.after)
    query = query.order_by(table.changed_at, table.id).limit(limit + 1)

    def stream(brand: str | None) -> Sequence[T]:
        return session.scalars(query if brand is None else query.where(table.brand == brand)).all()

    rows = list(_merged(stream(brand) for brand in scope.streams()))
    return Changes(rows[:limit], len(rows) > limit, until)


def _merged(streams: Iterable[Sequence[T]]) -> Iterable[T]:
    return heapq.merge(*streams, key=key_of)


def _horizon(session: Session) -> datetime:
    """Before it, whatever was written shows."""
    now = database.now(session)
    if session.get_bind().dialect.name != "sqlite":
        begun: datetime | None = session.scalar(_OPEN)
        now = min(now, begun or now)
    return now - SETTLED
