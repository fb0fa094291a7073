"""One normal form for codes; what cannot be sent is told; what looks alike is told apart."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bergen_loop.domain.codes import (
    CodeKind,
    given_code,
    look_alike,
    may_be_one,
    normal_code,
    normal_upc,
    normal_word,
    sent_code,
    sent_upc,
    tell_apart,
    unsendable,
)

ODD = [
    *" \t\n\u00a0\u2003",
    *"\u200b\u200e\u2060\ufeff\u00ad\u034f\u3164\ufe0f",
    *"\x00\x0b\x1d\x85\ufffe\ufffd\ud800",
    *"éßİſﬀＡ１ǅ",
    "e\u0301",
]
texts = st.lists(st.sampled_from([*"abAB019-./", *ODD]), max_size=8).map("".join) | st.text()


@given(texts)
def test_normal_forms_are_final(text: str) -> None:
    for normal in (normal_code, normal_upc, normal_word):
        once = normal(text)
        assert normal(once) == once


@given(texts)
def test_the_sent_form_is_final_and_means_the_same_code(text: str) -> None:
    sent = sent_code(text)
    assert sent_code(sent) == sent
    assert normal_code(sent) == normal_code(text)
    assert normal_upc(sent_upc(text)) == normal_upc(text)


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9./é-]{0,11}", fullmatch=True),
    st.sampled_from(["case", "nfd", "zero width", "blanks", "control", "wide", "soft hyphen"]),
    st.integers(0, 12),
)
def test_what_systems_do_to_a_code_does_not_make_it_another(code: str, way: str, at: int) -> None:
    spoiled = {
        "case": code.swapcase(),
        "nfd": unicodedata.normalize("NFD", code),
        "zero width": code[:at] + "\u200b" + code[at:],
        "blanks": f"  {code[:at]} {code[at:]}\n",
        "control": code[:at] + "\x0b" + code[at:],
        "wide": "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in code),
        "soft hyphen": code[:at] + "\u00ad" + code[at:],
    }[way]
    assert normal_code(spoiled) == normal_code(code)
    assert normal_upc(spoiled) == normal_upc(code)


@given(st.from_regex(r"[1-9][0-9]{7,12}", fullmatch=True), st.integers(0, 6))
def test_a_gtin_is_the_same_with_any_leading_zeros(gtin: str, zeros: int) -> None:
    assert normal_upc("0" * zeros + gtin) == normal_upc(gtin) == gtin


def test_the_zeros_of_a_sku_and_of_a_code_with_letters_count() -> None:
    assert normal_code("00123") != normal_code("123")
    assert normal_upc("00A1") != normal_upc("A1")


@pytest.mark.parametrize("none", [None, "", "  ", "\u200b", "000000000000", "N/A", "none", "-"])
def test_no_barcode_is_no_barcode(none: str | None) -> None:
    assert normal_upc(none) is None
    assert sent_upc(none) is None


@pytest.mark.parametrize("word", ["in_store", "In-Store", "in store", " INSTORE ", "In\u00a0Store"])
def test_words_of_a_list_have_one_form(word: str) -> None:
    assert normal_word(word) == "instore"


@pytest.mark.parametrize(
    ("code", "kind", "problem"),
    [
        ("AB\x0b-100", CodeKind.SKU, "U+000B at place 3"),
        ("AB\t100", CodeKind.SKU, "U+0009"),
        ("AB\ufffd", CodeKind.SKU, "U+FFFD"),
        ("AB\ud800", CodeKind.SKU, "U+D800"),
        ("8.85E+11", CodeKind.UPC, "spreadsheet"),
        ("8,85e11", CodeKind.UPC, "spreadsheet"),
        ("885909950805.0", CodeKind.UPC, "spreadsheet"),
        ("8.85E+11", CodeKind.SKU, "spreadsheet"),
        ("'885909950805", CodeKind.UPC, "spreadsheet"),
        ('="885909950805"', CodeKind.UPC, "spreadsheet"),
        ('="TEE-1"', CodeKind.SKU, "spreadsheet"),
        ("A" * 51, CodeKind.SKU, "51 characters long, more than 50"),
        (" \u200b ", CodeKind.SKU, "the SKU is empty"),
        ("see label", CodeKind.UPC, "no digit"),
    ],
)
def test_what_cannot_be_sent_is_told_in_words(code: str, kind: CodeKind, problem: str) -> None:
    found = unsendable(code, kind)
    assert found and problem in found
    assert found.isprintable(), "the words name the character, they do not hold it"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("TEE-RED-M", CodeKind.SKU),
        ("  TEE\n", CodeKind.SKU),
        ("12E3", CodeKind.SKU),
        ("12.5", CodeKind.SKU),
        ("T\u200bEE", CodeKind.SKU),
        ("0885909950805", CodeKind.UPC),
        ("X001ABC", CodeKind.UPC),
    ],
)
def test_usual_codes_can_be_sent(code: str, kind: CodeKind) -> None:
    assert unsendable(code, kind) is None


@given(texts, st.sampled_from(CodeKind))
def test_what_may_be_sent_is_plain_text_for_xml(code: str, kind: CodeKind) -> None:
    if unsendable(code, kind) is None:
        sent = sent_code(code)
        assert sent and len(sent) <= 50
        assert all(unicodedata.category(c) not in ("Cc", "Cs") for c in sent)


def test_names_that_look_alike_are_told_apart() -> None:
    assert tell_apart("AB-100", "AB\u200b-100") == ("AB-100", r"AB\u200b-100")
    assert tell_apart("AB-100", "AB\u2011100") == ("AB-100", r"AB\u2011100")
    assert tell_apart("AB-100", "\u0410B-100") == ("AB-100", r"\u0410B-100")
    assert tell_apart("AB 1", "AB  1") == ("AB 1", r"AB \x201")
    assert tell_apart("A B", "A\x0bB") == ("A B", r"A\x0bB")
    assert tell_apart("red", "blue") == ("red", "blue")


@given(texts, texts)
def test_words_for_two_names_differ_where_the_names_do(a: str, b: str) -> None:
    if a != b:
        one, two = tell_apart(a, b)
        assert one != two
        if look_alike(a, b):
            assert one.isascii() and one.isprintable() and two.isascii() and two.isprintable()


@pytest.mark.parametrize("word", ["N/A", "na", "None", "NULL", "nil", "undefined", " - ", "0", ""])
def test_words_for_no_code_are_none(word: str) -> None:
    assert given_code(word) is None
    assert given_code(f"A{word}B") == f"A{word}B"


@pytest.mark.parametrize(
    ("a", "b", "one"),
    [
        ("AB-100", "AB100", True),
        ("AB-100", "AB-1000", False),
        ("00123", "123", True),
        ("0A123", "A123", False),
        ("12345678", "912345678", True),
        ("1234567", "91234567", False),
        ("ABCDEFGHIJKLMNO", "ABCDEFGHIJKLMNOP-2", True),
        ("TEE-M", "TEE-ML", False),
        ("A-1", "B-1", False),
    ],
)
def test_codes_that_may_be_one(a: str, b: str, one: bool) -> None:
    assert may_be_one(a, b) is may_be_one(b, a) is one


@given(texts, texts)
def test_what_looks_alike_may_be_one_and_nothing_raises(a: str, b: str) -> None:
    assert may_be_one(a, b) or not look_alike(a, b)
