"""Shadow mode looked back on: what would have been done, against what people did in Loop.

Loop shows how a return ended, not who ended it nor on the way through what: closed is taken for
processed by hand, review for flagged by hand.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import LoopState
from bergen_loop.ledger.read.causes import Sum
from bergen_loop.ledger.store.modes import PAYS
from bergen_loop.ledger.tables.core import DecisionRow, EffectRow, ReturnRow, judged_state

MAX_LISTED = 200
BASIS = (
    "Loop shows how a return ended, not who did it or by which way: closed is taken for "
    "processed by hand, review for flagged by hand."
)


class Verdict(StrEnum):
    """How a shadow decision fits what people did."""

    AGREE = "agree"
    DISAGREE = "disagree"
    OPEN = "open"
    """People have not done anything yet."""
    NOT_COMPARED = "not compared"
    """It would have gone to a person anyway, or Loop does not show what was done."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One return judged in shadow."""

    return_id: str
    order_name: str | None
    decided: str
    rule: str
    done: str
    verdict: Verdict
    sentence: str
    total: str | None
    currency: str | None


@dataclass(slots=True)
class Money:
    """Returns, and what they are worth in all, as Loop's totals say."""

    returns: int = 0
    worth: Sum = field(default_factory=Sum)

    def add(self, one: Compared) -> None:
        """One more."""
        self.returns += 1
        self.worth.add(one.total, one.currency)


@dataclass(slots=True)
class ShadowReport:
    """All of them. `agreement` is None while nothing can be compared."""

    brand: str
    since: datetime | None
    total: int = 0
    verdicts: Counter[str] = field(default_factory=Counter[str])
    matrix: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    """[decided in shadow][done by people] -> returns."""
    by_outcome: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    """[decided in shadow][verdict] -> returns."""
    compared_by: Counter[str] = field(default_factory=Counter[str])
    """By version of the criteria that judged them: how many could be compared."""
    we_pay: Money = field(default_factory=Money)
    """Decided otherwise: we would have paid, people did not."""
    they_paid: Money = field(default_factory=Money)
    """Decided otherwise: people paid, we would not have."""
    disagreements: list[Compared] = field(default_factory=list[Compared])
    """The newest `MAX_LISTED` of them; `verdicts` counts all."""
    days: dict[date, Counter[str]] = field(default_factory=dict[date, Counter[str]])
    """Verdicts by the day of the shadow decision, the oldest first."""

    def samples(self) -> list[tuple[Outcome, int, int]]:
        """Each outcome that was decided: how many could be compared, and how many of them were
        decided alike."""
        found: list[tuple[Outcome, int, int]] = []
        for outcome in Outcome:
            verdicts = self.by_outcome.get(outcome.value)
            if verdicts:
                alike = verdicts[Verdict.AGREE]
                found.append((outcome, alike + verdicts[Verdict.DISAGREE], alike))
        return found

    @property
    def agreement(self) -> float | None:
        """Of the returns that can be compared, the share decided alike (0 to 1)."""
        return agreement(self.verdicts)


def agreement(verdicts: Counter[str]) -> float | None:
    """Of the returns that can be compared, the share decided alike; None for none."""
    same, other = verdicts[Verdict.AGREE], verdicts[Verdict.DISAGREE]
    return same / (same + other) if same + other else None


def report(
    session: Session, brand: str, since: datetime | None = None, zone: tzinfo = UTC
) -> ShadowReport:
    """Compare the latest shadow decision of every return (decided since) with what Loop shows.
    Returns that this service or a person through it has settled since are left out. `zone` is
    where a day begins."""
    result = ShadowReport(brand, since)
    for row in session.execute(_query(brand, since)).yield_per(1000):
        one = _compared(row)
        result.total += 1
        result.verdicts[one.verdict] += 1
        result.matrix.setdefault(one.decided, Counter())[one.done] += 1
        result.by_outcome.setdefault(one.decided, Counter())[one.verdict] += 1
        if one.verdict in (Verdict.AGREE, Verdict.DISAGREE):
            result.compared_by[row.criteria_version] += 1
        day = row.decided_at.astimezone(zone).date()
        result.days.setdefault(day, Counter())[one.verdict] += 1
        if one.verdict is Verdict.DISAGREE:
            if one.decided in PAYS:
                result.we_pay.add(one)
            elif one.done == _DONE[LoopState.CLOSED]:
                result.they_paid.add(one)
            if len(result.disagreements) < MAX_LISTED:
                result.disagreements.append(one)
    result.days = dict(sorted(result.days.items()))
    return result


def _query(brand: str, since: datetime | None) -> Any:
    # A judgement of a return that was no longer open says only that; the one before counts.
    latest = (
        sa.select(sa.func.max(DecisionRow.id))
        .where(
            DecisionRow.brand == brand,
            DecisionRow.shadow.is_(True),
            judged_state() == LoopState.OPEN.value,
        )
        .group_by(DecisionRow.return_pk)
    )
    if since:
        # Every outcome there is: with it the index of decisions by day serves the question.
        every = DecisionRow.outcome.in_([outcome.value for outcome in Outcome])
        latest = latest.where(every, DecisionRow.decided_at >= since)
    settled = sa.exists().where(
        EffectRow.return_pk == ReturnRow.id, EffectRow.key == "settle:" + ReturnRow.return_id
    )
    return (
        sa.select(
            ReturnRow.return_id,
            ReturnRow.order_name,
            ReturnRow.loop_state,
            ReturnRow.total,
            ReturnRow.currency,
            DecisionRow.outcome,
            DecisionRow.rule,
            DecisionRow.reason,
            DecisionRow.decided_at,
            DecisionRow.criteria_version,
        )
        .join(ReturnRow, ReturnRow.id == DecisionRow.return_pk)
        .where(DecisionRow.id.in_(latest), ~settled)
        .order_by(DecisionRow.id.desc())
    )


_DONE = {
    LoopState.CLOSED: "processed by hand",
    LoopState.REVIEW: "flagged by hand",
    LoopState.CANCELLED: "cancelled",
    LoopState.EXPIRED: "expired",
    LoopState.OPEN: "still open",
}
_WOULD = {
    Outcome.PROCESS: "processed it",
    Outcome.REMOVE_LINES: "taken units off and processed the rest",
    Outcome.FLAG: "flagged it",
    Outcome.WAIT: "waited",
    Outcome.ATTENTION: "asked a person",
}


def _compared(row: Any) -> Compared:
    state, outcome = LoopState(row.loop_state), Outcome(row.outcome)
    verdict = _verdict(outcome, state)
    is_ = "is" if state is LoopState.OPEN else "was"
    sentence = f"We would have {_WOULD[outcome]}; it {is_} {_DONE[state]}. {row.reason}"
    return Compared(
        row.return_id, row.order_name, row.outcome, row.rule, _DONE[state], verdict, sentence,
        row.total, row.currency,
    )  # fmt: skip


def _verdict(outcome: Outcome, state: LoopState) -> Verdict:
    if state in (LoopState.OPEN, LoopState.EXPIRED):
        return Verdict.OPEN
    if outcome is Outcome.ATTENTION or state is LoopState.CANCELLED:
        return Verdict.NOT_COMPARED
    if outcome is Outcome.REMOVE_LINES and state is LoopState.CLOSED:
        return Verdict.NOT_COMPARED  # whether the units were taken off, Loop does not show
    alike = {(Outcome.PROCESS, LoopState.CLOSED), (Outcome.FLAG, LoopState.REVIEW)}
    return Verdict.AGREE if (outcome, state) in alike else Verdict.DISAGREE
