"""Grades and dispositions read back from Loop, for people."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bergen_loop.outside.loop.grades import Grade, Image, grades

CONDITION = {
    "description": "Torn at the seam",
    "condition_category": {"subject": "Item condition grade", "title": "Grade C", "grade": "C"},
    "return_processor": "floor@bergen.example",
    "note": None,
    "inspected_at": "2026-11-24 12:00:00",
    "images": ["https://cdn.example/1.jpg", "http://cdn.example/2.jpg", "javascript:alert(1)",
               {"url": "https://other.example/3.jpg"}, 4, "https://[x"],
}  # fmt: skip
LINE = {
    "line_item_id": 901,
    "sku": "TEE-S",
    "condition": CONDITION,
    "disposition": {"disposition_outcome": "resale_hold", "note": "look again"},
}


def test_a_graded_unit_is_read_with_its_pictures() -> None:
    assert grades({"line_items": [LINE, {"line_item_id": 902, "sku": "TEE-M"}]}) == [
        Grade(
            "901", "TEE-S", "Grade C", "Torn at the seam", "look again", "floor@bergen.example",
            "2026-11-24 12:00:00", "resale_hold",
            (Image("https://cdn.example/1.jpg", "cdn.example"),
             Image("https://other.example/3.jpg", "other.example")),
        )
    ]  # fmt: skip
    old = {"line_items": [{**LINE, "condition": {**CONDITION, "condition_category": "grade_a"}}]}
    assert grades(old)[0].category == "grade_a"


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.sampled_from(["line_items", *CONDITION, *LINE]), JSON)
def test_whatever_stands_in_one_place_nothing_breaks(place: str, value: Any) -> None:
    condition = {k: value if k == place else v for k, v in CONDITION.items()}
    line: dict[str, Any] = {**LINE, "condition": condition}
    line = {k: value if k == place else v for k, v in line.items()}
    answer = {"line_items": value if place == "line_items" else [line]}
    for one in grades(answer):
        assert all(i.url.startswith("https://") for i in one.images)
