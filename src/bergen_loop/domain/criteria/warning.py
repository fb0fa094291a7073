"""What a criteria file says without meaning it, found by trying it on the receipt space."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from bergen_loop.domain.criteria.deciding import decide, present
from bergen_loop.domain.criteria.expression import context_of
from bergen_loop.domain.criteria.facts import facts_of
from bergen_loop.domain.criteria.model import (
    Action,
    Criteria,
    Irregularity,
    Process,
    RemoveLines,
    Wait,
)
from bergen_loop.domain.criteria.notes import problem_text
from bergen_loop.domain.criteria.space import describe, receipt_space
from bergen_loop.domain.decision import Case, Outcome


class WarningKind(StrEnum):
    """What a warning is about."""

    UNREACHABLE = "unreachable"
    """Whenever the rule is true, an earlier one decides."""
    NEVER_TRUE = "never-true"
    """Nothing that was tried makes the rule true: a hint only, for the search is bounded."""
    FAILS = "fails"
    """The condition cannot be decided even where no fact is missing."""
    PAYS_IRREGULAR = "pays-irregular"
    """A damaged, missing or unexpected unit gets through to process."""
    NEVER_PROCESSES = "never-processes"
    """Not even a complete, undamaged parcel is processed."""
    OVERLAP = "overlap"
    """Two rules with different outcomes are true for one case; the earlier one decides."""


@dataclass(frozen=True, slots=True)
class CriteriaWarning:
    """Something to look at. It does not make criteria unusable."""

    kind: WarningKind
    rule: str | None
    message: str
    example: str | None = None
    """A case in words that shows it."""

    @property
    def informational(self) -> bool:
        """True for what may well be meant."""
        return self.kind in (WarningKind.OVERLAP, WarningKind.NEVER_TRUE)

    @property
    def sentence(self) -> str:
        """The warning as a sentence, with its example."""
        text = self.message[:1].upper() + self.message[1:].rstrip(".") + "."
        return f"{text} For example: {self.example}." if self.example else text


@dataclass(slots=True)
class _Seen:
    """What the search saw; every dict keeps the first case only."""

    selected: set[int] = field(default_factory=set[int])
    shadowed: dict[int, tuple[int, Case]] = field(default_factory=dict[int, tuple[int, Case]])
    overlaps: dict[tuple[int, int], Case] = field(default_factory=dict[tuple[int, int], Case])
    failures: dict[int, tuple[str, Case]] = field(default_factory=dict[int, tuple[str, Case]])
    paid: dict[str, Case] = field(default_factory=dict[str, Case])
    processes: bool = False


def warnings(
    criteria: Criteria, each: Callable[[], None] = lambda: None
) -> list[CriteriaWarning]:  # fmt: skip
    """Search the receipt space (some thousand cases, about a second); deterministic. `each` is
    called before every case: what it raises ends the search."""
    seen = _Seen()
    for case in receipt_space(criteria):
        each()
        _try_rules(criteria, case, seen)
        _try_decision(criteria, case, seen)
    return [w for found in (_serious(criteria, seen), _hints(criteria, seen)) for w in found]


def _try_rules(criteria: Criteria, case: Case, seen: _Seen) -> None:
    context = context_of(facts_of(case, criteria.settings), criteria.uses)
    first: int | None = None
    for index, rule in enumerate(criteria.rules):
        holds = rule.when.holds(context)
        if isinstance(holds, str):
            seen.failures.setdefault(index, (holds, case))
            first = index if first is None else first
        elif holds and first is None:
            seen.selected.add(index)
            first = index
        elif holds and first is not None:
            seen.shadowed.setdefault(index, (first, case))
            if first in seen.selected:
                seen.overlaps.setdefault((first, index), case)


def _try_decision(criteria: Criteria, case: Case, seen: _Seen) -> None:
    decision = decide(criteria, case)
    if decision.outcome not in (Outcome.PROCESS, Outcome.REMOVE_LINES):
        return
    seen.processes = True
    rule = next(r for r in criteria.rules if r.name == decision.rule)
    if any(present(case.comparison, _removed(rule.then))):
        seen.paid.setdefault(decision.rule, case)


def _removed(action: Action) -> frozenset[Irregularity]:
    final = action.then if isinstance(action, Wait) else action
    return final.select if isinstance(final, RemoveLines) else frozenset()


def _serious(criteria: Criteria, seen: _Seen) -> Iterator[CriteriaWarning]:
    names = [rule.name for rule in criteria.rules]
    for index, (why, case) in sorted(seen.failures.items()):
        message = f"rule '{names[index]}' cannot be decided ({why}); such returns need a person"
        yield CriteriaWarning(WarningKind.FAILS, names[index], message, describe(case))
    for rule, case in ((n, seen.paid[n]) for n in names if n in seen.paid):
        message = f"rule '{rule}' processes a return although {problem_text(case.comparison)}"
        yield CriteriaWarning(WarningKind.PAYS_IRREGULAR, rule, message, describe(case))
    for index, (earlier, case) in sorted(seen.shadowed.items()):
        if index not in seen.selected:
            message = (
                f"rule '{names[index]}' is never reached: '{names[earlier]}' decides before it"
            )
            yield CriteriaWarning(WarningKind.UNREACHABLE, names[index], message, describe(case))
    if not seen.processes:
        message = "no return that was tried is processed, not even a complete and whole one"
        yield CriteriaWarning(WarningKind.NEVER_PROCESSES, None, message)


def _hints(criteria: Criteria, seen: _Seen) -> Iterator[CriteriaWarning]:
    for index, rule in enumerate(criteria.rules):
        if not {index} & (seen.selected | seen.shadowed.keys() | seen.failures.keys()):
            message = f"nothing that was tried makes rule '{rule.name}' true"
            yield CriteriaWarning(WarningKind.NEVER_TRUE, rule.name, message)
    for (first, second), case in sorted(seen.overlaps.items()):
        one, two = criteria.rules[first], criteria.rules[second]
        # A last rule that is simply `true` is meant to overlap.
        if two.when.text.strip() == "true" or _kind(one.then) == _kind(two.then):
            continue
        message = f"rules '{one.name}' and '{two.name}' can both be true; '{one.name}' decides"
        yield CriteriaWarning(WarningKind.OVERLAP, one.name, message, describe(case))


def _kind(action: Action) -> str:
    if isinstance(action, Wait):
        return f"wait, {_kind(action.then)}"
    if isinstance(action, Process):
        return f"process {sorted(action.allow)}"
    return type(action).__name__
