"""Verified webhook deliveries, kept until they have been acted on."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.store.chunks import chunks
from bergen_loop.ledger.tables.core import WebhookRow


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


def by_pks(session: Session, pks: Sequence[int]) -> list[WebhookRow]:
    """Deliveries by key, in order."""
    found: list[WebhookRow] = []
    for chunk in chunks(pks):
        query = sa.select(WebhookRow).where(WebhookRow.id.in_(chunk))
        found.extend(session.scalars(query.order_by(WebhookRow.id)))
    return found
