"""Criteria files: what is read, and every mistake with its place."""

# ruff: noqa: E501 - the table of mistakes reads best with one a line

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from bergen_loop.domain.criteria import CriteriaError, CriteriaProblem, load_criteria
from bergen_loop.domain.criteria.expression import compile_condition
from bergen_loop.domain.criteria.model import (
    Attention,
    Flag,
    Irregularity,
    Process,
    RemoveLines,
    Wait,
)
from bergen_loop.domain.criteria.syntax import MAX_DEPTH, ExpressionError
from bergen_loop.domain.criteria.vocabulary import roots

FULL = """\
name: my-brand
description: All there is.
settings:
  patience: 2w
  high_cents: 10000
  label: Final sale
  skus: [A-1, B-2]
rules:
  - name: one
    when: receipt.complete && ret.refund_cents < settings.high_cents
    then: process
  - name: two
    when: "lines.exists(l, l.sku in settings.skus) || settings.label in ret.reasons"
    then: {process: {allow: [damaged, extra]}}
  - name: three
    when: |
      receipt.damaged > 0 &&
      receipt.skus.exists(s, s.damaged > 1)  // two of the same
    then:
      flag: {reason: damaged, note: "{problems} in {tickets}, {{sic}}"}
  - name: four
    when: receipt.short > 0
    then:
      wait: {for: patience, then: {remove_lines: {select: [short], allow: [extra]}}}
  - name: five
    when: has(ret.country) && ret.country == 'US'
    then: {wait: {for: 36h, then: attention}}
  - name: six
    when: size(receipt.warehouses) > 1
    then: {flag: {reason: two warehouses}}
  - name: rest
    when: true
    then: {attention: {reason: look at it}}
"""


def test_reads_everything_there_is() -> None:
    criteria = load_criteria(FULL, source="brand.yaml")
    assert (criteria.name, criteria.description) == ("my-brand", "All there is.")
    assert criteria.settings == {
        "patience": timedelta(days=14),
        "high_cents": 10000,
        "label": "Final sale",
        "skus": ("A-1", "B-2"),
    }
    assert [(r.name, r.then) for r in criteria.rules] == [
        ("one", Process()),
        ("two", Process(frozenset({Irregularity.DAMAGED, Irregularity.EXTRA}))),
        ("three", Flag("damaged", "{problems} in {tickets}, {{sic}}")),
        (
            "four",
            Wait(
                timedelta(days=14),
                RemoveLines(frozenset({Irregularity.SHORT}), frozenset({Irregularity.EXTRA})),
            ),
        ),
        ("five", Wait(timedelta(hours=36), Attention("the criteria ask for a person"))),
        ("six", Flag("two warehouses", "{reason}: {problems}")),
        ("rest", Attention("look at it")),
    ]
    assert criteria.rules[-1].when.text == "true"
    assert criteria.uses == {
        "receipt": frozenset({"complete", "damaged", "skus", "short", "warehouses"}),
        "ret": frozenset({"refund_cents", "reasons", "country"}),
        "settings": frozenset({"high_cents", "skus", "label"}),
        "lines": None,
    }


def test_version_follows_the_content_and_not_the_layout() -> None:
    version = load_criteria(FULL, source="a").version
    name, _, digest = version.partition("@")
    assert (name, len(digest), int(digest, 16) >= 0) == ("my-brand", 12, True)
    again = FULL.replace("All there is.", "Other words.").replace(
        "[damaged, extra]", "[ extra,  damaged ]"
    )
    assert load_criteria(again, source="b").version == version
    for changed in (
        FULL.replace("36h", "37h"),
        FULL.replace("10000", "10001"),
        FULL.replace("[short]", "[damaged]"),
        FULL.replace("name: rest", "name: other"),
        FULL.replace("short > 0", "short > 1"),
        FULL.replace("look at it", "look"),
    ):
        assert load_criteria(changed, source="c").version != version


def problems_of(text: str) -> list[tuple[int, int, str, str]]:
    with pytest.raises(CriteriaError) as caught:
        load_criteria(text, source="brand.yaml")
    assert all(p.source == "brand.yaml" and p.remedy for p in caught.value.problems)
    return [(p.line, p.column, p.field, p.message) for p in caught.value.problems]


BROKEN = """\
name: Bad Name
colour: red
settings:
  wait: 7 days
  Big: 3
  rate: 1.5
rules:
  - name: a
    when: receipt.damagd > 0
    then: process
  - name: a
    when: receipt.damaged >
    then: {flag: {note: "x {foo} {"}}
  - when: "lines.all(l, l.skuu == 'x')"
    then: {wait: {for: wait, then: {wait: {for: 1d, then: process}}}}
  - name: c
    when: |
      receipt.complete &&
        rett.total > 3
    then: {remove_lines: {select: [extra]}}
  - name: d
    when: receipt.damaged
    then: {process: {allow: [all]}}
  - name: e
    when: ret.country > 5
    then: refund
    then: flag
  - name: f
    when: foo(receipt.damaged) > 3
    then: {process: , flag: {reason: x}}
  - name: g
    when: "settings.x > 3"
    then: attention
    else: process
"""


