"""Who follows what has changed misses nothing, whoever writes meanwhile."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from web_support import add_return

from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.database import Ledger, Session
from bergen_loop.ledger.read import changes
from bergen_loop.ledger.read.changes import Since
from bergen_loop.ledger.read.listing import ReturnFilter
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import returns


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "SETTLED", timedelta(0))


def changed(ledger: Ledger, since: datetime) -> tuple[list[str], datetime]:
    time.sleep(0.005)  # the clock counts milliseconds, and what is of the present one comes later
    with ledger.read() as session:
        found = changes.returns(session, Scope(None), ReturnFilter(), Since(since), 10)
        return [row.return_id for row in found.rows], found.until


def touch(session: Session, number: str, stage: Stage) -> None:
    row = returns.by_id(session, "acme", number)
    assert row is not None
    row.stage = stage
    session.flush()


@pytest.mark.postgres
def test_what_is_not_committed_yet_holds_back_what_changed_after_it(ledger: Ledger) -> None:
    if ledger.is_sqlite:
        pytest.skip("who writes an embedded database is alone")
    for number in ("1", "2", "3"):
        add_return(ledger, "acme", number)
    found, until = changed(ledger, datetime(2000, 1, 1, tzinfo=UTC))
    assert found == ["1", "2", "3"]
    with ledger.write() as slow:
        touch(slow, "1", Stage.RECEIVED)
        with ledger.write() as quick:
            touch(quick, "2", Stage.RECEIVED)
        found, between = changed(ledger, until)
        assert found == []
    assert changed(ledger, between)[0] == ["1", "2"]


def test_whoever_changes_a_row_says_when(ledger: Ledger) -> None:
    """Also statements that touch many, and rows that are made many at a time."""
    for number in ("1", "2"):
        add_return(ledger, "acme", number)
    _, until = changed(ledger, datetime(2000, 1, 1, tzinfo=UTC))
    with ledger.write() as session:
        returns.announce_now(session, "acme", datetime.now(UTC))
        before = {r.return_id: r.changed_at for r in _rows(session)}
    with ledger.write() as session:
        for row in _rows(session):
            row.due_at = datetime.now(UTC)
    with ledger.read() as session:
        after = {r.return_id: r.changed_at for r in _rows(session)}
    assert all(b and (a := after[n]) and a >= b for n, b in before.items())
    assert sorted(changed(ledger, until)[0]) == ["1", "2"]


def _rows(session: Session) -> list[returns.ReturnRow]:
    return [r for n in ("1", "2") if (r := returns.by_id(session, "acme", n))]
