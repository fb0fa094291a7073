"""The last thirty days: how returns went through the moments, how long money took, what was flagged
and why, and which products came short or damaged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.decision import SETTLING_OUTCOMES, Outcome
from bergen_loop.domain.returns import GOING_ON, LoopState, Moment
from bergen_loop.ledger.read.listing import MOMENT_TIME
from bergen_loop.ledger.tables.core import DecisionRow, ReturnRow

DAYS = 30
MOST_TIMES = 50_000
MOST_DECISIONS = 5_000
"""The newest of them are looked into."""


@dataclass(frozen=True, slots=True)
class Took:
    """A brand's time from the receipt until Loop showed the return settled."""

    brand: str
    returns: int
    median_hours: float


@dataclass(frozen=True, slots=True)
class Flagged:
    """A brand's decisions."""

    brand: str
    decided: int
    flagged: int

    @property
    def share(self) -> float:
        return self.flagged / self.decided if self.decided else 0.0


@dataclass(slots=True)
class Sku:
    """A product that did not come as it should, in the returns that were looked into."""

    brand: str
    sku: str
    short: int = 0
    damaged: int = 0
    returns: int = 0


@dataclass(slots=True)
class Month:
    """Everything, of some brands."""

    days: list[date]
    moments: dict[Moment, dict[date, int]]
    """UTC days."""
    took: list[Took] = field(default_factory=list[Took])
    flags: list[Flagged] = field(default_factory=list[Flagged])
    rules: list[tuple[str, str, int]] = field(default_factory=list[tuple[str, str, int]])
    """(brand, rule, how many returns it flagged), most first."""
    skus: list[Sku] = field(default_factory=list[Sku])
    looked: int = 0
    """Decisions that were looked into for products."""


def month(
    session: Session, brands: Sequence[str], now: datetime, days: int = DAYS
) -> Month:  # fmt: skip
    """The last `days` UTC days, this one included."""
    today = now.date()
    every = [today - timedelta(days=n) for n in reversed(range(days))]
    since = datetime(every[0].year, every[0].month, every[0].day, tzinfo=now.tzinfo)
    found = Month(every, {m: _by_day(session, brands, m, since) for m in Moment})
    if brands:
        found.took = _took(session, brands, since)
        found.flags = _flags(session, brands, since)
        found.rules = _rules(session, brands, since)
        found.skus, found.looked = _skus(session, brands, since)
    return found


def _by_day(
    session: Session, brands: Sequence[str], moment: Moment, since: datetime
) -> dict[date, int]:
    at: Any = MOMENT_TIME[moment]
    lite = session.get_bind().dialect.name == "sqlite"  # which keeps times in UTC, without a zone
    day = sa.func.date(at) if lite else sa.func.date(sa.func.timezone("UTC", at))
    query = sa.select(day, sa.func.count()).where(ReturnRow.brand.in_(list(brands)), at >= since)
    rows = session.execute(query.group_by(day))
    return {date.fromisoformat(str(when)[:10]): number for when, number in rows}


def _took(session: Session, brands: Sequence[str], since: datetime) -> list[Took]:
    query = (
        sa.select(ReturnRow.brand, ReturnRow.received_at, ReturnRow.settled_at)
        .where(ReturnRow.brand.in_(list(brands)), ReturnRow.received_at >= since)
        .where(ReturnRow.settled_at.is_not(None))
        .order_by(ReturnRow.received_at.desc())
        .limit(MOST_TIMES)
    )
    hours: dict[str, list[float]] = defaultdict(list)
    for brand, received, settled in session.execute(query):
        if received and settled and settled >= received:
            hours[brand].append((settled - received).total_seconds() / 3600)
    found = [Took(brand, len(of), median(of)) for brand, of in hours.items()]
    return sorted(found, key=lambda one: -one.median_hours)


def _flags(session: Session, brands: Sequence[str], since: datetime) -> list[Flagged]:
    query = (
        sa.select(DecisionRow.brand, DecisionRow.outcome, sa.func.count())
        .where(_decided(brands, since), DecisionRow.outcome.in_(SETTLING_OUTCOMES))
        .group_by(DecisionRow.brand, DecisionRow.outcome)
    )
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for brand, outcome, number in session.execute(query):
        counts[brand][outcome] += number
    found = [Flagged(b, sum(c.values()), c[Outcome.FLAG.value]) for b, c in counts.items()]
    return sorted(found, key=lambda one: (-one.share, one.brand))


def _rules(session: Session, brands: Sequence[str], since: datetime) -> list[tuple[str, str, int]]:
    number = sa.func.count().label("number")
    query = (
        sa.select(DecisionRow.brand, DecisionRow.rule, number)
        .where(_decided(brands, since), DecisionRow.outcome == Outcome.FLAG.value)
        .group_by(DecisionRow.brand, DecisionRow.rule)
        .order_by(number.desc(), DecisionRow.brand, DecisionRow.rule)
    )
    return [(row.brand, row.rule, row.number) for row in session.execute(query)]


def _skus(session: Session, brands: Sequence[str], since: datetime) -> tuple[list[Sku], int]:
    """From the facts that decisions were made on: the newest decision of each return."""
    query = (
        sa.select(DecisionRow.brand, DecisionRow.return_pk, DecisionRow.facts)
        .where(_decided(brands, since))
        .order_by(DecisionRow.id.desc())
        .limit(MOST_DECISIONS)
    )
    found: dict[tuple[str, str], Sku] = {}
    seen: set[int] = set()
    for brand, return_pk, facts in session.execute(query):
        if return_pk in seen:
            continue
        seen.add(return_pk)
        for one in _odd(facts):
            name = str(one.get("sku") or one.get("upc") or "?")
            sku = found.setdefault((brand, name), Sku(brand, name))
            sku.short += _number(one.get("short"))
            sku.damaged += _number(one.get("damaged"))
            sku.returns += 1
    return sorted(found.values(), key=lambda s: (-s.short - s.damaged, s.brand, s.sku)), len(seen)


def _odd(facts: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Of the facts as an earlier release may have written them: nothing is taken for granted."""
    receipt = cast("dict[str, Any]", (dict(facts) if facts else {}).get("receipt") or {})
    skus = cast("list[dict[str, Any]]", receipt.get("skus") or [])
    return [sku for sku in skus if sku.get("short") or sku.get("damaged")]


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _decided(brands: Sequence[str], since: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(DecisionRow.brand.in_(list(brands)), DecisionRow.decided_at >= since)


Amounts = list[tuple[str | None, str | None]]
"""(total as Loop's decimal string, currency) of returns."""


def settled(session: Session, brand: str, since: datetime) -> tuple[Amounts, Amounts]:
    """What was settled since: processed, and flagged."""
    query = sa.select(ReturnRow.total, ReturnRow.currency, ReturnRow.loop_state).where(
        ReturnRow.brand == brand, ReturnRow.settled_at >= since, ReturnRow.received_at.is_not(None)
    )
    processed: Amounts = []
    flagged: Amounts = []
    for total, currency, state in session.execute(query):
        if state in (LoopState.CLOSED, LoopState.REVIEW):
            (processed if state == LoopState.CLOSED else flagged).append((total, currency))
    return processed, flagged


def held(session: Session, brand: str) -> Amounts:
    """What a person has to decide about before it goes on."""
    query = sa.select(ReturnRow.total, ReturnRow.currency).where(
        ReturnRow.brand == brand, ReturnRow.held, ReturnRow.stage.in_(GOING_ON)
    )
    return [(total, currency) for total, currency in session.execute(query)]
