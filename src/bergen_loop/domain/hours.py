"""When the warehouse works, learnt from when it has finished receipts before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

ENOUGH = 20
"""Receipts, for their times to say anything."""
SHARE = 0.03
"""Of all receipts: an hour of the day, or a day of the week, with less is not worked in."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """Hours of the day and days of the week in which receipts come. None are known at first."""

    hours: frozenset[int]
    days: frozenset[int]
    zone: ZoneInfo

    @classmethod
    def learnt(cls, received: Iterable[datetime], zone: ZoneInfo) -> WorkingHours:
        """From the times of receipts. An hour beside one that is worked in counts as well: work
        neither begins nor ends on the stroke."""
        local = [at.astimezone(zone) for at in received]
        if len(local) < ENOUGH:
            return cls(frozenset(), frozenset(), zone)
        hours = _often(Counter(at.hour for at in local))
        beside = {(hour + step) % 24 for hour in hours for step in (-1, 0, 1)}
        return cls(frozenset(beside), _often(Counter(at.weekday() for at in local)), zone)

    def working(self, at: datetime) -> bool:
        """Whether receipts are likely then; never where nothing is known."""
        local = at.astimezone(self.zone)
        return local.hour in self.hours and local.weekday() in self.days

    def __str__(self) -> str:
        """`7 to 17 h, Mon Tue Wed Thu Fri`."""
        if not self.hours:
            return "not known yet"
        begins = [h for h in sorted(self.hours) if (h - 1) % 24 not in self.hours]
        spans = ", ".join(f"{h} to {self._end(h)} h" for h in begins) or "at any hour"
        return f"{spans}, {' '.join(_DAYS[d] for d in sorted(self.days))}"

    def _end(self, hour: int) -> int:
        while hour % 24 in self.hours:
            hour += 1
        return hour % 24 or 24


def _often(counted: Counter[int]) -> frozenset[int]:
    least = SHARE * counted.total()
    return frozenset(value for value, number in counted.items() if number >= least)
