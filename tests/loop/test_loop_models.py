"""From Loop's JSON to returns: what is read, and what is a doubt."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_api import raw_return

from bergen_loop.domain.returns import Label, LoopState, Return, ReturnLine, ReturnTotals
from bergen_loop.outside.loop import parse_return
from bergen_loop.outside.loop.json_values import loads
from bergen_loop.outside.loop.models import (
    AsnRow,
    ParsedReturn,
    parse_asn_row,
    parse_money,
    parse_note,
    parse_state,
    parse_subscription,
    parse_time,
)

ZERO = Decimal("0.00")


def test_a_whole_return() -> None:
    raw = raw_return()
    at = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)
    assert parse_return(raw) == ParsedReturn(
        raw=raw,
        problem=None,
        return_id="77",
        oddities=(),
        value=Return(
            id="77",
            state=LoopState.OPEN,
            created_at=at,
            updated_at=datetime(2026, 11, 2, 15, 0, tzinfo=UTC),
            edited_at=None,
            outcome="refund",
            order_id="5123",
            order_name="#1001",
            order_number="1001",
            customer_email="ann@example.com",
            country_code="US",
            currency="USD",
            totals=ReturnTotals(
                total=Decimal("-40.00"),
                return_total=Decimal("45.00"),
                product_total=Decimal("45.00"),
                credit_total=ZERO,
                exchange_total=ZERO,
                refund=Decimal("40.00"),
                gift_card=ZERO,
                handling_fee=Decimal("5.00"),
                upsell=ZERO,
            ),
            lines=(
                ReturnLine(
                    line_item_id="901",
                    sku="TEE-RED-M",
                    barcode="012345678905",
                    title="Tee",
                    price=Decimal("45.00"),
                    discount=ZERO,
                    tax=ZERO,
                    refund=Decimal("40.00"),
                    outcome="refund",
                    reason="Too small",
                    parent_reason="Size",
                    comment="tight",
                    product_id="31",
                    variant_id="32",
                    provider_line_item_id="7001",
                    returned_at=at,
                ),
            ),
            label=Label(
                carrier="USPS",
                tracking_number="9400",
                status="in_transit",
                url="https://labels.example/1.pdf",
                updated_at=datetime(2026, 11, 2, tzinfo=UTC),
            ),
            destination_id="4",
            return_method="USPS",
            method_type="mail",
            package_reference="PKG1",
            status_page_url="https://acme.loopreturns.com/#/s/77",
        ),
    )


def test_the_least_return_there_can_be() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    raw = {
        "id": 9,
        "state": "closed",
        "created_at": "2026-01-01",
        "updated_at": "2026-01-01",
        "line_items": [],
    }
    assert parse_return(raw).value == Return("9", LoopState.CLOSED, at, at)
    assert parse_return(raw).problem is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"id": None}, "id is missing"),
        ({"id": ""}, "id is missing"),
        ({"id": {}}, "id is an object with 0 fields, not text"),
        ({"id": True}, "id is true, not text"),
        ({"id": 1.5}, "id is 1.5, not text"),
        ({"id": "undefined"}, "id 'undefined' is no id"),
        ({"id": -1}, "id '-1' is no id"),
        ({"id": "a/b"}, "id 'a/b' contains a slash or a control character"),
        ({"state": None}, "state is missing"),
        ({"state": "paused"}, "state is unknown: 'paused'"),
        ({"state": 3}, "state is unknown: 3"),
        ({"created_at": None}, "created_at is missing"),
        ({"updated_at": " "}, "updated_at is missing"),
        ({"updated_at": "soon"}, "updated_at: 'soon' is not a time"),
        ({"updated_at": 1700000000}, "updated_at: 1700000000 is not a time"),
        ({"updated_at": "1970-01-01"}, "updated_at is '1970-01-01', which is no date"),
    ],
)
def test_without_id_state_or_times_there_is_no_return(
    changes: dict[str, Any], problem: str
) -> None:
    parsed = parse_return(raw_return(**changes))
    assert (parsed.value, parsed.problem) == (None, problem)
    assert parsed.return_id == (None if "id" in changes else "77")


def line(**changes: Any) -> dict[str, Any]:
    return {"line_items": [raw_return()["line_items"][0] | changes]}


@pytest.mark.parametrize(
    ("changes", "problem", "units"),
    [
        ({"refund": "forty"}, "refund: 'forty' is not an amount", 1),
        ({"total": "1,000"}, "total: '1,000' is not an amount", 1),
        ({"gift_card": []}, "gift_card: an array of 0 is not an amount", 1),
        ({"upsell": True}, "upsell: true is not an amount", 1),
        (line(price="NaN"), "line item 1: price: 'NaN' is not an amount", 1),
        (line(sku=["TEE"]), "line item 1: sku is an array of 1, not text", 1),
        (line(barcode=1.5e11), "line item 1: barcode is 150000000000.0, not text", 1),
        (line(line_item_id=None), "line item 1: line_item_id is missing", 0),
        (line(quantity=2), "line item 1: quantity is 2, and a line is one unit", 1),
        (line(quantity="0"), "line item 1: quantity is '0', and a line is one unit", 1),
        (line(return_qty=2), "line item 1: return_qty is 2, and a line is one unit", 1),
        (line(line_item_id="null"), "line item 1: line_item_id 'null' is no id", 0),
        (
            line(removed_at="2023-01-02"),
            "line item 1: removed_at is '2023-01-02', which is not documented: is it still to be "
            "returned?",
            1,
        ),
        (
            line(status="Cancelled"),
            "line item 1: status is 'Cancelled', which is not documented: is it still to be "
            "returned?",
            1,
        ),
        (
            line(return_method="keep_item"),
            "line item 1: return_method is 'keep_item', which is not documented: is it still to be "
            "returned?",
            1,
        ),
        (
            {"refunded_at": "2023-01-02"},
            "refunded_at is '2023-01-02', which is not documented: is it still to be returned?",
            1,
        ),
        (
            {"return_method": [{"method_type": "in_store"}]},
            "return_method is an array of 1, not text and no object",
            1,
        ),
        (
            {"return_method": '{"method_type": "in_store"}'},
            """return_method is '{"method_type": "in_store"}', not text and no object""",
            1,
        ),
        ({"line_items": ["x"]}, "line item 1 is 'x', not an object", 0),
        (
            {"line_items": "x"},
            "line_items is 'x', not a list: which units come back is not known",
            0,
        ),
        (
            {"line_items": None},
            "line_items is missing: which units come back is not known",
            0,
        ),
        (
            {"line_items": raw_return()["line_items"] * 2},
            "line item 901 is listed twice",
            1,
        ),
    ],
)
def test_a_doubt_is_said_and_the_return_kept(
    changes: dict[str, Any], problem: str, units: int
) -> None:
    parsed = parse_return(raw_return(**changes))
    assert parsed.problem == problem
    assert parsed.value is not None
    assert len(parsed.value.lines) == units


def test_what_is_not_removed_and_empty_lists_for_nothing_are_no_doubt() -> None:
    more = {"removed_at": None, "is_removed": False, "status": "returned", "sku": [], "qty": "1"}
    parsed = parse_return(raw_return(destination_id=[], deleted_at="", **line(**more)))
    assert parsed.problem is None and parsed.value is not None
    assert (parsed.value.destination_id, parsed.value.lines[0].sku) == (None, None)
    closed = parse_return(raw_return(state="cancelled", cancelled_at="2023-01-02"))
    assert closed.problem is None


def test_all_problems_are_named() -> None:
    parsed = parse_return(raw_return(state="x", refund="y"))
    assert parsed.problem == "state is unknown: 'x'; refund: 'y' is not an amount"


def test_an_empty_list_alone_says_that_there_are_no_lines() -> None:
    parsed = parse_return(raw_return(line_items=[]))
    assert parsed.problem is None
    assert parsed.value is not None
    assert parsed.value.lines == ()


def test_harmless_oddities_are_no_doubt() -> None:
    parsed = parse_return(
        raw_return(edited_at="?", label_updated_at="0000-00-00 00:00:00", carrier={"n": 1})
    )
    assert parsed.problem is None
    assert parsed.oddities == ("edited_at: '?' is not a time",)


@pytest.mark.parametrize(
    ("value", "name", "how"),
    [
        (None, None, None),
        ("", None, None),
        ("mail", "mail", None),
        ({"provider": "loop", "method_type": "in_store"}, "loop", "in_store"),
        ({"type": "mail", "provider": "USPS"}, "USPS", "mail"),
        ({"provider": "Happy Returns", "name": "x"}, "Happy Returns", None),
        ({"type": None, "name": "Drop-off"}, "Drop-off", None),
        ({"method": "box"}, "box", None),
        ({"other": 1}, None, None),
        ([], None, None),
    ],
)
def test_return_method(value: Any, name: str | None, how: str | None) -> None:
    parsed = parse_return(raw_return(return_method=value))
    assert parsed.problem is None
    assert parsed.value is not None
    assert (parsed.value.return_method, parsed.value.method_type) == (name, how)


@pytest.mark.parametrize("quantity", [None, 1, 1.0, "1", " 1 ", "1.0"])
def test_a_line_that_says_it_is_one_unit_is_no_doubt(quantity: Any) -> None:
    assert parse_return(raw_return(**line(quantity=quantity))).problem is None


@pytest.mark.parametrize("word", ["N/A", "None", "null", "-", "undefined", "TBD", "0"])
def test_a_word_for_no_code_is_no_code(word: str) -> None:
    """Two products that have none would be taken for one."""
    parsed = parse_return(raw_return(**line(sku=word, barcode=word)))
    assert parsed.value is not None
    assert (parsed.value.lines[0].sku, parsed.value.lines[0].barcode) == (None, None)


def test_a_list_that_php_writes_as_an_object_is_a_list() -> None:
    """What elements were taken out of has numbered fields."""
    whole = raw_return(**line(sku="A"))
    numbered = raw_return(line_items={"1": whole["line_items"][0]})
    assert parse_return(numbered).value == parse_return(whole).value
    assert parse_return(raw_return(line_items={})).problem is not None


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([{"tracking_number": "1Z1", "line_items": [{"line_item_id": 901}]}], [("1Z1", ("901",))]),
        ({"tracking_number": "1Z1", "line_items": ["901"]}, [("1Z1", ("901",))]),
        ({"3": {"tracking_number": "1Z1"}}, [("1Z1", ())]),
        ([{"tracking_number": ["1Z1", 2]}], [("1Z1", ()), ("2", ())]),
        ([{"tracking_number": "NOT AVAILABLE"}], [(None, ())]),
        ([{"tracking_number": "000000"}, {"tracking_number": "#"}], [(None, ()), (None, ())]),
    ],
)
def test_labels_in_other_shapes(labels: Any, found: list[tuple[str, tuple[str, ...]]]) -> None:
    value = parse_return(raw_return(labels=labels)).value
    assert value is not None
    assert [(x.tracking_number, x.line_item_ids) for x in value.labels] == found


def test_a_field_that_is_given_twice_and_differs_is_a_doubt() -> None:
    text = json.dumps(raw_return()).replace('"state"', '"state": "closed", "state"', 1)
    [parsed] = [parse_return(loads(text))]
    assert parsed.value is None
    assert "two values: 'closed' and 'open'" in (parsed.problem or "")
    same = json.dumps(raw_return()).replace('"state"', '"state": "open", "state"', 1)
    assert parse_return(loads(same)).problem is None


@pytest.mark.parametrize(
    ("word", "state"),
    [(x.value, x) for x in LoopState]
    + [("needs review", LoopState.REVIEW), ("Needs Review", LoopState.REVIEW)]
    + [("In Review", LoopState.REVIEW), ("flagged", LoopState.REVIEW)]
    + [("canceled", LoopState.CANCELLED)]
    + [("OPEN", LoopState.OPEN), ("", None), (None, None), ("processed", None), ([], None)],
)
def test_states(word: Any, state: LoopState | None) -> None:
    assert parse_state(word) is state


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (None, None),
        ("", None),
        (" ", None),
        ("12.50", "12.50"),
        (" 12 ", "12"),
        ("-0.01", "-0.01"),
        (12, "12"),
        (19.99, "19.99"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (1e3, "1000.0"),
        ("1,240.00", "1240.00"),
        ("-1.234.567,8", "-1234567.8"),
    ],
)
def test_money(value: Any, amount: str | None) -> None:
    assert parse_money(value) == (None if amount is None else Decimal(amount))


@pytest.mark.parametrize(
    "value",
    [
        *["x", "1e3", "NaN", "Infinity", "1_000", "1,5", "$5", "٣", "1.", ".5", "--1"],
        *["1,240", "12,50", "1,24.00", "1,240.000", "1 240.00", "1.240.00"],
        *[True, [], {}, 1e300, float("nan"), float("inf"), 10**30, "9" * 40],
    ],
)
def test_what_is_no_money(value: Any) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        parse_money(value)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-11-01T09:30:00Z", "2026-11-01T09:30:00+00:00"),
        ("2026-11-01T09:30:00.123Z", "2026-11-01T09:30:00.123000+00:00"),
        ("2026-11-01T09:30:00.123456789Z", "2026-11-01T09:30:00.123456+00:00"),
        ("2026-11-01T09:30:00-05:00", "2026-11-01T14:30:00+00:00"),
        ("2026-11-01T09:30:00+0530", "2026-11-01T04:00:00+00:00"),
        ("2026-11-01T09:30", "2026-11-01T09:30:00+00:00"),
        ("2026-11-01 09:30:00", "2026-11-01T09:30:00+00:00"),
        ("2026-11-01 09:30:00 +02:00", "2026-11-01T07:30:00+00:00"),
        ("2026-11-01", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01 09:30:00 UTC", "2026-11-01T09:30:00+00:00"),
        ("2026-11-01t09:30:00.1234567890z", "2026-11-01T09:30:00.123456+00:00"),
    ],
)
def test_times(text: str, iso: str) -> None:
    at = parse_time(text)
    assert at is not None
    assert at.isoformat() == iso


@pytest.mark.parametrize(
    "value",
    [
        *["x", "20261101", "2026-W44-7", "2026-13-01", "2026-11-01T25:00:00Z"],
        *["11/01/2026", "2026-11-01T09:30:00+99:99"],
        *[5, 5.0, True, [], {}],
    ],
)
def test_what_is_no_time(value: Any) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_time(value)


def test_a_whole_asn_row() -> None:
    raw = {
        "id": 77,
        "return_line_item_id": 901,
        "state": "closed",
        "order_name": "#1001",
        "title": "Tee",
        "sku": "TEE",
        "barcode": "0123",
        "carrier": "USPS",
        "label_status": "delivered",
        "tracking_number": "9400",
        "restock_status": "pending",
        "outcome": "refund",
        "package_reference": "PKG1",
        "destination_id": 4,
        "destination_name": "NJ",
        "date_delivered": "2026-11-03",
        "created_at": "2026-11-01",
        "updated_at": "2026-11-04",
        "closed_at": "2026-11-04",
        "tomorrow": 1,
    }
    assert parse_asn_row(raw) == AsnRow(
        raw=raw,
        problem=None,
        return_id="77",
        line_item_id="901",
        state=LoopState.CLOSED,
        order_name="#1001",
        sku="TEE",
        barcode="0123",
        title="Tee",
        outcome="refund",
        carrier="USPS",
        tracking_number="9400",
        label_status="delivered",
        restock_status="pending",
        package_reference="PKG1",
        destination_id="4",
        destination_name="NJ",
        delivered_at=datetime(2026, 11, 3, tzinfo=UTC),
        created_at=datetime(2026, 11, 1, tzinfo=UTC),
        updated_at=datetime(2026, 11, 4, tzinfo=UTC),
        closed_at=datetime(2026, 11, 4, tzinfo=UTC),
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted(raw_return())
LINE_FIELDS = sorted(raw_return()["line_items"][0])


@given(JSON | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6))
def test_nothing_that_is_json_makes_a_parser_raise(raw: Any) -> None:
    parsed = parse_return(raw)
    assert parsed.raw is raw or parsed.raw == {"not_an_object": raw}
    assert parsed.value is not None or parsed.problem
    parse_asn_row(raw)
    parse_note(raw)
    parse_subscription(raw)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "monster", [nested(100_000), 10**5000, -(10**5000)], ids=["deep", "huge", "low"]
)
def test_deep_and_huge_values_do_not_make_a_parser_raise(monster: Any) -> None:
    for raw in (monster, dict.fromkeys(FIELDS, monster), raw_return(line_items=[monster])):
        assert parse_return(raw).problem
        assert parse_asn_row(raw).problem
        parse_note(raw)
        parse_subscription(raw)
    assert parse_return(raw_return(line_items=[dict.fromkeys(LINE_FIELDS, monster)])).problem


@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
    st.lists(JSON | st.dictionaries(st.sampled_from(LINE_FIELDS), JSON), max_size=3),
)
def test_a_return_that_is_nearly_right_is_read_or_doubted(
    changes: dict[str, Any], lines: list[Any]
) -> None:
    parsed = parse_return(raw_return(line_items=lines) | changes)
    if parsed.problem is None:
        assert parsed.value is not None
        given_lines: list[Any] = parsed.raw["line_items"] or []
        assert len(parsed.value.lines) == len(given_lines)


@given(st.decimals(-(10**9), 10**9, places=2))
def test_money_is_exact_as_string_and_as_number(amount: Decimal) -> None:
    assert parse_money(str(amount)) == amount
    assert parse_money(json.loads(str(amount))) == amount


@pytest.mark.parametrize(
    "text", ["0000-00-00 00:00:00", "0001-01-01T00:00+05:00", "1970-01-01T00:00:00Z", " ", None]
)
def test_dates_that_stand_for_none(text: str | None) -> None:
    assert parse_time(text) is None


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, "[nan]", "tru"])
def test_json_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        loads(text)


def test_a_number_beyond_floats_stays_what_it_was() -> None:
    assert loads("[1e999, 1.5]") == ["1e999", 1.5]


def test_what_no_json_has_is_an_oddity_and_can_be_stored_again() -> None:
    text = '[NaN, -Infinity, 1e999, "a\tb", ' + "9" * 5000 + "]"
    read = loads(text)
    assert read == ["NaN", "-Infinity", "1e999", "a\tb", "9" * 5000]
    assert loads(json.dumps(read)) == read
    parsed = parse_return(raw_return(order_name=loads("NaN"), refund=loads("1e999")))
    assert parsed.problem == ("refund: '1e999' is not an amount; order_name is 'NaN', not text")
