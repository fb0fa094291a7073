"""The ledger on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import IntegrityError, StatementError

from bergen_loop.domain.words import SETTLING, EffectKind, Need, What
from bergen_loop.ledger import locks
from bergen_loop.ledger.database import Ledger, newest_revision
from bergen_loop.ledger.store import attention, cursors, effects, journal, returns
from bergen_loop.ledger.store.effects import EffectState, Intent
from bergen_loop.ledger.tables.core import Base, EffectRow, JournalRow, RawRow, ReturnRow, RmaRow
from bergen_loop.ledger.transaction import fenced, transaction
from support.postgres import Cluster
from support.rows import NOW, a_return


def test_migrations_give_exactly_the_tables_of_the_code(ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        ours: dict[str, Any] = {"include_name": lambda name, *_: not is_index_of_fragments(name)}
        context = MigrationContext.configure(connection, opts={"compare_type": True, **ours})
        assert compare_metadata(context, Base.metadata) == []


def is_index_of_fragments(name: str | None) -> bool:
    """SQLite's alone, and no table of the code."""
    return "_fragments" in (name or "") or name == "searched_skus"


def test_the_newest_file_is_the_newest_revision(ledger: Ledger) -> None:
    config = Config()
    config.set_main_option("script_location", "bergen_loop:ledger/migrations")
    assert newest_revision() == ScriptDirectory.from_config(config).get_current_head()
    with ledger.read() as session:
        assert session.scalar(sa.text("SELECT version_num FROM alembic_version")) == (
            newest_revision()
        )


@pytest.mark.usefixtures("durable")
def test_what_is_committed_survives_a_power_cut(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    with ledger.read() as session:
        full = session.scalar(sa.text("PRAGMA synchronous"))
    ledger.close()
    assert full == 2


def test_migrating_twice_changes_nothing(ledger: Ledger) -> None:
    ledger.migrate()
    with ledger.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ReturnRow)) == 0


def test_times_come_back_as_utc_whatever_zone_went_in(ledger: Ledger) -> None:
    new_york = NOW.astimezone(timezone(timedelta(hours=-5)))
    with ledger.write() as session:
        cursors.set(session, "acme", "x", new_york)
    with ledger.read() as session:
        value = cursors.get(session, "acme", "x")
        assert value == NOW
        assert value is not None
        assert value.utcoffset() == timedelta(0)


def test_a_time_without_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(StatementError, match="without zone"), ledger.write() as session:
        cursors.set(session, "acme", "x", NOW.replace(tzinfo=None))


def test_a_failed_transaction_leaves_nothing(ledger: Ledger) -> None:
    class Stop(Exception):
        pass

    with pytest.raises(Stop), ledger.write() as session:
        journal.record(session, NOW, journal.Entry(What.NOTE, "y", brand="acme"))
        session.flush()
        raise Stop
    with ledger.read() as session:
        assert session.scalars(sa.select(JournalRow)).all() == []


def test_a_ticket_is_found_however_its_id_is_spelled(ledger: Ledger) -> None:
    pk = a_return(ledger)
    common = {"brand": "acme", "return_pk": pk, "warehouse": "NJ", "created_at": NOW}
    with ledger.write() as session:
        for po, ticket_id in (("LR-1", "WHRTN1"), ("LR-2", "whrtn2"), ("LR-3", None)):
            row = {**common, "customer_po": po, "ticket_id": ticket_id}
            session.add(RmaRow(**row, items=[], tracking_numbers=[]))
    asked = ["whrtn1", "WHRTN1", " WHRTN2 ", "WHRTN3", "", " "]
    with ledger.read() as session:
        found = returns.rmas_by_ticket(session, "acme", asked)
        assert {i: rma.customer_po for i, rma in found.items()} == {
            "whrtn1": "LR-1",
            "WHRTN1": "LR-1",
            " WHRTN2 ": "LR-2",
        }
        assert returns.rmas_by_ticket(session, "other", asked) == {}


def test_one_return_has_one_settling_intent_whatever_its_kind(ledger: Ledger) -> None:
    pk = a_return(ledger)
    with fenced(ledger, "acme", NOW, None) as tx:
        tx.intend(Intent(EffectKind.FLAG, "settle:1", pk))
    for kind in SETTLING:
        with pytest.raises(effects.AlreadyIntended), fenced(ledger, "acme", NOW, None) as tx:
            tx.intend(Intent(kind, "settle:1", pk))


