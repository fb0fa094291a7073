"""The tables of outgoing events and of alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from bergen_loop.domain.returns import WORKING
from bergen_loop.ledger.tables.core import Base, BigId, ReturnRow

WORKING_ONLY = f"stage IN ({', '.join(repr(s.value) for s in WORKING)})"
"""As the partial index says it; a query that says the same is served by it."""

sa.Index(
    "ix_returns_working",
    ReturnRow.brand,
    ReturnRow.stage,
    ReturnRow.held,
    ReturnRow.due_at,
    ReturnRow.seen_at,
    ReturnRow.received_at,
    sqlite_where=sa.text(WORKING_ONLY),
    postgresql_where=sa.text(WORKING_ONLY),
)


class FollowerRow(Base):
    """How far the journal has been read by what follows it, and the gap before which it waits.

    On PostgreSQL an id is given out before its transaction commits: an entry may appear behind
    one that has been read already. So a reader stops before a missing id until no transaction
    that was running when the gap was seen can still fill it.
    """

    __tablename__ = "followers"

    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigId)
    """The id of the last entry that was read."""
    gap_until: Mapped[int | None] = mapped_column(BigId)
    """The id behind the gap, while there is one."""
    gap_horizon: Mapped[int | None] = mapped_column(BigId)
    """The first transaction number that had not been given out when the gap was seen."""
    gap_seen_at: Mapped[datetime | None]


class OutboxRow(Base):
    """An event for a brand's own endpoint. `event_id` is what the receiver tells repeats by."""

    __tablename__ = "outbox"
    __table_args__ = (
        sa.UniqueConstraint("brand", "event_id"),
        sa.Index(
            "ix_outbox_due",
            "brand",
            "next_at",
            "id",
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        ),
        sa.Index("ix_outbox_list", "brand", "id"),
        sa.Index("ix_outbox_return", "return_pk", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    event_id: Mapped[str]
    type: Mapped[str]
    return_pk: Mapped[int | None] = mapped_column(BigId)
    body: Mapped[str] = mapped_column(sa.Text)
    """Exactly what is sent, every time."""
    state: Mapped[str]
    """pending, delivered, or given_up."""
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    next_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class AttemptRow(Base):
    """One attempt to deliver an event: the delivery log."""

    __tablename__ = "outbox_attempts"
    __table_args__ = (sa.Index("ix_outbox_attempts_event", "event_pk", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    event_pk: Mapped[int] = mapped_column(BigId, sa.ForeignKey("outbox.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    milliseconds: Mapped[int]
    status: Mapped[int | None]
    """HTTP status; None where no answer came."""
    error: Mapped[str | None]


class EndpointRow(Base):
    """A brand's endpoint between deliveries: how it fares."""

    __tablename__ = "event_endpoints"

    brand: Mapped[str] = mapped_column(primary_key=True)
    claimed_until: Mapped[datetime | None]
    claimed_by: Mapped[str | None]
    """Both of earlier releases: who delivers holds a lock now."""
    resting_until: Mapped[datetime | None]
    """It does not answer: not tried before this time."""
    failures: Mapped[int] = mapped_column(default=0)
    """Attempts in a row that the endpoint as a whole did not answer."""
    failing_since: Mapped[datetime | None]
    last_error: Mapped[str | None]


class CallRow(Base):
    """One attempt at a call to Loop or REX11, kept for people for a time."""

    __tablename__ = "calls"
    __table_args__ = (
        sa.Index("ix_calls_brand", "brand", "id"),
        sa.Index("ix_calls_subject", "brand", "subject", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    at: Mapped[datetime]
    system: Mapped[str]
    call: Mapped[str]
    subject: Mapped[str | None]
    """The return, PO, ticket or UPC that it is about."""
    milliseconds: Mapped[int]
    waited: Mapped[int]
    """Milliseconds before it, for its turn under the limit of calls."""
    outcome: Mapped[str]
    """`ok`, or the class of the error."""
    effect: Mapped[str | None]
    status: Mapped[int | None]
    attempt: Mapped[int]
    changes: Mapped[bool]
    sent: Mapped[str | None] = mapped_column(sa.Text)
    received: Mapped[str | None] = mapped_column(sa.Text)


class AlertRow(Base):
    """An alert, from the first sign until the cause has gone. One open row per kind and
    subject."""

    __tablename__ = "alerts"
    __table_args__ = (
        sa.UniqueConstraint("kind", "open_key"),
        sa.Index(
            "ix_alerts_open",
            "id",
            sqlite_where=sa.text("resolved_at IS NULL OR recovery_sent_at IS NULL"),
            postgresql_where=sa.text("resolved_at IS NULL OR recovery_sent_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    kind: Mapped[str]
    brand: Mapped[str | None]
    open_key: Mapped[str | None]
    detail: Mapped[str]
    data: Mapped[dict[str, Any]]
    since: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    recovery_sent_at: Mapped[datetime | None]
    """Also set, without a message, where the alert itself was never sent."""
