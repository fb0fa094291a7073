"""Expected against received."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bergen_loop.domain.comparison import Comparison, compare
from bergen_loop.domain.returns import ReturnLine
from bergen_loop.domain.rma import Receipt, ReceiptLine, TicketStatus


def unit(
    number: int, sku: str | None = "TEE-RED-M", upc: str | None = "012345678905"
) -> ReturnLine:
    return ReturnLine(line_item_id=str(number), sku=sku, barcode=upc, title="Tee")


def receipt(*lines: ReceiptLine) -> Receipt:
    return Receipt(
        ticket_id="T1",
        status=TicketStatus.ADDED_TO_INVENTORY,
        status_name="AddedToInventory",
        lines=lines,
    )


def line(
    actual: int | None, damaged: int | None = 0, sku: str = "tee-red-m", upc: str = "12345678905"
) -> ReceiptLine:
    return ReceiptLine(sku=sku, upc=upc, actual=actual, damaged=damaged)


def facts(c: Comparison) -> tuple[int, int, int, int, int, int]:
    return (c.expected, c.counted, c.damaged, c.short, c.extra, c.wrong)


def test_codes_match_without_case_blanks_and_leading_zeros() -> None:
    result = compare([unit(1), unit(2)], [receipt(line(2))])
    assert facts(result) == (2, 2, 0, 0, 0, 0)
    assert result.complete


def test_parcels_of_one_return_add_up() -> None:
    result = compare([unit(1), unit(2)], [receipt(line(1)), receipt(line(1))])
    assert result.complete


def test_short_extra_damaged() -> None:
    assert facts(compare([unit(1), unit(2)], [receipt(line(1))])) == (2, 1, 0, 1, 0, 0)
    assert facts(compare([unit(1)], [receipt(line(3))])) == (1, 3, 0, 0, 2, 0)
    assert facts(compare([unit(1), unit(2)], [receipt(line(1, 1))])) == (2, 1, 1, 0, 0, 0)


def test_an_unexpected_item_is_wrong_where_it_stands_for_a_missing_one_else_extra() -> None:
    other = line(1, sku="mug", upc="999")
    assert facts(compare([unit(1)], [receipt(line(0), other)])) == (1, 0, 0, 1, 0, 1)
    assert facts(compare([unit(1)], [receipt(line(1), other)])) == (1, 1, 0, 0, 1, 0)


def test_an_unexpected_line_with_nothing_counted_does_not_count() -> None:
    assert compare([unit(1)], [receipt(line(1), line(0, sku="mug", upc="999"))]).complete


def test_doubts_are_named() -> None:
    cases: list[tuple[list[ReturnLine], list[Receipt], str]] = [
        ([unit(1)], [], "no receipt"),
        ([unit(1)], [receipt()], "lists no items"),
        ([unit(1)], [receipt(line(None))], "ActualQuantity is missing"),
        ([unit(1)], [receipt(line(1, None))], "DamagedQuantity is missing"),
        ([unit(1)], [receipt(line(-1))], "negative"),
        ([unit(1, None, None)], [receipt(line(1))], "neither SKU nor barcode"),
        ([unit(1)], [receipt(line(1, sku="", upc=""))], "neither SKU nor UPC"),
        ([unit(1)], [receipt(line(1, upc="777"))], "not 777"),
        (
            [unit(1, "A", "1"), unit(2, "B", "2")],
            [receipt(line(1, sku="A", upc="2"))],
            "two different expected products",
        ),
        ([unit(1, "A", "1"), unit(2, "A", "2")], [receipt(line(1, sku="A", upc="1"))], "share"),
    ]
    for lines, receipts, words in cases:
        result = compare(lines, receipts)
        assert any(words in doubt for doubt in result.unclear), (words, result.unclear)
        assert not result.complete


codes = st.sampled_from(["A", "a", "B", "", None, "001", "1"])
quantities = st.one_of(st.none(), st.integers(-3, 5))
receipt_lines = st.builds(ReceiptLine, sku=codes, upc=codes, actual=quantities, damaged=quantities)
units = st.builds(ReturnLine, line_item_id=st.uuids().map(str), sku=codes, barcode=codes)


@given(st.lists(units, max_size=5), st.lists(st.lists(receipt_lines, max_size=4), max_size=3))
def test_complete_means_every_unit_is_there_whole_and_nothing_else(
    lines: list[ReturnLine], parcels: list[list[ReceiptLine]]
) -> None:
    result = compare(lines, [receipt(*p) for p in parcels])
    counted = sum(x.actual or 0 for p in parcels for x in p)
    if result.complete:
        assert counted == len(lines) > 0
        assert all(x.actual is not None and not x.damaged for p in parcels for x in p)
    assert result.expected == len(lines)
    assert min(facts(result)) >= 0