def test_lists_all_mistakes_at_once() -> None:
    assert problems_of(BROKEN) == [
        (1, 7, "name", "'Bad Name' is not a name"),
        (2, 1, "colour", "there is no field colour here"),
        (5, 8, "settings.Big", "'Big' is not a setting's name"),
        (6, 9, "settings.rate", "a setting cannot be '1.5'"),
        (9, 19, "rules[1].when", "receipt has no fact damagd, in 'receipt.damagd > 0'"),
        (11, 11, "rules[2].name", "another rule is called 'a' too"),
        (12, 28, "rules[2].when", "it ends too early, in 'receipt.damaged >'"),
        (13, 18, "rules[2].then.flag.reason", "reason is missing"),
        (13, 28, "rules[2].then.flag.note", "there is no note variable {foo}"),
        (13, 34, "rules[2].then.flag.note", "a single {"),
        (14, 5, "rules[3].name", "name is missing"),
        (14, 27, "rules[3].when", "l has no fact skuu, in 'lines.all(l, l.skuu == 'x')'"),
        (15, 24, "rules[3].then.wait.for", "'wait' is not a duration"),
        (15, 36, "rules[3].then.wait.then", "a wait cannot be followed by another wait"),
        (19, 9, "rules[4].when", "there is no fact rett, in '  rett.total > 3'"),
        (20, 36, "rules[4].then.remove_lines.select", "'extra' cannot stand here"),
        (
            22,
            11,
            "rules[5].when",
            "it gives a whole number, not true or false, in 'receipt.damaged'",
        ),
        (23, 30, "rules[5].then.process.allow", "'all' cannot stand here"),
        (
            25,
            23,
            "rules[6].when",
            "> cannot stand between a text and a whole number, in 'ret.country > 5'",
        ),
        (26, 11, "rules[6].then", "there is no outcome 'refund'"),
        (27, 5, "rules[6].then", "then is there twice"),
        (29, 11, "rules[7].when", "there is no function foo, in 'foo(receipt.damaged) > 3'"),
        (30, 11, "rules[7].then", "there are 2 outcomes"),
        (32, 21, "rules[8].when", "settings has no fact x, in 'settings.x > 3'"),
        (34, 5, "rules[8].else", "there is no field else here"),
    ]


def test_a_problem_says_where_what_and_what_to_do() -> None:
    problem = CriteriaProblem("a.yaml", 3, 9, "rules[1].then", "it is empty", "Write a text")
    assert str(problem) == "a.yaml:3:9: rules[1].then: it is empty. Write a text"
    with pytest.raises(CriteriaError, match=r"^b.yaml:1:1: file: it is empty. Write name: and r"):
        load_criteria("", source="b.yaml")


