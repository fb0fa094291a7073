"""Notes for Loop: always short enough, always one line."""

from __future__ import annotations

import pytest
from criteria_cases import PAIR, case, got, ticket, unit
from hypothesis import given
from hypothesis import strategies as st

from bergen_loop.domain.comparison import Comparison, SkuCount
from bergen_loop.domain.criteria.names import looks, names_of, plain
from bergen_loop.domain.criteria.notes import (
    VARIABLES,
    note_values,
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
    values = note_values(JUDGED, "damaged", "why")(None)
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
    note = render("Missing: {problems}. Call us.", lambda _: {"problems": entries})
    assert note == f"Missing: {'; '.join(entries[:9])}; +21 more. Call us."
    assert len(note) <= NOTE_LIMIT < len(f"Missing: {'; '.join(entries[:10])}; +20 more. Call us.")


def test_text_that_leaves_no_room_for_a_list_is_cut_itself() -> None:
    note = render("x" * 300 + " {problems}", lambda _: {"problems": ("a", "b")})
    assert note == "x" * 253 + "…"
    note = render("x" * 245 + " {problems}", lambda _: {"problems": ("abc", "defgh")})
    assert note.endswith(" 2 in all")


def test_nothing_is_cut_while_there_is_room() -> None:
    long = "S" * 190
    judged = case([unit(1, long), unit(2, "B")], ticket(got(long, 0), got("B", 0)))
    note = render("{problems}", note_values(judged, "r", "w"))
    assert note == f"SKU {long}: 1 of 1 missing; SKU B: 1 of 1 missing"
    longer = f"{'S' * 150}{'T' * 150}"
    judged = case([unit(1, longer), unit(2, "B")], ticket(got(longer, 0), got("B", 0)))
    assert problem_text(judged.comparison) == (
        f"SKU {longer}: 1 of 1 missing; SKU B: 1 of 1 missing"
    )
    assert render("{problems}", note_values(judged, "r", "w")) == (
        f"SKU {'S' * 53}…{'T' * 26}: 1 of 1 missing; SKU B: 1 of 1 missing"
    )


@pytest.mark.parametrize(
    ("expected", "received", "note"),
    [
        ("AB\x0b-100", "AB-100", "SKU AB<U+000B>-100: 1 of 1 missing; SKU AB-100: 1 not"),
        ("AB-100", "AB-100\u200b", "SKU AB-100: 1 of 1 missing; SKU AB-100<U+200B>: 1 not"),
        ("Caf\u00e9", "Cafe\u0301", "SKU Caf<U+00E9>: 1 of 1 missing; SKU Cafe<U+0301>: 1 not"),
        ("A-1", "\u0410-1", "SKU A-1: 1 of 1 missing; SKU <U+0410>-1: 1 not"),
        ("A-1", "A\u20131", "SKU A-1: 1 of 1 missing; SKU A<U+2013>1: 1 not"),
        ("A 1", "A  1", "SKU A 1: 1 of 1 missing; SKU A<U+0020><U+0020>1: 1 not"),
        ("A-1", "A-2", "SKU A-1: 1 of 1 missing; SKU A-2: 1 not"),
        ("Größe 1", "Größe 2", "SKU Größe 1: 1 of 1 missing; SKU Größe 2: 1 not"),
    ],
)
def test_a_note_never_shows_one_name_for_what_was_expected_and_what_came(
    expected: str, received: str, note: str
) -> None:
    counted = SkuCount(expected, None, None, 1, 0, 0, 1, 0, ("1",))
    other = SkuCount(received, None, None, 0, 1, 0, 0, 1)
    comparison = Comparison((counted,), (other,), ())
    assert problem_text(comparison).startswith(note)


def test_of_equal_skus_the_upc_is_named() -> None:
    one = SkuCount("A-1", "0885909950805", None, 1, 0, 0, 1, 0, ("1",))
    other = SkuCount("a-1", "0885909950812", None, 0, 1, 0, 0, 1)
    assert names_of([one, other]) == ["A-1 (UPC 0885909950805)", "a-1 (UPC 0885909950812)"]
    same = SkuCount("A-1", None, "Shirt", 1, 0, 0, 1, 0, ("2",))
    assert names_of([same, same]) == ["A-1 (no. 1)", "A-1 (no. 2)"]


CODES = st.one_of(
    st.text("AaΑ А-–1\u200b\x0b\u0301é", max_size=4),
    st.text("xX", min_size=60, max_size=64),
    st.builds(lambda a, b, c: f"{a * 50}{b}{c * 50}", *[st.sampled_from("xyz")] * 3),
    st.none(),
)


@given(
    st.lists(
        st.builds(
            lambda sku, upc: SkuCount(sku, upc, None, 1, 0, 0, 1, 0), CODES, st.sampled_from("12")
        ),
        max_size=8,
    ),
    st.sampled_from([None, 80, 40]),
)
def test_no_two_names_look_alike(products: list[SkuCount], limit: int | None) -> None:
    names = names_of(products, limit)
    assert len(names) == len(products)
    assert len({looks(name) for name in names}) == len(names)
    assert all(name.isprintable() and name for name in names)
    assert all(limit is None or len(name) <= limit + 30 for name in names)


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
    note = render(template, lambda _: values)
    assert len(note) <= NOTE_LIMIT
    assert note.isprintable()
    assert note == note.strip()
