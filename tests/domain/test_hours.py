"""When the warehouse works, learnt from its receipts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bergen_loop.domain.hours import ENOUGH, WorkingHours

NEW_YORK = ZoneInfo("America/New_York")
MONDAY = datetime(2026, 11, 2, tzinfo=NEW_YORK)


def receipts(weeks: int = 4) -> list[datetime]:
    """Every half an hour from 8 to 16 h, on weekdays, in New York."""
    return [
        (MONDAY + timedelta(days=7 * week + day, hours=8, minutes=30 * half)).astimezone(UTC)
        for week in range(weeks)
        for day in range(5)
        for half in range(16)
    ]


@pytest.mark.parametrize(
    ("at", "works"),
    [
        (MONDAY.replace(hour=8, minute=5), True),
        (MONDAY.replace(hour=7, minute=59), True),  # the hour before the first
        (MONDAY.replace(hour=16, minute=59), True),
        (MONDAY.replace(hour=6, minute=59), False),
        (MONDAY.replace(hour=17, minute=1), False),
        (MONDAY.replace(hour=10) + timedelta(days=5), False),  # on a Saturday
        (MONDAY.replace(hour=10) + timedelta(days=140), True),  # the clocks have changed since
    ],
)
def test_it_works_when_receipts_have_come(at: datetime, works: bool) -> None:
    assert WorkingHours.learnt(receipts(), NEW_YORK).working(at.astimezone(UTC)) is works


def test_an_odd_receipt_at_night_does_not_count() -> None:
    odd = [*receipts(), MONDAY.replace(hour=3)]
    known = WorkingHours.learnt(odd, NEW_YORK)
    assert not known.working(MONDAY.replace(hour=3))
    assert str(known) == "7 to 17 h, Mon Tue Wed Thu Fri"


def test_few_receipts_say_nothing() -> None:
    known = WorkingHours.learnt(receipts()[: ENOUGH - 1], NEW_YORK)
    assert not any(known.working(MONDAY + timedelta(hours=h)) for h in range(24))
    assert str(known) == "not known yet"


def test_a_warehouse_that_works_at_any_hour() -> None:
    always = [MONDAY + timedelta(hours=h) for h in range(24 * 7)]
    known = WorkingHours.learnt(always, NEW_YORK)
    assert str(known) == "at any hour, Mon Tue Wed Thu Fri Sat Sun"
    over_midnight = [MONDAY + timedelta(days=d, hours=h) for d in range(7) for h in (22, 23, 24)]
    assert str(WorkingHours.learnt(over_midnight, NEW_YORK)).startswith("21 to 2 h")