def rule(when: str = "true", then: str = "process") -> str:
    return f"name: t\nrules:\n  - name: a\n    when: {when}\n    then: {then}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (1, 1, "file", "it is empty")),
        ("a: [1", (1, 6, "file", "it is not YAML: expected ',' or ']', but got '<stream end>'")),
        ("a:\n\tb: 1", (2, 1, "file", r"it is not YAML: found character '\t' that cannot start any token")),
        ("a: 1\n---\nb: 2", (2, 1, "file", "it is not YAML: but found another document")),
        ("a: *x", (1, 4, "file", "it is not YAML: found undefined alias 'x'")),
        ("ab:\n - \x07", (2, 4, "file", "it has a character that YAML does not allow")),
        ("[" * 1000, (1, 51, "file", "it is nested too deeply")),
        ("#" * 70000, (1, 1, "file", "it has more than 65536 characters")),
        ("- a", (1, 1, "", "it is a list, not fields")),
        ("name: t\nrules: []", (2, 8, "rules", "there are 0 rules")),
        ("name: t\nrules: yes", (2, 8, "rules", "it is a single value, not a list")),
        ("name: t", (1, 1, "rules", "rules is missing")),
        ("rules: [{name: a, when: true, then: process}]", (1, 1, "name", "name is missing")),
        ("name: t\nname: t\nrules: [{name: a, when: true, then: process}]", (2, 1, "name", "name is there twice")),
        ("name:\nrules: [{name: a, when: true, then: process}]", (1, 1, "name", "it is empty")),
        ("name: [t]\nrules: [{name: a, when: true, then: process}]", (1, 7, "name", "it is a list, not a text")),
        ("name: t\nrules:\n  - process", (3, 5, "rules[1]", "it is a single value, not fields")),
        (rule(then="flag"), (5, 11, "rules[1].then.flag", "a flag needs a reason")),
        (rule(then="wait"), (5, 11, "rules[1].then.wait", "a wait needs for and then")),
        (rule(then="remove_lines"), (5, 11, "rules[1].then.remove_lines", "remove_lines needs select")),
        (rule(then="{remove_lines: {select: []}}"), (5, 35, "rules[1].then.remove_lines.select", "it selects nothing")),
        (rule(then="{remove_lines: {allow: [short]}}"), (5, 26, "rules[1].then.remove_lines.select", "select is missing")),
        (rule(then="{wait: {for: 400d, then: process}}"), (5, 24, "rules[1].then.wait.for", "'400d' is not a duration")),
        (rule(then="{wait: {for: -1d, then: process}}"), (5, 24, "rules[1].then.wait.for", "'-1d' is not a duration")),
        (rule(then="{wait: {for: 1d}}"), (5, 18, "rules[1].then.wait.then", "then is missing")),
        (rule(then="{attention: {}}"), (5, 23, "rules[1].then.attention.reason", "reason is missing")),
        (rule(then="{process: {allow: damaged}}"), (5, 29, "rules[1].then.process.allow", "it is a single value, not a list")),
        (rule(then="{process: {always: true}}"), (5, 22, "rules[1].then.process.always", "there is no field always here")),
        (rule(then="[process]"), (5, 11, "rules[1].then", "it is a list, not fields")),
        (rule(then=f"{{flag: {{reason: {'x' * 101}}}}}"), (5, 27, "rules[1].then.flag.reason", "it has 101 characters")),
        (rule(then="{flag: {reason: x, note: 'a }'}}"), (5, 39, "rules[1].then.flag.note", "a single }")),
        (rule(when="[1]"), (4, 11, "rules[1].when", "it is a list, not a text")),
        (rule(when="''"), (4, 11, "rules[1].when", "it is empty")),
        (rule(when="'1 = 1'"), (4, 14, "rules[1].when", "= cannot stand here: two values are compared by ==, in '1 = 1'")),
        (rule(when="receipt"), (4, 11, "rules[1].when", "it gives receipt, not true or false, in 'receipt'")),
        (rule(when="ret.`a`"), (4, 15, "rules[1].when", "` cannot stand here: a name comes after the point, in 'ret.`a`'")),
        (rule(when="return.total > 3"), (4, 11, "rules[1].when", "there is no fact return, in 'return.total > 3'")),
        (rule(when=">\n      true\n      && what"), (4, 11, "rules[1].when", "there is no fact what, in 'true && what'")),
        (rule(when="true &&\n      what"), (4, 11, "rules[1].when", "there is no fact what, in 'true && what'")),
        (rule(when="'" + "(" * 17 + "true" + ")" * 17 + "'"), (4, 28, "rules[1].when", f"more than {MAX_DEPTH} brackets or signs within each other, in '{'(' * 17}true{')' * 17}'")),
    ],
)  # fmt: skip
def test_each_mistake(text: str, expected: tuple[int, int, str, str]) -> None:
    assert problems_of(text) == [expected]


def test_too_many_rules() -> None:
    many = "".join(f"\n  - {{name: r{n}, when: true, then: process}}" for n in range(101))
    assert problems_of(f"name: t\nrules:{many}") == [(3, 3, "rules", "there are 101 rules")]


def test_yaml_anchors_can_be_used_and_cannot_run_in_circles() -> None:
    shared = (
        "name: t\nrules:\n"
        "  - {name: a, when: receipt.damaged > 0, then: &f {flag: {reason: look}}}\n"
        "  - {name: b, when: receipt.short > 0, then: *f}\n"
    )
    criteria = load_criteria(shared, source="t")
    assert criteria.rules[0].then == criteria.rules[1].then
    circle = "name: t\nrules:\n  - {name: a, when: true, then: &x {wait: {for: 1d, then: *x}}}"
    assert problems_of(circle) == [
        (3, 33, "rules[1].then.wait.then", "a wait cannot be followed by another wait")
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        "(" * 490 + "true" + ")" * 490,
        "[" * 490 + "]" * 490,
        "!" * 990 + "true",
        "-" * 990 + "1",
        "true?true:" * 99 + "true",
        "true" + "[0]" * 330,
        "a" + ".b" * 490,
        "size(" * 160 + "true" + ")" * 160,
        "1" + "+1" * 490,
        "true" + "&&true" * 160,
        '"' + "\\" * 900,
    ],
)
def test_no_condition_overflows_a_small_stack(hostile: str) -> None:
    """A native stack overflow would end the process, with all brands in it."""
    outcomes: list[str] = []

    def work() -> None:
        try:
            compile_condition(hostile, roots({}))
            outcomes.append("compiled")
        except ExpressionError as error:
            outcomes.append(error.message)

    before = threading.stack_size(2 * 1024 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert len(outcomes) == 1
