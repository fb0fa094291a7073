"""Whether, when and as what a return is announced."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bergen_loop.domain.announce import (
    AnnounceRules,
    AnnounceWhen,
    SkipKind,
    bad_codes,
    customer_po,
    customer_pos,
    destination_moved,
    missing_fields,
    parcels,
    physical_lines,
    products,
    ready_at,
    rma_request,
    tracking_numbers,
    warehouse_of,
    why_not_announced,
    why_waiting,
    words,
)
from bergen_loop.domain.codes import normal_code, sent_code
from bergen_loop.domain.naming import KitPart, by_upc
from bergen_loop.domain.returns import Label, LoopState, Return, ReturnLine
from bergen_loop.domain.rma import RmaItem, WarehouseProduct, template_fault
from support.brands import brand

AT = datetime(2026, 11, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LINES = (
    ReturnLine("1", "TEE-S", "0885909950805", "Tee", "Small / Navy", Decimal("25.00")),
    ReturnLine("2", "MUG", None, "Mug", None, Decimal("9.90"), reason="Broken"),
)


def a_return(**changes: Any) -> Return:
    plain = Return("40000001", LoopState.OPEN, AT, AT, order_name="#1001", lines=LINES)
    return replace(plain, **changes)


def skip(return_: Return, **settings: Any) -> SkipKind | None:
    found = why_not_announced(return_, AnnounceRules(**settings))
    return found.kind if found else None


# -- whether ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["in_store", "In Store", "INSTORE", "in-store"])
def test_case_24_what_is_given_back_in_a_store_is_not_announced(method: str) -> None:
    return_ = a_return(return_method="loop", method_type=method)
    found = why_not_announced(return_, AnnounceRules())
    assert found and found.no_parcel and method in found.reason
    assert skip(return_, no_parcel_method_types=words("locker")) is None
    assert skip(a_return(method_type="lo-cker"), no_parcel_method_types=words("locker"))
    assert skip(a_return(return_method=method))  # one word, which says no more than that
    assert skip(a_return(return_method=method), no_parcel_methods=words("keep")) is None


@pytest.mark.parametrize("sku", ["ROUTEINS10", "routeins 10", "RouteIns*", "routeins10*"])
def test_what_is_never_shipped_is_not_expected(sku: str) -> None:
    protection = replace(LINES[1], line_item_id="3", sku="RouteIns10")
    rules = brand(announce={"no_parcel_skus": [sku]}).announce_rules()
    assert physical_lines(a_return(lines=(*LINES, protection)), rules) == LINES
    nothing = a_return(lines=(protection,))
    assert (found := why_not_announced(nothing, rules)) and found.no_parcel
    assert why_not_announced(nothing, AnnounceRules()) is None
    bare = replace(LINES[0], sku=None)
    assert physical_lines(a_return(lines=(bare,)), rules) == (bare,)


@pytest.mark.parametrize("sku", ["*", "", "  ", "AB*", "A*B", "*INS10", "ROUTE**"])
def test_what_would_name_nearly_all_products_as_never_shipped_does_not_load(sku: str) -> None:
    with pytest.raises(ValueError, match="how it begins, at least 3"):
        brand(announce={"no_parcel_skus": [sku]})


def test_a_line_that_says_default_follows_the_returns_outcome() -> None:
    lines = (replace(LINES[0], outcome="default"), replace(LINES[1], outcome="refund"))
    return_ = a_return(outcome="Keep-Item", lines=lines)
    assert physical_lines(return_, AnnounceRules()) == lines[1:]
    assert physical_lines(replace(return_, outcome="refund"), AnnounceRules()) == lines
    assert skip(a_return(outcome="donate")) is SkipKind.NO_PARCEL, "no outcome of their own"


def test_case_34_a_destination_that_is_not_listed_is_asked_about() -> None:
    listed = {"77": "BERGEN LOGISTICS WEST", "80": None}
    assert skip(a_return(destination_id="91"), destinations=listed) is SkipKind.DESTINATION
    assert skip(a_return(destination_id="80"), destinations=listed) is SkipKind.NOT_OURS
    assert skip(a_return(destination_id=" 77 "), destinations=listed) is None
    assert skip(a_return(destination_id="91")) is None, "nothing is listed"
    rules = AnnounceRules(destinations=listed)
    assert warehouse_of(a_return(destination_id="91"), rules) is None
    assert warehouse_of(a_return(), rules) == rules.warehouse
    ended = a_return(destination_id="91", state=LoopState.CLOSED)
    assert why_not_announced(ended, rules) is None, "nothing hangs on it any more"
    with pytest.raises(ValueError, match="destination is not known"):
        open_ = a_return(destination_id="91")
        rma_request(parcels(open_, rules)[0], rules, "LR-1", AT)


def test_case_34_a_destination_that_changes_after_the_rma_is_told() -> None:
    rules = AnnounceRules(destinations={"77": "BERGEN LOGISTICS WEST", "80": None, "78": "W"})
    before = a_return(destination_id="77")
    told = destination_moved(before, a_return(destination_id="80"), rules)
    assert told and "from 77 (BERGEN LOGISTICS WEST) to 80 (not Bergen)" in told
    told = destination_moved(before, a_return(destination_id="91"), rules)
    assert told and "91 (not listed)" in told
    assert destination_moved(before, a_return(destination_id=None), rules) is None
    same = AnnounceRules(destinations={"77": "W", "78": "W"})
    assert destination_moved(before, a_return(destination_id="78"), same) is None


def test_a_return_in_doubt_is_not_announced_and_not_taken_for_empty() -> None:
    return_ = a_return(lines=(), doubts=("line_items is null",))
    found = why_not_announced(return_, AnnounceRules())
    assert found and found.asks and "line_items is null" in found.reason
    assert skip(a_return(lines=())) is SkipKind.NO_PARCEL


# -- when -------------------------------------------------------------------------------------


def label(status: str | None, number: str | None = "1Z1", *ids: str) -> Label:
    return Label("UPS", number, status, line_item_ids=ids)


@pytest.mark.parametrize(
    ("when", "status", "ready"),
    [
        ("submitted", None, True),
        ("in_transit", "pending", False),
        ("in_transit", None, False),
        ("in_transit", "in_transit", True),
        ("in_transit", "In-Transit", True),
        ("in_transit", "out_for_delivery", True),
        ("in_transit", "delivered", True),
        ("delivered", "out_for_delivery", False),
        ("delivered", "delivered", True),
    ],
)
def test_an_rma_waits_for_what_the_brand_says(when: str, status: str, ready: bool) -> None:
    rules = AnnounceRules(when=AnnounceWhen(when))
    return_ = a_return(label=label(status))
    assert ready_at(return_, rules) == (AT if ready else None)
    waiting = why_waiting(return_, rules, AT + 99 * HOUR)
    assert (waiting is None) == ready
    if waiting:
        assert (status or "none yet") in waiting


def test_case_21_no_number_is_no_label_and_the_rma_waits_at_most_label_wait() -> None:
    rules = AnnounceRules(label_wait=2 * HOUR)
    bare = a_return(label=label("pending", "N/A"))
    assert ready_at(bare, rules) == AT + 2 * HOUR
    assert "at most until 2026-11-02 14:00" in (why_waiting(bare, rules, AT) or "")
    assert why_waiting(bare, rules, AT + 2 * HOUR) is None
    (parcel,) = parcels(bare, rules)
    assert parcel.tracking_numbers == ()
    assert ready_at(a_return(label=label("new")), rules) == AT


def test_where_labels_name_their_units_the_rma_waits_for_every_one() -> None:
    half = a_return(labels=(label("new", "1Z1", "1"),))
    assert ready_at(half, AnnounceRules()) == AT + HOUR
    whole = replace(half, labels=(*half.labels, label("new", "1Z2", "2")))
    assert ready_at(whole, AnnounceRules()) == AT


@pytest.mark.parametrize("state", [LoopState.CANCELLED, LoopState.EXPIRED, LoopState.CLOSED])
@pytest.mark.parametrize("when", list(AnnounceWhen))
def test_what_has_ended_is_never_announced(state: LoopState, when: AnnounceWhen) -> None:
    return_ = a_return(state=state, label=label("delivered"))
    rules = AnnounceRules(when=when)
    assert ready_at(return_, rules) is None
    assert why_waiting(return_, rules, AT + 99 * HOUR)


# -- parcels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1Z1, 1Z2", ("1Z1", "1Z2")),
        ("1Z1;1Z1", ("1Z1",)),
        ("9400 1361 0544", ("9400 1361 0544",)),
        *((none, ()) for none in ("N/A", "n/a", "", " ", "pending", None, "N/A,N/A")),
    ],
)
def test_case_33_a_field_may_hold_several_numbers_or_none(
    text: str | None, numbers: tuple[str, ...]
) -> None:
    assert tracking_numbers(text) == numbers


def ids(return_: Return, tracking: dict[str, str] | None = None) -> list[Any]:
    return [
        ([x.line_item_id for x in p.lines], p.tracking_numbers)
        for p in parcels(return_, AnnounceRules(), tracking)
    ]


def test_labels_that_name_their_units_make_the_parcels() -> None:
    two = a_return(labels=(label("new", "1Z1", "1"), label("new", "1Z2", "2")))
    assert ids(two) == [(["1"], ("1Z1",)), (["2"], ("1Z2",))]
    assert ids(two, {"1": "X", "2": "Y"}) == ids(two), "the report only where they are missing"


def test_a_label_that_was_made_anew_is_not_a_parcel_of_its_own() -> None:
    anew = a_return(labels=(label("new", "1Z1", "1", "2"), label("new", "1Z3", "2", "1")))
    assert ids(anew) == [(["1", "2"], ("1Z1", "1Z3"))]


def test_a_label_for_each_unit_of_one_box_is_one_parcel() -> None:
    """Two tickets for one number: one of them would never come."""
    box = a_return(labels=(label("new", "1Z1", "1"), label("new", "1Z1", "2")))
    assert ids(box) == [(["1", "2"], ("1Z1",))]


def test_units_and_numbers_without_each_other_travel_with_the_first_parcel() -> None:
    more = (*LINES, replace(LINES[0], line_item_id="3"))
    labels = (label("new", "1Z1", "1"), label("new", "1Z2", "2"), label("new", "1Z9, 1Z8"))
    assert ids(a_return(lines=more, labels=labels)) == [
        (["1", "3"], ("1Z1", "1Z9", "1Z8")),
        (["2"], ("1Z2",)),
    ]


def test_without_labels_by_unit_loops_report_makes_the_parcels() -> None:
    plain = a_return(label=label("new", "1Z0"))
    assert ids(plain) == [(["1", "2"], ("1Z0",))]
    assert ids(plain, {"1": "1Z0", "2": "N/A"}) == [(["1", "2"], ("1Z0",))]
    assert ids(plain, {"1": "1Z1", "2": "1Z2"}) == [(["1"], ("1Z1",)), (["2"], ("1Z2",))]


@given(
    st.lists(st.lists(st.sampled_from("123456"), max_size=3), max_size=5),
    st.dictionaries(st.sampled_from("12345"), st.sampled_from(["A", "B", "N/A"])),
)
def test_every_unit_travels_once_and_every_number_is_announced(
    named: list[list[str]], tracking: dict[str, str]
) -> None:
    lines = tuple(replace(LINES[0], line_item_id=i) for i in "12345")
    labels = tuple(label("new", f"1Z{n}", *set(of)) for n, of in enumerate(named))
    made = parcels(a_return(lines=lines, labels=labels), AnnounceRules(), tracking)
    assert sorted(x.line_item_id for p in made for x in p.lines) == list("12345")
    assert all(p.lines for p in made)
    numbers = [n for p in made for n in p.tracking_numbers]
    assert len(numbers) == len(set(numbers))
    assert "N/A" not in numbers


# -- the RMA ----------------------------------------------------------------------------------


def test_the_rma_is_announced_with_the_warehouses_words_where_it_knows_the_product() -> None:
    known = by_upc(
        {"885909950805": WarehouseProduct("885909950805", None, "abc123", "navy", "s",
                                          "tee", Decimal("30"))}
    )  # fmt: skip
    return_ = a_return(label=label("new", "1Z1"))
    rules = AnnounceRules()
    request = rma_request(parcels(return_, rules)[0], rules, "LR-1", AT, known)
    assert request.items == (
        RmaItem(
            sku=None,
            upc="885909950805",
            expected=1,
            description="tee",
            style="abc123",
            color="navy",
            size="s",
            msrp=Decimal("30"),
            pieces=(("1", 1),),
        ),
        RmaItem(
            sku="MUG",
            upc=None,
            expected=1,
            description="Mug",
            style="MUG",
            msrp=Decimal("9.90"),
            reason_code="Broken",
            pieces=(("2", 1),),
        ),
    )
    assert (request.customer_po, request.carrier) == ("LR-1", "UPS")
    assert request.tracking_numbers == ("1Z1",)


def test_the_rma_is_announced_with_the_shops_words_where_it_does_not() -> None:
    (tee, _) = rma_request(parcels(a_return(), AnnounceRules())[0], AnnounceRules(), "1", AT).items
    assert (tee.sku, tee.upc) == ("TEE-S", "0885909950805")
    assert (tee.style, tee.color, tee.size) == ("TEE-S", "Navy", "Small")


def test_a_product_that_is_known_by_its_upc_alone_is_called_as_the_shop_calls_it() -> None:
    known = by_upc({"0885909950805": WarehouseProduct("0885909950805")})
    rules = AnnounceRules()
    tee, _ = rma_request(parcels(a_return(), rules)[0], rules, "1", AT, known).items
    assert (tee.sku, tee.style, tee.size) == ("TEE-S", "TEE-S", "Small")


def test_a_kit_is_announced_as_its_parts() -> None:
    kits = {"mug": (KitPart("CUP", 1, upc="555", style="cup"), KitPart("LID", 2))}
    rules = AnnounceRules(kits=kits)
    twice = (*LINES, replace(LINES[1], line_item_id="3"))
    _, cup, lid = rma_request(parcels(a_return(lines=twice), rules)[0], rules, "1", AT).items
    assert (cup.sku, cup.upc, cup.style, cup.expected) == ("CUP", "555", "cup", 2)
    assert (lid.expected, lid.pieces) == (4, (("2", 2), ("3", 2)))
    assert lid.description == "part of Mug (MUG)"
    assert [p.upc for p in products(a_return(), rules)] == ["0885909950805", "555"]


def test_products_are_one_for_all_spellings_of_a_upc_and_say_what_they_lack() -> None:
    again = replace(LINES[0], line_item_id="3", barcode="885909950805")
    (tee,) = products(a_return(lines=(*LINES, again)), AnnounceRules())
    assert missing_fields(tee) == ()
    assert missing_fields(replace(tee, color=None, price=None)) == ("Color", "Price")


def test_case_40_and_11_codes_that_cannot_be_sent_are_told_by_product() -> None:
    lines = (
        replace(LINES[0], barcode="8.85E+11"),
        replace(LINES[1], sku="MU\x0bG"),
        ReturnLine("3", None, "", "Cap"),
        ReturnLine("4", "OK-1", "N/A", "Scarf"),
    )
    found = bad_codes(a_return(lines=lines), AnnounceRules())
    assert [(b.name, b.line_item_ids) for b in found] == [
        ("Tee", ("1",)),
        ("Mug", ("2",)),
        ("Cap", ("3",)),
    ]
    assert "8.85E+11" in found[0].problem and "U+000B" in found[1].problem
    assert "neither SKU nor barcode" in found[2].problem


def test_a_code_that_is_not_sent_is_no_problem() -> None:
    odd = replace(LINES[0], sku="T\x0bEE")
    known = {"885909950805": WarehouseProduct("885909950805", None, "tee", "navy", "s")}
    kits = {"tee": (KitPart("A"),)}
    assert bad_codes(a_return(lines=(odd,)), AnnounceRules())
    assert not bad_codes(a_return(lines=(odd,)), AnnounceRules(), known)
    assert not bad_codes(a_return(lines=(odd,)), AnnounceRules(kits=kits))


# -- its PO -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "order_name", "expected"),
    [
        ("{return_id} {order_name}", None, "40000001"),
        ("{return_id} {order_name}", " ", "40000001"),
        ("{return_id} {order_name}", "#1001", "40000001 #1001"),
        ("LR-{return_id}-{order_name}", None, "LR-40000001"),
        ("{order_name} / {return_id}", None, "40000001"),
        ("LR {return_id} ({order_name})", None, "LR 40000001"),
        ("LR-{return_id}", None, "LR-40000001"),
        ("{return_id} {order_name}", "A\u200b\tB", "40000001 A B"),
    ],
)
def test_case_36_a_missing_name_leaves_nothing_stray_in_the_po(
    template: str, order_name: str | None, expected: str
) -> None:
    rules = AnnounceRules(po_template=template)
    assert customer_po(a_return(order_name=order_name), rules) == expected
    assert customer_po(a_return(order_name=order_name), rules, 2) == f"{expected}-2"


names = st.none() | st.text(max_size=12) | st.from_regex(r"#?[0-9]{1,9}(-[0-9])?", fullmatch=True)
TEMPLATES = [
    "LR-{return_id}",
    "{return_id} {order_name}",
    "{order_name}-{return_id}",
    "{return_id}/{order_name}",
]


@given(
    st.sampled_from(TEMPLATES),
    st.integers(10_000, 10**9),
    st.integers(10_000, 10**9),
    names,
    names,
    st.integers(1, 99),
    st.integers(1, 99),
)
def test_two_returns_never_share_a_po(
    template: str, one: int, two: int, name: str | None, other: str | None, n: int, m: int
) -> None:
    assert template_fault(template, 50) is None
    rules = AnnounceRules(po_template=template)
    a = customer_po(a_return(id=str(one), order_name=name), rules, n)
    b = customer_po(a_return(id=str(two), order_name=other), rules, m)
    assert sent_code(a) == a
    if one != two and {str(one), str(two)}.isdisjoint((name or "", other or "")):
        assert normal_code(a) != normal_code(b)


def test_new_pos_are_none_that_are_taken() -> None:
    rules = AnnounceRules()
    assert customer_pos(a_return(), rules, 2) == ("LR-40000001", "LR-40000001-2")
    assert customer_pos(a_return(), rules, 1, ["lr-40000001"]) == ("LR-40000001-2",)
    every = customer_pos(a_return(), rules, 99)
    with pytest.raises(ValueError, match="99 RMAs"):
        customer_pos(a_return(), rules, 1, every)


def test_a_po_that_would_be_too_long_is_asked_about_not_cut() -> None:
    rules = AnnounceRules(po_template="{return_id} {order_name}", po_length=40)
    found = why_not_announced(a_return(order_name="X" * 40), rules)
    assert found and found.asks and "52 characters" in found.reason
