"""The figures behind the metrics, by brand: a few range reads of small indexes.

What has ended is never counted again. Returns at work are in a partial index of their own; those
that wait for a parcel or a person are counted within an index, without reading them; everything
that only grows (moments reached, decisions, calls) is a counter that is kept as it happens. So
the cost goes with what is open: at 1,000,000 returns of which 50,000 are open one snapshot takes
some 50 ms on SQLite, and it is made at most every ten seconds, however often it is asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.returns import ELSEWHERE, Stage
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import (
    AttentionRow,
    BrandRow,
    BreakerRow,
    BudgetLeaseRow,
    CounterRow,
    ReturnRow,
    UtcTime,
)
from bergen_loop.ledger.tables.operations import WORKING_ONLY, AlertRow, OutboxRow

FRESH = 10.0
"""Seconds for which a snapshot serves everyone who asks."""


@dataclass(slots=True)
class BrandFigures:
    """One brand. Times are UTC; None where there is nothing of the kind."""

    stages: dict[Stage, int] = field(default_factory=dict[Stage, int])
    """How many returns are in each stage that is not an end."""
    due: int = 0
    """Returns that a flow should have looked at by now: the backlog."""
    oldest_unannounced: datetime | None = None
    """Since when the oldest return that is due for an RMA has been seen."""
    oldest_unsettled: datetime | None = None
    """Since when the oldest received return that should be judged or settled is here."""
    held: int = 0
    attention: int = 0
    oldest_attention: datetime | None = None
    last_sync: datetime | None = None
    last_good_sync: datetime | None = None
    events_pending: int = 0
    oldest_event: datetime | None = None
    mode: str | None = None
    """As a command has set it; None: as configured."""
    suspended: tuple[str, ...] = ()
    """Systems that are not called for this brand now: `rex11`, or `loop:process`."""
    counters: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All brands at one time."""

    at: datetime
    brands: Mapping[str, BrandFigures]
    budgets: Mapping[str, int]
    """Hash of a Loop key -> calls that count against its limit, where processes share it."""
    alerts: Mapping[tuple[str, str], int]
    """(kind, brand) -> how many alerts are open; the brand is empty for the whole service."""


def take(session: Session, brands: Sequence[str], now: datetime) -> Snapshot:
    """Read the figures of these brands."""
    figures = {brand: BrandFigures() for brand in brands}
    for read in (_working, _waiting, _attention, _syncs, _outbox, _counters):
        read(session, figures, now)
    return Snapshot(now, figures, _budgets(session, now), _alerts(session))


Figures = dict[str, BrandFigures]


def _working(session: Session, figures: Figures, now: datetime) -> None:
    """One pass over the partial index of returns at work."""
    # By its own choice SQLite would look every return of these stages up in the table.
    lite = session.get_bind().dialect.name == "sqlite"
    text = _WORKING.format(hint="INDEXED BY ix_returns_working" if lite else "")
    query = sa.text(text).bindparams(sa.bindparam("now", now, UtcTime())).columns(*_WORKING_COLUMNS)
    for brand, stage, number, due, held, seen, received in session.execute(query):
        if brand not in figures:
            continue
        one, at = figures[brand], Stage(stage)
        one.stages[at] = number
        one.due += due
        one.held += held
        if at is Stage.SEEN:
            one.oldest_unannounced = seen
        elif at in (Stage.RECEIVED, Stage.SETTLING, Stage.CONFIRMING):
            one.oldest_unsettled = _earlier(one.oldest_unsettled, received)


_WORKING = f"""
SELECT brand, stage, count(*),
  sum(CASE WHEN NOT held AND due_at <= :now THEN 1 ELSE 0 END),
  sum(CASE WHEN held THEN 1 ELSE 0 END),
  min(CASE WHEN NOT held AND due_at <= :now THEN seen_at END),
  min(CASE WHEN NOT held THEN received_at END)
FROM returns {{hint}} WHERE {WORKING_ONLY} GROUP BY brand, stage
"""  # noqa: S608 - only our own constants are put in
_WORKING_COLUMNS: tuple[sa.ColumnClause[Any], ...] = (
    sa.column("brand", sa.String()),
    sa.column("stage", sa.String()),
    sa.column("number", sa.Integer()),
    sa.column("due", sa.Integer()),
    sa.column("held", sa.Integer()),
    sa.column("seen", UtcTime()),
    sa.column("received", UtcTime()),
)


