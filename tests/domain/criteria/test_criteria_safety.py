"""Whatever the rules say, a doubt never moves money."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import cel
import pytest
from criteria_cases import PAIR, TWINS, case, got, ticket, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from bergen_loop.domain.comparison import SkuCount
from bergen_loop.domain.criteria import Criteria, decide, load_criteria, preset
from bergen_loop.domain.criteria.facts import cents
from bergen_loop.domain.decision import NOTE_LIMIT, Case, Outcome
from bergen_loop.domain.returns import LoopState, ReturnTotals
from bergen_loop.domain.rma import Receipt, ReceiptLine, TicketStatus

PAYS = (Outcome.PROCESS, Outcome.REMOVE_LINES)
KINDS = ("damaged", "short", "extra", "wrong")


def rules(*entries: tuple[str, Any]) -> Criteria:
    content = {
        "name": "test",
        "rules": [{"name": f"r{n}", "when": w, "then": t} for n, (w, t) in enumerate(entries)],
    }
    return load_criteria(json.dumps(content), source="test")


def process(*allow: str) -> dict[str, Any]:
    return {"process": {"allow": list(allow)}}


# -- any rules, any case -------------------------------------------------------------------

NUMBERS = st.sampled_from(
    [f"receipt.{n}" for n in ("expected", "counted", *KINDS, "open_tickets", "waited_hours")]
    + ["ret.refund_cents", "ret.age_days", "size(lines)", "size(receipt.unclear)"]
)
CONDITIONS = st.recursive(
    st.one_of(
        st.sampled_from(
            [
                "true",
                "receipt.complete",
                "!receipt.complete",
                "ret.country == 'US'",
                "has(ret.refund_cents)",
                "lines.all(l, l.outcome == 'refund')",
                "lines.exists(l, l.price_cents > 1000)",
                "receipt.skus.all(s, s.counted >= s.expected)",
                "lines[1].sku == 'A'",
            ]
        ),
        st.builds(
            lambda a, op, n: f"{a} {op} {n}",
            NUMBERS,
            st.sampled_from(["==", "!=", "<", ">=", ">"]),
            st.integers(0, 3),
        ),
    ),
    lambda inner: st.one_of(
        st.builds(
            lambda a, op, b: f"({a}) {op} ({b})", inner, st.sampled_from(["&&", "||"]), inner
        ),
        inner.map(lambda a: f"!({a})"),
    ),
    max_leaves=4,
)
SUBSETS = st.lists(st.sampled_from(KINDS), unique=True)
FINALS = st.one_of(
    SUBSETS.map(lambda a: process(*a)),
    st.builds(
        lambda s, a: {"remove_lines": {"select": s, "allow": a}},
        st.lists(st.sampled_from(["short", "damaged"]), min_size=1, unique=True),
        SUBSETS,
    ),
    st.just({"flag": {"reason": "why", "note": "{problems} {tickets} {order} {skus}"}}),
    st.just("attention"),
)
ACTIONS = st.one_of(
    FINALS,
    FINALS.map(lambda f: {"wait": {"for": "2d", "then": f}}),
    SUBSETS.map(lambda a: process(*a)),
)
RULES = st.lists(st.tuples(CONDITIONS, ACTIONS), min_size=1, max_size=4)

SKUS = st.sampled_from(["A", "B", "Sku\u0007 \u202e with a very long name " * 3, None])
UNITS = st.lists(
    st.tuples(
        SKUS,
        st.sampled_from(["refund", "credit", "default", "exchange", None]),
        st.sampled_from(["25.00", "30", None]),
    ),
    min_size=0,
    max_size=4,
).map(lambda us: [unit(n, s, outcome=o, price=p) for n, (s, o, p) in enumerate(us)])
RECEIPT_LINES = st.builds(
    ReceiptLine,
    sku=st.sampled_from(["A", "a", "B", "Z", None]),
    actual=st.one_of(st.integers(-1, 3), st.just(1), st.just(1), st.none(), st.just(2**70)),
    damaged=st.one_of(st.just(0), st.just(0), st.none(), st.integers(-1, 2)),
    problems=st.sampled_from([(), (), (), ("bad quantity",)]),
)
TICKETS = st.builds(
    lambda lines, status, problems: ticket(
        *lines, status=status, status_name=str(status), problems=problems
    ),
    st.lists(RECEIPT_LINES, max_size=3),
    st.sampled_from([TicketStatus.ADDED_TO_INVENTORY] * 6 + [None, *TicketStatus]),
    st.sampled_from([(), (), (), ("bad date",)]),
)
WILD = st.builds(
    lambda units, tickets, waited, open_tickets, state, totals, country: case(
        units,
        *tickets,
        waited=waited,
        open_tickets=open_tickets,
        state=state,
        totals=totals,
        country_code=country,
    ),
    UNITS,
    st.lists(TICKETS, max_size=2),
    st.sampled_from([timedelta(hours=-5), timedelta(hours=5), timedelta(days=4)]),
    st.integers(0, 2),
    st.sampled_from([LoopState.OPEN] * 8 + list(LoopState)),
    st.sampled_from([ReturnTotals(), ReturnTotals(refund=Decimal("12.34"))]),
    st.sampled_from(["US", None]),
)


@st.composite
def near_cases(draw: st.DrawFn) -> Case:
    """Clear receipts close to what was expected: here paying out is possible."""
    units = draw(
        st.sampled_from([PAIR, TWINS, [unit(1, "A"), unit(2, "A", price="9"), unit(3, "B")]])
    )
    lines = [
        got(sku, draw(st.integers(0, 2)), draw(st.sampled_from([0, 0, 1])))
        for sku in sorted({str(u.sku) for u in units})
    ]
    foreign = draw(st.sampled_from([0, 0, 1, 2]))
    if foreign:
        lines.append(got("Z", foreign, draw(st.sampled_from([0, 1]))))
    return case(
        units,
        ticket(*lines),
        waited=draw(st.sampled_from([timedelta(hours=1), timedelta(days=3)])),
        open_tickets=draw(st.integers(0, 1)),
    )


def allowed(action: Any) -> set[str]:
    """What an outcome's own words let through."""
    if isinstance(action, str):
        return set()
    (name, content), *_ = action.items()
    if name == "wait":
        return allowed(content["then"])
    return set(content.get("allow", [])) | set(content.get("select", []))


