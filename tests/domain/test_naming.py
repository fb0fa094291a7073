"""What a sold unit is called in the warehouse."""

from __future__ import annotations

import pytest

from bergen_loop.domain.naming import color_and_size, is_size, named_unit, source_fault
from bergen_loop.domain.returns import ReturnLine

SIZES = """
S, xl, XXL, 2XL, 3xs, X-Small, Extra Large, Medium, 38, 38.5, 10 ½, US 8, EU 41, AU 4/US 0, W32 L34,
32x34, One Size, one-size, OS, O/S, OSFA, S/M, 6-12 months, 12M, 4Y, 3T, 34B, 100 cm, 32W,
One Size Fits All
"""


@pytest.mark.parametrize("size", [size.strip() for size in SIZES.split(",")])
def test_sizes_are_known(size: str) -> None:
    assert is_size(size)


@pytest.mark.parametrize(
    "word", ["Navy", "Red", "Sand", "Rose Gold", "", "/", "X" * 200, "Smalt", "Large Dots", "M & M"]
)
def test_colors_are_no_sizes(word: str) -> None:
    assert not is_size(word)


@pytest.mark.parametrize(
    ("variant", "title", "expected"),
    [
        ("Small / Navy", "Tee", ("Navy", "Small")),
        ("Navy / Small", "Tee", ("Navy", "Small")),
        ("AU 4/US 0 / Red", "Tee", ("Red", "AU 4/US 0")),
        ("38", "Shoe", (None, "38")),
        ("Navy", "Cap", ("Navy", None)),
        ("32 / 34", "Jeans", (None, None)),
        ("Navy / Striped", "Tee", (None, None)),
        ("S / Navy / Long", "Tee", (None, None)),
        ("Default Title", "Mug - S", (None, None)),
        (None, "Tee - Small / Navy", ("Navy", "Small")),
        (None, "Tee - M", (None, "M")),
        (None, "Tee - Long Sleeve", (None, None)),
        (None, None, (None, None)),
        ("", "Tee", (None, None)),
    ],
)
def test_without_a_mapping_only_what_leaves_no_doubt_is_taken(
    variant: str | None, title: str | None, expected: tuple[str | None, str | None]
) -> None:
    line = ReturnLine("1", variant_title=variant, title=title)
    assert color_and_size(line) == expected


def test_a_mapping_takes_the_parts_it_names_and_nothing_else() -> None:
    line = ReturnLine(
        "1", "ST-RED-9", None, "Jeans - Classic", "32 / 34 / Blue", product_id="77", variant_id="8"
    )
    fields = {"style": "sku.1", "color": "variant.3", "size": "variant.1"}
    named = named_unit(line, fields, {})
    assert (named.style, named.color, named.size) == ("ST", "Blue", "32")
    named = named_unit(line, {"style": "variant.9 | product_id"}, {})
    assert (named.style, named.color, named.size) == ("77", None, None)
    assert named_unit(line, {"style": "variant.9"}, {}).style is None
    assert named_unit(line, {"color": "title.2"}, {}).color == "Classic"


@pytest.mark.parametrize("good", ["variant", "variant.2", "title | sku.1", "product_id"])
def test_sources_that_can_be_used(good: str) -> None:
    assert source_fault(good) is None


@pytest.mark.parametrize("bad", ["", "variant.0", "variant.x", "colour", "product_id.1", "title |"])
def test_sources_that_cannot(bad: str) -> None:
    assert "variant.1" in (source_fault(bad) or "")
