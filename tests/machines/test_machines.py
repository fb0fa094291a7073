"""Several machines on one PostgreSQL: who dies, who takes over, and that nothing is done twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
import sqlalchemy as sa
from demo import results
from machines_fleet import Fleet, sandbox, wait_for

from bergen_loop.ledger.tables.core import WorkerRow
from support.postgres import Cluster

pytestmark = [pytest.mark.xdist_group("machines"), pytest.mark.timeout(600)]


@pytest.fixture
def fleet(tmp_path: Path, postgres: Cluster) -> Generator[Fleet]:
    url = postgres.new_database()
    with sandbox(tmp_path, returns=8) as control:
        fleet = Fleet(tmp_path, url, control)
        try:
            yield fleet
        finally:
            fleet.close()
            postgres.drop(url)


def finish(fleet: Fleet) -> results.Results:
    """Let the warehouse work until nothing moves any more."""

    def still() -> bool:
        fleet.receive()
        return results.still_moving(fleet.ledger, fleet.control, shadow="") == 0

    wait_for("every return is settled", still, 240)
    return results.collect(fleet.ledger, fleet.control)


def three(fleet: Fleet) -> dict[int, str]:
    pids = {fleet.start() for _ in range(3)}
    return wait_for("three workers", lambda: len(a := fleet.alive()) == len(pids) and a)


def test_a_worker_killed_in_the_middle_of_a_sync_is_replaced_by_the_others(fleet: Fleet) -> None:
    # Answers that come late, after the ticket was made: the kill falls between call and outcome.
    fleet.control.post(
        "/control/faults",
        [{"system": "rex11", "kind": "timeout_after", "operation": "ReceivingTicketAdd",
          "count": 6, "seconds": 4}],
    )  # fmt: skip
    executors = three(fleet)
    pids = {executor: pid for pid, executor in executors.items()}

    def calling() -> str | None:
        tickets = fleet.control.get("/control/calls", operation="ReceivingTicketAdd")["calls"]
        running = [e for e in fleet.pending().values() if e in pids]
        return running[0] if tickets and running else None

    victim = wait_for("a worker that is making tickets", calling)
    fleet.kill(pids[victim])
    wait_for("the dead worker's syncs are taken over", lambda: victim not in fleet.alive().values())
    found = finish(fleet)
    assert found.violations == []
    assert found.unaccounted == []
    assert set(found.brands) == {"northpine", "lumen", "tidewater"}
    assert sum(counts[results.ALL_SEVEN] for counts in found.brands.values()) > 8
    assert victim not in fleet.pending().values()
    assert fleet.ran() - {victim}, "the others have worked"
    assert "Traceback" not in fleet.logs()


def test_one_that_only_stood_still_does_no_harm_and_one_that_ends_leaves_nothing_behind(
    fleet: Fleet,
) -> None:
    executors = three(fleet)
    pids = {executor: pid for pid, executor in executors.items()}
    running = wait_for(
        "a sync runs", lambda: [e for e in fleet.pending().values() if e in pids] or None
    )
    frozen = pids[running[0]]
    os.kill(frozen, signal.SIGSTOP)
    try:
        wait_for("it is taken for dead", lambda: frozen not in fleet.alive())
    finally:
        os.kill(frozen, signal.SIGCONT)
    wait_for("it is back", lambda: frozen in fleet.alive())
    leaving = next(pid for pid in executors if pid != frozen)
    assert fleet.stop(leaving) == 0
    wait_for("it is forgotten", lambda: leaving not in fleet.alive())
    found = finish(fleet)
    assert found.violations == []
    assert found.unaccounted == []


def _of_tomorrow(connection: sa.Connection) -> None:
    connection.execute(sa.text("ALTER TABLE returns ADD COLUMN of_tomorrow VARCHAR"))
    connection.execute(sa.text("ALTER TABLE brands ADD COLUMN also INTEGER DEFAULT 0"))
    connection.execute(sa.text("CREATE TABLE tomorrow (id INTEGER PRIMARY KEY)"))
    connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))


def test_a_later_release_migrates_while_this_one_works(fleet: Fleet) -> None:
    """Migrations only add: workers of the release before go on, and may even start anew."""
    fleet.start()
    wait_for("it works", lambda: fleet.ran())
    fleet.ledger.change_schema(_of_tomorrow)
    second = fleet.start()
    wait_for("this release starts on the newer schema", lambda: second in fleet.alive())
    found = finish(fleet)
    assert found.violations == []
    assert sum(counts[results.ALL_SEVEN] for counts in found.brands.values()) > 8
    with fleet.ledger.read() as session:
        assert session.scalar(sa.text("SELECT version_num FROM alembic_version")) == "9999"
        assert session.scalar(sa.select(sa.func.count()).select_from(WorkerRow)) == 2