def assert_no_doubt(judged: Case, lets: set[str]) -> None:
    c = judged.comparison
    assert judged.return_.state is LoopState.OPEN
    assert not c.unclear
    assert judged.receipts
    assert c.counted > 0
    for receipt in judged.receipts:
        if receipt.status is not TicketStatus.ADDED_TO_INVENTORY:
            assert receipt.status is TicketStatus.CANCELLED
            assert not any(line.actual or line.damaged for line in receipt.lines)
    for kind in KINDS:
        assert not getattr(c, kind) or kind in lets, kind


@settings(max_examples=400, deadline=None)
@given(RULES, st.one_of(WILD, near_cases()))
def test_no_rules_pay_out_in_doubt(entries: list[tuple[str, Any]], judged: Case) -> None:
    decision = decide(rules(*entries), judged)
    json.dumps(decision.facts, allow_nan=False)
    assert decision.note is None or 0 < len(decision.note) <= NOTE_LIMIT
    assert (decision.note is not None) == (decision.outcome is Outcome.FLAG)
    assert (decision.wait_until is not None) == (decision.outcome is Outcome.WAIT)
    assert bool(decision.line_item_ids) == (decision.outcome is Outcome.REMOVE_LINES)
    assert decision.reason.isprintable()
    assert decision.reason.endswith(".")
    if decision.outcome in PAYS:
        action = entries[int(decision.rule[1:])][1]
        assert_no_doubt(judged, allowed(action))
        assert_removal_is_certain(judged, decision.line_item_ids)


def assert_removal_is_certain(judged: Case, removed: tuple[str, ...]) -> None:
    lines = {line.line_item_id: line for line in judged.return_.lines}
    assert len(set(removed)) == len(removed) < len(lines)
    for line_item_id in removed:
        line = lines[line_item_id]
        assert judged.return_.outcome_of(line) in ("refund", "credit")
        assert line.exchange_variant is None
        twins = [x for x in lines.values() if x.sku == line.sku]
        if not {x.line_item_id for x in twins} <= set(removed):
            assert len({(x.price, x.discount, x.tax, x.refund, x.outcome) for x in twins}) == 1


