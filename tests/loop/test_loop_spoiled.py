"""One bad record never holds the rest of a page, and pages that fail get smaller."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_api import FakeLoop, Step, answer, fails, loop, raw_return

from bergen_loop.outside.errors import Unavailable, Unreadable
from bergen_loop.outside.loop import ParsedReturn, ReturnsPage

AT = datetime(2026, 11, 1, tzinfo=UTC)
RECORDS = [raw_return(x) for x in ("1", "2", "3")]
CLEAN = [json.dumps(x) for x in RECORDS]
FIELDS = sorted(raw_return())
LINE_FIELDS = sorted(raw_return()["line_items"][0])

VALUES = st.sampled_from(
    [
        *["null", "true", "{}", "[]", '""', '" "', "NaN", "-Infinity", "1e999", "9" * 5000, "-1"],
        *['"\t\n\x0b\x1d"', '"\\u0000"', '"\\ud800"', '"x y"', "[[[]]]", '{"a": {"b": []}}'],
        *['"' + "x" * 100_000 + '"', "[" * 500 + "]" * 500, '"N/A"', "0.1", '"OPEN"', '"é"'],
        *['"a "quoted" word"', '"', "", "nonsense", "{", "[1", "tru", "&eacute;", "<html>", "'x'"],
    ]
)


def page_of(elements: list[str]) -> list[ParsedReturn]:
    """What a client makes of these elements of a list."""

    def serve(request: httpx2.Request) -> httpx2.Response:
        start = int(request.url.params.get("cursor", "0"))
        end = start + int(request.url.params["pageSize"])
        following = f'"https://loop.example/?cursor={end}"' if end < len(elements) else "null"
        shown = ", ".join(elements[start:end])
        return answer(text=f'{{"returns": [{shown}], "nextPageUrl": {following}}}')(request)

    pages = list(loop(serve).client().list_returns(AT, AT, page_size=3))
    assert [p.incomplete for p in pages] == [None] * len(pages)
    return [x for p in pages for x in p.returns]


GOOD = page_of(CLEAN)


def others(found: list[ParsedReturn], but: int) -> list[ParsedReturn]:
    return [x for n, x in enumerate(found) if n != but]


def spoiled(record: dict[str, Any], name: str, value: str) -> str:
    """The record as text, with this text in the place of a field's value."""
    mark = "@@@"
    return json.dumps(record | {name: mark}).replace(f'"{mark}"', value)


@given(st.integers(0, 2), st.sampled_from(FIELDS), VALUES)
def test_one_spoiled_field_of_one_record_spoils_no_other(at: int, name: str, value: str) -> None:
    elements = list(CLEAN)
    elements[at] = spoiled(RECORDS[at], name, value)
    found = page_of(elements)
    assert others(found, at) == others(GOOD, at)
    assert len(found) == 3
    json.dumps(found[at].raw)


@given(st.integers(0, 2), st.sampled_from(LINE_FIELDS), VALUES)
def test_one_spoiled_field_of_one_line_spoils_no_other(at: int, name: str, value: str) -> None:
    line = spoiled(RECORDS[at]["line_items"][0], name, value)
    elements = list(CLEAN)
    elements[at] = spoiled(RECORDS[at], "line_items", f"[{line}]")
    found = page_of(elements)
    assert others(found, at) == others(GOOD, at)


@given(st.integers(0, 2), st.sampled_from(FIELDS), st.sampled_from([str.upper, str.title]))
def test_an_absent_field_or_one_in_another_case_spoils_no_other(
    at: int, name: str, change: Callable[[str], str]
) -> None:
    record = dict(RECORDS[at])
    record[change(name)] = record.pop(name)
    elements = list(CLEAN)
    elements[at] = json.dumps(record)
    found = page_of(elements)
    assert others(found, at) == others(GOOD, at)


def test_a_tab_in_a_comment_and_a_price_that_is_no_number() -> None:
    tab = CLEAN[0].replace('"tight"', '"too\ttight\n"')
    nan = CLEAN[1].replace('"price": "45.00"', '"price": NaN')
    one, two, three = page_of([tab, nan, CLEAN[2]])
    assert one.problem is None
    assert one.value is not None
    assert one.value.lines[0].comment == "too\ttight"
    assert two.value is not None
    assert two.value.doubts == ("line item 1: price: 'NaN' is not an amount",)
    assert three == GOOD[2]


def test_an_element_that_is_no_json_is_kept_as_it_came() -> None:
    broken = CLEAN[1].replace('"state": "open"', '"state": open')
    one, two, three = page_of([CLEAN[0], broken, CLEAN[2]])
    assert (one, three) == (GOOD[0], GOOD[2])
    assert two.value is None
    assert broken in two.raw["not_an_object"]


