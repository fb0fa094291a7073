"""A system that does not answer costs one call now and then, and the other system goes on."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention
from bergen_loop.ledger.tables.core import BreakerRow
from bergen_loop.outside import breaker as breakers
from bergen_loop.outside.breaker import FIRST, LONGEST, THRESHOLD, Breaker, Suspended
from bergen_loop.service import wiring as connecting
from support import worlds
from support.worlds import World

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    made = Breaker("rex11")
    made.now = clock
    return made


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.admit()
        breaker.attempted("Unavailable", "GetX after 60 s: Unavailable")


def test_it_opens_after_failures_in_a_row_only(breaker: Breaker) -> None:
    for _ in range(5):
        fail(breaker, THRESHOLD - 1)
        breaker.attempted("Refused")  # an answer, if not a nice one
    assert breaker.suspended() is None
    fail(breaker, THRESHOLD)
    with pytest.raises(Suspended, match=r"REX11 are suspended, since 5 in a row.*12:00:30 UTC"):
        breaker.admit()


def test_each_probe_that_fails_doubles_the_wait_up_to_the_longest(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, THRESHOLD)
    waits: list[timedelta] = []
    for _ in range(8):
        values = breaker.values()
        assert values is not None
        until: Any = values["open_until"]
        waits.append(until - clock.at)
        clock.at = until
        fail(breaker)
    assert waits[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert waits[-1] == LONGEST


def test_one_call_at_a_time_probes(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, THRESHOLD)
    clock.at += FIRST
    breaker.admit()
    with pytest.raises(Suspended, match="one is being tried"):
        breaker.admit()
    breaker.attempted("ok")
    breaker.admit()
    breaker.admit()
    assert breaker.values() is None


def test_a_probe_that_was_never_made_frees_its_place(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, THRESHOLD)
    clock.at += FIRST
    breaker.admit()
    clock.at += FIRST
    breaker.admit()


@pytest.fixture
def world() -> Generator[World]:
    with worlds.serving() as served:
        yield served


@pytest.fixture
def ctx(world: World, sqlite_ledger: Ledger) -> BrandContext:
    """Connected as the service does it, with little patience."""
    made = connecting.connect(
        "northpine",
        worlds.brand_settings(world, loop={"timeout": "1s"}, rex11={"timeout": "1s"}, poll="1s"),
        sqlite_ledger,
        Path(),
    )
    made.now = world.now
    return made


def tick_until(ctx: BrandContext, world: World, system: str) -> dict[str, dict[str, Any]]:
    for _ in range(6):
        results = tick.run(ctx)
        if ctx.breakers.of(system).suspended():
            return results
        world.advance(1)
    raise AssertionError("the breaker did not open")


def calls(world: World, system: str) -> list[Any]:
    with world.sandbox.lock:
        return world.sandbox.calls.find(system=system, limit=10**6)


def rows(ctx: BrandContext) -> dict[str, BreakerRow]:
    with ctx.ledger.read() as session:
        return {r.system: r for r in breakers.of_brand(session, ctx.brand)}


def test_a_dead_rex11_leaves_loop_working(world: World, ctx: BrandContext) -> None:
    world.fault("rex11", "status_500")
    tick_until(ctx, world, "rex11")
    before = len(calls(world, "rex11"))
    return_id = world.new_return("northpine")
    world.advance(1)
    results = tick.run(ctx)
    assert "error" not in results["intake"] and results["intake"]["changed"] == 1
    assert "error" not in results["settle"]
    for step in ("announce", "receive"):
        assert "calls to REX11 are suspended" in results[step]["error"]
    assert len(calls(world, "rex11")) == before, "nothing is sent while it is suspended"
    assert world.tickets(return_id) == []
    assert rows(ctx)["rex11"].failures >= THRESHOLD


def test_a_dead_system_costs_one_exchange_an_interval(world: World, ctx: BrandContext) -> None:
    world.fault("rex11", "status_500")
    tick_until(ctx, world, "rex11")
    before = len(calls(world, "rex11"))
    for _ in range(4):
        row = rows(ctx)["rex11"]
        assert row.open_until is not None
        world.advance((row.open_until - world.now()).total_seconds() + 0.1)
        for _ in range(3):
            tick.run(ctx)
            world.advance(1)
    assert len(calls(world, "rex11")) - before == 4


def test_it_goes_on_by_itself_when_the_system_is_back(world: World, ctx: BrandContext) -> None:
    return_id = world.new_return("northpine")
    world.fault("rex11", "status_500")
    tick_until(ctx, world, "rex11")
    world.advance(700)
    tick.run(ctx)
    with ctx.ledger.read() as session:
        told = [i for i in attention.open_items(session, ctx.brand) if i.kind == "unreachable"]
    assert "bergen-loop breaker reset northpine" in told[0].reason
    world.sandbox.faults.clear()
    world.advance(1000)
    for _ in range(4):
        results = tick.run(ctx)
        world.advance(120)
    assert not [r for r in results.values() if "error" in r]
    assert len(world.tickets(return_id)) == 1
    assert rows(ctx) == {}
    with ctx.ledger.read() as session:
        assert not [i for i in attention.open_items(session, ctx.brand) if i.kind == "unreachable"]


def test_a_dead_loop_leaves_rex11_working(world: World, ctx: BrandContext) -> None:
    world.fault("loop", "status_502")
    results = tick_until(ctx, world, "loop")
    assert "error" in results["intake"]
    before = len(calls(world, "loop"))
    results = tick.run(ctx)
    assert "calls to Loop are suspended" in results["intake"]["error"]
    assert "error" not in results["announce"] and "error" not in results["receive"]
    assert len(calls(world, "loop")) == before


def test_a_person_may_reset_it(world: World, ctx: BrandContext) -> None:
    world.fault("rex11", "status_500")
    tick_until(ctx, world, "rex11")
    world.sandbox.faults.clear()
    with ctx.ledger.write() as session:
        assert breakers.reset(session, world.now(), ctx.brand, who="an engineer") == ["rex11"]
    results = tick.run(ctx)
    assert not [r for r in results.values() if "error" in r]


def test_what_is_known_of_it_survives_the_process(
    world: World, ctx: BrandContext, sqlite_ledger: Ledger
) -> None:
    world.fault("rex11", "status_500")
    tick_until(ctx, world, "rex11")
    other = connecting.connect("northpine", ctx.settings, sqlite_ledger, Path())
    other.now = world.now
    before = len(calls(world, "rex11"))
    assert "suspended" in tick.run(other)["receive"]["error"]
    assert len(calls(world, "rex11")) == before
