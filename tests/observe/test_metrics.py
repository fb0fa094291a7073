"""The metrics page: right, cheap, and for whom it is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from observe_support import samples, value
from pydantic import SecretStr
from sqlalchemy import event
from starlette.testclient import TestClient

from bergen_loop.console import metrics as web
from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import Need
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import snapshot
from bergen_loop.ledger.read.snapshot import Snapshots
from bergen_loop.ledger.store import attention, journal
from bergen_loop.ledger.tables.core import BrandRow, BudgetLeaseRow
from bergen_loop.service.registry import Registry
from bergen_loop.tell.events import follow
from bergen_loop.tell.metrics import Metrics
from support import worlds
from support.brands import settings
from support.rows import NOW, a_return
from support.worlds import World

HOUR = timedelta(hours=1)


def page(ledger: Ledger, *brands: str) -> dict[Any, float]:
    return samples(Metrics(lambda: settings(*brands), ledger, lambda: NOW).page())


def test_returns_are_counted_by_stage_and_what_has_ended_is_not(ledger: Ledger) -> None:
    for number, stage in enumerate(Stage):
        for again in range(number + 1):
            a_return(ledger, f"{stage}{again}", stage=stage)
    a_return(ledger, "other", brand="other")
    found = page(ledger)
    for number, stage in enumerate(Stage):
        if stage.terminal:
            assert ("bergen_loop_returns", (("brand", "acme"), ("stage", stage))) not in found
        else:
            assert value(found, "returns", brand="acme", stage=stage) == number + 1


def test_ages_are_those_of_the_oldest_that_is_ours_to_do(ledger: Ledger) -> None:
    a_return(ledger, "1", seen_at=NOW - 3 * HOUR, due_at=NOW - HOUR)
    a_return(ledger, "2", seen_at=NOW - 9 * HOUR, due_at=NOW + HOUR)  # waits for its label
    a_return(ledger, "3", stage="received", received_at=NOW - 5 * HOUR, seen_at=NOW - 99 * HOUR)
    a_return(ledger, "4", stage="waiting", received_at=NOW - 50 * HOUR, due_at=NOW + HOUR)
    held = a_return(ledger, "5", stage="received", received_at=NOW - 60 * HOUR, held=True)
    with ledger.write() as session:
        attention.raise_item(
            session, NOW - 7 * HOUR, attention.Matter(brand="acme", kind=Need.CONFLICT, reason="r")
        )
    assert held
    found = page(ledger)
    assert value(found, "oldest_unannounced_age_seconds", brand="acme") == 3 * 3600
    assert value(found, "oldest_unsettled_age_seconds", brand="acme") == 5 * 3600
    assert value(found, "oldest_attention_age_seconds", brand="acme") == 7 * 3600
    assert value(found, "backlog", brand="acme") == 2
    assert value(found, "held", brand="acme") == 1
    assert value(found, "attention", brand="acme") == 1


def test_syncs_budget_and_webhooks_are_told(ledger: Ledger) -> None:
    one = settings().brands["acme"]
    import hashlib

    key = hashlib.sha256(one.loop.api_key.get_secret_value().encode()).hexdigest()
    until = round((NOW + timedelta(seconds=30)).timestamp() * 1000)
    with ledger.write() as session:
        session.add(
            BrandRow(
                brand="acme",
                last_sync_finished_at=NOW - timedelta(seconds=20),
                last_good_sync_at=NOW - timedelta(minutes=20),
            )
        )
        session.add(BudgetLeaseRow(key_hash=key, permits=40, counts_until_ms=until))
        session.add(BudgetLeaseRow(key_hash=key, permits=7, counts_until_ms=until - 60_000))
        journal.count(
            session, "acme", {"webhooks.taken": 3, "webhooks.refused": 2, "intake.failed": 4}
        )
    found = page(ledger)
    assert value(found, "sync_age_seconds", brand="acme") == 20
    assert value(found, "sync_success_age_seconds", brand="acme") == 1200
    assert value(found, "loop_budget_used", brand="acme") == 40
    assert value(found, "loop_budget_limit", brand="acme") == 300
    assert value(found, "webhooks_total", brand="acme", result="taken") == 3
    assert value(found, "webhooks_total", brand="acme", result="refused") == 2
    assert value(found, "step_errors_total", brand="acme", step="intake") == 4


def test_a_returns_way_shows(world: World, ctx: BrandContext) -> None:
    return_id = world.new_return(ctx.brand, units=1, late_label=False)
    worlds.run(world, ctx, ticks=2)
    world.receive(return_id, "damaged")
    worlds.run(world, ctx, ticks=2)
    while follow.take_in(ctx.ledger, {}, ctx.now()):
        pass
    one = settings(ctx.brand)
    found = samples(Metrics(lambda: one, ctx.ledger, ctx.now).page())
    title = "Received by the warehouse"
    assert value(found, "moments_total", brand=ctx.brand, moment="4", title=title) == 1
    assert value(found, "decisions_total", brand=ctx.brand, outcome="flag", how="live") == 1
    calls = {"brand": ctx.brand, "system": "rex11", "call": "ReceivingTicketAdd"}
    assert value(found, "calls_total", outcome="ok", **calls) == 1
    assert value(found, "call_seconds_total", **calls) < 5


def test_scrapes_within_ten_seconds_share_one_look(ledger: Ledger) -> None:
    clock = [100.0]
    looks: list[int] = []
    shared = Snapshots(
        ledger,
        lambda: looks.append(1) or ["acme"],  # type: ignore[func-returns-value]
        lambda: NOW,
        monotonic=lambda: clock[0],
    )
    first = shared.get()
    clock[0] = 109.9
    assert shared.get() is first
    clock[0] = 110.0
    assert shared.get() is not first
    assert len(looks) == 2


def test_no_query_of_a_snapshot_reads_the_returns_themselves(sqlite_ledger: Ledger) -> None:
    """Every statement on returns is answered from an index alone, whatever has ended."""
    seen: list[tuple[str, Any]] = []

    @event.listens_for(sqlite_ledger.engine, "before_cursor_execute")
    def _note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM returns" in statement:
            seen.append((statement, parameters))

    with sqlite_ledger.read() as session:
        snapshot.take(session, ["acme", "other"], NOW)
    assert len(seen) == 2
    with sqlite_ledger.engine.connect() as connection:
        for statement, parameters in list(seen):
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = [row[3] for row in plan]
            assert any("COVERING INDEX" in step for step in steps), steps
            assert not any(step.startswith("SCAN returns") and "ix_returns_working" not in step
                           for step in steps), steps  # fmt: skip


class _Peer:
    """Puts another address under a request."""

    def __init__(self, app: FastAPI, host: str) -> None:
        self.app, self.host = app, host

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope | {"client": (self.host, 1)}, receive, send)


def _get(ledger: Ledger, host: str, token: str | None, **headers: str) -> httpx2.Response:
    service = {"metrics": {"token": SecretStr(token)}} if token else {}
    app = FastAPI()
    app.state.registry = Registry(settings(service=service), ledger, Path())
    app.include_router(web.router)
    return TestClient(_Peer(app, host)).get("/metrics", headers=headers)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("host", "token", "headers", "status"),
    [
        ("127.0.0.1", None, {}, 200),
        ("::1", None, {}, 200),
        ("10.0.0.7", None, {}, 403),
        ("127.0.0.1", None, {"x-forwarded-for": "10.0.0.7"}, 403),
        ("10.0.0.7", "t0ken", {"authorization": "Bearer t0ken"}, 200),
        ("10.0.0.7", "t0ken", {"authorization": "Bearer wrong"}, 403),
        ("127.0.0.1", "t0ken", {}, 403),
    ],
)
def test_who_may_read_them(
    sqlite_ledger: Ledger, host: str, token: str | None, headers: dict[str, str], status: int
) -> None:
    answer = _get(sqlite_ledger, host, token, **headers)
    assert answer.status_code == status
    assert ("bergen_loop_returns{" in answer.text) == (status == 200)
