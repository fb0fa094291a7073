"""A system that does not answer costs one call now and then, and the other system goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention
from bergen_loop.ledger.store.calls import breakers_of
from bergen_loop.ledger.tables.core import BreakerRow
from bergen_loop.ledger.transaction import transaction
from bergen_loop.outside import breaker as breakers
from bergen_loop.outside.breaker import FIRST, FIRST_REFUSED, LONGEST, THRESHOLD, Guard
from bergen_loop.outside.errors import RateLimited, Refused, Unauthorized, Unavailable
from bergen_loop.outside.http import Around, Held
from bergen_loop.service import wiring as connecting
from support import worlds
from support.wires import over
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
def guard(clock: Clock) -> Guard:
    made = Guard("rex11")
    made.now = clock
    return made


AT: dict[str, Any] = {"system": "REX11", "brand": "acme", "call": "GetX"}
GONE = Unavailable("no answer", **AT)
NO = Refused("no", **AT)
DENIED = Unauthorized("401: no such scope", **AT)


def fail(guard: Guard, times: int = 1) -> None:
    for _ in range(times):
        guard.admit("GetX")
        guard.attempted("GetX", GONE, 60.0)


def open_until(guard: Guard, key: str = "rex11") -> datetime:
    until: Any = guard.values()[key]["open_until"]
    return until


def test_it_opens_after_failures_in_a_row_only(guard: Guard) -> None:
    for _ in range(5):
        fail(guard, THRESHOLD - 1)
        guard.attempted("GetX", NO)  # an answer, if not a nice one
    assert guard.suspended() is None
    fail(guard, THRESHOLD)
    with pytest.raises(Held, match=r"REX11 are suspended, since 5 in a row.*12:00:30 UTC") as held:
        guard.admit("GetX")
    assert held.value.error is Unavailable


def test_too_many_calls_are_the_budgets_business_not_the_breakers(guard: Guard) -> None:
    for _ in range(3 * THRESHOLD):
        guard.attempted("GetX", RateLimited("429", status=429, **AT))
    assert guard.values() == {}


def test_each_probe_that_fails_doubles_the_wait_up_to_the_longest(
    guard: Guard, clock: Clock
) -> None:
    fail(guard, THRESHOLD)
    waits: list[timedelta] = []
    for _ in range(8):
        until = open_until(guard)
        waits.append(until - clock.at)
        clock.at = until
        fail(guard)
    assert waits[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert waits[-1] == LONGEST


def test_calls_that_were_under_way_when_it_opened_do_not_double_the_wait(guard: Guard) -> None:
    for _ in range(THRESHOLD + 7):
        guard.admit("GetX")
    for _ in range(THRESHOLD + 7):
        guard.attempted("GetX", GONE)
    assert open_until(guard) == NOW + FIRST


def test_one_call_at_a_time_probes(guard: Guard, clock: Clock) -> None:
    fail(guard, THRESHOLD)
    clock.at += FIRST
    guard.admit("GetX")
    with pytest.raises(Held, match="one is being tried"):
        guard.admit("GetX")
    guard.attempted("GetX", None)
    guard.admit("GetX")
    guard.admit("GetX")
    assert guard.values() == {}


def test_a_probe_that_was_never_made_frees_its_place(guard: Guard, clock: Clock) -> None:
    fail(guard, THRESHOLD)
    clock.at += FIRST
    guard.admit("GetX")
    clock.at += FIRST
    guard.admit("GetX")


def test_a_call_that_is_refused_access_pauses_alone_and_at_once(guard: Guard) -> None:
    guard.admit("GetX")
    guard.attempted("GetX", DENIED)
    with pytest.raises(
        Held, match=r"refuses this brand's access for GetX since .*12:02:00"
    ) as held:
        guard.admit("GetX")
    assert held.value.error is Unauthorized
    guard.admit("AddY")
    assert guard.suspended() is None


def test_a_refused_call_is_tried_ever_more_rarely(guard: Guard, clock: Clock) -> None:
    guard.admit("GetX")
    guard.attempted("GetX", DENIED)
    minutes: list[float] = []
    for _ in range(7):
        until = open_until(guard, "rex11:GetX")
        minutes.append((until - clock.at).total_seconds() / 60)
        clock.at = until
        guard.admit("GetX")
        with pytest.raises(Held, match="one is being tried"):
            guard.admit("GetX")
        guard.attempted("GetX", DENIED)
    assert minutes == [2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("answer", [None, NO])
def test_access_is_back_when_the_call_is_understood_again(
    guard: Guard, clock: Clock, answer: Refused | None
) -> None:
    guard.attempted("GetX", DENIED)
    guard.attempted("AddY", None)
    assert list(guard.values()) == ["rex11:GetX"], "another call's success says nothing"
    clock.at += FIRST_REFUSED
    guard.admit("GetX")
    guard.attempted("GetX", answer)
    guard.admit("GetX")
    assert guard.values() == {}


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
        return {r.system: r for r in breakers_of(session, ctx.brand)}


def test_a_dead_rex11_leaves_loop_working(world: World, ctx: BrandContext) -> None:
    world.fault("rex11", "status_502")
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
    world.fault("rex11", "status_502")
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
    world.fault("rex11", "status_502")
    tick_until(ctx, world, "rex11")
    world.advance(700)
    tick.run(ctx)
    with ctx.ledger.read() as session:
        told = [i for i in attention.open_items(session, ctx.brand) if i.kind == "unreachable"]
    assert "bergen-loop breaker reset northpine" in told[0].reason
    world.sandbox.faults.clear()
    world.advance(1000)
    results: dict[str, dict[str, Any]] = {}
    for _ in range(4):
        results = tick.run(ctx)
        world.advance(120)
    assert results and not [r for r in results.values() if "error" in r]
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
    world.fault("rex11", "status_502")
    tick_until(ctx, world, "rex11")
    world.sandbox.faults.clear()
    with transaction(ctx.ledger, ctx.brand, world.now(), "an engineer") as tx:
        assert breakers.reset(tx) == ["rex11"]
    results = tick.run(ctx)
    assert not [r for r in results.values() if "error" in r]


def test_what_is_known_of_it_survives_the_process(
    world: World, ctx: BrandContext, sqlite_ledger: Ledger
) -> None:
    world.fault("rex11", "status_502")
    tick_until(ctx, world, "rex11")
    other = connecting.connect("northpine", ctx.settings, sqlite_ledger, Path())
    other.now = world.now
    before = len(calls(world, "rex11"))
    assert "suspended" in tick.run(other)["receive"]["error"]
    assert len(calls(world, "rex11")) == before


class Gate(httpx2.BaseTransport):
    """The way to the world, on which calls of some names are denied."""

    def __init__(self) -> None:
        self.inner = httpx2.HTTPTransport()
        self.denied: set[str] = set()
        self.hit = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.rpartition("/")[2] in self.denied:
            self.hit += 1
            errors = [{"message": "This key lacks the scope."}]
            return httpx2.Response(403, json={"errors": errors})
        return self.inner.handle_request(request)


@pytest.fixture
def gate(ctx: BrandContext) -> Gate:
    gate = Gate()
    ctx.loop = connecting.loop_client(
        ctx.brand, ctx.settings, around=Around(guard=ctx.breakers.loop, transport=over(gate))
    )
    return gate


def received(world: World, ctx: BrandContext) -> str:
    """A return whose parcel has arrived complete: the next tick wants to process it."""
    return_id = world.new_return("northpine")
    for _ in range(12):
        world.advance(60)
        tick.run(ctx)
        if world.tickets(return_id):
            world.receive(return_id)
            return return_id
    raise AssertionError("no RMA was made")


def access_items(ctx: BrandContext) -> list[Any]:
    with ctx.ledger.read() as session:
        return [i for i in attention.open_items(session, ctx.brand) if i.kind == "access"]


def test_a_key_that_may_not_process_is_told_once_and_tried_ten_times_in_six_hours(
    world: World, ctx: BrandContext, gate: Gate
) -> None:
    gate.denied = {"process"}
    return_ids = {received(world, ctx) for _ in range(2)}
    for _ in range(6 * 12):
        world.advance(300)
        tick.run(ctx)
    assert 8 <= gate.hit <= 12
    (item,) = access_items(ctx)
    assert item.open_key == "access:loop"
    assert "Loop refuses this brand's access for process" in item.reason
    assert "This key lacks the scope." in item.reason
    assert "Returns (data, actions, grading)" in item.reason
    gate.denied = set()
    for _ in range(14):
        world.advance(300)
        tick.run(ctx)
    assert access_items(ctx) == []
    assert {world.state(r) for r in return_ids} == {"closed"}


def test_a_person_who_mended_the_access_may_have_it_tried_at_once(
    world: World, ctx: BrandContext, gate: Gate
) -> None:
    gate.denied = {"list"}
    for _ in range(5):
        tick.run(ctx)
        world.advance(5)
    assert gate.hit == 1
    assert [i.open_key for i in access_items(ctx)] == ["access:loop"]
    with transaction(ctx.ledger, ctx.brand, world.now(), "ann") as tx:
        assert breakers.reset(tx) == ["loop:list_returns"]
    assert access_items(ctx) == []
    gate.denied = set()
    results = tick.run(ctx)
    assert not [r for r in results.values() if "error" in r]


def test_wrong_credentials_of_rex11_are_told_once_and_lifted_when_right(
    world: World, ctx: BrandContext
) -> None:
    with world.sandbox.lock:
        brand = world.sandbox.brand("northpine")
        right, brand.password = brand.password, "another"
    for _ in range(12):
        tick.run(ctx)
        world.advance(300)
    (item,) = access_items(ctx)
    assert item.open_key == "access:rex11"
    assert "WebAddress, UserName and Password" in item.reason
    asked = [c for c in calls(world, "rex11") if c.operation == "AuthenticationTokenGet"]
    assert len(asked) <= 7
    assert len(asked) == len(calls(world, "rex11"))
    brand.password = right
    for _ in range(8):
        world.advance(300)
        tick.run(ctx)
    assert access_items(ctx) == []
