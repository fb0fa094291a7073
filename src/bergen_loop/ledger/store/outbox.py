"""The outbox's rows: what is due for a brand, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.tables.operations import AttemptRow, EndpointRow, OutboxRow

PENDING, DELIVERED, GIVEN_UP = "pending", "delivered", "given_up"

WAITS = tuple(
    timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600, 7200, 14400)
)  # fmt: skip
"""Before the second attempt, the third, ...; the last of them again and again."""
LASTING = timedelta(days=1)
"""An event that could not be delivered for so long is given up."""
KEEP = timedelta(days=30)
"""How long the log of deliveries goes back."""
_PENDING = sa.text("state = 'pending'")


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt to deliver an event went."""

    seconds: float
    status: int | None = None
    error: str | None = None
    down: bool = False
    """The endpoint as a whole does not answer: others of its events would fare no better."""

    @property
    def delivered(self) -> bool:
        return self.error is None


def wait_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts."""
    return WAITS[min(attempts, len(WAITS)) - 1]


def brands_due(session: Session, brands: Iterable[str], now: datetime) -> list[str]:
    """Of these brands, those with an event whose time has come and an endpoint not at rest."""
    resting = {
        row.brand
        for row in session.scalars(sa.select(EndpointRow).where(EndpointRow.resting_until > now))
    }
    return [
        brand
        for brand in brands
        if brand not in resting and session.scalar(_due(brand, now).limit(1)) is not None
    ]


def due(session: Session, brand: str, now: datetime, limit: int) -> Sequence[OutboxRow]:
    """The brand's events whose time has come, in order."""
    return session.scalars(
        sa.select(OutboxRow)
        .where(OutboxRow.id.in_(_due(brand, now).limit(limit)))
        .order_by(OutboxRow.id)
    ).all()


def _due(brand: str, now: datetime) -> sa.Select[int]:
    return (
        sa.select(OutboxRow.id)
        .where(_PENDING, OutboxRow.brand == brand, OutboxRow.next_at <= now)
        .order_by(OutboxRow.next_at, OutboxRow.id)
    )


def record(session: Session, event_pk: int, attempt: Attempt, now: datetime) -> None:
    """Write down an attempt, and what follows from it for the event and its endpoint."""
    event = session.get_one(OutboxRow, event_pk)
    event.attempts += 1
    session.add(
        AttemptRow(
            event_pk=event.id,
            at=now,
            milliseconds=round(attempt.seconds * 1000),
            status=attempt.status,
            error=attempt.error,
        )
    )
    if attempt.delivered:
        event.state, event.finished_at = DELIVERED, now
    elif now - event.created_at >= LASTING:
        event.state, event.finished_at = GIVEN_UP, now
    else:
        event.next_at = now + wait_after(event.attempts)
    _endpoint(session, event.brand, attempt, now)


def _endpoint(session: Session, brand: str, attempt: Attempt, now: datetime) -> None:
    row = session.get(EndpointRow, brand)
    if row is None:
        session.add(row := EndpointRow(brand=brand, failures=0))
    if attempt.delivered:
        answers(session, brand)
        return
    row.last_error = attempt.error
    if attempt.down:
        row.failures += 1
        row.failing_since = row.failing_since or now
        row.resting_until = now + wait_after(row.failures)


def send_again(session: Session, event: OutboxRow, now: datetime) -> None:
    """Have an event delivered (again) now, with its old id."""
    event.state, event.next_at, event.finished_at = PENDING, now, None
    event.created_at = now
    endpoint = session.get(EndpointRow, event.brand)
    if endpoint:
        endpoint.resting_until = None


def answers(session: Session, brand: str) -> None:
    """The brand's endpoint answers: what rests is tried now."""
    row = session.get(EndpointRow, brand)
    if row is not None:
        row.failures, row.failing_since, row.resting_until, row.last_error = 0, None, None, None


def forget_old(session: Session, now: datetime, limit: int = 500) -> int:
    """Delete finished events older than `KEEP` from the log; how many."""
    oldest = session.execute(
        sa.select(OutboxRow.id, OutboxRow.state, OutboxRow.created_at)
        .order_by(OutboxRow.id)
        .limit(limit)
    )
    old = [pk for pk, state, at in oldest if state != PENDING and at < now - KEEP]
    if old:
        session.execute(sa.delete(OutboxRow).where(OutboxRow.id.in_(old)))
    return len(old)
