"""What holds calls back at this moment, by cause: a system that answers nobody is one incident,
however many brands it stops. From the breakers' rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.tables.core import BrandRow, BreakerRow, ReturnRow, UtcTime, WebhookRow
from bergen_loop.ledger.tables.operations import WORKING_ONLY


@dataclass(frozen=True, slots=True)
class Incident:
    """A system without an answer, or one that refuses brands some calls."""

    system: str
    """`loop` or `rex11`."""
    calls: tuple[str, ...]
    """The calls that are refused; empty where the system does not answer at all."""
    brands: tuple[str, ...]
    since: datetime
    next_try: datetime | None
    """When the first of the brands tries again; in the past: as soon as the service runs."""

    @property
    def refused(self) -> bool:
        return bool(self.calls)


def incidents(session: Session, brands: Collection[str]) -> list[Incident]:
    """The incidents of these brands: systems that do not answer first, the longest lasting
    first."""
    query = sa.select(BreakerRow).where(BreakerRow.opened_at.is_not(None))
    rows: dict[tuple[str, bool], list[BreakerRow]] = defaultdict(list)
    for row in session.scalars(query.order_by(BreakerRow.brand, BreakerRow.system)):
        system, _, call = row.system.partition(":")
        if row.brand in brands:
            rows[system, bool(call)].append(row)
    found = [_incident(system, of) for (system, _), of in rows.items()]
    return sorted(found, key=lambda one: (one.refused, one.since))


def _incident(system: str, rows: list[BreakerRow]) -> Incident:
    calls = (row.system.partition(":")[2] for row in rows)
    return Incident(
        system=system,
        calls=tuple(dict.fromkeys(call for call in calls if call)),
        brands=tuple(dict.fromkeys(row.brand for row in rows)),
        since=min(row.opened_at for row in rows if row.opened_at),
        next_try=min((row.open_until for row in rows if row.open_until), default=None),
    )


def waiting_returns(session: Session, brands: Collection[str], now: datetime) -> dict[str, int]:
    """How many returns of each brand a flow should have looked at by now."""
    query = (
        sa.select(ReturnRow.brand, sa.func.count().label("number"))
        .where(sa.text(WORKING_ONLY), ReturnRow.brand.in_(list(brands)))
        .where(ReturnRow.held.is_(False), ReturnRow.due_at <= sa.literal(now, UtcTime()))
        .group_by(ReturnRow.brand)
    )
    return {row.brand: row.number for row in session.execute(query)}


@dataclass(frozen=True, slots=True)
class SyncTimes:
    """When a brand was synced last."""

    mode: str | None
    last: datetime | None
    last_good: datetime | None


def sync_times(session: Session) -> dict[str, SyncTimes]:
    """Of every brand that is known: few columns, since every page asks for them."""
    query = sa.select(
        BrandRow.brand, BrandRow.mode, BrandRow.last_sync_finished_at, BrandRow.last_good_sync_at
    )
    return {row[0]: SyncTimes(row[1], row[2], row[3]) for row in session.execute(query)}


def rows_of(session: Session, brands: Collection[str]) -> list[BreakerRow]:
    """What is held back now, brand by brand."""
    query = sa.select(BreakerRow).where(BreakerRow.opened_at.is_not(None))
    rows = session.scalars(query.order_by(BreakerRow.system, BreakerRow.brand))
    return [row for row in rows if row.brand in brands]


def last_webhooks(session: Session) -> dict[str, datetime]:
    """When each brand's latest webhook from Loop came, as far back as they are kept."""
    query = sa.select(WebhookRow.brand, sa.func.max(WebhookRow.received_at))
    return {brand: at for brand, at in session.execute(query.group_by(WebhookRow.brand)) if at}
