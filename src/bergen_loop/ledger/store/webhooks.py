"""Verified webhook deliveries, kept until they have been acted on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.returns import PROCESSING_FAILED
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.store import effects, journal
from bergen_loop.ledger.store.statements import VALUES, rows_of
from bergen_loop.ledger.tables.core import WebhookRow

SHIPMENT = "shipment.processed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as it came; its signature was right."""

    brand: str
    topic: str | None
    trigger: str | None
    return_id: str | None
    body: bytes


def keep(session: Session, now: datetime, delivery: Delivery) -> bool:
    """Keep a delivery until it has been acted on; False for a repeat of one that was kept."""
    return journal.insert_ignoring(
        session,
        WebhookRow,
        {
            "brand": delivery.brand,
            "digest": _digest(session, now, delivery),
            "received_at": now,
            "topic": delivery.topic or "?",
            "trigger": delivery.trigger or "?",
            "return_id": delivery.return_id,
            "body": storable(delivery.body.decode(errors="replace")),
            "handled_at": None,
        },
    )


def _digest(session: Session, now: datetime, delivery: Delivery) -> str:
    """What repeats are told by: the body. That of a shipment says no more when it holds more by
    now: an hour later it is another. A failure says nothing of when it happened, so a second
    one has the body of the first: it is another where another call of ours had been made."""
    digest = hashlib.sha256(delivery.body)
    if delivery.trigger == SHIPMENT:
        digest.update(f"|{now:%Y-%m-%d %H}".encode())
    if delivery.trigger == PROCESSING_FAILED and delivery.return_id:
        key = effects.settling_key(delivery.return_id)
        # Not its attempts: a person's retry sets them back without a call.
        if effect := effects.find(session, delivery.brand, key):
            digest.update(f"|{effect.id}|{effect.intended_at.isoformat()}".encode())
    return digest.hexdigest()


def untaken(session: Session, brand: str, limit: int) -> list[WebhookRow]:
    """Those that have not been acted on, in the order they came."""
    query = sa.select(WebhookRow).where(WebhookRow.brand == brand, WebhookRow.handled_at.is_(None))
    return list(session.scalars(query.order_by(WebhookRow.id).limit(limit)))


def told_of_more(session: Session, brand: str, than: Sequence[str]) -> bool:
    """Whether one of another trigger than these waits to be acted on."""
    query = sa.select(WebhookRow.id).where(
        WebhookRow.brand == brand,
        WebhookRow.handled_at.is_(None),
        WebhookRow.trigger.not_in(than),
    )
    return session.scalar(query.limit(1)) is not None


def came(session: Session, brand: str, since: datetime, *, besides: str) -> bool:
    """Whether one came since, other than of a return whose id begins with `besides`."""
    query = sa.select(WebhookRow.id).where(
        WebhookRow.brand == brand,
        WebhookRow.received_at >= since,
        sa.func.coalesce(WebhookRow.return_id, "").not_like(f"{besides}%"),
    )
    return session.scalar(query.limit(1)) is not None


def by_pks(session: Session, pks: Sequence[int]) -> list[WebhookRow]:
    """Deliveries by key, in order."""
    return list(rows_of(session, _BY_PKS, pks))


_BY_PKS = sa.select(WebhookRow).where(WebhookRow.id.in_(VALUES)).order_by(WebhookRow.id)
