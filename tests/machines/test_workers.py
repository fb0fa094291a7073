"""Signs of life, and who is taken for dead."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.locks import BrandBusy, LockLost, brand_lock, fence
from bergen_loop.ledger.store.workers import workers
from bergen_loop.ledger.tables.core import WorkerRow
from bergen_loop.service.workers import Heartbeat
from support.postgres import Cluster

SOON = timedelta(seconds=0.2)


class Others:
    """Stands for the engine: which executors have ticks left."""

    def __init__(self, *busy: str) -> None:
        self.busy = set(busy)
        self.asked: list[str] = []

    def recover(self, executor_id: str) -> bool:
        self.asked.append(executor_id)
        left = executor_id in self.busy
        self.busy.discard(executor_id)
        return not left


def known(ledger: Ledger) -> set[str]:
    with ledger.read() as session:
        return {w.executor_id for w in workers(session)}


def test_the_silent_are_recovered_and_then_forgotten(ledger: Ledger) -> None:
    others = Others("dead")
    Heartbeat(ledger, "dead", SOON, others.recover).show()
    Heartbeat(ledger, "living", timedelta(hours=1), others.recover).take_over()
    assert others.asked == [], "not silent for long"
    living = Heartbeat(ledger, "living", SOON, others.recover)
    time.sleep(0.3)
    living.show()
    living.take_over()
    assert known(ledger) == {"dead", "living"}, "it had ticks: it is looked at once more"
    living.take_over()
    assert (others.asked, known(ledger)) == (["dead", "dead"], {"living"})


def test_one_that_was_only_slow_stays_known(ledger: Ledger) -> None:
    slow = Heartbeat(ledger, "slow", SOON, lambda _: True)
    slow.show()
    time.sleep(0.3)

    def meanwhile(_: str) -> bool:
        slow.show()
        return True

    Heartbeat(ledger, "living", SOON, meanwhile).take_over()
    assert known(ledger) == {"slow"}


def test_who_ends_in_order_is_taken_over_at_once(ledger: Ledger) -> None:
    others = Others("leaving")
    long = timedelta(hours=1)
    leaving = Heartbeat(ledger, "leaving", long, others.recover)
    leaving.start()
    leaving.stop()
    living = Heartbeat(ledger, "living", long, others.recover)
    living.take_over()
    living.take_over()
    assert others.asked == ["leaving", "leaving"]
    assert known(ledger) == set()


def test_a_heartbeat_outlives_the_ledgers_trouble(sqlite_ledger: Ledger) -> None:
    beating = Heartbeat(sqlite_ledger, "me", SOON, lambda _: True)
    beating.start()
    with sqlite_ledger.write() as session:
        session.execute(sa.text("ALTER TABLE workers RENAME TO away"))
    time.sleep(0.2)
    with sqlite_ledger.write() as session:
        session.execute(sa.text("ALTER TABLE away RENAME TO workers"))
        before = session.get_one(WorkerRow, "me").seen_at
    time.sleep(0.3)
    with sqlite_ledger.read() as session:
        assert session.get_one(WorkerRow, "me").seen_at > before
    beating.stop()


def test_one_connection_serves_all_locks_of_a_process(ledger: Ledger) -> None:
    with brand_lock(ledger, "one"), brand_lock(ledger, "two"):
        with pytest.raises(BrandBusy), brand_lock(ledger, "one"):
            pass
        other = Ledger(ledger.url.render_as_string(hide_password=False))
        with pytest.raises(BrandBusy), brand_lock(other, "two"):
            pass
        with brand_lock(other, "three"):
            pass
        other.close()
    with brand_lock(ledger, "one"), brand_lock(ledger, "two"):
        pass


def test_locks_of_a_broken_connection_are_fenced(postgres: Cluster) -> None:
    url = postgres.new_ledger()
    ledger = Ledger(url)
    with brand_lock(ledger, "one") as epoch:
        with ledger.engine.connect() as connection:
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                )
            )
        other = Ledger(url)
        with brand_lock(other, "one"), pytest.raises(LockLost), ledger.write() as session:
            fence(session, "one", epoch)
        other.close()
    with brand_lock(ledger, "one") as later:
        assert later > epoch
    ledger.close()
    postgres.drop(url)
