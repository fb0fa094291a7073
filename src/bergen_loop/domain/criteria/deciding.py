"""From a case to a decision: guards first, then the first rule that holds, then guards again."""

from __future__ import annotations

from dataclasses import replace

from bergen_loop.domain.criteria.expression import context_of
from bergen_loop.domain.criteria.facts import Facts, facts_of
from bergen_loop.domain.criteria.guards import (
    NO_MATCH,
    UNREADABLE_FACTS,
    Obstacle,
    doubt,
    obstacle,
)
from bergen_loop.domain.criteria.model import (
    Action,
    Attention,
    Criteria,
    Flag,
    Process,
    RemoveLines,
    Rule,
    Wait,
)
from bergen_loop.domain.criteria.names import plain
from bergen_loop.domain.criteria.notes import note_values, problem_text, render
from bergen_loop.domain.criteria.removal import plan_removal
from bergen_loop.domain.decision import Case, Decision, Outcome

NOT_FOLLOWED_NOTE = "Needs a person ({rule}): {problems}"
"""Note of a flag that replaces an outcome a guard did not let through."""

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
    note = render(NOT_FOLLOWED_NOTE, note_values(case, rule.name, stop.text))
    return Decision(Outcome.FLAG, rule.name, plain(text), note=note)


def _attention(rule: str, text: str) -> Decision:
    return Decision(Outcome.ATTENTION, rule, plain(f"{ASKS}{text}."))


def _units(number: int) -> str:
    return f"{number} unit" if number == 1 else f"{number} units"


def _by(rule: Rule) -> str:
    return f"rule '{rule.name}'"
