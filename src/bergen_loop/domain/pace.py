"""A gradual start: for its first days a brand pays no more than so much an hour. Pure.

What is beyond it waits for its turn, in order. An hour is any hour, not one of the clock.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Pace:
    """At most so many returns and so much money an hour, until a time."""

    until: datetime
    returns: int | None = None
    amount: Decimal | None = None
    """In each currency by itself: currencies are not exchanged."""

    def __str__(self) -> str:
        """`at most 20 returns and 500.00 an hour until 2026-11-29 14:00 UTC`."""
        limits: list[str] = []
        if self.returns is not None:
            limits.append(f"{self.returns} return{'' if self.returns == 1 else 's'}")
        if self.amount is not None:
            limits.append(f"{self.amount:,.2f} of each currency")
        until = f"{self.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return f"at most {' and '.join(limits)} an hour until {until}"


@dataclass(frozen=True, slots=True)
class Worth:
    """What paying a return costs; an amount of None is not known, and taken for a whole hour's."""

    amount: Decimal | None
    currency: str = "?"

    @classmethod
    def of(cls, total: str | None, currency: str | None) -> Worth:
        """As Loop gives it: a decimal string."""
        try:
            value = Decimal(total or "?")
        except InvalidOperation:
            return cls(None)
        return cls(value, currency or "?") if value.is_finite() and value >= 0 else cls(None)


Turn = tuple[datetime, Worth]


class Turns:
    """Who is paid when, under a pace. `paid`: what was sent within the last hour, or may have
    been; `queued`: those whose turn comes later, by the time they were given."""

    def __init__(self, pace: Pace, paid: Iterable[Turn], queued: Iterable[Turn]) -> None:
        self.pace = pace
        self._turns: list[Turn] = sorted([*paid, *queued], key=_at)

    def room(self, now: datetime, worth: Worth) -> bool:
        """Whether it may be sent now. It takes no turn yet."""
        if now >= self.pace.until:
            return True
        return self._fits(worth, [w for at, w in self._turns if now - HOUR < at <= now])

    def take(self, now: datetime, worth: Worth) -> None:
        """It is sent now."""
        bisect.insort(self._turns, (now, worth), key=_at)

    def wait(self, now: datetime, worth: Worth) -> datetime:
        """Give it a turn behind all others: when it is to be looked at again. What is worth more
        than an hour's amount waits for the end of the gradual start."""
        if not self._fits(worth, ()):
            return self.pace.until
        last = max(now, self._turns[-1][0] if self._turns else now)
        at, hour = last, _Hour(self.pace)
        for when, other in reversed(self._turns):
            if when <= last - HOUR:
                break
            hour.add(other)
            if not hour.fits(worth):
                at = max(last, when + HOUR)
                break
        at = min(at, self.pace.until)
        bisect.insort(self._turns, (at, worth), key=_at)
        return at

    def _fits(self, worth: Worth, others: Iterable[Worth]) -> bool:
        hour = _Hour(self.pace)
        for other in others:
            hour.add(other)
        return hour.fits(worth)


class _Hour:
    """What an hour holds already."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.number = 0
        self.unknown = 0
        self.taken: dict[str, Decimal] = {}

    def add(self, worth: Worth) -> None:
        self.number += 1
        if worth.amount is None:
            self.unknown += 1
        elif worth.amount:
            taken = self.taken.get(worth.currency, Decimal(0))
            self.taken[worth.currency] = taken + worth.amount

    def fits(self, worth: Worth) -> bool:
        """Whether one more may be paid in it."""
        if self.pace.returns is not None and self.number >= self.pace.returns:
            return False
        if self.pace.amount is None or worth.amount == 0:
            return True
        if worth.amount is None:
            return not self.unknown and not self.taken
        taken = self.taken.get(worth.currency, Decimal(0))
        return not self.unknown and taken + worth.amount <= self.pace.amount


def _at(turn: Turn) -> datetime:
    return turn[0]
