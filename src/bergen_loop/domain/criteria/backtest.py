"""Criteria tried on history: what they would have decided, against what was decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date
from decimal import Decimal

from bergen_loop.domain.criteria.deciding import decide
from bergen_loop.domain.criteria.model import Criteria
from bergen_loop.domain.decision import Case, Decision, Outcome

PAYS = (Outcome.PROCESS.value, Outcome.REMOVE_LINES.value)
MAX_CHANGED = 200
"""Changed returns that a report lists; it counts all of them."""


@dataclass(frozen=True, slots=True)
class ChangedReturn:
    """A return that these criteria would have settled in another way."""

    return_id: str
    before: str
    after: Outcome
    sentence: str


@dataclass(slots=True)
class Moved:
    """Returns that would be decided in another way, and what they are worth."""

    returns: int = 0
    worth: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    """By currency."""
    unknown: int = 0
    """Of so many Loop does not say what they are worth."""

    def add(self, case: Case) -> None:
        total = case.return_.totals.total
        self.returns += 1
        if total is None:
            self.unknown += 1
        else:
            currency = case.return_.currency or "?"
            self.worth[currency] = self.worth.get(currency, Decimal(0)) + total


@dataclass(slots=True)
class Day:
    """One day (UTC, of the first receipt) of the chart."""

    day: date
    outcomes: Counter[str] = field(default_factory=Counter[str])
    changed: int = 0


@dataclass(frozen=True, slots=True)
class BacktestReport:
    """What a replay found. Returns without a former decision count in `undecided` only, not as
    changed."""

    criteria_version: str
    cases: int
    undecided: int
    by_outcome: dict[str, int]
    by_rule: dict[str, dict[str, int]]
    """For each rule (or guard) how often it led to which outcome."""
    matrix: dict[str, dict[str, int]]
    """[really decided][decided now] -> returns."""
    changed_total: int
    changed: tuple[ChangedReturn, ...]
    """The first `MAX_CHANGED` of them."""
    days: tuple[Day, ...]
    """In the order of time; days without a receipt are left out."""
    paid_now: Moved = field(default_factory=Moved)
    """Decided to be paid by these, and not so before."""
    paid_before: Moved = field(default_factory=Moved)
    """Decided to be paid before, and not so by these."""

    @property
    def before(self) -> dict[str, int]:
        """How many returns really had which outcome."""
        return {was: sum(counts.values()) for was, counts in self.matrix.items()}


@dataclass(slots=True)
class _Tally:
    cases: int = 0
    undecided: int = 0
    changed_total: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    rules: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    matrix: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    changed: list[ChangedReturn] = field(default_factory=list[ChangedReturn])
    days: dict[date, Day] = field(default_factory=dict[date, Day])
    paid_now: Moved = field(default_factory=Moved)
    paid_before: Moved = field(default_factory=Moved)


def replay(criteria: Criteria, cases: Iterable[tuple[str, Case, str | None]]) -> BacktestReport:
    """Decide (return id, case, outcome really decided or None) again, one at a time.

    Memory does not grow with the number of cases. `really_decided` is an `Outcome` value;
    another word is kept as it is and counts as changed.
    """
    tally = _Tally()
    for return_id, case, really in cases:
        _add(tally, return_id, case, really, decide(criteria, case))
    return BacktestReport(
        criteria_version=criteria.version,
        cases=tally.cases,
        undecided=tally.undecided,
        by_outcome=_sorted(tally.outcomes),
        by_rule={rule: _sorted(counts) for rule, counts in sorted(tally.rules.items())},
        matrix={before: _sorted(counts) for before, counts in sorted(tally.matrix.items())},
        changed_total=tally.changed_total,
        changed=tuple(tally.changed),
        days=tuple(tally.days[d] for d in sorted(tally.days)),
        paid_now=tally.paid_now,
        paid_before=tally.paid_before,
    )


def _add(tally: _Tally, return_id: str, case: Case, really: str | None, now: Decision) -> None:
    after = str(now.outcome)
    received = case.first_received_at.astimezone(UTC).date()
    day = tally.days.setdefault(received, Day(received))
    tally.cases += 1
    tally.outcomes[after] += 1
    tally.rules.setdefault(now.rule, Counter())[after] += 1
    day.outcomes[after] += 1
    if really is None:
        tally.undecided += 1
        return
    tally.matrix.setdefault(really, Counter())[after] += 1
    if really != after:
        day.changed += 1
        tally.changed_total += 1
        if (after in PAYS) is not (really in PAYS):
            (tally.paid_now if after in PAYS else tally.paid_before).add(case)
        if len(tally.changed) < MAX_CHANGED:
            sentence = f"It was {_DECIDED.get(really, really)}. Now: {now.reason}"
            tally.changed.append(ChangedReturn(return_id, really, now.outcome, sentence))


_DECIDED = {
    "process": "decided to process it",
    "flag": "decided to flag it",
    "wait": "decided to wait",
    "remove_lines": "decided to take units off and process the rest",
    "attention": "decided to ask a person",
}
"""What was decided; in shadow it was not done."""


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))
