"""The processes that run ticks: their signs of life, by the database's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger import database
from bergen_loop.ledger.tables.core import WorkerRow

LEFT = datetime(1970, 1, 1, tzinfo=UTC)
"""Last sign of life of a worker that has ended in order."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker for people to look at; `age` is since its last sign of life."""

    executor_id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    age: timedelta


def workers(session: Session) -> list[Worker]:
    """All that are known, the longest running first."""
    now = database.now(session)
    rows = session.scalars(sa.select(WorkerRow).order_by(WorkerRow.started_at))
    return [
        Worker(r.executor_id, r.host, r.pid, r.version, r.started_at, now - r.seen_at) for r in rows
    ]


def show(session: Session, executor_id: str, host: str, pid: int, version: str) -> None:
    """A worker is alive; what it is, is taken down at its first sign."""
    now = database.now(session)
    row = session.get(WorkerRow, executor_id)
    if row is None:
        row = WorkerRow(
            executor_id=executor_id, host=host, pid=pid, version=version, started_at=now
        )
        session.add(row)
    row.seen_at = now


def leave(session: Session, executor_id: str) -> None:
    """A worker ends in order: what it leaves undone is the others' at once."""
    row = session.get(WorkerRow, executor_id)
    if row is not None:
        row.seen_at = LEFT


def gone(session: Session, after: timedelta, besides: str) -> Sequence[tuple[str, datetime]]:
    """Those without a sign of life for so long, other than `besides`, and when they gave the
    last."""
    query = sa.select(WorkerRow.executor_id, WorkerRow.seen_at).where(
        WorkerRow.seen_at < database.now(session) - after, WorkerRow.executor_id != besides
    )
    return [(executor_id, seen_at) for executor_id, seen_at in session.execute(query)]


def forget(session: Session, executor_id: str, seen_at: datetime) -> None:
    """A worker is not known any more, unless it has given a sign of life since."""
    row = session.get(WorkerRow, executor_id)
    if row is not None and row.seen_at == seen_at:
        session.delete(row)