def test_a_line_listed_twice_is_one_unit_and_a_doubt() -> None:
    twice = raw_return("2")
    twice["line_items"] = twice["line_items"] * 2
    other = raw_return("3")
    other["line_items"] = [*other["line_items"], other["line_items"][0] | {"sku": "OTHER"}]
    _, two, three = page_of([CLEAN[0], json.dumps(twice), json.dumps(other)])
    assert two.value is not None and three.value is not None
    assert len(two.value.lines) == len(three.value.lines) == 1
    assert two.value.doubts == ("line item 901 is listed twice",)
    assert "different particulars" in three.value.doubts[0]


# -- pages that are too large -----------------------------------------------------------------


class Shop:
    """Returns in pages, none of which may be larger than it manages."""

    def __init__(self, returns: int, manages: int, refusal: Step) -> None:
        self.ids = [str(n) for n in range(1, returns + 1)]
        self.manages, self.refusal = manages, refusal
        self.asked: list[int] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        size = int(request.url.params["pageSize"])
        self.asked.append(size)
        if size > self.manages:
            return self.refusal(request)
        start = int(request.url.params.get("cursor", "0"))
        following = start + size
        more = f"/x?cursor={following}" if following < len(self.ids) else None
        page = [raw_return(x) for x in self.ids[start:following]]
        return answer({"returns": page, "nextPageUrl": more})(request)


def read(fake: FakeLoop, **options: Any) -> list[ReturnsPage]:
    return list(fake.client(**options).list_returns(AT, AT))


@pytest.mark.parametrize(
    "refusal",
    [
        answer({}, status=504),
        answer(text="<h1>Gateway Time-out</h1>", status=504),
        fails(httpx2.ReadTimeout),
        answer(text='{"returns": [{"id": '),
    ],
)
@pytest.mark.parametrize("manages", [100, 3, 1])
def test_pages_that_fail_get_smaller_until_they_come(refusal: Step, manages: int) -> None:
    shop = Shop(150, manages, refusal)
    pages = read(loop(shop))
    assert [x.return_id for p in pages for x in p.returns] == shop.ids
    assert pages[-1].incomplete is None


def test_a_client_remembers_what_loop_manages_and_tries_more_later() -> None:
    shop = Shop(150, 100, answer({}, status=504))
    client = loop(shop).client()
    list(client.list_returns(AT, AT))
    shop.asked.clear()
    shop.manages = 750
    assert len(list(client.list_returns(AT, AT))) < 5
    assert shop.asked[0] < 100
    for _ in range(30):
        list(client.list_returns(AT, AT))
    assert shop.asked[-1] == 750


def test_a_single_return_that_never_comes_is_the_error_itself() -> None:
    with pytest.raises(Unavailable, match="504"):
        read(loop(Shop(1, 0, answer({}, status=504))))


def test_an_unreachable_loop_is_not_taken_for_too_large_a_page() -> None:
    fake = loop(fails(httpx2.ConnectError))
    with pytest.raises(Unavailable):
        read(fake)
    assert len(fake.sent) == 2


def test_an_empty_page_that_repeats_its_cursor_is_the_end() -> None:
    def page(*ids: str) -> Step:
        return answer({"returns": [raw_return(x) for x in ids], "nextPageUrl": "/x?cursor=a"})

    fake = loop(page("1"), page())
    pages = read(fake)
    assert (len(fake.sent), pages[-1].incomplete) == (2, None)


def test_a_cursor_that_never_ends_is_ended_and_told() -> None:
    number = 0

    def endless(request: httpx2.Request) -> httpx2.Response:
        nonlocal number
        number += 1
        return answer({"returns": [raw_return("1")], "nextPageUrl": f"/x?cursor={number}"})(request)

    pages = read(loop(endless))
    assert pages[-1].incomplete == "20 pages in a row bring nothing new"
    assert number == 21


@pytest.mark.parametrize("end", ["<!-- notice -->", "{}", ', "x": ' + "[" * 9000 + "]" * 9000])
def test_what_stands_behind_an_empty_page_is_no_return(end: str) -> None:
    text = '{"returns": [], "nextPageUrl": null}'
    text = text + end if end[0] != "," else f"{text[:-1]}{end}}}"
    client = loop(lambda request: answer(text=text)(request)).client()
    assert [p.returns for p in client.list_returns(AT, AT)] == [()]


@pytest.mark.parametrize("cut", [30, 100, -1])
def test_a_page_that_is_cut_off_is_no_return(cut: int) -> None:
    """Each minute of each window was a gap then, and one more item."""
    text = f'{{"returns": [{CLEAN[0]}], "nextPageUrl": null}}'[:cut]
    client = loop(lambda request: answer(text=text)(request)).client()
    if cut == -1:
        assert [len(p.returns) for p in client.list_returns(AT, AT)] == [1]
    else:
        with pytest.raises(Unreadable, match="not JSON"):
            list(client.list_returns(AT, AT))