@pytest.mark.parametrize("state", [s for s in effects.TOLD if s not in effects.SENDABLE])
def test_only_what_certainly_was_not_sent_is_intended_again(
    ledger: Ledger, state: EffectState
) -> None:
    pk = a_return(ledger)
    intent = Intent(EffectKind.PROCESS, "settle:1", pk)
    with fenced(ledger, "acme", NOW, None) as tx:
        tx.outcome(tx.intend(intent), state, "so")
    with pytest.raises(effects.AlreadyIntended), fenced(ledger, "acme", NOW, None) as tx:
        tx.intend(intent)
    with transaction(ledger, "acme", NOW) as tx:
        effect = effects.find(tx.session, "acme", "settle:1")
        assert effect is not None
        tx.outcome(effect, EffectState.NOT_SENT, "no connection")
    with fenced(ledger, "acme", NOW, None) as tx:
        again = tx.intend(intent)
        assert (again.state, again.attempts) == ("intended", 2)


def test_the_database_itself_refuses_a_second_settling_effect(ledger: Ledger) -> None:
    pk = a_return(ledger)
    row = {"brand": "acme", "key": "settle:1", "payload": {}, "return_pk": pk, "attempts": 1}
    with ledger.write() as session:
        session.add(EffectRow(**row, kind="process", state="intended", intended_at=NOW))
    with pytest.raises(IntegrityError), ledger.write() as session:
        session.add(EffectRow(**row, kind="flag", state="intended", intended_at=NOW))


def test_the_database_itself_refuses_a_second_rma_with_the_same_po(ledger: Ledger) -> None:
    pk = a_return(ledger)
    row = {
        "brand": "acme",
        "return_pk": pk,
        "customer_po": "LR-1",
        "warehouse": "NJ",
        "items": [],
        "tracking_numbers": [],
        "created_at": NOW,
    }
    with ledger.write() as session:
        session.add(RmaRow(**row))
    with pytest.raises(IntegrityError), ledger.write() as session:
        session.add(RmaRow(**row))


def test_due_leaves_out_what_is_held_or_not_yet_due(ledger: Ledger) -> None:
    from bergen_loop.domain.returns import Stage

    ready, held, later = (a_return(ledger, i) for i in "123")
    with ledger.write() as session:
        session.get_one(ReturnRow, held).held = True
        session.get_one(ReturnRow, later).due_at = NOW + timedelta(seconds=1)
    with ledger.read() as session:
        found = returns.due(session, "acme", [Stage.SEEN], NOW, 10)
        assert [row.id for row in found] == [ready]
        assert returns.due(session, "other", [Stage.SEEN], NOW, 10) == []


def test_an_attention_item_is_open_once_and_holds_its_return(ledger: Ledger) -> None:
    pk = a_return(ledger)
    for reason in ("first", "second"):
        with ledger.write() as session:
            row = session.get_one(ReturnRow, pk)
            attention.raise_item(
                session,
                NOW,
                attention.Matter(brand="acme", kind=Need.CONFLICT, reason=reason, about=row),
            )
    with ledger.write() as session:
        (item,) = attention.open_items(session, "acme")
        assert item.reason == "second"
        row = session.get_one(ReturnRow, pk)
        assert row.held
        attention.raise_item(
            session, NOW, attention.Matter(brand="acme", kind=Need.REFUSED, reason="too", about=row)
        )
        attention.resolve(session, NOW, item, attention.Resolution(who="ann", words="fine"))
        assert row.held, "another item still holds it"
        (other,) = attention.open_items(session, "acme")
        attention.resolve(session, NOW, other, attention.Resolution(who="ann", words="fine"))
        assert not row.held
    with ledger.read() as session:
        who = [(e.what, e.who) for e in journal.entries(session, pk)]
    assert who == [
        ("needs attention", "bergen-loop"),
        ("needs attention", "bergen-loop"),
        ("attention resolved", "ann"),
        ("attention resolved", "ann"),
    ]


def test_an_item_that_was_there_before_its_return_lets_it_go_when_it_ends(ledger: Ledger) -> None:
    """An answer that could not be read at all, and then only in part."""
    kind, why = Need.UNREADABLE, "its lines are missing"
    with ledger.write() as session:
        attention.raise_item(
            session, NOW, attention.Matter(brand="acme", kind=kind, reason="no JSON", about="77")
        )
    pk = a_return(ledger, "77")
    with ledger.write() as session:
        row = session.get_one(ReturnRow, pk)
        attention.raise_item(
            session, NOW, attention.Matter(brand="acme", kind=kind, reason=why, about=row)
        )
        assert row.held
        (item,) = attention.open_items(session, "acme")
        attention.resolve(
            session, NOW, item, attention.Resolution(who="bergen-loop", words="it can be read")
        )
        assert not row.held


