"""The fast reader of YAML says what the slow one says, or leaves the text to it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bergen_loop import yaml_source
from bergen_loop.yaml_source import YamlMistake

ODD = st.sampled_from(
    ["yes", "off", "n", "0o17", "012", "0x1F", "1_000", "1:30", "12:30:45", "1e3", "1.5", ".5",
     "+.inf", ".nan", "2026-11-01", "2026-11-01T08:00:00Z", "<<", "=", "~", "Null", "TRUE", "-",
     "--- a", "a: b", "a #b", "'q'", '"\\/"', '"\\x41"', "&a b", "*a", "!!str 1", "! 1", "%TAG",
     "60s", "-5", "+7", "00", "-0", "", "a\tb", "é\x85b", "a\u2028b", "\ufeff", "[1, 2", "{a: }",
     "|\n  text\n  more", ">-\n  text\n  more", "? a", "@a", "`a", '{"a":1}', "[a, [b]]",
     "\U0001f4e6"]
)  # fmt: skip
LINE = st.tuples(st.sampled_from(["a", "b", "1", "yes", "no name", "true", "a"]), ODD | st.text())


def as_values(read: Any, text: str) -> object:
    try:
        return repr(plain(read(text)))
    except YamlMistake as mistake:
        return mistake.message, mistake.line, mistake.column


def plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {plain(key): plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


@given(st.lists(LINE, max_size=4))
def test_both_readers_say_the_same_of_any_text(lines: list[tuple[str, str]]) -> None:
    text = "\n".join(f"{key}: {value}" for key, value in lines)
    assert as_values(yaml_source.values, text) == as_values(yaml_source.load, text)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("a: yes\nb: true\nc: 012\nd: 60s", {"a": "yes", "b": True, "c": 12, "d": "60s"}),
        ("a: 2026-11-01", {"a": date(2026, 11, 1)}),
        ("base: &b {x: 1}\nc:\n  <<: *b\n  y: 2", {"base": {"x": 1}, "c": {"y": 2, "x": 1}}),
    ],
)
def test_a_value_is_what_yaml_1_2_takes_it_for(text: str, means: object) -> None:
    assert plain(yaml_source.values(text)) == means


def test_a_key_that_stands_twice_is_a_mistake_with_its_place() -> None:
    with pytest.raises(YamlMistake) as mistake:
        yaml_source.values("a: 1\nb: 2\na: 3\n")
    assert (mistake.value.line, mistake.value.column) == (3, 1)
