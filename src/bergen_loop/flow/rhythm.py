"""How often a brand is looked at, and why.

While nothing happens ever more rarely, from `poll` to `poll_max`. But a receipt is found only as
fast as REX11's statuses are asked: so every `poll` while parcels are awaited and the warehouse
works, by the times of its receipts so far. Where a key's calls are scarce, half as often.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from bergen_loop.config import BrandSettings
from bergen_loop.domain.hours import WorkingHours

QUIETER = 1.5
"""By how much longer the interval gets with every look in which nothing happened."""
SPREAD = 0.1
MANY = 40
SCARCE = 0.5
"""Of a key's calls a minute, when more are in use."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What the interval goes by."""

    quiet: int
    """Looks in a row that found nothing."""
    awaited: bool
    """Whether the brand has parcels that are to come."""
    hours: WorkingHours
    calls: int
    """Of its key that count against the limit now."""


def quieter(looks: int | None) -> int:
    """One more in a row that found nothing."""
    return min((looks or 0) + 1, MANY)


def interval(
    settings: BrandSettings, brand: str, signs: Signs, now: datetime
) -> tuple[timedelta, str]:
    """How long until the next look, and why, for people."""
    poll, longest = settings.poll, max(settings.poll, settings.poll_max)
    soon, why = min(longest, poll * QUIETER**signs.quiet), f"{signs.quiet} looks found nothing"
    if signs.quiet == 0:
        why = "something happened a moment ago"
    elif signs.awaited and signs.hours.working(now):
        soon, why = poll, f"parcels are awaited, and the warehouse works ({signs.hours})"
    elif signs.awaited and signs.hours.hours:
        why += f", and the warehouse does not work now ({signs.hours})"
    if signs.calls > SCARCE * settings.loop.calls_per_minute:
        soon = min(longest, 2 * soon)
        why += f"; half as often, for {signs.calls} of its key's calls are in use"
    return soon * _pace(brand), why


def _pace(brand: str) -> float:
    """0.9 to 1, its own for each brand: brands that began together do not stay together."""
    return 1 - SPREAD * (zlib.crc32(brand.encode()) % 1000) / 1000
