"""Common criteria put together from choices: whatever is chosen can be used, and does what it
says."""

from __future__ import annotations

from itertools import product

import pytest

from bergen_loop.domain.criteria import load_criteria, warnings
from bergen_loop.domain.criteria.composing import Common, Irregular, Short, Unfit, compose


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
