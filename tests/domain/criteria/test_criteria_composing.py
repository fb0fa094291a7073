"""Common criteria put together from choices: whatever is chosen can be used, and does what it
says."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bergen_loop.domain.criteria import PRESETS, load_criteria, preset_text, warnings
from bergen_loop.domain.criteria.composing import (
    Common,
    Irregular,
    Short,
    Unfit,
    compose,
    read_back,
)


def test_whatever_is_chosen_can_be_used() -> None:
    for damaged, other, short, above, prefix in product(
        Irregular, Irregular, Short, ("", "1,250.50"), ("", "FS-")
    ):
        text = compose("Acme Shoes!", Common(damaged, other, short, "10", above, prefix))
        made = load_criteria(text, source="form")
        assert made.name == "acme-shoes"
        names = [rule.name for rule in made.rules]
        assert ("high-value" in names) is bool(above)
        assert ("always-a-person" in names) is bool(prefix)
        assert ("damaged" in names) is (damaged is not Irregular.PAY)
        assert made.settings.get("high_value_cents", 125050) == 125050


@given(
    st.sampled_from(Irregular), st.sampled_from(Irregular), st.sampled_from(Short),
    st.integers(1, 365), st.integers(0, 10**11),
    st.from_regex(r"[A-Za-z0-9._/-]{0,40}", fullmatch=True), st.integers(2, 200),
)  # fmt: skip
def test_what_was_put_together_is_read_back_and_nothing_else_is(
    damaged: Irregular, other: Irregular, short: Short, days: int, cents: int, prefix: str,
    spoilt: int,
) -> None:  # fmt: skip
    above = f"{cents // 100}.{cents % 100:02}" if cents else ""
    chosen = Common(damaged, other, short, str(days), above, prefix)
    text = compose("Acme Shoes!", chosen)
    read = read_back(text)
    assert read is not None
    assert read == replace(chosen, above=above.removesuffix(".00"))
    assert compose("Acme Shoes!", read) == text
    lines = text.split("\n")
    at = min(spoilt, len(lines) - 2)  # one line left out, or another one put in
    if lines[at].strip():
        assert read_back("\n".join([*lines[:at], *lines[at + 1 :]])) is None, lines[at]
    assert read_back("\n".join([*lines[:at], "# mine", *lines[at:]])) is None


def test_a_text_of_another_hand_is_not_read_back() -> None:
    for text in ("", "rules: []", *map(preset_text, PRESETS)):
        assert read_back(text) is None


@pytest.mark.parametrize(
    "choices",
    [
        Common(short=Short.WAIT_REMOVE),
        Common(Irregular.ASK, Irregular.ASK, Short.FLAG, "3", "500", "FS-"),
    ],
)
def test_what_is_chosen_has_no_serious_warning(choices: Common) -> None:
    made = load_criteria(compose("acme", choices), source="form")
    assert [w.sentence for w in warnings(made) if not w.informational] == []


@pytest.mark.parametrize(
    ("choices", "field"),
    [
        (Common(days="0"), "days"),
        (Common(days="x"), "days"),
        (Common(days="366"), "days"),
        (Common(above="-5"), "above"),
        (Common(above="1.005"), "above"),
        (Common(above="NaN"), "above"),
        (Common(prefix='x")'), "prefix"),
    ],
)
def test_what_cannot_be_put_together_is_told_at_its_field(choices: Common, field: str) -> None:
    with pytest.raises(Unfit) as why:
        compose("acme", choices)
    assert list(why.value.problems) == [field]
