"""Reading the journal on while transactions are open, end, or are rolled back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import follow, journal
from bergen_loop.ledger.tables.operations import FollowerRow

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def write(session: Session, why: str) -> None:
    journal.record(session, NOW, journal.Entry(What.NOTE, why, brand="acme"))
    journal.write_down(session)


def read(ledger: Ledger, now: datetime = NOW) -> list[str]:
    with ledger.write() as session:
        return [entry.why for entry in follow.read_on(session, now, 100)]


def test_every_entry_is_read_once_and_in_order(ledger: Ledger) -> None:
    for what in ("a", "b", "c"):
        with ledger.write() as session:
            write(session, what)
    with ledger.write() as session:
        assert [e.why for e in follow.read_on(session, NOW, 2)] == ["a", "b"]
    with ledger.read() as session:
        assert follow.behind(session)
    assert read(ledger) == ["c"]
    assert read(ledger) == []
    with ledger.read() as session:
        assert not follow.behind(session)


def test_what_is_rolled_back_is_read_again(ledger: Ledger) -> None:
    with ledger.write() as session:
        write(session, "a")
    with pytest.raises(RuntimeError), ledger.write() as session:
        assert len(follow.read_on(session, NOW, 10)) == 1
        raise RuntimeError
    assert read(ledger) == ["a"]


@pytest.fixture
def postgres_ledger(request: pytest.FixtureRequest) -> Ledger:
    cluster = request.getfixturevalue("postgres")
    url = cluster.new_ledger()
    opened = Ledger(url)
    request.addfinalizer(lambda: cluster.drop(url))
    request.addfinalizer(opened.close)
    return opened


def test_an_entry_that_appears_behind_a_later_one_is_not_missed(postgres_ledger: Ledger) -> None:
    ledger = postgres_ledger
    with ledger.write() as slow:
        write(slow, "slow")
        with ledger.write() as session:
            write(session, "quick")
        assert read(ledger) == []
        assert read(ledger, NOW + timedelta(hours=1)) == [], "it may still be committed"
    assert read(ledger) == ["slow", "quick"]


def test_a_gap_that_stays_empty_is_passed(postgres_ledger: Ledger) -> None:
    ledger = postgres_ledger
    with pytest.raises(RuntimeError), ledger.write() as session:
        write(session, "rolled back")
        raise RuntimeError
    with ledger.write() as session:
        write(session, "after")
    assert read(ledger) == [], "first it is minded"
    assert read(ledger) == []
    assert read(ledger, NOW + follow.SETTLE) == ["after"]


def test_two_readers_do_not_read_the_same(postgres_ledger: Ledger) -> None:
    ledger = postgres_ledger
    with ledger.write() as session:
        write(session, "a")
    with ledger.write() as first:
        assert [e.why for e in follow.read_on(first, NOW, 10)] == ["a"]
        assert read(ledger) == []
    assert read(ledger) == []


def test_following_begins_where_the_journal_stood_at_the_upgrade(ledger: Ledger) -> None:
    with ledger.read() as session:
        assert session.get_one(FollowerRow, follow.JOURNAL).position == 0
