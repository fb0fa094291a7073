"""What a dead worker was running, taken over by DBOS's documented calls alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import DBOS, WorkflowStatus
from pydantic import SecretStr

from bergen_loop.config import BrandSettings, ServiceSettings, Settings
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.service import service, workflows
from bergen_loop.service.registry import Registry
from bergen_loop.service.service import Engine

pytestmark = pytest.mark.xdist_group("engine")


class Ticks:
    """Stands for the flows: each tick waits until it may end."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.may_end: list[threading.Event] = []

    def run(self, ctx: BrandContext) -> dict[str, Any]:
        may_end = threading.Event()
        self.began.append(ctx.brand)
        self.may_end.append(may_end)
        assert may_end.wait(30)
        return {}


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    made = Ticks()
    monkeypatch.setattr(workflows.tick, "run", made.run)
    return made


@pytest.fixture
def engine(ledger: Ledger, ticks: Ticks) -> Generator[Engine]:
    brand = BrandSettings.model_validate(
        {"name": "One", "warehouse": "embedded", "loop": {"api_key": SecretStr("a-key-of-one")}}
    )
    registry = Registry(Settings(brands={"one": brand}), ledger, Path())
    made = Engine(registry, ServiceSettings(schedule=timedelta(seconds=1)))
    made.start()
    try:
        yield made
    finally:
        for may_end in ticks.may_end:
            may_end.set()
        made.stop()


def wait_for(what: str, holds: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until, f"not in time: {what}"
        time.sleep(0.05)


def syncs(*status: str) -> list[WorkflowStatus]:
    return DBOS.list_workflows(name=workflows.sync_brand.__qualname__, status=list(status))


def dies(engine: Engine, workflow_id: str) -> None:
    """Have the workflow belong to a worker that is no more."""
    ledger = engine.registry.ledger
    database = sa.create_engine(
        sa.make_url(service.engine_url(engine.service, ledger)).set(
            drivername="sqlite" if ledger.is_sqlite else "postgresql+psycopg"
        )
    )
    table = "workflow_status" if ledger.is_sqlite else "dbos.workflow_status"
    with database.begin() as connection:
        connection.execute(
            sa.text(f"UPDATE {table} SET executor_id = 'dead' WHERE workflow_uuid = :id"),
            {"id": workflow_id},
        )
    database.dispose()


def test_a_dead_workers_tick_ends_and_its_brand_is_synced_anew(
    engine: Engine, ticks: Ticks, caplog: pytest.LogCaptureFixture
) -> None:
    wait_for("the brand's first tick runs", lambda: ticks.began)
    [running] = syncs("PENDING")
    assert workflows.take_from("dead"), "there is nobody of that name"
    dies(engine, running.workflow_id)

    assert not workflows.take_from("dead"), "it had a tick: it is looked at once more"
    assert workflows.take_from("dead")
    wait_for("another tick of the brand runs", lambda: len(ticks.began) == 2)
    assert [w.workflow_id for w in syncs("CANCELLED")] == [running.workflow_id]
    [again] = syncs("PENDING")
    assert again.workflow_id != running.workflow_id
    assert (again.executor_id, again.deduplication_id) == (engine.executor_id, "one")

    # It had only stood still: what it says now changes nothing.
    ticks.may_end[0].set()
    ticks.may_end[1].set()
    wait_for(
        "the new tick ends", lambda: again.workflow_id in [w.workflow_id for w in syncs("SUCCESS")]
    )
    assert [w.workflow_id for w in syncs("CANCELLED")] == [running.workflow_id]
    assert "Traceback" not in caplog.text


def test_several_may_take_over_at_once_and_none_takes_from_the_living(
    engine: Engine, ticks: Ticks
) -> None:
    wait_for("the brand's first tick runs", lambda: ticks.began)
    [running] = syncs("PENDING")
    dies(engine, running.workflow_id)
    found = [w for w in syncs("PENDING") if w.executor_id == "dead"]
    assert not workflows.take_from("dead")
    wait_for("another tick of the brand runs", lambda: len(ticks.began) == 2)

    # One more who had looked before the first took over.
    DBOS.cancel_workflows([w.workflow_id for w in found])
    workflows.enqueue("one")
    [again] = syncs("PENDING", "ENQUEUED")
    assert again.status == "PENDING"
    assert len(ticks.began) == 2
