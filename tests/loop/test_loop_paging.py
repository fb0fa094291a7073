"""Walking lists: windows, cursors, and the ends of a walk."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_api import Step, answer, loop, raw_return

from bergen_loop.outside.errors import Unreadable
from bergen_loop.outside.loop import ReturnsPage
from bergen_loop.outside.loop.requests import day_windows, time_windows

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=1)
OWN = {
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-11-02T00:00:00Z",
    "filter": "updated_at",
    "state": "review",
    "paginate": "true",
    "pageSize": "2",
}


def page(*ids: str, next_url: Any = None) -> Step:
    return answer({"returns": [raw_return(x) for x in ids], "nextPageUrl": next_url})


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def walk(*steps: Step, **options: Any) -> tuple[list[dict[str, str]], list[ReturnsPage]]:
    """What was asked, page by page, and what came of it."""
    fake = loop(*steps)
    client = fake.client(**options)
    pages = list(client.list_returns(SINCE, UNTIL, state="review", page_size=2))
    assert {x.url.split("?")[0] for x in fake.sent} == {
        "https://api.loopreturns.com/api/2026-10/warehouse/return/list"
    }
    return [query(x.url) for x in fake.sent], pages


def ids(pages: list[ReturnsPage]) -> list[str | None]:
    return [x.return_id for p in pages for x in p.returns]


def test_only_the_cursor_is_taken_and_our_parameters_are_sent_again() -> None:
    evil = "https://evil.example/steal?cursor=abc%3D%2B&pageSize=9&filter=created_at"
    asked, pages = walk(page("1", "2", next_url=evil), page("3"))
    assert asked == [OWN, OWN | {"cursor": "abc=+"}]
    assert ids(pages) == ["1", "2", "3"]
    assert [(p.number, p.incomplete, p.state) for p in pages] == [
        (1, None, "review"),
        (2, None, "review"),
    ]
    assert (pages[0].since, pages[0].until) == (SINCE, UNTIL)


@pytest.mark.parametrize(
    ("steps", "reason", "calls"),
    [
        ([page("1", next_url="/x?cursor=a")], "nextPageUrl repeats a cursor", 2),
        (
            [
                page("1", next_url="/x?cursor=a"),
                page("2", next_url="/x?cursor=b"),
                page("3", next_url="/x?cursor=a"),
            ],
            "nextPageUrl repeats a cursor",
            3,
        ),
        ([page("1", next_url="/x?page=2")], "nextPageUrl '/x?page=2' has no cursor", 1),
        ([page("1", next_url="/x?cursor=")], "nextPageUrl '/x?cursor=' has no cursor", 1),
        ([page("1", next_url=7)], "nextPageUrl 7 has no cursor", 1),
        ([page("1", next_url="http://[x?cursor=a")], "has no cursor", 1),
        ([page("1", next_url="/x?cursor=%0a")], "has no cursor", 1),
        (
            [answer({"returns": [raw_return("1"), raw_return("2")]})],
            "a full page came without nextPageUrl",
            1,
        ),
    ],
)
def test_a_walk_that_cannot_go_on_ends_and_says_so(
    steps: list[Step], reason: str, calls: int
) -> None:
    asked, pages = walk(*steps)
    assert len(asked) == len(pages) == calls
    assert reason in (pages[-1].incomplete or "")
    assert [p.incomplete for p in pages[:-1]] == [None] * (calls - 1)


def test_a_walk_with_ever_new_cursors_ends_at_the_cap() -> None:
    steps = [page(str(n), next_url=f"/x?cursor={n}") for n in range(10)]
    asked, pages = walk(*steps, max_pages=3)
    assert len(asked) == 3
    assert [p.incomplete for p in pages] == [None, None, "there are more than 3 pages"]


@pytest.mark.parametrize("next_url", [None, ""])
def test_the_proper_end(next_url: str | None) -> None:
    _, pages = walk(page("1", "2", next_url=next_url))
    assert [p.incomplete for p in pages] == [None]


def test_a_short_page_without_the_field_is_an_end_too() -> None:
    _, pages = walk(answer({"returns": [raw_return("1")]}))
    assert [p.incomplete for p in pages] == [None]


def test_a_bare_array_is_a_single_page() -> None:
    asked, pages = walk(answer([raw_return("1"), raw_return("2"), "odd", None]))
    assert len(asked) == 1
    assert ids(pages) == ["1", "2", None, None]
    odd = pages[0].returns[2]
    assert (odd.raw, odd.value) == ({"not_an_object": "odd"}, None)
    assert odd.problem == "the return is 'odd', not an object"


@pytest.mark.parametrize(
    "body", [{}, {"returns": None}, {"returns": {}}, None, {"message": "sorry"}, "true"]
)
def test_an_answer_that_is_no_list_is_not_taken_for_an_empty_one(body: Any) -> None:
    with pytest.raises(Unreadable) as caught:
        walk(answer(body))
    assert caught.value.raw is not None


def test_all_five_states_take_three_passes() -> None:
    fake = loop(page("1"), page("2"), page("3"))
    pages = list(fake.client().walk_returns(SINCE, UNTIL))
    assert [query(x.url).get("state") for x in fake.sent] == [None, "cancelled", "review"]
    assert [p.state for p in pages] == [None, "cancelled", "review"]
    assert ids(pages) == ["1", "2", "3"]


def test_a_long_range_is_asked_window_by_window() -> None:
    fake = loop(page("1", next_url="/?cursor=a"), page("2"), page("3", next_url="/?cursor=a"))
    fake.steps.append(page("4"))
    pages = list(fake.client().list_returns(SINCE, SINCE + timedelta(days=119)))
    asked = [query(x.url) for x in fake.sent]
    assert [(x["from"], x["to"], x.get("cursor")) for x in asked] == [
        ("2026-11-01T00:00:00Z", "2027-02-27T00:00:00Z", None),
        ("2026-11-01T00:00:00Z", "2027-02-27T00:00:00Z", "a"),
        ("2027-02-27T00:00:00Z", "2027-02-28T00:00:00Z", None),
        ("2027-02-27T00:00:00Z", "2027-02-28T00:00:00Z", "a"),
    ]
    assert [(p.number, p.incomplete) for p in pages] == [(1, None), (2, None)] * 2


def test_the_form_of_times_can_be_configured() -> None:
    fake = loop(page())
    local = datetime(2026, 11, 1, 20, tzinfo=timezone(timedelta(hours=-5)))
    list(fake.client(time_format="%Y-%m-%d %H:%M:%S").list_returns(local, local))
    asked = query(fake.sent[0].url)
    assert (asked["from"], asked["to"]) == ("2026-11-02 01:00:00", "2026-11-02 01:00:00")


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (timedelta(0), [0]),
        (timedelta(days=118), [118]),
        (timedelta(days=118, microseconds=1), [118, 1 / 86400]),
        (timedelta(days=120), [118, 2]),
        (timedelta(days=236), [118, 118]),
        (timedelta(days=237), [118, 118, 1]),
    ],
)
def test_window_boundaries(length: timedelta, expected: list[float]) -> None:
    windows = time_windows(SINCE, SINCE + length)
    assert [(b - a) / timedelta(days=1) for a, b in windows] == expected


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
    st.timedeltas(timedelta(0), timedelta(days=1500)),
)
def test_windows_cover_the_range_and_none_is_too_long(start: datetime, length: timedelta) -> None:
    since = start.replace(tzinfo=UTC)
    windows = time_windows(since, since + length)
    assert windows[0][0] <= since < windows[0][0] + timedelta(seconds=1)
    assert since + length <= windows[-1][1] < since + length + timedelta(seconds=1)
    assert all(a <= b <= a + timedelta(days=118) for a, b in windows)
    assert all(x[1] == y[0] for x, y in pairwise(windows))


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (date(2026, 1, 1), [("2026-01-01", "2026-01-01")]),
        (date(2026, 4, 28), [("2026-01-01", "2026-04-28")]),
        (date(2026, 4, 29), [("2026-01-01", "2026-04-28"), ("2026-04-28", "2026-04-29")]),
    ],
)
def test_asn_windows_count_both_ends(last: date, expected: list[tuple[str, str]]) -> None:
    windows = day_windows(date(2026, 1, 1), last)
    assert [(str(a), str(b)) for a, b in windows] == expected
    assert all((b - a).days + 1 <= 118 for a, b in windows)


def asn(line: int, state: str, return_id: str = "77") -> dict[str, Any]:
    return {"id": return_id, "return_line_item_id": line, "state": state, "sku": "TEE"}


def test_asn_rows_of_two_windows_are_joined_and_the_later_stays() -> None:
    fake = loop(
        answer([asn(1, "open"), asn(2, "open"), "odd"]), answer([asn(2, "closed"), asn(3, "open")])
    )
    rows = fake.client().asn_report(date(2026, 1, 1), date(2026, 5, 1))
    assert fake.paths == [
        "GET /warehouse/reporting/asn?from=2026-01-01&to=2026-04-28",
        "GET /warehouse/reporting/asn?from=2026-04-28&to=2026-05-01",
    ]
    assert [(x.line_item_id, x.state, x.problem) for x in rows] == [
        ("1", "open", None),
        (None, None, "the row is 'odd', not an object"),
        ("2", "closed", None),
        ("3", "open", None),
    ]


def test_an_asn_answer_that_is_no_array_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="over 120 days"):
        loop(answer({"message": "over 120 days"})).client().asn_report(
            date(2026, 1, 1), date(2026, 1, 2)
        )
