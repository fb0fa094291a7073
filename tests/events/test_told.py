"""What a brand's systems are told, from the flows to the receiver."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import journal
from bergen_loop.tell.events import dispatch, follow
from support import worlds
from support.receivers import Receiver
from support.worlds import World

BRAND = "northpine"


def tell(ctx: BrandContext, receiver: Receiver, **changes: Any) -> int:
    """Everything journaled so far is told, at the real time (signatures carry it)."""
    endpoint = receiver.settings(**changes)
    now = datetime.now(UTC)
    while follow.take_in(ctx.ledger, {BRAND: endpoint}, now):
        pass
    return dispatch.deliver(ctx.ledger, BRAND, endpoint)


def received(world: World, ctx: BrandContext, kind: str) -> str:
    return_id = world.new_return(BRAND, units=2, late_label=False)
    worlds.run(world, ctx, ticks=2)
    world.receive(return_id, kind)
    worlds.run(world, ctx, ticks=4)
    return return_id


def test_a_return_that_is_right_is_told_by_its_seven_moments(
    world: World, ctx: BrandContext, receiver: Receiver
) -> None:
    return_id = received(world, ctx, "complete")
    tell(ctx, receiver)
    assert receiver.types() == [
        "return.submitted",
        "return.seen",
        "return.announced",
        "return.received",
        "return.processed",
        "return.rma_closed",
        "return.complete",
    ]
    moments = [event["data"]["moment"]["number"] for _, event in receiver.events]
    assert moments == [1, 2, 3, 4, 5, 6, 7]
    times = [event["timestamp"] for _, event in receiver.events]
    assert times == sorted(times)
    (ticket,) = world.tickets(return_id)
    data = receiver.events[4][1]["data"]
    assert data["return_id"] == return_id
    assert data["rmas"] == [
        {"po": f"LR-{return_id}", "ticket": ticket.id, "status": "AddedToInventory"}
    ]
    assert data["decision"]["outcome"] == "process"
    assert "@" not in str(receiver.events), "no customer's address"


def test_a_damaged_return_is_told_with_the_note_of_its_flag(
    world: World, ctx: BrandContext, receiver: Receiver
) -> None:
    received(world, ctx, "damaged")
    tell(ctx, receiver)
    assert receiver.types()[-1] == "return.flagged"
    decision = receiver.events[-1][1]["data"]["decision"]
    assert decision["outcome"] == "flag"
    assert "damaged" in decision["note"]


def test_what_needs_a_person_is_told_with_the_reason(
    world: World, ctx: BrandContext, receiver: Receiver
) -> None:
    received(world, ctx, "garbled")
    tell(ctx, receiver)
    assert receiver.types()[-1] == "return.attention"
    data = receiver.events[-1][1]["data"]
    assert data["attention"]["kind"] == "decide_by_hand"
    assert "not clear" in data["reason"]


def test_each_event_is_told_once_under_an_id_that_stays(
    world: World, ctx: BrandContext, receiver: Receiver
) -> None:
    received(world, ctx, "complete")
    assert tell(ctx, receiver) == 7
    assert tell(ctx, receiver) == 0
    ids = [event_id for event_id, _ in receiver.events]
    assert len(set(ids)) == 7
    assert ids[3].endswith("_received")


def test_only_the_chosen_moments_are_told(
    world: World, ctx: BrandContext, receiver: Receiver
) -> None:
    received(world, ctx, "complete")
    tell(ctx, receiver, moments=["return.complete"])
    assert receiver.types() == ["return.complete"]


def test_returns_that_had_ended_before_are_nobodys_news(
    world: World, ctx: BrandContext, receiver: Receiver
) -> None:
    return_id = world.new_return(BRAND, units=1)
    world.change(return_id, "close")
    worlds.run(world, ctx)
    tell(ctx, receiver)
    assert receiver.types() == []


def test_an_endpoint_is_told_of_what_happens_from_its_first_day(
    world: World, ctx: BrandContext, receiver: Receiver
) -> None:
    received(world, ctx, "complete")
    follow.take_in(ctx.ledger, {}, ctx.now())
    assert tell(ctx, receiver) == 0


@pytest.mark.parametrize("kind", ["complete", "damaged", "short"])
def test_the_counters_grow_with_the_journal(world: World, ctx: BrandContext, kind: str) -> None:
    received(world, ctx, kind)
    while follow.take_in(ctx.ledger, {}, ctx.now()):
        pass
    with ctx.ledger.read() as session:
        counters = journal.counters(session, BRAND)
    moments = {n: counters.get(f"moment:{n}", 0) for n in range(1, 8)}
    expected = {
        "complete": [1, 1, 1, 1, 1, 1, 1],
        "damaged": [1, 1, 1, 1, 1, 0, 0],
        "short": [1, 1, 1, 1, 0, 0, 0],
    }
    assert list(moments.values()) == expected[kind]
    outcome = {"complete": "process", "damaged": "flag", "short": "wait"}[kind]
    assert counters[f"decision:live:{outcome}"] == 1
    assert counters["call:rex11:ReceivingTicketAdd:ok"] == 1