@settings(max_examples=150, deadline=None)
@given(near_cases())
def test_trusting_everything_pays_whenever_something_was_counted(judged: Case) -> None:
    """The guard lets through what is allowed: the property above is not empty."""
    decision = decide(rules(("true", process(*KINDS))), judged)
    assert (decision.outcome is Outcome.PROCESS) == (judged.comparison.counted > 0)


# -- each guard by example -----------------------------------------------------------------

ALL = rules(("true", process(*KINDS)))
GOOD = (got("A", 1), got("B", 1))


@pytest.mark.parametrize("state", [s for s in LoopState if s is not LoopState.OPEN])
def test_not_open_needs_attention(state: LoopState) -> None:
    decision = decide(ALL, case(PAIR, ticket(*GOOD), state=state))
    assert (decision.outcome, decision.rule) == (Outcome.ATTENTION, "safety:not-open")


def unchecked(when: str) -> Criteria:
    """Criteria with a condition as it is, also one that loading would refuse."""
    base = rules(("true", "process"), ("true", "process"))
    program = cel.compile(when)
    condition = replace(base.rules[0].when, text=when, program=program)
    bad = replace(base.rules[0], name="bad", when=condition)
    everything = dict.fromkeys(("ret", "receipt", "lines", "settings"))
    return replace(base, rules=(bad, base.rules[1]), uses=everything)


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("ret.total_cents > 1", "the fact 'total_cents' is missing in this case"),
        ("ret.total_cents > 1 || false", "the fact 'total_cents' is missing in this case"),
        ("ret.total_cents != 1", "the fact 'total_cents' is missing in this case"),
        ("receipt['none'] == 1", "the fact 'none' is missing in this case"),
        ("lines[7].sku == 'A'", "index out of bounds: 7"),
        ("receipt.counted / receipt.short > 1", "division by zero"),
        ("ret.country > 5", "it compares or combines values of different kinds"),
        ("false || receipt.counted", "it compares or combines values of different kinds"),
        ("receipt.counted * 9223372036854775807 > 1", "Arithmetic overflow"),
        ("ret.country.matches('(')", "not a valid regex"),
        ("ret.country", "it gives a text, not true or false"),
        ("receipt.skus", "it gives a list of 2, not true or false"),
    ],
)
def test_a_condition_that_fails_needs_attention(when: str, why: str) -> None:
    decision = decide(unchecked(when), case(PAIR, ticket(*GOOD)))
    assert (decision.outcome, decision.rule) == (Outcome.ATTENTION, "bad")
    assert why in decision.reason


def test_a_number_is_no_truth() -> None:
    decision = decide(unchecked("receipt.counted"), case(PAIR, ticket(*GOOD)))
    assert decision.outcome is Outcome.ATTENTION
    assert decision.reason == (
        "Needs attention: the condition of rule 'bad' cannot be decided: "
        "it gives a number, not true or false."
    )


def test_a_later_rule_that_fails_does_not_matter() -> None:
    criteria = rules(("receipt.complete", "process"), ("ret.total_cents > 0", "attention"))
    assert decide(criteria, case(PAIR, ticket(*GOOD))).outcome is Outcome.PROCESS


def test_no_rule_matches() -> None:
    decision = decide(rules(("receipt.short > 0", "process")), case(PAIR, ticket(*GOOD)))
    assert (decision.outcome, decision.rule) == (Outcome.ATTENTION, "safety:no-match")


@pytest.mark.parametrize("kind", KINDS)
def test_process_needs_the_right_word_to_pay_an_irregularity(kind: str) -> None:
    judged = {
        "damaged": case(PAIR, ticket(got("A", 1, 1), got("B", 1))),
        "short": case(PAIR, ticket(got("A", 1), got("B", 0))),
        "extra": case(PAIR, ticket(*GOOD, got("Z", 1))),
        "wrong": case(PAIR, ticket(got("A", 1), got("B", 0), got("Z", 1))),
    }[kind]
    needed = {"wrong": ("wrong", "short")}.get(kind, (kind,))
    others = [k for k in KINDS if k not in needed]
    stopped = decide(rules(("true", process(*others))), judged)
    assert stopped.outcome is Outcome.FLAG
    assert f"{kind}" in stopped.reason
    assert "not allowed by the rule" in stopped.reason
    assert decide(rules(("true", process(*needed))), judged).outcome is Outcome.PROCESS


