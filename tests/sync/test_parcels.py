"""One return in several parcels, receipts that grow, and parcels that come late."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from bergen_loop.domain.returns import Stage
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.tables.core import RmaRow
from bergen_loop.outside.loop.client import LoopClient
from bergen_loop.outside.loop.models import AsnRow
from loop_sandbox import parcels, tickets
from loop_sandbox.model import Ticket
from support import worlds
from support.brands import configure
from support.look import Look
from support.worlds import World


@pytest.fixture(params=["labels on the return", "ASN report"])
def two_labels(
    request: pytest.FixtureRequest,
    world: World,
    ctx: BrandContext,
    monkeypatch: pytest.MonkeyPatch,
) -> BrandContext:
    """The brand's returns travel with a label per unit, as they say themselves, or, where they
    do not, the ASN report."""
    if request.param != "ASN report":
        world.sandbox.settings.update({"two_label_share": 1.0})
        return ctx
    world.sandbox.settings.update({"labels_on_returns": False})
    configure(ctx, announce={"multi_parcel": True})

    def report(_self: LoopClient, *_days: object) -> list[AsnRow]:
        with world.sandbox.lock:
            lines = [
                (r.id, line.id)
                for r in world.sandbox.brand("northpine").returns.values()
                for line in r.lines
            ]
        return [
            AsnRow(raw={}, return_id=str(r), line_item_id=str(x), tracking_number=f"1Z{x}")
            for r, x in lines
        ]

    monkeypatch.setattr(LoopClient, "asn_report", report)
    return ctx


def announced(world: World, ctx: BrandContext) -> tuple[str, Ticket, Ticket]:
    """A return, and the tickets of its two parcels."""
    return_id = world.new_return("northpine", units=2, late_label=False)
    worlds.run(world, ctx, ticks=2)
    first, second = sorted(world.tickets(return_id), key=lambda t: t.po)
    return return_id, first, second


def test_each_label_gets_an_rma_and_both_parcels_are_judged_together(
    world: World, two_labels: BrandContext, look: Look
) -> None:
    return_id = world.new_return("northpine", units=2, late_label=False)
    worlds.run(world, two_labels, ticks=2)
    both = sorted(world.tickets(return_id), key=lambda t: t.po)
    assert [t.po for t in both] == [f"LR-{return_id}", f"LR-{return_id}-2"]
    assert [sum(i.expected for i in t.items) for t in both] == [1, 1]
    assert len({n for t in both for n in t.tracking_numbers}) == 2
    receive_one(world, both[0])
    worlds.run(world, two_labels, ticks=2)
    assert look.stage(return_id) is Stage.WAITING, "the second parcel is on its way"
    receive_one(world, both[1])
    worlds.run(world, two_labels, ticks=3)
    assert look.stage(return_id) is Stage.COMPLETE
    assert world.effects(return_id)["money_moved"] == 1
    assert all(rma.closed_at for rma in look.view(return_id).rmas)


def test_a_second_parcel_that_does_not_come_is_flagged_and_noted_when_it_comes_late(
    world: World, two_labels: BrandContext, look: Look
) -> None:
    return_id, first, second = announced(world, two_labels)
    receive_one(world, first)
    worlds.run(world, two_labels, ticks=2)
    world.advance(8 * 86400)
    worlds.run(world, two_labels, ticks=2)
    assert look.stage(return_id) is Stage.FLAGGED
    receive_one(world, second)
    worlds.run(world, two_labels, ticks=3)
    assert look.stage(return_id) is Stage.FLAGGED, "after a flag it is never processed by us"
    notes = [str(n) for n in world.effects(return_id)["notes"]]
    assert len(notes) == 2
    assert "now 2 of 2 units counted" in notes[1]
    assert world.effects(return_id)["money_moved"] == 0
    assert look.attention(return_id) == []


@pytest.mark.parametrize("works", [False, True])
def test_what_two_labels_bring_in_one_box_is_whole(
    world: World, two_labels: BrandContext, look: Look, works: bool
) -> None:
    """It was waited for the second box for a week, and flagged. Where the warehouse works on the
    second one's ticket, that is waited for."""
    return_id, first, second = announced(world, two_labels)
    with world.sandbox.lock:
        upcs = [t.items[0].values["UPC"] for t in (first, second)]
        found = {"upc": upcs[1], "actual": upcs.count(upcs[1]), "damaged": 0}
        parcels.receive(world.sandbox, first, "complete", {"lines": [found]})
        if works:
            tickets.set_status(world.sandbox, second, "CountingInProgress")
    worlds.run(world, two_labels, ticks=3)
    assert look.attention(return_id) == []
    assert world.effects(return_id)["money_moved"] == (0 if works else 1)
    assert look.stage(return_id) is (Stage.WAITING if works else Stage.CLOSING)


def test_an_earlier_parcel_is_read_again_with_the_last_one(
    world: World, two_labels: BrandContext, look: Look
) -> None:
    """It may have been counted anew without a word, or between two looks (soak, seed 79215)."""
    return_id, first, second = announced(world, two_labels)
    receive_one(world, first)
    worlds.run(world, two_labels, ticks=2, seconds=5)
    assert look.stage(return_id) is Stage.WAITING
    world.correct_ticket(first.id, "damaged")
    receive_one(world, second)
    worlds.run(world, two_labels, ticks=2, seconds=5)
    assert world.effects(return_id)["process_accepted"] == 0
    assert look.stage(return_id) is Stage.FLAGGED


