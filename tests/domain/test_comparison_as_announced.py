"""Receipts as real tickets give them back: without SKU, lower-cased, under the warehouse's own
names, in parts; and what cannot be told apart is a doubt, never a swap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bergen_loop.domain.announce import AnnounceRules, rma_items
from bergen_loop.domain.comparison import Comparison, compare, units_by_product
from bergen_loop.domain.criteria.notes import problem_text
from bergen_loop.domain.grading import UnitCondition, graded_units
from bergen_loop.domain.naming import KitPart, Kits, Known
from bergen_loop.domain.remarks import Remarks, remark_words
from bergen_loop.domain.returns import ReturnLine
from bergen_loop.domain.rma import Receipt, ReceiptLine, RmaItem, TicketStatus, WarehouseProduct


def unit(number: int, sku: str | None, upc: str | None = None, variant: str = "") -> ReturnLine:
    return ReturnLine(
        line_item_id=str(number), sku=sku, barcode=upc, title="Tee", variant_title=variant
    )


def receipt(*lines: ReceiptLine) -> Receipt:
    status = TicketStatus.ADDED_TO_INVENTORY
    return Receipt("T1", status, "AddedToInventory", lines)


def got(actual: int = 1, damaged: int = 0, **codes: Any) -> ReceiptLine:
    return ReceiptLine(actual=actual, damaged=damaged, **codes)


def read_back(items: tuple[RmaItem, ...]) -> list[ReceiptLine]:
    """An announced ticket, complete, as a real one comes back: no SKU, all lower-cased."""

    def low(text: str | None) -> str | None:
        return text.lower() if text else None

    return [
        got(
            i.expected,
            upc=low(i.upc),
            style=low(i.style),
            color=low(i.color),
            size=low(i.size),
        )
        for i in items
    ]


def swapped(c: Comparison) -> bool:
    return bool(c.wrong) and not c.unclear


# -- by which codes ---------------------------------------------------------------------------


def test_case_14_zeros_of_a_gtin_do_not_make_another_product() -> None:
    lines = [unit(1, None, "0885909950805")]
    assert compare(lines, [receipt(got(upc="885909950805"))]).complete


def test_case_11_what_was_sent_without_a_control_character_matches() -> None:
    assert compare([unit(1, "AB\x0b-100")], [receipt(got(sku="ab-100"))]).complete


@pytest.mark.parametrize("sku", ["CAFE\u0301-1", "caf\u00e9\u200b-1", "CAF\u00c9\u00a0-1"])
def test_case_29_another_unicode_form_is_the_same_code(sku: str) -> None:
    assert compare([unit(1, "CAF\u00c9-1")], [receipt(got(sku=sku))]).complete


@pytest.mark.parametrize("sku", ["AB\u2011100", "\u0410B-100"])
def test_case_29_codes_that_only_look_alike_are_a_doubt_that_tells_them_apart(sku: str) -> None:
    lines = [unit(1, "AB-100")]
    result = compare(lines, [receipt(got(0, sku="ab-100"), got(sku=sku))])
    assert any("look alike" in d and "\\u" in d for d in result.unclear), result.unclear


def test_case_31_a_barcode_on_one_of_two_equal_lines_is_one_product() -> None:
    lines = [unit(1, "A", "10001"), unit(2, "A", ""), unit(3, None, "10001")]
    assert len(units_by_product(lines)) == 1
    result = compare(lines, [receipt(got(3, upc="10001"))])
    assert result.complete
    assert [s.line_item_ids for s in result.skus] == [("1", "2", "3")]
    (item,) = rma_items(lines, AnnounceRules())
    assert (item.sku, item.upc, item.expected) == ("A", "10001", 3)


def test_two_barcodes_under_one_sku_stay_two_products() -> None:
    lines = [unit(1, "A", "10001"), unit(2, "A", "10002"), unit(3, "A", None)]
    assert len(units_by_product(lines)) == 3
    assert compare(lines, [receipt(got(3, sku="a"))]).unclear


# -- case 26: a real ticket, added with a Style and no SKU -------------------------------------

REAL: dict[str, Any] = {"style": "abc123", "color": "red", "size": "au 4/us 0", "upc": "10001"}
"""As the recorded ticket has it."""


@pytest.mark.parametrize(
    "announced",
    [
        (),
        ((RmaItem("ABC123", None, 1),),),
        ((RmaItem("ABC123", None, 1, pieces=(("1", 1),)),),),
        ((RmaItem("ABC123", None, 1, style="ABC123", pieces=(("1", 1),)),),),
        ((RmaItem(None, None, 1, None, "Abc123", "Red", "AU 4/US 0", pieces=(("1", 1),)),),),
    ],
)
def test_case_26_a_ticket_without_sku_matches_by_its_style(
    announced: tuple[tuple[RmaItem, ...], ...],
) -> None:
    result = compare([unit(1, "ABC123")], [receipt(got(**REAL))], announced)
    assert result.complete, result


@pytest.mark.parametrize("style", ["tee-7", None])
def test_case_26_another_style_without_a_code_to_compare_is_a_doubt(style: str | None) -> None:
    result = compare([unit(1, "ABC123")], [receipt(replace(got(**REAL), style=style))])
    assert not swapped(result)
    assert any("nothing tells whether they are one product" in d for d in result.unclear)


def test_a_line_of_its_own_shows_that_the_warehouse_tells_them_apart() -> None:
    lines = [unit(1, "ABC123")]
    result = compare(lines, [receipt(got(0, **REAL), got(style="mug", upc="777"))])
    assert (result.wrong, result.unclear) == (1, ())


def test_two_lines_of_one_upc_of_which_one_has_no_sku_are_no_swap() -> None:
    lines = [unit(1, "ABC123")]
    result = compare(lines, [receipt(got(0, sku="abc123", upc="10001"), got(upc="10001"))])
    assert result.unclear and not swapped(result)


def test_another_size_of_the_same_style_is_a_swap_where_the_codes_tell() -> None:
    lines = [unit(1, "TEE-S", "111", "S")]
    rules = AnnounceRules(product_fields={"style": "title", "size": "variant"})
    came = receipt(got(0, upc="111", style="tee", size="s"), got(upc="222", style="tee", size="m"))
    assert swapped(compare(lines, [came], [rma_items(lines, rules)]))


def test_units_without_any_code_match_by_style_color_and_size_as_announced() -> None:
    rules = AnnounceRules(
        product_fields={"style": "title", "color": "variant.2", "size": "variant.1"}
    )
    lines = [unit(1, None, variant="S / Red"), unit(2, None, variant="M / Red")]
    items = rma_items(lines, rules)
    assert compare(lines, [receipt(*read_back(items))], [items]).complete
    red: dict[str, Any] = {"style": "tee", "color": "red"}
    short = compare(lines, [receipt(got(0, **red, size="s"), got(2, **red, size="m"))], [items])
    assert [(s.short, s.extra) for s in short.skus] == [(1, 0), (0, 1)]
    assert compare(lines, [receipt(got(2, style="tee"))], [items]).unclear
    assert any("neither SKU nor barcode" in d for d in compare(lines, [receipt()]).unclear)


def test_one_style_announced_for_two_products_is_a_doubt() -> None:
    lines = [unit(1, "A"), unit(2, "B")]
    items = rma_items(lines, AnnounceRules(product_fields={"style": "title"}))
    result = compare(lines, [receipt(got(2, style="tee"))], [items])
    assert any("may be any of A, B" in d for d in result.unclear)


def test_a_style_with_another_code_than_ours_is_a_doubt() -> None:
    lines = [unit(1, "A", "111")]
    items = rma_items(lines, AnnounceRules(product_fields={"style": "title"}))
    result = compare(lines, [receipt(got(style="tee", upc="222"))], [items])
    assert any("has another code" in d for d in result.unclear)


def test_the_latest_rma_says_what_was_announced() -> None:
    lines = [unit(1, "KIT")]
    kit: Kits = {"kit": (KitPart("A", 2),)}
    old, new = rma_items(lines, AnnounceRules()), rma_items(lines, AnnounceRules(kits=kit))
    assert compare(lines, [receipt(got(2, sku="a"))], [old, new]).complete
    assert not compare(lines, [receipt(got(2, sku="a"))], [new, old], kit).complete


def test_a_unit_that_was_added_after_the_rma_is_missing_not_a_doubt() -> None:
    lines = [unit(1, "A", "111", "S"), unit(2, "A", "111", "S")]
    items = rma_items(lines[:1], AnnounceRules())
    result = compare(lines, [receipt(got(1, upc="111"))], [items])
    assert (result.short, result.unclear) == (1, ())
    kit = AnnounceRules(kits={"a": (KitPart("B", 2),)})
    items = rma_items(lines[:1], kit, {})
    result = compare(lines, [receipt(got(2, sku="b"))], [items], kit.kits)
    assert (result.short, result.unclear) == (1, ())
    assert compare(lines, [receipt(got(2, sku="b"))], [items]).unclear


SHOP = st.sampled_from(
    [
        unit(0, "TEE-S", "0885909950805", "S / Red"),
        unit(0, "TEE-M", "885909950812", "M / Red"),
        unit(0, "tee-m ", None, "M / Red"),
        unit(0, "MUG", None, "Blue"),
        unit(0, None, "400638133393", "One Size"),
        unit(0, "KIT-1", "4006381333931"),
        unit(0, "CAP", "00007"),
    ]
)
KITS: Kits = {"kit-1": (KitPart("TEE-S", 1, upc="885909950805"), KitPart("BAG", 2))}
KNOWN: Known = {
    "885909950812": WarehouseProduct("885909950812", None, "9001", "red", "m"),
    "7": WarehouseProduct("7", "CAP-7", "cap", "black", "os"),
}


@given(st.lists(SHOP, min_size=1, max_size=6), st.booleans(), st.booleans())
def test_a_complete_ticket_as_it_was_announced_is_complete(
    chosen: list[ReturnLine], with_kits: bool, with_known: bool
) -> None:
    lines = [replace(x, line_item_id=str(n)) for n, x in enumerate(chosen)]
    rules = AnnounceRules(kits=KITS if with_kits else {})
    items = rma_items(lines, rules, KNOWN if with_known else {})
    result = compare(lines, [receipt(*read_back(items))], [items], rules.kits)
    assert result.complete, (items, result)


@given(st.lists(SHOP, min_size=1, max_size=6), st.data())
def test_a_piece_less_is_never_complete_and_never_a_swap(
    chosen: list[ReturnLine], data: st.DataObject
) -> None:
    lines = [replace(x, line_item_id=str(n)) for n, x in enumerate(chosen)]
    rules = AnnounceRules(kits=KITS)
    items = rma_items(lines, rules, KNOWN)
    back = read_back(items)
    at = data.draw(st.integers(0, len(back) - 1))
    back[at] = replace(back[at], actual=(back[at].actual or 0) - 1)
    result = compare(lines, [receipt(*back)], [items], rules.kits)
    assert not result.complete
    assert result.short or result.unclear
    assert not (result.wrong or result.extra)


# -- kits -------------------------------------------------------------------------------------

KIT: Kits = {"kit-1": (KitPart("A", 1), KitPart("B", 2))}


def kit_result(kits: int, *lines: ReceiptLine) -> Comparison:
    units = [unit(n, "KIT-1", "999") for n in range(kits)]
    announced = rma_items(units, AnnounceRules(kits=KIT))
    assert [(i.sku, i.expected) for i in announced] == [("A", kits), ("B", 2 * kits)]
    from_file, as_sent = (
        compare(units, [receipt(*lines)], (), KIT),
        compare(units, [receipt(*lines)], [announced]),
    )
    assert from_file == as_sent
    return as_sent


def test_case_39_a_kit_is_complete_if_all_its_parts_came() -> None:
    assert kit_result(2, got(2, sku="a"), got(4, sku="b")).complete


def test_a_missing_part_makes_a_unit_of_the_kit_short() -> None:
    result = kit_result(2, got(2, sku="a"), got(3, sku="b"))
    (kit,) = result.skus
    assert (kit.name, kit.expected, kit.counted, kit.short) == ("KIT-1", 2, 1, 1)
    assert kit.line_item_ids == ("0", "1")
    assert kit.parts == ("B: 3 of 4",)
    assert problem_text(result) == "SKU KIT-1: 1 of 2 missing (its parts: B: 3 of 4)"
    assert (result.extra, result.wrong, result.unclear) == (0, 0, ())
    assert [u.condition for u in graded_units(result)] == [
        UnitCondition.GOOD,
        UnitCondition.MISSING,
    ]


def test_a_damaged_part_damages_a_unit_of_the_kit() -> None:
    result = kit_result(1, got(1, sku="a"), got(2, 1, sku="b"))
    assert (result.damaged, result.short, result.unclear) == (1, 0, ())
    assert result.skus[0].parts == ("B: 2 of 2, 1 damaged",)


def test_damaged_parts_that_may_be_of_one_kit_or_of_two_are_a_doubt() -> None:
    result = kit_result(2, got(2, 1, sku="a"), got(4, 1, sku="b"))
    assert any("how many of the 2 kits KIT-1" in d for d in result.unclear)


def test_parts_beyond_the_kits_are_extra() -> None:
    result = kit_result(1, got(2, sku="a"), got(2, sku="b"))
    assert (result.extra, result.short) == (1, 0)
    assert [(s.name, s.extra) for s in result.unexpected] == [("A", 1)]


def test_a_kit_counted_whole_is_the_kit() -> None:
    assert kit_result(1, got(0, sku="a"), got(0, sku="b"), got(upc="999")).complete
    mixed = kit_result(2, got(1, sku="a"), got(2, sku="b"), got(sku="kit-1"))
    assert mixed.complete
    twice = kit_result(1, got(1, sku="a"), got(2, sku="b"), got(sku="kit-1"))
    assert (twice.extra, twice.complete) == (3, False)


def test_a_part_that_is_returned_by_itself_too_is_clear_only_if_all_came() -> None:
    units = [unit(1, "KIT-1"), unit(2, "A")]
    items = rma_items(units, AnnounceRules(kits=KIT))
    assert {(i.sku, i.expected) for i in items} == {("A", 2), ("B", 2)}
    assert compare(units, [receipt(got(2, sku="a"), got(2, sku="b"))], [items]).complete
    short = compare(units, [receipt(got(1, sku="a"), got(2, sku="b"))], [items])
    assert any("of which of KIT-1, A" in d or "of which of A, KIT-1" in d for d in short.unclear)


def test_case_39_without_a_mapping_a_person_is_told_why() -> None:
    lines = [unit(1, "KIT-1", "999")]
    result = compare(
        lines, [receipt(got(0, upc="999"), got(sku="a", upc="1"), got(2, sku="b", upc="2"))]
    )
    (hint,) = result.hints
    assert "a, b" in hint and "KIT-1" in hint and "map it under kits" in hint
    assert problem_text(result).endswith(hint)
    swap = compare(lines, [receipt(got(0, upc="999"), got(sku="a", upc="1"))])
    assert swap.hints == ()


@given(st.integers(1, 4), st.integers(0, 6), st.integers(0, 10), st.integers(0, 2))
def test_of_a_kit_as_many_are_complete_as_the_parts_make(
    kits: int, a: int, b: int, whole: int
) -> None:
    result = kit_result(kits, got(a, sku="a"), got(b, sku="b"), got(whole, sku="kit-1"))
    (kit,) = result.skus
    assert kit.short == max(0, kits - whole - min(a, b // 2))
    exact = a == kits - whole and b == 2 * (kits - whole)
    assert result.complete == exact


# -- a line whose product changed after it was announced ----------------------------------------


SHIRT = unit(1, "SHIRT-M", "10001")
SET: Kits = {"gift-set": (KitPart("SOAP", 2, "20001"), KitPart("DISH", 1, "20002"))}


@pytest.mark.parametrize(
    ("before", "now", "kits", "came", "complete"),
    [
        # The same product, called otherwise by the shop in one of its codes.
        (SHIRT, replace(SHIRT, barcode="10009"), {}, got(upc="10001"), True),
        (SHIRT, replace(SHIRT, sku="SHIRT-MEDIUM"), {}, got(upc="10001"), True),
        (SHIRT, replace(SHIRT, barcode=None), {}, got(upc="10001"), True),
        # Another product: what was announced does not count for it; if it came, all is well.
        (SHIRT, unit(1, "MUG", "30001"), {}, got(upc="10001"), False),
        (SHIRT, unit(1, "MUG", "30001"), {}, got(upc="30001"), True),
        (SHIRT, unit(1, "MUG", None), {}, got(sku="shirt-m", upc="10001"), False),
        # A kit is not called as its parts are, and still is what was announced.
        (unit(1, "GIFT-SET"), unit(1, "GIFT-SET", "40001"), SET, None, True),
        (unit(1, "GIFT-SET"), SHIRT, SET, None, False),
    ],
)
def test_an_announced_line_counts_only_while_it_is_the_same_product(
    before: ReturnLine, now: ReturnLine, kits: Kits, came: ReceiptLine | None, complete: bool
) -> None:
    announced = rma_items([before], AnnounceRules(kits=kits))
    lines = [came] if came else read_back(announced)
    result = compare([now], [receipt(*lines)], [announced])
    assert result.complete is complete, result
    assert complete or result.short, result


# -- codes in other fields, or changed on their way -------------------------------------------

OURS = unit(1, "TEE-RED-M", "885909950805")


@pytest.mark.parametrize(
    "codes",
    [
        {"sku": "885909950805"},
        {"sku": "0885909950805"},
        {"upc": "tee-red-m"},
        {"sku": "tee-red-m", "upc": "tee-red-m"},
        {"style": "885909950805", "color": "red"},
    ],
)
def test_a_code_that_stands_in_another_field_is_the_same_code(codes: dict[str, Any]) -> None:
    items = rma_items([OURS], AnnounceRules())
    assert compare([OURS], [receipt(got(**codes))], [items]).complete


@pytest.mark.parametrize(
    "codes",
    [
        {"sku": "885909950805", "upc": "777777777777"},
        {"sku": "mug", "style": "885909950805"},
        {"sku": "mug", "upc": "tee-red-m"},
    ],
)
def test_a_line_with_one_of_our_codes_and_another_one_is_a_doubt(codes: dict[str, Any]) -> None:
    result = compare([OURS], [receipt(got(**codes))])
    assert any("one of its codes is that of TEE-RED-M" in d for d in result.unclear)


@pytest.mark.parametrize("codes", [{"upc": "10001"}, {"sku": "555"}, {"style": "555"}])
def test_a_short_number_in_another_field_may_be_another_products(codes: dict[str, Any]) -> None:
    """REX11's UPCs may be as short as a shop's SKUs."""
    result = compare([unit(1, "10001", "555")], [receipt(got(**codes))])
    assert any("may as well be another product's" in d for d in result.unclear)


def test_a_sku_as_style_of_another_color_is_not_taken_for_it() -> None:
    line = unit(1, "TEE-RED-M", variant="M / Red")
    items = rma_items([line], AnnounceRules())
    came = got(style="tee-red-m", color="blue", size="m")
    assert not compare([line], [receipt(came)], [items]).complete


CHANGED = {
    "without zeros": ("00123", None, {"sku": "123"}),
    "without dashes": ("TEE-RED-M", None, {"sku": "teeredm"}),
    "cut off": ("SUPERLONGSKU-2026-RED-MEDIUM", None, {"sku": "superlongsku-2026-re"}),
    "without its check digit": ("T", "885909950805", {"upc": "88590995080"}),
    "a letter for a digit": ("T", "885909950805", {"upc": "88590995O8O5"}),
    "with a word before": ("T", "885909950805", {"upc": "UPC885909950805"}),
    "rounded by a spreadsheet": ("T", "885909950805", {"upc": "8.85909950805E+11"}),
    "with a decimal": ("T", "885909950805", {"upc": "885909950805.0"}),
}


@pytest.mark.parametrize("how", CHANGED)
def test_a_code_that_was_changed_on_its_way_is_a_doubt_and_no_swap(how: str) -> None:
    sku, upc, came = CHANGED[how]
    line = unit(1, sku, upc)
    items = rma_items([line], AnnounceRules())
    own = got(0, sku=sku.lower(), upc=upc)
    result = compare([line], [receipt(own, got(**came))], [items])
    assert any("may be one product" in d for d in result.unclear), result.unclear
    alone = compare([line], [receipt(got(**came))], [items])
    assert alone.unclear


@pytest.mark.parametrize(
    "other", [{"sku": "mug-blue-m"}, {"sku": "tee-red-ml"}, {"upc": "885909950812"}]
)
def test_codes_that_are_near_are_no_doubt(other: dict[str, Any]) -> None:
    came = receipt(got(0, sku="tee-red-m", upc="885909950805"), got(**other))
    assert swapped(compare([OURS], [came]))


# -- tickets that are not quite ours ----------------------------------------------------------

TWO = [unit(1, "A", "10001"), unit(2, "A", "10001")]


@pytest.mark.parametrize(
    ("expected", "damaged", "doubt"), [(2, 0, True), (1, 0, False), (2, 1, True), (None, 0, False)]
)
def test_a_line_listed_twice_is_counted_twice_only_where_it_says_so(
    expected: int | None, damaged: int, doubt: bool
) -> None:
    """Two boxes of one unit each, or one line that the answer repeats."""
    line = got(1, damaged, sku="a", upc="10001", expected=expected)
    items = rma_items(TWO, AnnounceRules())
    result = compare(TWO, [receipt(line, line)], [items])
    assert any("2 times alike" in d for d in result.unclear) is doubt


@pytest.mark.parametrize(
    ("counts", "expected", "doubt"),
    [((1, 1), (2, 0), False), ((2, 0), (2, 0), False), ((2, 0), (2, 2), True),
     ((1, 0), (1, 1), False), ((0, 0), (2, 2), False), ((1, 1, 0), (1, 1, 2), True),
     ((2,), (5,), False)],
)  # fmt: skip
def test_lines_that_expect_more_than_was_announced_are_one_line_given_again(
    counts: tuple[int, ...], expected: tuple[int, ...], doubt: bool
) -> None:
    """As it stood before and after it was counted anew: which of them holds, nobody has said."""
    given = [
        got(n, sku="a", upc="10001", expected=e) for n, e in zip(counts, expected, strict=True)
    ]
    result = compare(TWO, [receipt(*given)], [rma_items(TWO, AnnounceRules())])
    assert any("how many came is not certain" in d for d in result.unclear) is doubt


def test_a_ticket_without_any_of_our_items_may_be_anothers() -> None:
    result = compare([OURS], [receipt(got(sku="mug", upc="777"))])
    assert any("may be another return's" in d for d in result.unclear)
    both = [receipt(got(sku="tee-red-m", upc="885909950805")), receipt(got(sku="mug", upc="777"))]
    assert any("may be another return's" in d for d in compare([OURS], both).unclear)


def remarked(comment: str, remarks: Remarks | None = None, **called: Any) -> Comparison:
    """A good unit, of which the warehouse says something."""
    line = replace(OURS, reason="Defective", comment="The sleeve tore in the wash, sadly")
    came = got(**{"sku": "tee-red-m", "upc": "885909950805", "comments": comment, **called})
    return compare([line], [receipt(came)], [rma_items([line], AnnounceRules())], None, remarks)


TROUBLE = """Stained at the collar|WRONG ITEM|QC hold|box empty|Quarantine|Defective; torn|Tag cut|
no tags|b-stock|B grade|QualityCode: B|2nd quality|not our product|short 1|see photo|needs review|
wash & wear|water dmg|besch\u00e4digt|roto|ab\u00eem\u00e9|beschadigd|\u7834\u640d|
ReturnReasonCode: DMG|customer kept it|DEFECT|ok no. damaged|The sleeve tore|sleeve"""
HARMLESS = """not damaged|No visible damage. Fine|OK - JS 11/3|new with tags|Received 11/03|
bin A-12|A grade|resellable|never worn|Inspected, fine|no issues|defective|Defective; ok|n/a|
The sleeve tore in the wa|ReturnReasonCode: defective"""


@pytest.mark.parametrize("comment", TROUBLE.replace("\n", "").split("|"))
def test_a_comment_that_gainsays_its_count_is_a_doubt_in_any_language(comment: str) -> None:
    assert any("counted as good, but" in d for d in remarked(comment).unclear)
    damaged = remarked(comment, actual=0, damaged=1)
    assert (damaged.damaged, damaged.unclear) == (1, ())


@pytest.mark.parametrize("comment", HARMLESS.replace("\n", "").split("|"))
def test_a_harmless_comment_or_the_customers_own_words_are_none(comment: str) -> None:
    assert remarked(comment).complete


def test_a_brand_says_which_words_are_of_no_matter() -> None:
    mine = Remarks(remark_words(["Kundin", "anbei: Kassenzettel"]))
    assert remarked("KUNDIN: anbei Kassenzettel", mine).complete
    assert not remarked("Kundin: zerrissen", mine).complete
    assert remarked("zerrissen", Remarks(unknown_is_doubt=False)).complete
    assert not remarked("torn", Remarks(unknown_is_doubt=False)).complete


@pytest.mark.parametrize(
    ("called", "doubt"),
    [({"sku": "tee-red-m-dmg"}, True), ({"sku": "tee-red-m.2"}, True), ({"sku": "shoe-9"}, True),
     ({"sku": "teeredm"}, False), ({"sku": None, "color": "red damaged"}, True),
     ({"sku": None, "style": "tee", "size": "m b-stock"}, True),
     ({"description": "Tee USED"}, True), ({"description": "tee"}, False),
     ({"sku": None, "style": "4471", "color": "brick"}, False)],
)  # fmt: skip
def test_our_barcode_under_the_name_of_other_goods_is_a_doubt(
    called: dict[str, Any], doubt: bool
) -> None:
    """Goods in another condition keep their barcode; and barcodes are given to other products."""
    assert remarked("", **called).complete is not doubt


def test_a_barcode_whose_style_color_and_size_are_all_others_is_a_doubt() -> None:
    known = {"885909950805": WarehouseProduct("885909950805", None, "tee", "red", "m")}
    items = rma_items([OURS], AnnounceRules(), known)
    shoe = got(upc="885909950805", style="shoe", color="tan", size="42")
    assert any(
        "not as shoe, tan, 42" in d for d in compare([OURS], [receipt(shoe)], [items]).unclear
    )
    named_anew = replace(shoe, size="M")
    assert compare([OURS], [receipt(named_anew)], [items]).complete


@pytest.mark.parametrize(
    ("memo", "doubt"),
    [("loop return 7, order #44", False), ("Loop return 7, order #44-WRONG", False),
     ("Loop return 7, order #44 - ONE DAMAGED", True), ("pending recount", True),
     ("dock 4", False)],
)  # fmt: skip
def test_a_memo_that_speaks_of_damage_is_a_doubt(memo: str, doubt: bool) -> None:
    came = replace(receipt(got(sku="tee-red-m", upc="885909950805")), memo=memo)
    assert compare([OURS], [came]).complete is not doubt


@pytest.mark.parametrize(
    ("ours", "came"),
    [("614141000036", "10614141000033"), ("042100005264", "04252614"), ("042100005264", "425261"),
     ("614141000036", "\u0666\u0661\u0664\u0661\u0664\u0661\u0660\u0660\u0660\u0660\u0663\u0666")],
)  # fmt: skip
def test_the_same_barcode_of_a_carton_or_in_its_short_form_is_no_swap(ours: str, came: str) -> None:
    result = compare([unit(1, None, ours)], [receipt(got(upc=came))])
    assert any("may be one product" in d for d in result.unclear)


def test_a_parcel_for_a_return_that_lists_no_units_is_a_doubt() -> None:
    """It was told as other items than announced, though they had been."""
    result = compare([], [receipt(got(sku="a"))])
    assert any("Loop lists no units" in d for d in result.unclear)
