"""Warehouse-local times, both clock changes included (2026: March 8 and November 1)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bergen_loop.outside.warehouse.rex11.responses import read_quantity
from bergen_loop.outside.warehouse.rex11.soap import local_date, query_window, read_time

NY = ZoneInfo("America/New_York")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5/23/2016 12:32:50 PM", "2016-05-23T16:32:50"),
        ("5/23/2016 12:32:50 AM", "2016-05-23T04:32:50"),
        ("5/23/2016 1:02:03 pm", "2016-05-23T17:02:03"),
        ("05/23/2016 12:47:13", "2016-05-23T16:47:13"),
        ("12/01/2016 23:47:13", "2016-12-02T04:47:13"),
        ("5/10/2016", "2016-05-10T04:00:00"),
        (" 05/10/2016 ", "2016-05-10T04:00:00"),
        ("2016-05-23T12:47:13", "2016-05-23T16:47:13"),
        ("2016-05-23T12:47:13.25Z", "2016-05-23T12:47:13.25"),
        ("11/1/2026 12:59:59 AM", "2026-11-01T04:59:59"),
        ("11/1/2026 1:30:00 AM", "2026-11-01T05:30:00"),  # read twice: the earlier
        ("11/1/2026 2:00:00 AM", "2026-11-01T07:00:00"),
        ("3/8/2026 1:59:59 AM", "2026-03-08T06:59:59"),
        ("3/8/2026 2:30:00 AM", "2026-03-08T07:30:00"),  # does not exist
        ("3/8/2026 3:00:00 AM", "2026-03-08T07:00:00"),
    ],
)
def test_a_local_time_is_read_as_utc(text: str, expected: str) -> None:
    parsed = read_time(text, NY)
    assert parsed is not None
    assert parsed == utc(expected)
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["1/1/0001", "1/1/0001 12:00:00 AM", "01/01/0001 00:00:00", "0001-01-01T00:00:00", "1/1/1900",
     "12/30/1899", "1/1/1753 12:00:00 AM", "1/1/1970", "12/31/9999 11:59:59 PM",
     "9999-12-31T23:59:59.9999999"],
)  # fmt: skip
def test_what_systems_write_for_no_date_is_none(text: str) -> None:
    assert read_time(text, NY) is None
    assert read_time(text, ZoneInfo("Asia/Hong_Kong")) is None


@pytest.mark.parametrize(
    "text",
    [None, "", "13/01/2016", "2/30/2016", "5/23/16", "5/23/2016 25:00:00", "5/23/2016 13:00:00 PM",
     "5/23/2016 0:10:00 AM", "5/23/2016 12:61:00", "tomorrow", "٥/٢٣/٢٠١٦", "0/0/0000",
     "2016-02-30", "2016-05-23T99:00:00"],
)  # fmt: skip
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert read_time(text, NY) is None


@given(st.text(st.sampled_from("0123456789/: APMapm.-TZ+"), max_size=30))
def test_any_text_is_a_time_of_these_centuries_or_none(text: str) -> None:
    parsed = read_time(text, NY)
    assert parsed is None or (parsed.tzinfo is UTC and 1999 <= parsed.year <= 2200)


def test_another_warehouse_zone() -> None:
    assert read_time("5/23/2016 12:00:00", ZoneInfo("Asia/Hong_Kong")) == utc("2016-05-23T04:00")


def test_local_date() -> None:
    assert local_date(date(2026, 3, 8)) == "03/08/2026"


@pytest.mark.parametrize(
    ("since", "until", "window"),
    [
        ("2026-06-01T14:30:59", "2026-06-01T18:00:00", ("06/01/2026 10:30", "06/01/2026 14:00")),
        ("2026-06-01T14:30:00", "2026-06-01T18:00:01", ("06/01/2026 10:30", "06/01/2026 14:01")),
        # Spring: 1:59 is followed by 3:00.
        ("2026-03-08T06:59:10", "2026-03-08T06:59:50", ("03/08/2026 01:59", "03/08/2026 03:00")),
        # Autumn: 1:40 the first time to 1:20 the second time, which looks reversed.
        ("2026-11-01T05:40:00", "2026-11-01T06:20:00", ("11/01/2026 00:40", "11/01/2026 02:20")),
        ("2026-11-01T04:30:00", "2026-11-01T07:30:00", ("11/01/2026 00:30", "11/01/2026 02:30")),
    ],
)
def test_query_window(since: str, until: str, window: tuple[str, str]) -> None:
    assert query_window(utc(since), utc(until), NY) == window


def test_query_window_in_days_takes_the_next_day_in() -> None:
    window = query_window(utc("2026-06-01T03:30"), utc("2026-06-01T05:00"), NY, "day")
    assert window == ("05/31/2026", "06/02/2026")


@given(
    change=st.sampled_from(["2026-03-07T00:00", "2026-10-31T00:00"]),
    seconds=st.integers(0, 3 * 86400),
    length=st.integers(0, 2 * 86400),
    part=st.floats(0, 1),
)
def test_the_window_holds_every_wall_time_in_it(
    change: str, seconds: int, length: int, part: float
) -> None:
    since = utc(change) + timedelta(seconds=seconds)
    until = since + timedelta(seconds=length)
    inside = (since + (until - since) * part).astimezone(NY).replace(tzinfo=None)
    first, last = (
        datetime.strptime(t, "%m/%d/%Y %H:%M")  # noqa: DTZ007
        for t in query_window(since, until, NY)
    )
    assert first <= inside <= last


def test_query_window_refuses_naive_and_reversed_times() -> None:
    with pytest.raises(ValueError, match="aware"):
        query_window(datetime(2026, 1, 1), utc("2026-01-02"), NY)  # noqa: DTZ001
    with pytest.raises(ValueError, match="reversed"):
        query_window(utc("2026-01-02"), utc("2026-01-01"), NY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", (2, None)),
        ("2.0", (2, None)),
        ("2.00", (2, None)),
        ("2.", (2, None)),
        (" 0 ", (0, None)),
        ("", (None, None)),
        (None, (None, None)),
        ("-1", (-1, "Q is negative: -1")),
        ("abc", (None, "Q is 'abc', not a whole number")),
        ("1.5", (None, "Q is '1.5', not a whole number")),
        ("1e400", (None, "Q is '1e400', not a whole number")),
        ("NaN", (None, "Q is 'NaN', not a whole number")),
        ("٢", (None, "Q is '٢', not a whole number")),
        ("1,000", (None, "Q is '1,000', not a whole number")),
        ("9" * 10, (None, f"Q is '{'9' * 10}', not a whole number")),
        ("9" * 5000, (None, f"Q is '{'9' * 40}', not a whole number")),
    ],
)
def test_read_quantity(text: str | None, expected: tuple[int | None, str | None]) -> None:
    assert read_quantity(text, "Q") == expected


@given(st.text())
def test_read_quantity_gives_a_number_or_says_why_not(text: str) -> None:
    units, problem = read_quantity(text, "Q")
    assert units is not None or problem or not text.strip()
