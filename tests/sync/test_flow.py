"""The main flow, over real HTTP and SOAP, for every kind of parcel."""

from __future__ import annotations

import pytest

from bergen_loop.domain.returns import Moment, Stage
from bergen_loop.flow.context import BrandContext
from support import worlds
from support.brands import configure
from support.look import Look
from support.worlds import World


def arrive(world: World, ctx: BrandContext, kind: str, **how: object) -> str:
    """A return that is announced and whose parcel has come."""
    return_id = world.new_return("northpine", units=2, late_label=False, **how)
    worlds.run(world, ctx)
    worlds.run(world, ctx)  # products that had to be imported first
    world.receive(return_id, kind)
    worlds.run(world, ctx)
    return return_id


def test_a_complete_parcel_goes_through_all_seven_moments(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = arrive(world, ctx, "complete", outcome="refund")
    worlds.run(world, ctx, ticks=2)
    view = look.view(return_id)
    assert look.stage(return_id) is Stage.COMPLETE
    assert [m.moment for m in view.moments if m.at] == list(Moment)
    times = [m.at for m in view.moments if m.at]
    assert times == sorted(times)
    effects = world.effects(return_id)
    assert (effects["money_moved"], effects["process_accepted"], effects["flags"]) == (1, 1, 0)
    assert [e.kind for e in view.effects] == ["ticket_add", "process"]
    assert view.rmas[0].close_evidence is not None
    assert "AddedToInventory" in view.rmas[0].close_evidence


def test_the_ticket_tells_the_warehouse_what_comes(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = world.new_return("northpine", units=3, late_label=False)
    worlds.run(world, ctx, ticks=2)
    (ticket,) = world.tickets(return_id)
    row = look.row(return_id)
    assert ticket.po == f"LR-{return_id}"
    assert sum(i.expected for i in ticket.items) == 3
    assert len({i.values["UPC"] for i in ticket.items}) == len(ticket.items), "one item per SKU"
    assert row.tracking_number in ticket.tracking_numbers
    assert all(i.values["ReturnReasonCode"] for i in ticket.items)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("damaged", "damaged"),
        ("extra", "more than the 2 expected"),
        ("wrong", "other items than announced"),
    ],
)
def test_a_parcel_that_is_not_right_is_flagged_with_a_note(
    world: World, ctx: BrandContext, look: Look, kind: str, words: str
) -> None:
    return_id = arrive(world, ctx, kind)
    assert look.stage(return_id) is Stage.FLAGGED
    effects = world.effects(return_id)
    assert (effects["money_moved"], effects["flags"], len(effects["notes"])) == (0, 1, 1)
    (note,) = effects["notes"]
    assert len(str(note)) < 255 + 100
    view = look.view(return_id)
    assert view.decision is not None
    assert view.decision.note is not None
    assert words in view.decision.note
    assert len(view.decision.note) < 255


def test_a_flagged_return_closed_by_a_person_is_completed(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = arrive(world, ctx, "damaged")
    world.change(return_id, "close")
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.COMPLETE
    assert world.effects(return_id)["process_accepted"] == 0


def test_a_short_parcel_waits_the_brands_days_then_is_flagged(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = arrive(world, ctx, "short")
    assert look.stage(return_id) is Stage.WAITING
    worlds.run(world, ctx, seconds=6 * 86400)
    worlds.run(world, ctx)
    assert look.stage(return_id) is Stage.WAITING
    assert world.effects(return_id)["flags"] == 0
    world.advance(86400)
    worlds.run(world, ctx)
    assert look.stage(return_id) is Stage.FLAGGED
    assert world.effects(return_id)["flags"] == 1


def test_a_garbled_count_is_never_processed_but_shown_to_a_person(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = arrive(world, ctx, "garbled")
    worlds.run(world, ctx, ticks=3)
    assert look.stage(return_id) is Stage.RECEIVED
    ((kind, reason),) = look.attention(return_id)
    assert kind == "decide_by_hand"
    assert "not clear" in reason
    effects = world.effects(return_id)
    assert (effects["money_moved"], effects["flags"]) == (0, 0)


def test_a_parcel_that_never_comes_leaves_the_return_announced(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = world.new_return("northpine", units=1, late_label=False)
    worlds.run(world, ctx, ticks=5, seconds=86400)
    assert look.stage(return_id) is Stage.ANNOUNCED
    assert len(world.calls("ReceivingTicketAdd")) == 1


@pytest.mark.parametrize("outcome", ["refund", "credit", "exchange", "gift"])
def test_every_outcome_takes_the_same_way(
    world: World, ctx: BrandContext, look: Look, outcome: str
) -> None:
    return_id = arrive(world, ctx, "complete", outcome=outcome)
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.COMPLETE
    assert world.effects(return_id)["process_accepted"] == 1


def test_an_idle_tick_costs_one_list_and_one_status_call(
    world: World, ctx: BrandContext, look: Look
) -> None:
    for _ in range(5):
        world.new_return("northpine", units=1, late_label=False)
    worlds.run(world, ctx, ticks=12)
    before = len(world.sandbox.calls)
    worlds.run(world, ctx)
    made = world.sandbox.calls.find(after=before, limit=100)
    assert [c.operation for c in made] == ["list", "GetReceivingStatusesByDate"]


def test_nothing_is_processed_in_shadow(world: World, ctx: BrandContext, look: Look) -> None:
    configure(ctx, mode="shadow")
    return_id = arrive(world, ctx, "complete")
    worlds.run(world, ctx, ticks=2)
    view = look.view(return_id)
    assert view.decision is not None
    assert (view.decision.outcome, view.decision.shadow) == ("process", True)
    assert world.effects(return_id)["process_accepted"] == 0
    world.change(return_id, "close")
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.COMPLETE
