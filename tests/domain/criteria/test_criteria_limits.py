"""What a condition may cost, and what is refused before anything is evaluated."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import cel
import pytest
from criteria_cases import case, got, ticket, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from bergen_loop.domain.criteria import CriteriaError, decide, load_criteria
from bergen_loop.domain.criteria import expression as expression_module
from bergen_loop.domain.criteria.checking import MAX_COST
from bergen_loop.domain.criteria.expression import compile_condition, context_of
from bergen_loop.domain.criteria.facts import facts_of
from bergen_loop.domain.criteria.model import SettingValue
from bergen_loop.domain.criteria.syntax import MAX_LENGTH, ExpressionError
from bergen_loop.domain.criteria.vocabulary import LARGEST, LONGEST, roots
from bergen_loop.domain.decision import Case, Outcome
from bergen_loop.domain.returns import ReturnTotals

SECONDS = 10.0
"""Of processor time: some thirty times what the dearest condition takes."""

SETTINGS: dict[str, SettingValue] = {
    "codes": tuple(f"{n:04}{'c' * (LONGEST - 4)}" for n in range(1000)),
    "few": ("A", "B"),
    "high": 50_000,
    "prefix": "p" * LONGEST,
    "wait": timedelta(days=7),
}
FACTS = roots(SETTINGS)


def long(number: int) -> str:
    """A text as long as one can be, that differs from the others at its end."""
    return f"{'x' * (LONGEST - 4)}{number:04}"


def largest_case() -> Case:
    """As many units, products, tickets as may be judged, every text as long as it can be."""
    amount = Decimal("99.99")
    units = [
        replace(
            unit(n, long(n)),
            title=long(n),
            barcode=long(n),
            reason=long(n),
            parent_reason=long(n),
            product_id=long(n),
        )
        for n in range(LARGEST)
    ]
    tickets = [ticket(got(long(n), 1), got(long(n + LARGEST), 1), number=n) for n in range(LARGEST)]
    return case(
        units,
        *tickets,
        totals=ReturnTotals(*[amount] * 9),
        country_code=long(0),
        customer_email=long(0),
        return_method=long(0),
        destination_id=long(0),
    )


LARGEST_CASE = largest_case()
CONTEXT = context_of(facts_of(LARGEST_CASE, SETTINGS), dict.fromkeys(FACTS))


def measured(program: cel.Program) -> tuple[Any, float]:
    begin = time.process_time()
    try:
        value = program.execute(CONTEXT)
    except Exception as error:
        value = type(error).__name__
    return value, time.process_time() - begin


# -- what is accepted ---------------------------------------------------------------------------

UNIT_TEXTS = ("sku", "upc", "title", "reason", "parent_reason", "outcome", "id")
TEXTS = st.sampled_from(
    ["ret.country", "settings.prefix", "'x'", '"xxxx"', "r'\\d'", "ret.order"]
    + [f"l.{name}" for name in UNIT_TEXTS]
)
NUMBERS = st.recursive(
    st.sampled_from(
        [
            "0",
            "7",
            "-3",
            "ret.units",
            "settings.high",
            "settings.wait",
            "ret.refund_cents",
            "receipt.counted",
            "l.price_cents",
            "l.short",
            "size(lines)",
            "receipt.skus.size()",
        ]
    ),
    lambda inner: st.builds(lambda a, o, b: f"({a} {o} {b})", inner, st.sampled_from("+-*"), inner),
    max_leaves=3,
)
LISTS = st.sampled_from(
    ["settings.codes", "settings.few", "ret.reasons", "receipt.tickets", "['A', 'B', l.sku]"]
)
TESTS = st.one_of(
    st.builds(lambda a, o, b: f"{a} {o} {b}", TEXTS, st.sampled_from(["==", "!=", "<"]), TEXTS),
    st.builds(lambda a, o, b: f"{a} {o} {b}", NUMBERS, st.sampled_from(["==", ">", ">="]), NUMBERS),
    st.builds(lambda a, b: f"{a} in {b}", TEXTS, LISTS),
    st.builds(
        lambda a, m, b: f"{a}.{m}({b})",
        TEXTS.filter(lambda t: t[0] in "lrs" and "'" not in t),
        st.sampled_from(["contains", "startsWith", "endsWith"]),
        TEXTS,
    ),
    st.builds(
        lambda a, p: f"{a}.matches('{p}')",
        TEXTS.filter(lambda t: t[0] in "lrs" and "'" not in t),
        st.sampled_from(["^[A-Z]+-[0-9]*$", "(x+x+)+y", ".?.?.?.?.?.?zz", "(a|b)*a(a|b)(a|b)"]),
    ),
    st.sampled_from(
        [
            "true",
            "has(l.upc)",
            "receipt.complete",
            "lines[3].sku == l.sku",
            "l.in_parcel",
            "timestamp(receipt.arrived_at) < timestamp(receipt.finished_at) + duration('36h')",
        ]
    ),
)
CONDITIONS = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds(lambda a, o, b: f"({a} {o} {b})", inner, st.sampled_from(["&&", "||"]), inner),
        inner.map(lambda a: f"!({a})"),
        st.builds(
            lambda macro, a: f"lines.{macro}(l, {a})",
            st.sampled_from(["all", "exists", "exists_one"]),
            inner,
        ),
        st.builds(lambda a: f"receipt.skus.all(s, s.sku != 'x' || lines.exists(l, {a}))", inner),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(CONDITIONS)
def test_no_accepted_condition_costs_more_than_the_bound(inner: str) -> None:
    text = f"lines.all(l, {inner})"
    try:
        condition = compile_condition(text, FACTS)
    except ExpressionError as error:
        assert error.message
        assert error.remedy
        return
    assert condition.cost <= MAX_COST
    value, seconds = measured(condition.program)
    assert seconds < SECONDS, text
    # What runs is what was written, only with every bracket.
    assert value == measured(cel.compile(text))[0]
    assert isinstance(value, bool) or value in ("KeyError", "OverflowError", "RuntimeError")


@pytest.mark.parametrize(
    "text",
    [
        "lines.all(l, receipt.skus.exists(s, s.sku == l.sku))",
        "lines.all(l, receipt.unexpected.all(u, u.sku != l.sku))",
        "lines.exists(l, l.title in settings.codes)",
        "lines.exists(l, " + " || ".join(["l.title in ret.reasons"] * 30) + " && false)",
        "lines.exists(l, l.title.matches('(x?x?x?)*y.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?.?z'))",
        "lines.all(l, " + " && ".join(["l.title.matches('.*a.*.*a.*y')"] * 2) + ")",
        "lines.all(l, " + " && ".join(["!l.title.contains('xxxxxxxy')"] * 25) + ")",
    ],
)
def test_the_dearest_that_is_accepted_takes_its_time_and_no_more(text: str) -> None:
    condition = compile_condition(text, FACTS)
    _, seconds = measured(condition.program)
    assert seconds < SECONDS


def test_the_largest_case_is_what_the_bound_is_reckoned_with() -> None:
    facts = facts_of(LARGEST_CASE, SETTINGS)
    sizes: list[int] = []

    def walk(value: Any) -> None:
        if isinstance(value, list):
            sizes.append(len(value))
        for entry in value.values() if isinstance(value, dict) else value:
            if isinstance(entry, dict | list):
                walk(entry)
            elif isinstance(entry, str):
                assert len(entry) <= LONGEST

    walk({name: facts[name] for name in ("ret", "receipt", "lines")})
    assert max(sizes) == LARGEST
    assert sizes.count(LARGEST) >= 4


TRUE = load_criteria("name: t\nrules: [{name: a, when: true, then: process}]", source="t")
LONG_TITLE = load_criteria(
    "name: t\nrules: [{name: a, when: \"lines.all(l, l.title != 'x')\", then: process}]", source="t"
)


def test_a_return_that_is_larger_goes_to_a_person() -> None:
    units = [unit(n, "A") for n in range(LARGEST + 1)]
    decision = decide(TRUE, case(units, ticket(got("A", LARGEST + 1))))
    assert (decision.outcome, decision.rule) == (Outcome.ATTENTION, "safety:too-large")
    assert "it has 501 units, products or tickets, more than the 500" in decision.reason
    assert decide(TRUE, case(units[1:], ticket(got("A", LARGEST)))).outcome is Outcome.PROCESS


def test_a_text_that_is_longer_counts_as_missing() -> None:
    for length, outcome in ((LONGEST, Outcome.PROCESS), (LONGEST + 1, Outcome.ATTENTION)):
        judged = case([replace(unit(1, "A"), title="t" * length)], ticket(got("A", 1)))
        assert decide(LONG_TITLE, judged).outcome is outcome


# -- what is refused ----------------------------------------------------------------------------

NAMES = st.sampled_from(["x", "l", "abc"])
HOSTILE = st.one_of(
    st.builds(
        lambda n, x: "lines" + f".map({x}, {x}+{x})" * n + " == []", st.integers(1, 60), NAMES
    ),
    st.builds(lambda n: "['a']" + ".map(x, x + x)" * n + "[0] == 'a'", st.integers(1, 70)),
    st.builds(lambda n: "lines" + ".filter(x, true)" * n + ".size() > 0", st.integers(1, 50)),
    st.builds(
        lambda n, of: "".join(f"{of}.all(v{i}, " for i in range(n)) + "true" + ")" * n,
        st.integers(3, 40),
        st.sampled_from(["lines", "receipt.skus", "ret.reasons"]),
    ),
    st.builds(
        lambda n, m: f"[{', '.join(['1'] * n)}].{m}(x, x > 0)",
        st.integers(1, 300),
        st.sampled_from(["all", "exists", "map"]),
    ),
    st.builds(lambda n: "ret.country" + " + ret.country" * n + " == 'a'", st.integers(1, 60)),
    st.builds(lambda n: "size(lines" + " + lines" * n + ") > 0", st.integers(1, 60)),
    st.builds(lambda n: "(" * n + "true" + ")" * n, st.integers(17, 490)),
    st.builds(lambda n: "[" * n + "]" * n + " == []", st.integers(1, 490)),
    st.builds(lambda n: "!" * n + "true", st.integers(17, 990)),
    st.builds(lambda n: "-" * n + "ret.units > 0", st.integers(17, 980)),
    st.builds(lambda n: "size(" * n + "lines" + ")" * n + " > 0", st.integers(2, 160)),
    st.builds(lambda n: "true" + " && true" * n, st.integers(64, 120)),
    st.builds(lambda n: "1" + "+1" * n + " > 0", st.integers(64, 480)),
    st.builds(lambda n: f"ret.country == '{'a' * n}'", st.integers(MAX_LENGTH, 100_000)),
    st.builds(lambda n: f"ret.units > {'9' * n}", st.integers(16, 980)),
    st.builds(lambda n: "ret" + ".country" * n + " == 'a'", st.integers(2, 120)),
    st.builds(lambda n: "lines" + "[0]" * n + " == 1", st.integers(2, 300)),
    st.builds(lambda n: "true ? " * n + "true" + " : true" * n, st.integers(1, 60)),
    st.builds(lambda n: f"{{'a': {'[' * n}{']' * n}}} == {{}}", st.integers(1, 400)),
    st.builds(
        lambda p: f"lines.all(l, l.sku.matches('{p}'))",
        st.sampled_from(
            [r"\\w{1000}", "(a{1000}){1000}", r"\\pL" * 15, "(?i)" + "é" * 20, "a" * 61, "("]
        ),
    ),
    st.builds(
        lambda n: (
            "lines.all(l, receipt.skus.all(s, "
            + " && ".join(["l.title in settings.codes"] * n)
            + "))"
        ),
        st.integers(1, 25),
    ),
)


@settings(max_examples=300, deadline=None)
@given(HOSTILE)
def test_what_is_hostile_is_refused_at_once_and_nothing_of_it_is_evaluated(text: str) -> None:
    evaluated: list[str] = []
    real = cel.compile

    def watched(source: str) -> cel.Program:
        evaluated.append(source)
        return real(source)

    expression_module.cel.compile = watched  # type: ignore[assignment]
    try:
        begin = time.process_time()
        with pytest.raises(ExpressionError) as caught:
            compile_condition(text, FACTS)
        assert time.process_time() - begin < 2.0
    finally:
        expression_module.cel.compile = real  # type: ignore[assignment]
    # A pattern is tried on an empty text, once its parts are known to be small.
    assert evaluated in ([], ['"".matches("(")'])
    assert caught.value.message
    assert caught.value.remedy
    assert 0 <= caught.value.offset <= len(text)


SOUP = st.lists(
    st.sampled_from(
        [
            "lines",
            "receipt",
            "ret",
            ".",
            "skus",
            ".all(l,",
            ".map(x,",
            "(",
            ")",
            "[",
            "]",
            ",",
            "!",
            "&&",
            "||",
            "==",
            "<",
            "+",
            "-",
            "*",
            "in",
            "1",
            "2.5",
            "'a'",
            "true",
            "has(",
            "size(",
            "timestamp(",
            "l",
            ".sku",
            ".country",
            ".matches(",
            "?",
            ":",
            "{",
            "//",
            "\n",
            "é",
            "\\",
        ]
    ),
    max_size=30,
).map(" ".join)


@settings(max_examples=400, deadline=None)
@given(st.one_of(SOUP, st.text(max_size=200)))
def test_any_text_is_accepted_within_the_bound_or_refused_with_its_place(text: str) -> None:
    try:
        condition = compile_condition(text, FACTS)
    except ExpressionError as error:
        assert 0 <= error.offset <= len(text)
    else:
        assert condition.cost <= MAX_COST
        assert isinstance(measured(condition.program)[0], bool | str)


@pytest.mark.parametrize(
    ("text", "column", "message", "remedy"),
    [
        (
            "lines.map(l, l.sku).size() > 0",
            7,
            "map is not allowed",
            "Use exists, all or exists_one",
        ),
        ("lines.filter(l, l.short > 0) == []", 7, "filter is not allowed", "Use exists"),
        (
            "ret.country + 'x' == 'y'",
            13,
            "+ cannot stand between a text and a text",
            "Texts and lists cannot be joined",
        ),
        (
            "lines.all(a, lines.all(b, lines.all(c, a.sku == c.sku)))",
            33,
            "more than 2 loops within each other",
            "Write it as two rules",
        ),
        (
            "lines.all(a, lines.all(b, a.sku != b.sku || a.id == b.id))",
            7,
            "it could take 4,252,002 steps for one return, more than 3,000,000",
            "Leave out loops within loops",
        ),
        ("[1, 2].exists(n, n > 1)", 8, "exists goes over a list of facts only", "Use it on lines"),
        ("ret.sku == 'a'", 5, "ret has no fact sku", "Use one of age_days, country"),
        ("lines[0] == lines[1]", 10, "== cannot stand between a unit and a unit", "Compare"),
        ("ret.refund_cents > 12.5 * ret.units", 25, "* cannot stand between", "Write double(...)"),
        ("ret.country == null", 16, "there is no null", "Ask has(...)"),
        ("ret.country in 'US,CA'", 13, "in cannot stand between a text and a text", "a list of"),
        ("ret.units > 0 and true", 15, "and cannot stand here", "Allowed are facts, numbers"),
        ("ret.units < 3 < 4", 15, "only two things can be compared at a time", "a < b && b < c"),
        ("receipt.arrived_at > '2026'", 20, "> cannot stand between", "Write timestamp(...)"),
        (
            "timestamp('soon') < timestamp('2026-01-01T00:00:00Z')",
            11,
            "it is not a time",
            "Correct",
        ),
        ("ret.country.matches('[')", 21, "it is not a pattern", "Correct"),
        (r"ret.country.matches('\\d')", 21, r"a pattern cannot have \d in it", "startsWith"),
        ("x" * 1001, 1, "it has 1001 characters, more than 1000", "Split it into two rules"),
    ],
)
def test_a_refusal_says_where_what_and_what_is_allowed_instead(
    text: str, column: int, message: str, remedy: str
) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_condition(text, FACTS)
    assert caught.value.message.startswith(message)
    assert caught.value.offset + 1 == column
    assert remedy in caught.value.remedy


def test_all_conditions_of_a_file_have_one_bound_together() -> None:
    dear = "lines.all(l, receipt.skus.exists(s, s.sku == l.sku))"
    one = compile_condition(dear, FACTS).cost
    assert one <= MAX_COST < 2 * one
    rules = "".join(f"\n  - {{name: r{n}, when: '{dear}', then: process}}" for n in range(3))
    with pytest.raises(CriteriaError) as caught:
        load_criteria(f"name: t\nrules:{rules}", source="t")
    assert [(p.line, p.field) for p in caught.value.problems] == [(4, "rules[2].when")]
    assert "with the rules before it, it could take 4,505,004 steps" in str(caught.value)


def test_a_setting_has_a_longest_text_and_list() -> None:
    text = (
        "name: t\nsettings:\n"
        f"  long: {'x' * (LONGEST + 1)}\n"
        f"  many: [{', '.join('a' * 1001)}]\n"
        "rules: [{name: a, when: true, then: process}]"
    )
    with pytest.raises(CriteriaError) as caught:
        load_criteria(text, source="t")
    found = [(p.line, p.field, p.message) for p in caught.value.problems]
    assert found == [
        (3, "settings.long", "it has 1001 characters"),
        (4, "settings.many", "it has 1001 entries"),
    ]


def test_a_file_full_of_mistakes_is_given_up_after_a_hundred() -> None:
    begin = time.process_time()
    note = "{ " * 30_000
    with pytest.raises(CriteriaError) as caught:
        then = f"{{flag: {{reason: x, note: '{note}'}}}}"
        load_criteria(f"name: t\nrules: [{{name: a, when: true, then: {then}}}]", source="t")
    assert len(caught.value.problems) == 100
    assert time.process_time() - begin < SECONDS