def test_damage_that_may_hide_a_missing_unit_is_a_doubt() -> None:
    """Two expected, one counted, one damaged: two units, or one damaged and one missing?"""
    judged = case(TWINS, ticket(got("A", 1, 1)))
    assert judged.comparison.short == 0
    decision = decide(rules(("true", process("damaged"))), judged)
    assert decision.outcome is Outcome.FLAG
    assert "a unit may be missing" in decision.reason
    both = decide(rules(("true", process("damaged", "short"))), judged)
    assert both.outcome is Outcome.PROCESS


def test_nothing_counted_never_processes() -> None:
    judged = case(PAIR, ticket(got("A", 0), got("B", 0), got("Z", 2)))
    decision = decide(ALL, judged)
    assert decision.outcome is Outcome.FLAG
    assert "no unit of the return was counted" in decision.reason


@pytest.mark.parametrize("status", [None, *TicketStatus])
def test_only_a_finished_ticket_pays(status: TicketStatus | None) -> None:
    judged = case(PAIR, ticket(*GOOD, status=status, status_name=str(status)))
    paid = decide(ALL, judged).outcome is Outcome.PROCESS
    assert paid == (status is TicketStatus.ADDED_TO_INVENTORY)


def test_a_ticket_cancelled_before_the_count_does_not_matter() -> None:
    cancelled = ticket(
        got("A", 0), number=2, status=TicketStatus.CANCELLED, status_name="Cancelled"
    )
    assert decide(ALL, case(PAIR, ticket(*GOOD), cancelled)).outcome is Outcome.PROCESS


def test_a_comparison_of_other_lines_is_a_doubt() -> None:
    judged = case(PAIR, ticket(*GOOD))
    edited = replace(judged, return_=replace(judged.return_, lines=(PAIR[0],)))
    decision = decide(ALL, edited)
    assert decision.rule == "safety:unclear"
    assert "line 2 was compared but is not on the return any more" in decision.reason


def test_a_unit_the_customer_keeps_does_not_stop_a_return() -> None:
    """The comparison then leaves the line out; its counts are no facts."""
    kept = unit(3, "C", outcome="keep")
    judged = case(PAIR, ticket(*GOOD))
    judged = replace(judged, return_=replace(judged.return_, lines=(*PAIR, kept)))
    when = "lines.all(l, !l.in_parcel || l.short == 0) && lines.exists(l, !has(l.counted))"
    assert decide(rules((when, "process")), judged).outcome is Outcome.PROCESS


def test_a_quantity_beyond_belief_needs_attention() -> None:
    judged = case(PAIR, ticket(got("A", 2**70), got("B", 1)))
    decision = decide(ALL, judged)
    assert (decision.outcome, decision.rule) == (Outcome.ATTENTION, "safety:unclear")
    assert "1.18e+21 units of one SKU are not credible" in decision.reason


def test_a_fact_that_is_no_unicode_needs_attention() -> None:
    judged = case(PAIR, ticket(*GOOD), country_code="\ud800")
    decision = decide(rules(("ret.country != 'CA'", "process")), judged)
    assert (decision.outcome, decision.rule) == (Outcome.ATTENTION, "safety:facts")
    assert decision.reason.isprintable()


# -- remove_lines --------------------------------------------------------------------------

REMOVE_SHORT = rules(("true", {"remove_lines": {"select": ["short"]}}))
REMOVE_DAMAGED = rules(("true", {"remove_lines": {"select": ["damaged"]}}))


def test_one_of_two_equal_units_can_be_removed() -> None:
    decision = decide(REMOVE_SHORT, case(TWINS, ticket(got("A", 1))))
    assert (decision.outcome, decision.line_item_ids) == (Outcome.REMOVE_LINES, ("2",))


def test_a_damaged_unit_can_be_removed() -> None:
    decision = decide(REMOVE_DAMAGED, case(TWINS, ticket(got("A", 2, 1))))
    assert (decision.outcome, decision.line_item_ids) == (Outcome.REMOVE_LINES, ("2",))


