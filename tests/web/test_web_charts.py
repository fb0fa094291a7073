"""Charts: right heights, and as readable as text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from bergen_loop.console.charts import HEIGHT, Bar, bar_chart, nice, spark, summary

SVG = "{http://www.w3.org/2000/svg}"
BARS = [
    Bar("Nov 1", 2.0, "2 h"),
    Bar("Nov 2", None, ""),
    Bar("Nov 3", 4.0, "4 h"),
    Bar("Nov 4", 0.0, "0 h"),
]


def parsed(svg: str) -> etree._Element:
    return etree.fromstring(svg)


def test_heights_are_in_proportion() -> None:
    heights = [
        float(h)
        for h in re.findall(r'<rect[^>]* height="([\d.]+)"', bar_chart("x", "T", BARS, "{} h"))
    ]
    assert len(heights) == 3  # no bar for a day without a value
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert 0 < heights[2] < 2  # a zero is shown


def test_a_screen_reader_is_told_what_is_seen() -> None:
    svg = parsed(bar_chart("x", "How long it took", BARS, "{} h"))
    assert svg.get("role") == "img"
    named = (svg.get("aria-labelledby") or "").split()
    texts = [svg.find(f"*[@id='{n}']") for n in named]
    assert [t.text for t in texts if t is not None] == [
        "How long it took",
        "newest 0 h on Nov 4; lowest 0 h on Nov 4, highest 4 h on Nov 3",
    ]
    assert [t.text for t in svg.iterfind(".//rect/title")] == [
        "Nov 1: 2 h", "Nov 3: 4 h", "Nov 4: 0 h"
    ]  # fmt: skip


def test_the_axis_is_labelled() -> None:
    labels = [t.text for t in parsed(bar_chart("x", "T", BARS, "{} h")).iterfind(".//text")]
    assert labels[:3] == ["0 h", "2.5 h", "5 h"]
    assert labels[-1] == "Nov 4"


def test_nothing_to_show() -> None:
    empty = [Bar("Nov 1", None, "")]
    assert summary(empty) == "nothing in these days"
    assert "<rect" not in bar_chart("x", "T", empty, "{}")
    assert "nothing in these days" in spark("T", empty)
    assert "<rect" not in bar_chart("x", "T", [], "{}")


def test_texts_are_escaped() -> None:
    bad = [Bar('<script>"', 1.0, "<b>")]
    for svg in (bar_chart('a"b', "<i>", bad, "{} <u>"), spark('"><x', bad)):
        assert parsed(svg) is not None
        assert "<script" not in svg
        assert "<x" not in svg


@given(st.floats(0.001, 10**9))
def test_an_axis_ends_at_a_round_number_above(value: float) -> None:
    top = nice(value)
    assert top >= value
    assert top <= value * 2.51 or top <= value * 10 / 4
    assert f"{top:e}"[0] in "125"


def test_an_axis_without_values() -> None:
    assert nice(0) == 1
    assert nice(-1) == 1


@given(st.lists(st.one_of(st.none(), st.floats(0, 10**6)), max_size=40))
def test_bars_stay_inside(values: list[float | None]) -> None:
    svg = bar_chart("x", "T", [Bar(str(n), v, "v") for n, v in enumerate(values)], "{}")
    for y, height in re.findall(r'<rect[^>]* y="([\d.]+)"[^>]* height="([\d.]+)"', svg):
        assert 0 <= float(y) <= HEIGHT
        assert float(y) + float(height) <= HEIGHT
