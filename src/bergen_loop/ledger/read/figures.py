"""Counts and times for people. Each is a range of an index: what is old costs nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.decision import SETTLING_OUTCOMES, Outcome
from bergen_loop.domain.returns import GOING_ON, Moment, Stage
from bergen_loop.ledger.read.listing import MOMENT_TIME
from bergen_loop.ledger.store.attention import awake
from bergen_loop.ledger.tables.core import (
    AttentionRow,
    DecisionRow,
    JournalRow,
    ReturnRow,
)


@dataclass(frozen=True, slots=True)
class DayOfReturns:
    """One local day of a brand."""

    day: date
    completed: int
    """Returns whose RMA was closed that day."""
    median_hours: float | None
    """From submitting to the closed RMA, of those."""
    decided: int
    flagged: int
    """How many of `decided` were decisions to flag."""

    @property
    def flag_rate(self) -> float | None:
        """0 to 1; None on a day without decisions."""
        return self.flagged / self.decided if self.decided else None


def reached_since(
    session: Session, brands: Sequence[str], since: datetime
) -> dict[str, dict[Moment, int]]:
    """How many returns of each brand reached each moment since a time."""
    counts: dict[str, dict[Moment, int]] = {b: dict.fromkeys(Moment, 0) for b in brands}
    if not brands:
        return counts
    for moment, at in MOMENT_TIME.items():
        query = (
            sa.select(ReturnRow.brand, sa.func.count())
            .where(ReturnRow.brand.in_(brands), at >= since)
            .group_by(ReturnRow.brand)
        )
        for brand, number in session.execute(query):
            counts[brand][moment] = number
    return counts


def open_stages(session: Session, brands: Sequence[str]) -> dict[str, dict[Stage, int]]:
    """How many returns of each brand are in each stage that is not an end."""
    counts: dict[str, dict[Stage, int]] = {b: {} for b in brands}
    if not brands:
        return counts
    query = (
        sa.select(ReturnRow.brand, ReturnRow.stage, sa.func.count())
        .where(ReturnRow.brand.in_(brands), ReturnRow.stage.in_(GOING_ON))
        .group_by(ReturnRow.brand, ReturnRow.stage)
    )
    for brand, stage, number in session.execute(query):
        counts[brand][Stage(stage)] = number
    return counts


def attention_by_brand(
    session: Session, brands: Sequence[str], now: datetime | None = None
) -> dict[str, int]:
    """How many items are open, by brand; with `now` without those that somebody has put off."""
    still = awake(now) if now is not None else AttentionRow.resolved_at.is_(None)
    query = (
        sa.select(AttentionRow.brand, sa.func.count())
        .where(still, AttentionRow.brand.in_(brands))
        .group_by(AttentionRow.brand)
    )
    return dict(session.execute(query).all())


def last_entry(session: Session) -> int:
    """The id of the journal's newest entry."""
    return session.scalar(sa.select(sa.func.max(JournalRow.id))) or 0


def brands_since(session: Session, entry: int) -> set[str | None]:
    """The brands of the journal's entries behind this id."""
    query = sa.select(JournalRow.brand).where(JournalRow.id > entry).distinct()
    return set(session.scalars(query))


def decided(session: Session, brand: str, after: datetime, until: datetime) -> tuple[int, int]:
    """How many decisions ended the judging in this time, and how many of them were to flag:
    counted within an index."""
    query = (
        sa.select(DecisionRow.outcome, sa.func.count())
        .where(
            DecisionRow.brand == brand,
            DecisionRow.outcome.in_(SETTLING_OUTCOMES),
            DecisionRow.decided_at > after,
            DecisionRow.decided_at <= until,
        )
        .group_by(DecisionRow.outcome)
    )
    counts = dict(session.execute(query).all())
    return sum(counts.values()), counts.get(Outcome.FLAG.value, 0)


def daily(
    session: Session, brand: str, now: datetime, zone: ZoneInfo, days: int = 30
) -> list[DayOfReturns]:
    """The brand's last `days` local days, the oldest first; days on which nothing was are in."""
    today = now.astimezone(zone).date()
    first = today - timedelta(days=days - 1)
    since = datetime(first.year, first.month, first.day, tzinfo=zone)
    hours = _hours_to_close(session, brand, since, zone)
    flags = _flags(session, brand, since, zone)
    return [
        DayOfReturns(
            day=day,
            completed=len(hours[day]),
            median_hours=median(hours[day]) if hours[day] else None,
            decided=len(flags[day]),
            flagged=sum(flags[day]),
        )
        for day in (first + timedelta(days=n) for n in range(days))
    ]


def _hours_to_close(
    session: Session, brand: str, since: datetime, zone: ZoneInfo
) -> dict[date, list[float]]:
    query = sa.select(ReturnRow.submitted_at, ReturnRow.rma_closed_at).where(
        ReturnRow.brand == brand, ReturnRow.rma_closed_at >= since
    )
    hours: dict[date, list[float]] = defaultdict(list)
    for submitted, closed in session.execute(query):
        if closed is not None:
            took = (closed - submitted).total_seconds() / 3600
            hours[closed.astimezone(zone).date()].append(took)
    return hours


def _flags(session: Session, brand: str, since: datetime, zone: ZoneInfo) -> dict[date, list[bool]]:
    query = sa.select(DecisionRow.decided_at, DecisionRow.outcome).where(
        DecisionRow.brand == brand,
        DecisionRow.outcome.in_(SETTLING_OUTCOMES),
        DecisionRow.decided_at >= since,
    )
    flags: dict[date, list[bool]] = defaultdict(list)
    for at, outcome in session.execute(query):
        flags[at.astimezone(zone).date()].append(outcome == Outcome.FLAG)
    return flags
