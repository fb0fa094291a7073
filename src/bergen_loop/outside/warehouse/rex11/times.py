"""REX11's times: warehouse-local, without a zone. Inside, everything is aware UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

_FORM = re.compile(
    r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})"
    r"(?:\s+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?:\s*([AP])M)?)?",
    re.IGNORECASE,
)
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:]{5,8}(?:\.[0-9]+)?(?:Z|[+-][0-9:]{5})?)?"
)
_MINUTE = timedelta(minutes=1)
_FIRST, _LAST = 2000, 2200
"""Years: what is before or after is a value that systems write for "no date" (1/1/0001, 1/1/1900,
12/30/1899, 12/31/9999)."""


def read_time(text: str | None, zone: ZoneInfo) -> datetime | None:
    """`5/23/2016 12:32:50 PM`, `05/23/2016 12:47:13`, `5/10/2016` or `2016-05-23T12:47:13` ->
    aware UTC; None for everything that is no date of the calendar of these two centuries.

    A date alone is its midnight. In the hour that a clock change repeats the earlier reading is
    taken; in the hour it skips, the offset before the change.
    """
    try:
        time = _wall((text or "").strip())
        if time is None or not _FIRST <= time.year < _LAST:
            return None
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _wall(text: str) -> datetime | None:
    if _ISO.fullmatch(text):
        return datetime.fromisoformat(text)
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    month, day, year, hour, minute, second = (int(g or 0) for g in match.groups()[:6])
    if half := match[7]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half.upper() == "P" else 0)
    return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001


def local_date(day: date) -> str:
    """`MM/DD/YYYY`, as tickets and queries want a day."""
    return f"{day.month:02}/{day.day:02}/{day.year:04}"


def query_window(
    since: datetime, until: datetime, zone: ZoneInfo, precision: Literal["minute", "day"] = "minute"
) -> tuple[str, str]:
    """Start and end of a by-date query covering at least [since, until].

    `MM/DD/YYYY HH:MI` (24-hour), or whole days, the day after the last included since it is not
    documented whether an end date counts as its midnight. Rounded outwards; next to the hour
    that a clock change repeats, widened so that both of its readings are in.
    """
    if since.tzinfo is None or until.tzinfo is None:
        raise ValueError("the window's times must be aware (UTC)")
    if since > until:
        raise ValueError(f"the window is reversed: {since.isoformat()} > {until.isoformat()}")
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    first = _outward(since.replace(second=0, microsecond=0), zone, -1)
    end = until.replace(second=0, microsecond=0)
    last = _outward(end if end == until else end + _MINUTE, zone, +1)
    if precision == "day":
        return local_date(first.date()), local_date(last.date() + timedelta(days=1))
    return f"{local_date(first.date())} {first:%H:%M}", f"{local_date(last.date())} {last:%H:%M}"


def _outward(time: datetime, zone: ZoneInfo, direction: Literal[-1, 1]) -> datetime:
    """The wall-clock time, moved over the whole repeated hour if it may be read twice."""
    wall = time.astimezone(zone).replace(tzinfo=None)
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    repeated = (first - second) if first and second else timedelta()
    return wall + direction * max(repeated, timedelta())