@pytest.mark.parametrize(
    ("criteria", "units", "receipt", "why"),
    [
        (
            REMOVE_SHORT,
            [unit(1, "A"), unit(2, "A", price="30")],
            ticket(got("A", 1)),
            "differ in price and refund",
        ),
        (
            REMOVE_SHORT,
            [unit(1, "A", price=None), unit(2, "A", price=None)],
            ticket(got("A", 1)),
            "what the units of SKU A cost is not known, so which one is unknown",
        ),
        (
            REMOVE_SHORT,
            [unit(1, "A"), unit(2, "B", outcome=None)],
            ticket(got("A", 1), got("B", 0)),
            "SKU B has outcome unknown, not refund or credit",
        ),
        (REMOVE_SHORT, PAIR, ticket(*GOOD), "there is no short unit to remove"),
        (REMOVE_SHORT, PAIR, ticket(got("A", 0), got("B", 0)), "no unit that came would be left"),
        (REMOVE_SHORT, PAIR, ticket(got("A", 1, 1), got("B", 0)), "damaged is not allowed"),
        (REMOVE_SHORT, PAIR, ticket(got("A", 1), got("B", 0), got("Z", 1)), "wrong is not allowed"),
        (REMOVE_DAMAGED, PAIR, ticket(got("A", 1, 1), got("B", 0)), "short is not allowed"),
        (REMOVE_DAMAGED, TWINS, ticket(got("A", 1, 1)), "a unit may be missing"),
        (
            REMOVE_DAMAGED,
            PAIR,
            ticket(got("A", 1, 1), got("B", 1), got("Z", 1, 1)),
            "damaged and extra are not allowed",
        ),
    ],
)
def test_removal_that_is_not_certain_becomes_a_flag(
    criteria: Criteria, units: list[Any], receipt: Receipt, why: str
) -> None:
    decision = decide(criteria, case(units, receipt))
    assert decision.outcome is Outcome.FLAG
    assert why in decision.reason
    assert decision.note
    assert decision.line_item_ids == ()


@pytest.mark.parametrize(
    ("own", "whole"),
    [("default", "refund"), (" Default ", "Refund"), ("DEFAULT", "credit"), ("REFUND", "exchange")],
)
def test_a_unit_without_an_outcome_of_its_own_has_the_outcome_of_its_return(
    own: str, whole: str
) -> None:
    """Ordinary lines say "default"; the trusting preset then takes the missing unit off."""
    units = [unit(1, "A", outcome=own), unit(2, "A", outcome=own), unit(3, "B", outcome=own)]
    short = ticket(got("A", 2), got("B", 0))
    judged = case(units, short, outcome=whole, waited=timedelta(days=6))
    decision = decide(preset("trusting"), judged)
    assert (decision.outcome, decision.line_item_ids) == (Outcome.REMOVE_LINES, ("3",))
    one_of_two = case(units, ticket(got("A", 1), got("B", 1)), outcome=whole)
    assert decide(REMOVE_SHORT, one_of_two).line_item_ids == ("2",)


def test_conditions_see_the_outcome_that_default_stands_for() -> None:
    units = [unit(1, "A", outcome="default"), unit(2, "B", outcome="exchange")]
    decision = decide(ALL, case(units, ticket(*GOOD), outcome="credit"))
    assert [line["outcome"] for line in decision.facts["lines"]] == ["credit", "exchange"]
    assert decision.facts["ret"]["outcomes"] == ["credit", "exchange"]


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ({"outcome": "exchange"}, "SKU B has outcome exchange, not refund or credit"),
        ({"outcome": "store_credit"}, "SKU B has outcome store_credit, not"),
        ({"outcome": "store credit"}, "SKU B has outcome store credit, not"),
        ({"outcome": "gift"}, "SKU B has outcome gift, not"),
        ({"outcome": ""}, "SKU B has outcome unknown, not"),
        ({"outcome": None}, "SKU B has outcome unknown, not"),
        ({"exchange_variant": "41234"}, "SKU B is exchanged for 41234"),
        ({"refund": None}, "the amount of its refund is unknown"),
        ({"refund": Decimal("0.00")}, "the amount of its refund is 0.00"),
        ({"refund": Decimal("-1")}, "the amount of its refund is -1"),
        ({"refund": Decimal("NaN")}, "an amount of SKU B is no number"),
        ({"tax": Decimal("sNaN")}, "an amount of SKU B is no number"),
    ],
)
def test_a_unit_whose_money_is_not_certainly_a_refund_is_not_removed(
    spoilt: dict[str, Any], why: str
) -> None:
    units = [unit(1, "A"), replace(unit(2, "B"), **spoilt)]
    decision = decide(REMOVE_SHORT, case(units, ticket(got("A", 1), got("B", 0))))
    assert decision.outcome is Outcome.FLAG
    assert why in decision.reason


