"""From a case to a decision: guards first, then the first rule that holds, then guards again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bergen_loop.domain.comparison import Comparison
from bergen_loop.domain.criteria.expression import context_of
from bergen_loop.domain.criteria.facts import Facts, facts_of
from bergen_loop.domain.criteria.model import (
    Action,
    Attention,
    Criteria,
    Flag,
    Irregularity,
    Process,
    RemoveLines,
    Rule,
    Wait,
)
from bergen_loop.domain.criteria.names import plain
from bergen_loop.domain.criteria.notes import note_values, problem_text, render
from bergen_loop.domain.criteria.removal import plan_removal
from bergen_loop.domain.criteria.vocabulary import LARGEST
from bergen_loop.domain.decision import Case, Decision, Outcome
from bergen_loop.domain.returns import LoopState
from bergen_loop.domain.rma import Receipt, TicketStatus

NOT_FOLLOWED_NOTE = "Needs a person ({rule}): {problems}"
"""Note of a flag that replaces an outcome a guard did not let through. Where the problems do not
say why, the reason stands behind them."""

ASKS = "Needs attention: "
"""How the reason of a decision to ask a person begins."""


def decide(criteria: Criteria, case: Case) -> Decision:
    """Judge a received return. Never raises for anything the case contains, as long
    as its times have a zone.

    Whatever the rules say: a return that is not open, an unclear receipt, a condition that
    fails and a case no rule matches end in ATTENTION (see `guards` for what else stops PROCESS).
    """
    facts = facts_of(case, criteria.settings)
    stop = doubt(case)
    decision = _attention(stop.guard, stop.text) if stop else _by_rules(criteria, case, facts)
    return replace(decision, criteria_version=criteria.version, facts=facts)


def _by_rules(criteria: Criteria, case: Case, facts: Facts) -> Decision:
    try:
        context = context_of(facts, criteria.uses)
    except Exception as error:
        # A number beyond 64 bits or a text that is no Unicode: it cannot be judged.
        return _attention(UNREADABLE_FACTS, f"the facts cannot be evaluated: {error}")
    for rule in criteria.rules:
        holds = rule.when.holds(context)
        if holds is True:
            return _settle(rule, rule.then, case)
        if holds is not False:
            return _attention(
                rule.name, f"the condition of rule '{rule.name}' cannot be decided: {holds}"
            )
    return _attention(NO_MATCH, f"no rule matches this receipt: {problem_text(case.comparison)}")


def _settle(rule: Rule, action: Action, case: Case) -> Decision:
    match action:
        case Process():
            stop = obstacle(case, action.allow)
            return _stopped(rule, stop, case) if stop else _process(rule, case)
        case RemoveLines():
            return _remove(rule, action, case)
        case Flag():
            return _flag(rule, action, case)
        case Wait():
            return _wait(rule, action, case)
        case Attention():
            return _attention(rule.name, f"{action.reason} (rule '{rule.name}')")


def _process(rule: Rule, case: Case) -> Decision:
    c = case.comparison
    counted = f"{c.counted} of {_units(c.expected)} counted"
    rest = "none damaged, nothing extra"
    if not c.complete:
        rest = f"and rule '{rule.name}' allows: {problem_text(c)}"
        return Decision(Outcome.PROCESS, rule.name, plain(f"To process: {counted}, {rest}."))
    return Decision(Outcome.PROCESS, rule.name, f"To process: {counted}, {rest} ({_by(rule)}).")


def _flag(rule: Rule, action: Flag, case: Case) -> Decision:
    values = note_values(case, rule.name, action.reason)
    text = f"To flag as {action.reason}: {problem_text(case.comparison)} ({_by(rule)})."
    return Decision(
        Outcome.FLAG, rule.name, plain(text), note=render(action.note, values) or action.reason
    )


def _wait(rule: Rule, action: Wait, case: Case) -> Decision:
    until = case.first_received_at + action.for_
    if case.now >= until:
        return _settle(rule, action.then, case)
    problem = problem_text(case.comparison)
    tickets = f", open tickets in the warehouse: {case.open_tickets}" if case.open_tickets else ""
    text = f"Waiting until {until:%Y-%m-%d %H:%M} UTC: {problem}{tickets} ({_by(rule)})."
    return Decision(Outcome.WAIT, rule.name, plain(text), wait_until=until)


def _remove(rule: Rule, action: RemoveLines, case: Case) -> Decision:
    plan = plan_removal(case, action.select)
    if isinstance(plan, str):
        return _stopped(rule, Obstacle(plan, Outcome.FLAG), case)
    stop = obstacle(case, action.allow, plan.by_sku, action.select)
    if stop:
        return _stopped(rule, stop, case)
    number = _units(len(plan.line_item_ids))
    left = _units(case.comparison.expected - len(plan.line_item_ids))
    problem = problem_text(case.comparison)
    text = f"To take {number} off and process {left}: {problem} ({_by(rule)})."
    return Decision(Outcome.REMOVE_LINES, rule.name, plain(text), line_item_ids=plan.line_item_ids)


def _stopped(rule: Rule, stop: Obstacle, case: Case) -> Decision:
    """A rule said to pay out and must not be followed."""
    if stop.outcome is Outcome.ATTENTION:
        return _attention(rule.name, f"rule '{rule.name}' may not process this: {stop.text}")
    text = f"To flag, for rule '{rule.name}' may not process this: {stop.text}."
    problems = problem_text(case.comparison)
    template = NOT_FOLLOWED_NOTE if problems in stop.text else f"{NOT_FOLLOWED_NOTE}. {{reason}}"
    note = render(template, note_values(case, rule.name, stop.text[:1].upper() + stop.text[1:]))
    return Decision(Outcome.FLAG, rule.name, plain(text), note=note)


def _attention(rule: str, text: str) -> Decision:
    return Decision(Outcome.ATTENTION, rule, plain(f"{ASKS}{text}."))


def _units(number: int) -> str:
    return f"{number} unit" if number == 1 else f"{number} units"


def _by(rule: Rule) -> str:
    return f"rule '{rule.name}'"


# -- what no rule can override: a doubt never moves money --------------------------------------

NOT_OPEN = "safety:not-open"
UNCLEAR = "safety:unclear"
NO_MATCH = "safety:no-match"
TOO_LARGE = "safety:too-large"
UNREADABLE_FACTS = "safety:facts"

MOST_UNITS = 1_000_000
"""Of one SKU in one return; a greater number is a mistake and is never judged."""

_SHOWN = 3
"""Doubts listed in one sentence."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why no rule may decide. `guard` stands in `Decision.rule`."""

    guard: str
    text: str


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a rule that says to pay out is not followed, and what is done instead."""

    text: str
    outcome: Outcome
    """FLAG or ATTENTION."""


def doubt(case: Case) -> Doubt | None:
    """A reason to let no rule decide."""
    if case.return_.state is not LoopState.OPEN:
        return Doubt(NOT_OPEN, f"the return is in state {case.return_.state} in Loop, not open")
    unclear = case.comparison.unclear
    if unclear:
        more = f"; +{len(unclear) - _SHOWN} more" if len(unclear) > _SHOWN else ""
        return Doubt(UNCLEAR, f"the receipt is not clear: {'; '.join(unclear[:_SHOWN])}{more}")
    counted = (*case.comparison.skus, *case.comparison.unexpected)
    counts = (n for s in counted for n in (s.counted, s.damaged))
    too_many = next((n for n in counts if n > MOST_UNITS), None)
    if too_many is not None:
        return Doubt(UNCLEAR, f"{too_many:.3g} units of one SKU are not credible")
    comparison = case.comparison
    lists = (case.return_.lines, comparison.skus, comparison.unexpected, case.receipts)
    entries = max(len(entries) for entries in lists)
    if entries > LARGEST:
        what = f"it has {entries} units, products or tickets"
        return Doubt(TOO_LARGE, f"{what}, more than the {LARGEST} that rules may judge")
    on_return = {line.line_item_id for line in case.return_.lines}
    gone = [i for s in case.comparison.skus for i in s.line_item_ids if i not in on_return]
    if gone:
        return Doubt(UNCLEAR, f"line {gone[0]} was compared but is not on the return any more")
    return None


def obstacle(
    case: Case,
    allow: frozenset[Irregularity],
    removed: Mapping[int, int] | None = None,
    resolved: frozenset[Irregularity] = frozenset(),
) -> Obstacle | None:
    """A reason not to process.

    `removed` has the units taken off the return first, by index in `comparison.skus`;
    `resolved` the irregularities that this settles.
    """
    ticket = next((r for r in case.receipts if not _usable(r)), None)
    if ticket or not case.receipts:
        what = f"ticket {ticket.ticket_id} is {ticket.status_name}" if ticket else "no receipt"
        return Obstacle(f"{what}, so the count is not final", Outcome.ATTENTION)
    if case.comparison.counted <= 0:
        return Obstacle("no unit of the return was counted", Outcome.FLAG)
    left = [i for i in present(case.comparison, resolved) if i not in allow]
    if left:
        return Obstacle(
            f"{problem_text(case.comparison)} ({_words(left)} not allowed by the rule)",
            Outcome.FLAG,
        )
    return _maybe_short(case.comparison, allow, removed or {})


def _usable(receipt: Receipt) -> bool:
    """A ticket that the warehouse finished, or that it cancelled before it counted anything."""
    if receipt.status is TicketStatus.CANCELLED:
        return not any(line.actual or line.damaged for line in receipt.lines)
    return receipt.status is TicketStatus.ADDED_TO_INVENTORY


def present(c: Comparison, resolved: frozenset[Irregularity]) -> Iterator[Irregularity]:
    """The irregularities of a receipt that taking `resolved` units off the return leaves."""
    # Damage to units that are not on the return is not settled by removing lines.
    settled = Irregularity.DAMAGED in resolved
    if sum(s.damaged for s in c.unexpected) if settled else c.damaged:
        yield Irregularity.DAMAGED
    if c.short and Irregularity.SHORT not in resolved:
        yield Irregularity.SHORT
    if c.extra:
        yield Irregularity.EXTRA
    if c.wrong:
        yield Irregularity.WRONG


def _maybe_short(
    c: Comparison, allow: frozenset[Irregularity], removed: Mapping[int, int]
) -> Obstacle | None:
    """Whether ActualQuantity includes damaged units is not documented. Where one reading means
    that a unit which would be paid for never came, that is a doubt."""
    if Irregularity.SHORT in allow:
        return None
    for index, sku in enumerate(c.skus):
        # What certainly is there and may be paid for, in either reading.
        certain = max(0, sku.counted - (0 if Irregularity.DAMAGED in allow else sku.damaged))
        if sku.expected - removed.get(index, 0) > certain:
            return Obstacle(
                f"{problem_text(c)}, and {sku.counted} of {sku.expected} counted for SKU "
                f"{sku.name}: a unit may be missing, for the count may include damaged units",
                Outcome.FLAG,
            )
    return None


def _words(irregularities: list[Irregularity]) -> str:
    return " and ".join(str(i) for i in irregularities) + (
        " is" if len(irregularities) == 1 else " are"
    )
