"""New Jersey wall time, in the date forms REX11 uses."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

NEW_JERSEY = ZoneInfo("America/New_York")
_QUERY = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: (\d{1,2}):(\d{2}))?")


def wall_time(moment: datetime) -> datetime:
    """A UTC moment as the clock on the warehouse wall shows it (naive, whole seconds)."""
    return moment.astimezone(NEW_JERSEY).replace(tzinfo=None, microsecond=0)


def wall_seconds(wall: datetime) -> int:
    """Order number of a wall time. Like the warehouse's own, it repeats an hour in autumn."""
    return int(wall.replace(tzinfo=UTC).timestamp())


def twelve_hours(wall: datetime | None) -> str:
    """`5/23/2016 12:32:50 PM`."""
    if wall is None:
        return ""
    half = "AM" if wall.hour < 12 else "PM"
    return f"{wall.month}/{wall.day}/{wall.year} {wall.hour % 12 or 12}:{wall:%M:%S} {half}"


def padded(wall: datetime | None) -> str:
    """`05/23/2016 12:47:13`."""
    return wall.strftime("%m/%d/%Y %H:%M:%S") if wall else ""


def day_only(text: str) -> str:
    """`5/10/2016` for any date form; text that is no date stays as it is."""
    match = re.match(r"(\d{1,2})/(\d{1,2})/(\d{4})", text)
    return f"{int(match[1])}/{int(match[2])}/{match[3]}" if match else text


def parse_query(text: str) -> datetime | None:
    """`MM/DD/YYYY` or `MM/DD/YYYY HH:MI` as wall time, None when it is neither."""
    match = _QUERY.fullmatch(text.strip())
    if not match:
        return None
    month, day, year, hour, minute = (int(x) if x else 0 for x in match.groups())
    try:
        return datetime(year, month, day, hour, minute)  # noqa: DTZ001 - wall time has no zone
    except ValueError:
        return None
