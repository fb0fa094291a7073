"""Notes for Loop: always short enough, always one line."""

from __future__ import annotations

import pytest
from criteria_cases import PAIR, case, got, ticket, unit
from hypothesis import given
from hypothesis import strategies as st

from bergen_loop.domain.criteria.notes import (
    VARIABLES,
    note_values,
    plain,
    problem_text,
    render,
    template_faults,
)
from bergen_loop.domain.decision import NOTE_LIMIT

JUDGED = case(
    [*PAIR, unit(3, "A")],
    ticket(got("A", 2, 1), got("B", 0), got("Z", 1, 1)),
    ticket(number=2),
)


def test_every_variable_of_a_case() -> None:
    values = note_values(JUDGED, "damaged", "why")
    assert values == {
        "problems": (
            "SKU A: 1 of 2 damaged",
            "SKU B: 1 of 1 missing",
            "SKU Z: 1 not on the return, 1 damaged",
        ),
        "skus": ("A", "B"),
        "expected": "3",
        "counted": "2",
        "damaged": "2",
        "short": "1",
        "extra": "0",
        "wrong": "1",
        "order": "#1001",
        "return_id": "1001",
        "tickets": ("WHRTN1", "WHRTN2"),
        "warehouse": ("BERGEN LOGISTICS NJ",),
        "total": "50.00 USD",
        "refund": "50.00 USD",
        "waited_days": "0",
        "open_tickets": "0",
        "rule": "damaged",
        "reason": "why",
    }
    assert values.keys() == VARIABLES


def test_braces_can_be_written() -> None:
    assert template_faults("{{a}} {order}") == []
    assert render("{{a}} {order}", note_values(JUDGED, "r", "w")) == "{a} #1001"


def test_a_long_list_is_cut_at_whole_entries() -> None:
    entries = tuple(f"SKU-{n:03}: 1 of 1 missing" for n in range(30))
    note = render("Missing: {problems}. Call us.", {"problems": entries})
    assert note == f"Missing: {'; '.join(entries[:9])}; +21 more. Call us."
    assert len(note) <= NOTE_LIMIT < len(f"Missing: {'; '.join(entries[:10])}; +20 more. Call us.")


def test_text_that_leaves_no_room_for_a_list_is_cut_itself() -> None:
    note = render("x" * 300 + " {problems}", {"problems": ("a", "b")})
    assert note == "x" * 253 + "…"
    assert render("x" * 245 + " {problems}", {"problems": ("abc", "defgh")}).endswith(" 2 in all")


def test_a_long_sku_does_not_fill_a_note() -> None:
    judged = case([unit(1, "S" * 300), unit(2, "B")], ticket(got("S" * 300, 0), got("B", 0)))
    assert problem_text(judged.comparison) == (
        f"SKU {'S' * 39}…: 1 of 1 missing; SKU B: 1 of 1 missing"
    )


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("a\x00b\x1b[31m", "a b [31m"),
        (" two\r\nlines\ttab ", "two lines tab"),
        ("right\u202eleft\u200b!", "right left !"),
        ("half \ud83d pair", "half pair"),
        ("Größe 38 – ok", "Größe 38 – ok"),
    ],
)
def test_notes_are_plain(dirty: str, clean: str) -> None:
    assert plain(dirty) == clean


PIECES = st.sampled_from(
    [f"{{{name}}}" for name in sorted(VARIABLES)] + ["{{", "}}", " and ", "x" * 90]
)


@given(
    st.lists(PIECES, max_size=12).map("".join),
    st.lists(st.text(max_size=60), min_size=1, max_size=40),
    st.text(max_size=400),
)
def test_no_note_is_ever_over_the_limit(template: str, entries: list[str], text: str) -> None:
    assert template_faults(template) == []
    values = {n: tuple(entries) if n in ("problems", "skus") else text for n in VARIABLES}
    note = render(template, values)
    assert len(note) <= NOTE_LIMIT
    assert note.isprintable()
    assert note == note.strip()