def test_the_same_raw_payload_is_kept_once(ledger: Ledger) -> None:
    for expected in (True, False):
        with ledger.write() as session:
            kept = journal.keep_raw(
                session,
                NOW,
                journal.Payload(brand="acme", source="s", digest="d", body="b\x00", problem="p"),
            )
            assert kept is expected
    with ledger.read() as session:
        (row,) = session.scalars(sa.select(RawRow)).all()
        assert row.body == "b\N{REPLACEMENT CHARACTER}"


def test_counters_add_up(ledger: Ledger) -> None:
    for _ in range(3):
        with ledger.write() as session:
            journal.count(session, "acme", {"a": 2, "b": 1})
    with ledger.read() as session:
        assert journal.counters(session, "acme") == {"a": 6, "b": 3}


def test_a_brands_first_webhook_and_its_first_tick_make_its_row_together(
    postgres: Cluster,
) -> None:
    ledger = Ledger(postgres.new_ledger())

    def webhook() -> bool:
        with ledger.write() as session:
            return returns.nudge(session, "new", NOW, timedelta(minutes=1))

    with ThreadPoolExecutor(1) as pool:
        with ledger.write() as session:
            returns.brand_row(session, "new").epoch = 7
            at_once = pool.submit(webhook)
            wait([at_once], timeout=0.3)
        assert at_once.result(10) is True
    with ledger.read() as session:
        row = returns.brand_row(session, "new")
        assert (row.epoch, row.nudged_at) == (7, NOW)


def test_a_brands_lock_is_held_by_one_at_a_time(ledger: Ledger) -> None:
    with locks.brand_lock(ledger, "acme") as first:
        with pytest.raises(locks.BrandBusy), locks.brand_lock(ledger, "acme"):
            pass
        with locks.brand_lock(ledger, "other"):
            pass
    with locks.brand_lock(ledger, "acme") as second:
        assert second == first + 1


def test_an_earlier_holder_can_write_no_intent_any_more(ledger: Ledger) -> None:
    with locks.brand_lock(ledger, "acme") as epoch:
        with ledger.write() as session:
            locks.fence(session, "acme", epoch)
        with ledger.write() as session:  # its lock was lost, and another has taken over
            returns.brand_row(session, "acme").epoch += 1
        with pytest.raises(locks.LockLost), ledger.write() as session:
            locks.fence(session, "acme", epoch)


def test_many_threads_write_without_losing_anything(ledger: Ledger) -> None:
    def work() -> None:
        for _ in range(20):
            with ledger.write() as session:
                journal.count(session, "acme", {"n": 1})
                journal.record(session, NOW, journal.Entry(What.NOTE, "y", brand="acme"))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ledger.read() as session:
        assert journal.counters(session, "acme") == {"n": 120}
        assert session.scalar(sa.select(sa.func.count()).select_from(JournalRow)) == 120


def test_a_change_of_the_schema_gives_way_to_a_worker_it_would_deadlock_with(
    postgres: Cluster,
) -> None:
    ledger = Ledger(postgres.new_ledger())
    tried, tries = threading.Event(), 0

    def change(connection: sa.Connection) -> None:
        nonlocal tries
        tries += 1
        connection.execute(sa.text("ALTER TABLE returns ADD COLUMN of_tomorrow INTEGER"))
        tried.set()
        connection.execute(sa.text("ALTER TABLE brands ADD COLUMN of_tomorrow INTEGER"))

    with ledger.read() as worker:
        worker.execute(sa.text("SELECT 1 FROM brands"))  # held until the worker's commit
        thread = threading.Thread(target=ledger.change_schema, args=(change,))
        thread.start()
        assert tried.wait(10)
        worker.execute(sa.text("SELECT 1 FROM returns"))  # behind the change: a cycle
    thread.join(30)
    assert tries > 1
    with ledger.read() as session:
        session.execute(
            sa.text("SELECT returns.of_tomorrow, brands.of_tomorrow FROM returns, brands")
        )
    ledger.close()


def test_webhooks_sync_a_quiet_brand_at_once_and_a_busy_one_a_while_apart(
    ledger: Ledger,
) -> None:
    apart = timedelta(minutes=1)

    def nudged(now: datetime) -> bool:
        with ledger.write() as session:
            return returns.nudge(session, "acme", now, apart)

    def sync(now: datetime) -> bool:
        with ledger.write() as session:
            return returns.take_nudge(session, returns.brand_row(session, "acme"), now)

    assert nudged(NOW)
    assert nudged(NOW), "not taken yet"
    assert sync(NOW)
    assert not sync(NOW), "one sync serves all webhooks before it"
    assert not nudged(NOW + timedelta(seconds=10))
    with ledger.read() as session:
        assert returns.brand_row(session, "acme").nudged_at == NOW + apart
    assert nudged(NOW + apart), "the time has come"
    assert sync(NOW + apart)
    assert nudged(NOW + 3 * apart)
