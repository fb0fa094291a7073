"""The database's clock: the one time that all machines share."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session


def now_ms(session: Session) -> int:
    """Milliseconds since 1970, as they pass (not the start of the transaction). An embedded
    database has one machine only: its clock is this one's."""
    if session.get_bind().dialect.name == "sqlite":
        return time.time_ns() // 1_000_000
    query = sa.text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    return int(session.execute(query).scalar_one())


def now(session: Session) -> datetime:
    """The same as an aware time."""
    return datetime.fromtimestamp(now_ms(session) / 1000, UTC)
