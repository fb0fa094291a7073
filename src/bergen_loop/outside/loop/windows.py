"""Cutting a range into pieces that Loop accepts. Pure.

Its docs say 120 days at most; exactly 120 have been refused. So pieces stay below by a margin.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

MAX_DAYS = 118


def time_windows(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """Whole-second UTC windows that cover the range, oldest first; a window starts at the
    second the one before ends, so a return on a boundary may be listed twice, never left out.

    ValueError for a naive time or a range that ends before it starts.
    """
    if since.tzinfo is None or until.tzinfo is None:
        raise ValueError("since and until need a time zone")
    if since > until:
        raise ValueError(f"since ({since.isoformat()}) is after until ({until.isoformat()})")
    start = since.astimezone(UTC).replace(microsecond=0)
    end = _next_whole_second(until.astimezone(UTC))
    windows: list[tuple[datetime, datetime]] = []
    while True:
        stop = min(end, start + timedelta(days=MAX_DAYS))
        windows.append((start, stop))
        if stop == end:
            return windows
        start = stop


def _next_whole_second(at: datetime) -> datetime:
    whole = at.replace(microsecond=0)
    return whole if whole == at else whole + timedelta(seconds=1)


def day_windows(first: date, last: date) -> list[tuple[date, date]]:
    """Windows of at most `MAX_DAYS` calendar days, both ends counted, oldest first.

    Whether Loop counts the last day in is not documented. So a window is never longer even if
    it does, and the next one starts on that day again in case it does not.
    """
    first, last = _day(first), _day(last)
    if first > last:
        raise ValueError(f"from ({first}) is after to ({last})")
    windows: list[tuple[date, date]] = []
    while True:
        stop = min(last, first + timedelta(days=MAX_DAYS - 1))
        windows.append((first, stop))
        if stop == last:
            return windows
        first = stop


def _day(value: date) -> date:
    """The day of a date, or of a datetime (in UTC if it has a zone)."""
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).date()
    return value
