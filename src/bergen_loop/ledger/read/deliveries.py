"""What came in and went out: webhooks, calls, and what brands' own endpoints were told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer

from bergen_loop.ledger.read.listing import Page
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.tables.core import ReturnRow, WebhookRow
from bergen_loop.ledger.tables.operations import AttemptRow, CallRow, EndpointRow, OutboxRow

R = TypeVar("R", CallRow, WebhookRow, OutboxRow)


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event, and the last attempt to deliver it."""

    event: OutboxRow
    last: AttemptRow | None


def latest(session: Session, brand: str | None, state: str | None, limit: int) -> list[Delivery]:
    """The newest events, of one brand or all, in one state or any."""
    query = sa.select(OutboxRow).order_by(OutboxRow.id.desc()).limit(limit)
    if brand:
        query = query.where(OutboxRow.brand == brand)
    if state:
        query = query.where(OutboxRow.state == state)
    return [Delivery(event, _last(session, event)) for event in session.scalars(query)]


def _last(session: Session, event: OutboxRow) -> AttemptRow | None:
    query = sa.select(AttemptRow).where(AttemptRow.event_pk == event.id)
    return session.scalar(query.order_by(AttemptRow.id.desc()).limit(1))


def event_of(session: Session, brand: str, event_id: str) -> OutboxRow | None:
    """A brand's event of this id."""
    return session.scalar(
        sa.select(OutboxRow).where(OutboxRow.brand == brand, OutboxRow.event_id == event_id)
    )


def endpoints(session: Session) -> dict[str, EndpointRow]:
    """Every endpoint that was ever delivered to, by its brand."""
    query = sa.select(EndpointRow).order_by(EndpointRow.brand)
    return {row.brand: row for row in session.scalars(query)}


# -- for the console ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """Which of them somebody wants to see; None: any."""

    brand: str | None = None
    about: str | None = None
    """A return, PO, ticket or UPC, as it is written."""
    failed: bool = False
    before: int | None = None


def calls(session: Session, scope: Scope, asked: Asked, limit: int) -> Page[CallRow]:
    """Calls to Loop and REX11, newest first."""
    query = _narrowed(sa.select(CallRow), CallRow, scope, asked)
    if asked.failed:
        query = query.where(CallRow.outcome != "ok")
    if asked.about:
        query = query.where(CallRow.subject == asked.about)
    query = query.options(defer(CallRow.sent), defer(CallRow.received))
    return _page(session, query, limit)


def webhooks(session: Session, scope: Scope, asked: Asked, limit: int) -> Page[WebhookRow]:
    """Deliveries from Loop, newest first. Those that were refused are only counted."""
    query = _narrowed(sa.select(WebhookRow), WebhookRow, scope, asked)
    if asked.failed:
        query = query.where(WebhookRow.handled_at.is_(None))
    if asked.about:
        query = query.where(WebhookRow.return_id == asked.about)
    return _page(session, query.options(defer(WebhookRow.body)), limit)


def events(session: Session, scope: Scope, asked: Asked, limit: int) -> Page[OutboxRow]:
    """Events for brands' own endpoints, newest first."""
    query = _narrowed(sa.select(OutboxRow), OutboxRow, scope, asked)
    if asked.failed:
        query = query.where(OutboxRow.state != "delivered")
    if asked.about:
        mine = sa.select(ReturnRow.id).where(ReturnRow.return_id == asked.about)
        query = query.where(OutboxRow.return_pk.in_(mine))
    return _page(session, query.options(defer(OutboxRow.body)), limit)


def attempts(session: Session, event_pk: int) -> Sequence[AttemptRow]:
    """Every attempt to deliver an event, in order."""
    query = sa.select(AttemptRow).where(AttemptRow.event_pk == event_pk)
    return session.scalars(query.order_by(AttemptRow.id)).all()


def last_attempts(session: Session, rows: Sequence[OutboxRow]) -> dict[int, AttemptRow]:
    """The last attempt of each event."""
    last = sa.select(sa.func.max(AttemptRow.id)).group_by(AttemptRow.event_pk)
    last = last.where(AttemptRow.event_pk.in_([row.id for row in rows]))
    query = sa.select(AttemptRow).where(AttemptRow.id.in_(last))
    return {row.event_pk: row for row in session.scalars(query)}


def one(session: Session, scope: Scope, table: type[R], number: int) -> R | None:
    """A call, webhook or event, if it may be seen."""
    return session.scalar(sa.select(table).where(table.id == number, scope.allows(table.brand)))


@dataclass(frozen=True, slots=True)
class Said:
    """What was said about one return, newest first."""

    calls: Sequence[CallRow]
    webhooks: Sequence[WebhookRow]
    events: Sequence[OutboxRow]


def said_about(session: Session, row: ReturnRow, names: Collection[str], limit: int) -> Said:
    """`names`: its POs and tickets."""
    calls = sa.select(CallRow).where(
        CallRow.brand == row.brand, CallRow.subject.in_([row.return_id, *names])
    )
    calls = calls.options(defer(CallRow.sent), defer(CallRow.received))
    came = sa.select(WebhookRow).where(
        WebhookRow.brand == row.brand, WebhookRow.return_id == row.return_id
    )
    came = came.options(defer(WebhookRow.body))
    told = sa.select(OutboxRow).where(OutboxRow.brand == row.brand, OutboxRow.return_pk == row.id)
    told = told.options(defer(OutboxRow.body))
    return Said(
        session.scalars(calls.order_by(CallRow.id.desc()).limit(limit)).all(),
        session.scalars(came.order_by(WebhookRow.id.desc()).limit(limit)).all(),
        session.scalars(told.order_by(OutboxRow.id.desc()).limit(limit)).all(),
    )


def _narrowed(query: sa.Select[R], table: Any, scope: Scope, asked: Asked) -> sa.Select[R]:
    query = query.where(scope.narrowed(asked.brand).allows(table.brand))
    if asked.before is not None:
        query = query.where(table.id < asked.before)
    return query.order_by(table.id.desc())


def _page(session: Session, query: sa.Select[R], limit: int) -> Page[R]:
    rows = list(session.scalars(query.limit(limit + 1)))
    return Page(rows[:limit], len(rows) > limit)