def test_a_default_unit_of_a_return_of_unknown_or_mixed_outcome_is_not_removed() -> None:
    units = [unit(1, "A", outcome="default"), unit(2, "B", outcome="default")]
    for whole in (None, "exchange", "exchange+refund", "default", "refund, gift"):
        judged = case(units, ticket(got("A", 1), got("B", 0)), outcome=whole)
        assert decide(REMOVE_SHORT, judged).outcome is Outcome.FLAG, whole


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        ["price", "discount", "tax", "refund", "outcome", "exchange_variant", "variant_id"]
    ),
    st.sampled_from([None, Decimal("0"), Decimal("0.01"), "credit", "gift", "41234"]),
    st.integers(0, 2),
)
def test_of_several_units_one_is_removed_only_if_all_are_alike_in_all_that_moves_money(
    name: str, value: Any, which: int
) -> None:
    words = ("outcome", "exchange_variant", "variant_id")
    if isinstance(value, Decimal) == (name in words):
        value = "41235" if name == "variant_id" else None
    usual: dict[str, Any] = {"discount": Decimal("1.00"), "tax": Decimal("2.00")}
    usual["variant_id"] = "41234" if name == "variant_id" else None
    units = [unit(n, "A", **usual) for n in range(3)]
    judged = case(units, ticket(got("A", 2)))
    assert decide(REMOVE_SHORT, judged).outcome is Outcome.REMOVE_LINES
    spoilt = [replace(u, **{name: value}) if n == which else u for n, u in enumerate(units)]
    decision = decide(REMOVE_SHORT, case(spoilt, ticket(got("A", 2))))
    if spoilt == units:
        assert decision.outcome is Outcome.REMOVE_LINES
    else:
        assert decision.outcome is Outcome.FLAG
        word = name.removesuffix("_variant").removesuffix("_id")
        assert f"differ in {word}" in decision.reason
    # All of them gone: then it makes no difference which is which.
    rest = [*units, unit(9, "B")]
    gone = decide(REMOVE_SHORT, case(rest, ticket(got("A", 0), got("B", 1))))
    assert gone.line_item_ids == ("0", "1", "2")


# -- facts, threads ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("0.30", 30),
        ("19.99", 1999),
        ("-5", -500),
        ("1E+3", 100000),
        ("0.005", None),
        ("1.2300000000000000000000000000001", None),
        ("NaN", None),
        ("Infinity", None),
        ("1E+40", None),
        ("1E-999999", None),
    ],
)
def test_money_is_exact_or_missing(amount: str, expected: int | None) -> None:
    assert cents(Decimal(amount)) == expected


def test_a_missing_reason_hides_no_line() -> None:
    nameless = [replace(PAIR[0], reason=None), PAIR[1]]
    criteria = rules(("!('Defective' in ret.reasons)", "process"))
    assert decide(criteria, case(nameless, ticket(*GOOD))).outcome is Outcome.ATTENTION
    assert decide(criteria, case(PAIR, ticket(*GOOD))).outcome is Outcome.PROCESS


def test_criteria_can_be_shared_between_threads() -> None:
    criteria = rules(("lines.all(l, l.short == 0)", "process"), ("true", "attention"))
    cases = [case(PAIR, ticket(*GOOD)), case(PAIR, ticket(got("A", 1), got("B", 0)))]
    wrong: list[object] = []

    def work() -> None:
        for n in range(300):
            decision = decide(criteria, cases[n % 2])
            if (decision.outcome is Outcome.PROCESS) != (n % 2 == 0):
                wrong.append(decision)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_sku_count_names_the_upc_where_there_is_no_sku() -> None:
    assert SkuCount(None, "0123", None, 1, 1, 0, 0, 0).name == "0123"
