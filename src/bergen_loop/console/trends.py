"""A brand's last days, computed once for all who look at them within a short time."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import figures
from bergen_loop.ledger.read.figures import DayOfReturns

KEEP = 5.0
"""Seconds for which trends are kept at least."""
COST = 30.0
"""...and at least so many times as long as computing them took."""


class Trends:
    """Thread-safe memory of the daily figures."""

    def __init__(self, ledger: Ledger, zone: ZoneInfo) -> None:
        self._ledger = ledger
        self._zone = zone
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, list[DayOfReturns]]] = {}

    def of(self, brand: str) -> list[DayOfReturns]:
        """The brand's last thirty days, the oldest first."""
        with self._lock:
            until, days = self._kept.get(brand, (0.0, []))
            if until > time.monotonic():
                return days
        started = time.monotonic()
        with self._ledger.read() as session:
            days = figures.daily(session, brand, datetime.now(UTC), self._zone)
        now = time.monotonic()
        with self._lock:
            self._kept[brand] = (now + max(KEEP, COST * (now - started)), days)
        return days
