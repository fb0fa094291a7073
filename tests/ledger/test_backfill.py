"""How far a long pull has come, by a clock of the test's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import cursors
from bergen_loop.ledger.store.cursors import Backfill
from bergen_loop.ledger.tables.core import CursorRow

NOW = datetime(2026, 11, 10, 15, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=30)
MAIN, ASIDE = "loop.updated_at", "loop.updated_at.aside"
MINUTE = timedelta(minutes=1)


def begin(ledger: Ledger, since: datetime = SINCE, now: datetime = NOW, walk: str = MAIN) -> None:
    with ledger.write() as session:
        cursors.begin_pull(session, "acme", walk, since, now)


def reach(ledger: Ledger, at: datetime, walk: str = MAIN) -> None:
    with ledger.write() as session:
        cursors.set(session, "acme", walk, at)


def progress(ledger: Ledger, now: datetime, walk: str = MAIN) -> Backfill:
    with ledger.read() as session:
        found = cursors.progress(session, "acme", walk, now)
    assert found is not None
    return found


def names(session: Session) -> set[str]:
    return set(session.scalars(sa.select(CursorRow.name)))


def test_none_is_under_way_unless_one_has_begun(ledger: Ledger) -> None:
    reach(ledger, SINCE)
    with ledger.read() as session:
        assert cursors.progress(session, "acme", MAIN, NOW) is None
        assert not cursors.get_all(session, "acme", [cursors.mark_of_pull(MAIN)])
        assert cursors.pulls_under_way(session, ["acme"], NOW) == {}
        assert cursors.pulls_under_way(session, [], NOW) == {}


def test_the_first_pull_from_its_begin_to_its_end(ledger: Ledger) -> None:
    begin(ledger)
    assert progress(ledger, NOW + MINUTE) == Backfill(MAIN, SINCE, NOW, SINCE, None)
    assert progress(ledger, NOW + MINUTE).share == 0
    reach(ledger, SINCE + timedelta(days=6))
    one = progress(ledger, NOW + MINUTE)
    assert one.share == pytest.approx(0.2)
    assert one.left == 4 * MINUTE, "six days took a minute, there are 24 more"
    reach(ledger, SINCE + timedelta(days=15))
    assert progress(ledger, NOW + 5 * MINUTE).left == 5 * MINUTE
    with ledger.write() as session:
        cursors.end_pull(session, "acme", MAIN)
        assert cursors.progress(session, "acme", MAIN, NOW) is None
        assert names(session) == {MAIN}, "the cursor is not the backfill's to drop"


def test_taken_up_again_it_goes_on_from_the_first_begin_at_the_pace_of_now(ledger: Ledger) -> None:
    begin(ledger)
    reached = SINCE + timedelta(days=10)
    reach(ledger, reached)
    later = NOW + timedelta(days=1)
    begin(ledger, reached - timedelta(minutes=10), later)
    one = progress(ledger, later)
    assert (one.since, one.until, one.reached) == (SINCE, later, reached)
    assert one.share == pytest.approx(10 / 31)
    assert one.left is None, "the day in which nothing ran, and the overlap, are no pace"
    reach(ledger, reached + timedelta(days=7))
    assert progress(ledger, later + 2 * MINUTE).left == 4 * MINUTE


def test_after_days_of_downtime(ledger: Ledger) -> None:
    stopped = NOW - timedelta(days=4)
    reach(ledger, stopped)
    begin(ledger, stopped - timedelta(minutes=10))
    one = progress(ledger, NOW + timedelta(seconds=1))
    assert one.left is None
    assert 0 < one.share < 0.01
    reach(ledger, stopped + timedelta(days=1))
    assert progress(ledger, NOW + MINUTE).left == 3 * MINUTE


@pytest.mark.parametrize("seconds", [-3600, 0, 0.5])
def test_a_clock_that_goes_back_or_stands_gives_no_nonsense(ledger: Ledger, seconds: float) -> None:
    begin(ledger)
    reach(ledger, SINCE + timedelta(days=15))
    one = progress(ledger, NOW + timedelta(seconds=seconds))
    assert one.left == timedelta(seconds=1)


def test_a_cursor_outside_of_it_is_all_or_nothing(ledger: Ledger) -> None:
    begin(ledger)
    reach(ledger, SINCE - timedelta(days=1))
    assert (progress(ledger, NOW).share, progress(ledger, NOW).left) == (0, None)
    reach(ledger, NOW + timedelta(days=1))
    assert (progress(ledger, NOW).share, progress(ledger, NOW).left) == (1, timedelta())
    assert Backfill(MAIN, NOW, NOW, NOW, None).share == 1


def test_the_walks_and_the_brands_are_told_apart(ledger: Ledger) -> None:
    begin(ledger, walk=ASIDE)
    reach(ledger, SINCE + timedelta(days=3), ASIDE)
    with ledger.write() as session:
        cursors.begin_pull(session, "zebra", MAIN, SINCE, NOW)
        cursors.set(session, "other", f"{MAIN}.untilx", NOW)
    with ledger.read() as session:
        found = cursors.pulls_under_way(session, ["acme", "zebra", "other"], NOW)
        assert {brand: one.walk for brand, one in found.items()} == {"acme": ASIDE, "zebra": MAIN}
        assert found["acme"].share == pytest.approx(0.1)
        assert set(cursors.pulls_under_way(session, ["zebra"], NOW)) == {"zebra"}
        assert not cursors.get_all(session, "acme", [cursors.mark_of_pull(MAIN)])
    begin(ledger, now=NOW + MINUTE)
    with ledger.write() as session:
        assert cursors.pulls_under_way(session, ["acme"], NOW)["acme"].walk == MAIN
        cursors.end_pull(session, "acme", MAIN)
        assert cursors.pulls_under_way(session, ["acme"], NOW)["acme"].walk == ASIDE