def _waiting(session: Session, figures: Figures, _now: datetime) -> None:
    """Counted within an index that begins with brand and stage."""
    query = (
        sa.select(ReturnRow.brand, ReturnRow.stage, sa.func.count())
        .where(ReturnRow.brand.in_(list(figures)), ReturnRow.stage.in_(ELSEWHERE))
        .group_by(ReturnRow.brand, ReturnRow.stage)
    )
    for brand, stage, number in session.execute(query):
        figures[brand].stages[Stage(stage)] = number


def _attention(session: Session, figures: Figures, _now: datetime) -> None:
    query = (
        sa.select(AttentionRow.brand, sa.func.count(), sa.func.min(AttentionRow.opened_at))
        .where(AttentionRow.resolved_at.is_(None))
        .group_by(AttentionRow.brand)
    )
    for brand, number, oldest in session.execute(query):
        if brand in figures:
            figures[brand].attention, figures[brand].oldest_attention = number, oldest


def _syncs(session: Session, figures: Figures, _now: datetime) -> None:
    for row in session.scalars(sa.select(BrandRow)):
        if row.brand in figures:
            one = figures[row.brand]
            one.last_sync, one.last_good_sync = row.last_sync_finished_at, row.last_good_sync_at
            one.mode = row.mode
    held = sa.select(BreakerRow.brand, BreakerRow.system).where(BreakerRow.opened_at.is_not(None))
    for brand, system in session.execute(held.order_by(BreakerRow.brand, BreakerRow.system)):
        if brand in figures:
            figures[brand].suspended += (system,)


def _outbox(session: Session, figures: Figures, _now: datetime) -> None:
    query = (
        sa.select(OutboxRow.brand, sa.func.count(), sa.func.min(OutboxRow.created_at))
        .where(sa.text("state = 'pending'"))
        .group_by(OutboxRow.brand)
    )
    for brand, number, oldest in session.execute(query):
        if brand in figures:
            figures[brand].events_pending, figures[brand].oldest_event = number, oldest


def _counters(session: Session, figures: Figures, _now: datetime) -> None:
    for row in session.execute(sa.select(CounterRow.brand, CounterRow.name, CounterRow.value)):
        if row.brand in figures:
            figures[row.brand].counters[row.name] = row.value


def _budgets(session: Session, now: datetime) -> dict[str, int]:
    query = (
        sa.select(BudgetLeaseRow.key_hash, sa.func.sum(BudgetLeaseRow.permits))
        .where(BudgetLeaseRow.counts_until_ms > round(now.timestamp() * 1000))
        .group_by(BudgetLeaseRow.key_hash)
    )
    return {key: int(number) for key, number in session.execute(query)}


def _alerts(session: Session) -> dict[tuple[str, str], int]:
    query = sa.select(AlertRow.kind, AlertRow.brand).where(
        AlertRow.resolved_at.is_(None), AlertRow.sent_at.is_not(None)
    )
    found: dict[tuple[str, str], int] = {}
    for kind, brand in session.execute(query):
        found[kind, brand or ""] = found.get((kind, brand or ""), 0) + 1
    return found


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((t for t in (one, other) if t), default=None)


class Snapshots:
    """The latest snapshot; everyone who asks within `FRESH` seconds gets the same."""

    def __init__(
        self,
        ledger: Ledger,
        brands: Callable[[], Sequence[str]],
        now: Callable[[], datetime],
        *,
        fresh: float = FRESH,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._brands, self._now = ledger, brands, now
        self._fresh, self._monotonic = fresh, monotonic
        self._lock = threading.Lock()
        self._kept: tuple[float, Snapshot] | None = None
        self.seconds = 0.0
        """How long the last one took."""

    def get(self) -> Snapshot:
        """A snapshot at most `FRESH` seconds old. Those who ask meanwhile wait for it."""
        with self._lock:
            started = self._monotonic()
            if self._kept is None or started - self._kept[0] >= self._fresh:
                with self._ledger.read() as session:
                    made = take(session, self._brands(), self._now())
                self.seconds = self._monotonic() - started
                self._kept = (started, made)
            return self._kept[1]
