"""Bodies in the shapes that Loop really sends, field by field, and what one of them means for a
return that is known from another."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from loop_api import answer, loop, raw_return

from bergen_loop.domain.returns import Label, LoopState, Return, ReturnLine, ReturnTotals
from bergen_loop.outside.loop import ParsedReturn, merge, parse_return, same_note
from bergen_loop.outside.loop.models import tracking_numbers
from bergen_loop.outside.loop.webhooks import parse_event

ZERO = Decimal("0.00")


def text(name: str) -> str:
    return (Path(__file__).parent / "recorded" / f"{name}.json").read_text(encoding="utf-8")


def listed() -> ParsedReturn:
    fake = loop(answer(text=text("list_page")))
    at = datetime(2026, 11, 1, tzinfo=UTC)
    (page,) = fake.client().list_returns(at, at)
    (parsed,) = page.returns
    return parsed


def details() -> ParsedReturn:
    return loop(answer(text=text("details"))).client().details("51000771")


def value(parsed: ParsedReturn) -> Return:
    assert parsed.problem is None
    assert parsed.value is not None
    assert parsed.value.doubts == ()
    return parsed.value


LINE = ReturnLine(
    line_item_id="880100551",
    sku="TEE-STR-SN",
    title="Striped Tee",
    price=Decimal("78.00"),
    discount=ZERO,
    tax=Decimal("4.29"),
    refund=Decimal("31.65"),
    product_id="61020300044",
    variant_id="61020300144",
    provider_line_item_id="55012340001",
    returned_at=datetime(2023, 1, 1, 22, 27, 16, tzinfo=UTC),
)
TOTALS = ReturnTotals(
    total=Decimal("63.30"),
    return_total=Decimal("164.58"),
    product_total=Decimal("156.00"),
    credit_total=Decimal("101.28"),
    exchange_total=Decimal("101.28"),
    refund=Decimal("63.30"),
    gift_card=ZERO,
    handling_fee=ZERO,
    upsell=ZERO,
)


def test_the_list() -> None:
    assert value(listed()) == Return(
        id="51000771",
        state=LoopState.OPEN,
        created_at=datetime(2023, 1, 1, 22, 27, 15, tzinfo=UTC),
        updated_at=datetime(2023, 1, 1, 22, 27, 18, tzinfo=UTC),
        edited_at=datetime(2023, 1, 3, 22, 34, 17, tzinfo=UTC),
        outcome="exchange",
        order_id="71000412",
        order_name="#4400118",
        order_number="4300118",
        customer_email="ann@example.com",
        country_code="US",
        currency="USD",
        totals=TOTALS,
        lines=(
            replace(
                LINE,
                barcode="614141000036",
                outcome="default",
                reason="Another colour",
                parent_reason="Changed mind",
            ),
        ),
        label=Label("USPS", "940011100022233", "in_transit"),
        return_method="happy_returns",
        method_type="dropoff",
    )


def test_the_details() -> None:
    parsed = details()
    label = Label(
        carrier="USPS",
        tracking_number="940011100022233",
        status="new",
        url="https://partner.loopreturns.com/label/777001",
        updated_at=datetime(2024, 2, 2, 21, 19, 4, tzinfo=UTC),
    )
    assert value(parsed) == Return(
        id="51000771",
        state=LoopState.OPEN,
        created_at=datetime(2023, 8, 22, 14, 8, 31, tzinfo=UTC),
        updated_at=datetime(2023, 8, 22, 15, 5, 15, tzinfo=UTC),
        edited_at=datetime(2023, 8, 22, 15, 5, 15, tzinfo=UTC),
        order_id="71000412",
        order_name="#4400118",
        order_number="4300118",
        customer_email="ann@example.com",
        currency="USD",
        totals=TOTALS,
        lines=(replace(LINE, variant_title="Small / Navy", exchange_variant="x"),),
        label=label,
        labels=(replace(label, line_item_ids=("880100551",)),),
    )
    assert {"outcome", "destination_id", "return_method", "carrier"} <= parsed.missing
    assert parsed.lines_missing["880100551"] == {
        *("outcome", "reason", "parent_reason", "comment"),
        "barcode",
    }


@pytest.mark.parametrize("name", ["webhook_label", "webhook_label_older"])
def test_the_label_webhook(name: str) -> None:
    event = parse_event(text(name).encode())
    assert (event.topic, event.trigger) == ("label", "label.updated")
    assert (event.return_id, event.shop_id) == ("12345", "4242")


@pytest.mark.parametrize(
    ("name", "state"), [("created", LoopState.OPEN), ("updated", LoopState.CLOSED)]
)
def test_the_return_webhook(name: str, state: LoopState) -> None:
    event = parse_event(text(f"webhook_return_{name}").encode())
    assert (event.trigger, event.return_id, event.state) == (f"return.{name}", "51000772", state)


def test_until_a_label_exists_there_is_no_carrier_and_no_tracking() -> None:
    raw = json.loads(text("webhook_return_created")) | {"updated_at": "2020-10-29T16:07:31+00:00"}
    return_ = value(parse_return(raw))
    assert (return_.label.carrier, return_.label.tracking_number) == (None, None)
    assert (return_.label.status, return_.labels) == ("pending", ())
    (line,) = return_.lines
    assert (line.barcode, line.exchange_variant) == (None, None)
    assert (line.title, line.variant_title) == (
        "Hoop Earrings - 14K / Yellow / Single",
        "14K / Yellow / Single",
    )


@pytest.mark.parametrize(
    ("shown", "read"),
    [
        *[(x, None) for x in ("", " ", None, {}, [], False)],
        ("Blue / M", "Blue / M"),
        (55, "55"),
        ({"variant_id": 7, "title": "Blue"}, "7"),
        ({"name": "x"}, "an object with 1 fields"),
    ],
)
def test_what_a_unit_is_exchanged_for(shown: object, read: str | None) -> None:
    raw = raw_return()
    raw["line_items"][0]["exchange_variant"] = shown
    assert value(parse_return(raw)).lines[0].exchange_variant == read


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        *[(x, ()) for x in (None, "", " ", "N/A", "n/a", "pending", "None", "-", [], 1.5, True)],
        ("9400", ("9400",)),
        (940012345678901234567890, ("940012345678901234567890",)),
        ("1Z1, 1Z2", ("1Z1", "1Z2")),
        ("1Z1;1Z2 ,1Z1,", ("1Z1", "1Z2")),
        ("9400 1361 0544", ("9400 1361 0544",)),
        ("1Z1, N/A", ("1Z1",)),
    ],
)
def test_tracking_numbers(value: object, numbers: tuple[str, ...]) -> None:
    assert tracking_numbers(value) == numbers


def test_two_numbers_in_one_field_are_two_labels() -> None:
    return_ = value(parse_return(raw_return(tracking_number="1Z1, 1Z2")))
    assert return_.label.tracking_number == "1Z1"
    assert [x.tracking_number for x in return_.labels] == ["1Z1", "1Z2"]
    assert {x.carrier for x in return_.labels} == {"USPS"}


def test_each_label_knows_its_lines() -> None:
    labels = [
        {"carrier": "USPS", "tracking_number": 1, "line_items": [901, "902"], "status": "new"},
        {"carrier": "N/A", "tracking_number": "N/A", "line_items": [903], "status": "N/A"},
        "odd",
    ]
    parsed = parse_return(raw_return(labels=labels))
    assert value(parsed).labels == (
        Label("USPS", "1", "new", line_item_ids=("901", "902")),
        Label(line_item_ids=("903",)),
    )
    assert parsed.oddities == ("label 3 is 'odd', not an object",)


# -- merging ----------------------------------------------------------------------------------


def test_details_take_nothing_away_that_the_list_has_told() -> None:
    known = value(listed())
    merged = merge(known, details())
    assert merged.lines == (
        replace(known.lines[0], variant_title="Small / Navy", exchange_variant="x"),
    )
    for name in ("outcome", "country_code", "return_method", "method_type", "destination_id"):
        assert getattr(merged, name) == getattr(known, name)
    assert merged.label.tracking_number == known.label.tracking_number
    assert merged.labels[0].line_item_ids == ("880100551",)
    assert merged.updated_at == value(details()).updated_at


def test_the_two_shapes_in_turn_change_nothing_more() -> None:
    once = merge(merge(value(listed()), details()), listed())
    again = merge(merge(once, details()), listed())
    assert again == once
    assert again.lines_key() == value(listed()).lines_key()
    assert again.labels[0].line_item_ids == ("880100551",)


def test_an_explicit_null_is_a_value() -> None:
    known = value(parse_return(raw_return()))
    answer = parse_return(raw_return(destination_id=None, tracking_number=None, outcome=None))
    merged = merge(known, answer)
    assert (merged.destination_id, merged.outcome) == (None, None)
    assert merged.label.tracking_number is None


def test_a_sku_is_not_kept_for_a_line_with_another_barcode() -> None:
    raw = raw_return()
    known = value(parse_return(raw))
    line = dict(raw["line_items"][0]) | {"barcode": "850000004252", "sku": ""}
    assert merge(known, parse_return(raw | {"line_items": [line]})).lines[0].sku is None


@pytest.mark.parametrize("given", ["sku", "variant_id"])
def test_codes_of_the_product_before_are_not_kept_for_another_one(given: str) -> None:
    """It has no barcode, and the one it took the place of was paid for under its own."""
    raw = raw_return()
    known = value(parse_return(raw))
    line = dict(raw["line_items"][0]) | {"barcode": "", given: "77001"}
    merged = merge(known, parse_return(raw | {"line_items": [line]}))
    assert (getattr(merged.lines[0], given), merged.lines[0].barcode) == ("77001", None)
    same = merge(
        known, parse_return(raw | {"line_items": [line | {given: raw["line_items"][0][given]}]})
    )
    assert same.lines[0].barcode == known.lines[0].barcode is not None


@pytest.mark.parametrize("lines", [None, "x", [{"sku": "no id"}]])
def test_lines_that_are_not_told_stay_and_are_a_doubt(lines: Any) -> None:
    known = value(parse_return(raw_return()))
    merged = merge(known, parse_return(raw_return(line_items=lines)))
    assert merged.lines == known.lines
    assert len(merged.doubts) == 1
    absent = raw_return()
    del absent["line_items"]
    merged = merge(known, parse_return(absent))
    assert merged.lines == known.lines
    assert merged.doubts == ("line_items is missing: which units come back is not known",)
    assert merge(merged, parse_return(raw_return())) == known, "and all is well again"


def test_an_empty_list_empties() -> None:
    assert (
        merge(value(parse_return(raw_return())), parse_return(raw_return(line_items=[]))).lines
        == ()
    )


def test_an_answer_that_cannot_be_read_only_adds_a_doubt() -> None:
    known = value(parse_return(raw_return()))
    for odd, doubt in (
        (parse_return(raw_return(state="paused")), "state is unknown: 'paused'"),
        (parse_return(raw_return("78")), "the answer is about return 78"),
    ):
        assert merge(known, odd) == replace(known, doubts=(doubt,))


def test_a_new_label_joins_the_known_ones() -> None:
    known = value(
        parse_return(raw_return(labels=[{"tracking_number": "9400", "line_items": [901]}]))
    )
    moved = merge(known, parse_return(raw_return(label_status="delivered")))
    assert [(x.status, x.line_item_ids) for x in moved.labels] == [("delivered", ("901",))]
    more = merge(known, parse_return(raw_return(tracking_number="9500")))
    assert [x.tracking_number for x in more.labels] == ["9400", "9500"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("It's < 2", "It&#39;s &lt; 2", True),
        ("a & b", "a &amp;amp; b", True),
        ("two\nlines  here", "two lines here ", True),
        ("one", "two", False),
    ],
)
def test_notes_come_back_escaped(one: str, other: str, same: bool) -> None:
    assert same_note(one, other) is same
