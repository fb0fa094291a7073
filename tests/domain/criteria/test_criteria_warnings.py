"""What a criteria file says without meaning it."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
from hypothesis import given, settings
from test_criteria_safety import RULES, process, rules

from bergen_loop.domain.criteria import (
    PRESETS,
    CriteriaWarning,
    WarningKind,
    decide,
    preset,
    warnings,
)
from bergen_loop.domain.criteria.deciding import doubt
from bergen_loop.domain.criteria.space import MAX_CONTEXTS, REPRESENTATIVE, receipt_space, shapes
from bergen_loop.domain.decision import Outcome

USUAL = (
    "Return of 50.00 USD from US, outcome refund, reason Too small; 0 open tickets; "
    "1 hours after the first receipt"
)


def serious(found: list[CriteriaWarning]) -> list[CriteriaWarning]:
    return [w for w in found if not w.informational]


@pytest.mark.parametrize("name", ["strict", "standard", "high-value-review"])
def test_these_presets_have_nothing_to_warn_of(name: str) -> None:
    assert serious(warnings(preset(name))) == []


def test_trusting_says_what_it_lets_through() -> None:
    found = serious(warnings(preset("trusting")))
    assert [(w.kind, w.rule) for w in found] == [
        (WarningKind.PAYS_IRREGULAR, "more-may-come"),
        (WarningKind.PAYS_IRREGULAR, "all-came"),
        (WarningKind.PAYS_IRREGULAR, "short"),
    ]
    assert found[1] == CriteriaWarning(
        WarningKind.PAYS_IRREGULAR,
        "all-came",
        "rule 'all-came' processes a return although SKU OTHER-1: 1 not on the return",
        "A: expected 1, counted 1, damaged 0; OTHER-1 (not on the return): counted 1, damaged 0. "
        + USUAL,
    )


def test_a_damaged_unit_that_gets_paid_is_shown() -> None:
    assert warnings(rules(("receipt.counted > 0", process("damaged")))) == [
        CriteriaWarning(
            WarningKind.PAYS_IRREGULAR,
            "r0",
            "rule 'r0' processes a return although SKU A: 1 of 1 damaged",
            "A: expected 1, counted 1, damaged 1. " + USUAL,
        )
    ]


def test_a_rule_that_is_never_reached() -> None:
    found = warnings(
        rules(
            ("receipt.counted > 0", "process"),
            ("receipt.damaged > 0 && receipt.complete", "attention"),
            ("receipt.complete", "attention"),
        )
    )
    assert found == [
        CriteriaWarning(
            WarningKind.UNREACHABLE,
            "r2",
            "rule 'r2' is never reached: 'r0' decides before it",
            "A: expected 1, counted 1, damaged 0. " + USUAL,
        ),
        CriteriaWarning(
            WarningKind.NEVER_TRUE, "r1", "nothing that was tried makes rule 'r1' true"
        ),
        CriteriaWarning(
            WarningKind.OVERLAP,
            "r0",
            "rules 'r0' and 'r2' can both be true; 'r0' decides",
            "A: expected 1, counted 1, damaged 0. " + USUAL,
        ),
    ]


def test_values_of_the_conditions_are_tried() -> None:
    """Without them no case would be from Canada, or worth 1234.56."""
    found = warnings(
        rules(
            ("ret.country == 'CA' && ret.refund_cents > 123456", "attention"),
            ("ret.age_days > 90", "attention"),
            ("receipt.waited_days >= 21", "attention"),
            ("lines.exists(l, l.reason == 'Defective')", "attention"),
            ("lines.exists(l, l.outcome == 'exchange')", "attention"),
            ("receipt.open_tickets > 0", "attention"),
            ("receipt.complete", "process"),
        )
    )
    assert [w.kind for w in found if w.kind is WarningKind.NEVER_TRUE] == []
    assert serious(found) == []


def test_a_condition_that_sometimes_fails() -> None:
    found = serious(
        warnings(rules(("receipt.complete", "process"), ("lines[1].sku == 'A'", "attention")))
    )
    assert [(w.kind, w.rule) for w in found] == [(WarningKind.FAILS, "r1")]
    assert "index out of bounds: 1" in found[0].message


def test_criteria_that_never_process() -> None:
    found = serious(warnings(rules(("receipt.complete", "attention"))))
    assert [(w.kind, w.rule) for w in found] == [(WarningKind.NEVER_PROCESSES, None)]


def test_a_last_rule_for_everything_else_is_no_overlap() -> None:
    assert warnings(rules(("receipt.complete", "process"), ("true", "attention"))) == []


def test_the_space_is_bounded_repeatable_and_without_doubt() -> None:
    number, few = len(list(shapes())), len(REPRESENTATIVE)
    for name in PRESETS:
        cases = list(receipt_space(preset(name)))
        assert cases == list(receipt_space(preset(name)))
        assert number < len(cases) <= number * 14 + few * MAX_CONTEXTS
        assert all(doubt(c) is None for c in cases)


def test_the_space_has_every_way_to_differ() -> None:
    found = {
        (bool(c.damaged), bool(c.short), bool(c.extra), bool(c.wrong))
        for c in (case.comparison for case in receipt_space(preset("standard")))
    }
    # A swap (wrong) needs a missing unit; everything else goes with everything.
    possible = {way for way in itertools.product((False, True), repeat=4) if way[1] or not way[3]}
    assert found == possible


@settings(max_examples=8, deadline=None)
@given(RULES)
def test_any_rules_can_be_searched(entries: list[tuple[str, Any]]) -> None:
    criteria = rules(*entries)
    found = warnings(criteria)
    assert found == warnings(criteria)
    paid = {w.rule for w in found if w.kind is WarningKind.PAYS_IRREGULAR}
    for case in receipt_space(criteria):
        decision = decide(criteria, case)
        if decision.outcome is Outcome.PROCESS and not case.comparison.complete:
            assert decision.rule in paid


def test_a_hundred_thousand_decisions_take_less_than_a_minute() -> None:
    cases = list(receipt_space(preset("standard")))
    begin = time.process_time()
    for case in cases * 8:
        decide(preset("standard"), case)
    assert (time.process_time() - begin) / (len(cases) * 8) < 60 / 100_000