def test_what_is_left_after_an_edit_is_waited_for_though_as_many_units_have_come(
    world: World, two_labels: BrandContext, look: Look
) -> None:
    """The unit that is left may be in the parcel that has not come (soak, seed 73074)."""
    return_id = world.new_return("northpine", units=2, late_label=False)
    with world.sandbox.lock:
        return_ = world.sandbox.find_return(return_id)
        assert return_ is not None
        return_.lines[1].product = return_.lines[0].product
    worlds.run(world, two_labels, ticks=2)
    first, second = sorted(world.tickets(return_id), key=lambda t: t.po)
    with world.sandbox.lock:
        parcels.receive(world.sandbox, second, "complete")
    worlds.run(world, two_labels, ticks=2)
    world.change(return_id, "edit", add=0, remove=1)
    worlds.run(world, two_labels, ticks=2)
    assert look.stage(return_id) is Stage.WAITING
    assert world.effects(return_id)["process_accepted"] == 0
    with world.sandbox.lock:
        parcels.receive(world.sandbox, first, "complete")
    worlds.run(world, two_labels, ticks=2)
    assert world.effects(return_id)["process_accepted"] == 0, "one more than is left has come"


def test_a_parcel_whose_ticket_was_lost_does_not_make_the_other_one_twice(
    world: World, two_labels: BrandContext, look: Look
) -> None:
    return_id = world.new_return("northpine", units=2, late_label=False)
    world.fault("rex11", "reset_mid_body", operation="ReceivingTicketAdd", nth=1)
    world.fault("rex11", "status_502", operation="ReceivingTicketAdd", nth=2)
    worlds.run(world, two_labels, ticks=8)
    assert look.stage(return_id) is Stage.ANNOUNCED
    assert len(world.tickets(return_id)) == 2
    assert sorted(r.parcel for r in look.view(return_id).rmas) == [1, 2]


def test_a_parcel_that_is_taken_off_the_return_before_its_rma_is_made_is_not_waited_for(
    world: World, two_labels: BrandContext, look: Look
) -> None:
    """Seed 95473: killed between intending two tickets and sending them."""
    return_id = world.new_return("northpine", units=2, late_label=False)
    worlds.killed_at(two_labels, "ticket intended")
    world.change(return_id, "edit", add=0, remove=1)
    worlds.run(world, two_labels, ticks=8)
    [ticket] = world.tickets(return_id)
    assert sum(i.expected for i in ticket.items) == 1
    assert (look.stage(return_id), look.attention(return_id)) == (Stage.ANNOUNCED, [])
    receive_one(world, ticket)
    worlds.run(world, two_labels, ticks=3)
    assert (look.stage(return_id), world.effects(return_id)["money_moved"]) == (Stage.COMPLETE, 1)


@pytest.mark.parametrize("of_an_earlier_release", [False, True])
def test_a_refused_parcel_that_is_taken_off_the_return_is_not_announced_with_the_others_goods(
    world: World, two_labels: BrandContext, look: Look, of_an_earlier_release: bool
) -> None:
    return_id = world.new_return("northpine", units=2, late_label=False)
    second = f"LR-{return_id}-2"
    world.fault("rex11", "status_502", operation="ReceivingTicketAdd", subject=second)
    worlds.run(world, two_labels, ticks=4)
    [ticket] = world.tickets(return_id)
    before = look.view(return_id).rmas
    assert sorted((rma.parcel, rma.ticket_id is None) for rma in before) == [(1, False), (2, True)]
    if of_an_earlier_release:
        with two_labels.ledger.write() as session:
            for rma in session.scalars(sa.select(RmaRow).where(RmaRow.ticket_id.is_not(None))):
                rma.items = [{k: v for k, v in i.items() if k != "pieces"} for i in rma.items]
    world.change(return_id, "edit", add=0, remove=1)
    with world.sandbox.lock:
        world.sandbox.faults.clear()
    worlds.run(world, two_labels, ticks=8)
    assert [t.id for t in world.tickets(return_id)] == [ticket.id]
    assert [rma.parcel for rma in look.view(return_id).rmas] == [1]
    assert (look.stage(return_id), look.attention(return_id)) == (Stage.ANNOUNCED, [])


def test_units_found_later_are_seen_before_a_missing_one_is_flagged(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = world.new_return("northpine", units=2, late_label=False)
    worlds.run(world, ctx, ticks=2)
    world.receive(return_id, "short")
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.WAITING
    (ticket,) = world.tickets(return_id)
    with world.sandbox.lock:
        for item in ticket.items:
            item.actual = str(item.expected)
    world.advance(7 * 86400)
    worlds.run(world, ctx, ticks=4)
    assert look.stage(return_id) is Stage.COMPLETE
    effects = world.effects(return_id)
    assert (effects["money_moved"], effects["flags"]) == (1, 0)
    assert len(look.view(return_id).receipts) == 2


def receive_one(world: World, ticket: Any) -> None:
    with world.sandbox.lock:
        parcels.receive(world.sandbox, ticket, "complete")
