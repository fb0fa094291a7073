"""What Happy Returns, Loop and a hub may do that nobody expects: no box is announced twice, no bag
is lost untold, and nothing is paid on what is in doubt."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import sqlalchemy as sa

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.shipment import ShipmentStage
from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.tables.shipments import BagRow, ClaimRow, ShipmentRmaRow, ShipmentRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import shipments as people
from loop_sandbox import loop_happy, tickets
from loop_sandbox.model import HappyUnit, Shipment
from support import worlds
from support.bars import Bar
from support.look import Look
from support.worlds import World

DAY = 86400.0


def row_of(ctx: BrandContext, happy_id: str) -> ShipmentRow:
    with ctx.ledger.read() as session:
        row = store.by_happy_id(session, ctx.brand, happy_id)
        assert row is not None
        return row


def open_claims(ctx: BrandContext) -> list[tuple[str, int, str | None]]:
    with ctx.ledger.read() as session:
        rows = session.scalars(sa.select(ClaimRow).order_by(ClaimRow.id))
        return [(c.kind, c.units, c.return_id) for c in rows if c.state == store.OPEN]


def needs(look: Look) -> list[str]:
    return sorted(k for k, _ in look.brand_attention())


def unit(bar: Bar, return_id: str, box: str, *bags: str) -> HappyUnit:
    line = bar.brand.returns[return_id].lines[0]
    return HappyUnit(return_id, line.id, line.product, list(bags), box)


def calls(world: World, *names: str) -> list[str]:
    with world.sandbox.lock:
        made = [c.operation for c in world.sandbox.calls.find(limit=10**6)]
    return [c for c in made if c in names]


def enter(ctx: BrandContext, happy_id: str) -> None:
    with ctx.ledger.write() as session:
        people.enter(Transaction(session, ctx.brand, ctx.now(), "ada"), happy_id)


# -- what is listed ---------------------------------------------------------------------------


def test_a_webhook_that_comes_twice_costs_one_call_and_makes_no_second_ticket(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    shipment = bar.ship(bar.drop())
    bar.tell(shipment)
    worlds.run(world, happy)
    world.advance(3600)
    bar.tell(shipment)
    worlds.run(world, happy, ticks=2)
    assert len(bar.tickets(shipment)) == 1
    assert calls(world, "happy_returns.shipment", "happy_returns.items") == [
        "happy_returns.shipment", "happy_returns.items", "happy_returns.shipment"
    ]  # fmt: skip


def test_a_shipment_that_lists_nothing_yet_is_waited_for_and_told_if_it_stays_so(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    slow, never = bar.ship(bar.drop()), bar.ship(bar.drop())
    units, slow.units, never.units = slow.units, [], []
    worlds.run(world, happy)
    assert row_of(happy, slow.happy_id).stage == ShipmentStage.LEARNED
    assert needs(look) == []
    slow.units = units
    worlds.run(world, happy, ticks=6, seconds=900)
    assert len(bar.tickets(slow)) == 1
    assert "shipment_unreadable" in needs(look)
    worlds.run(world, happy, ticks=4, seconds=DAY / 2)
    row = row_of(happy, never.happy_id)
    assert (row.stage, row.due_at) == (ShipmentStage.LEARNED, None), "not asked for without end"
    assert needs(look) == ["bag_unknown", "shipment_unreadable"], "and its bag is told"


def test_items_that_are_listed_late_are_expected_though_the_ticket_cannot_be_changed(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    first, late, elsewhere = bar.drop(), bar.drop(), bar.drop()
    worlds.run(world, happy)
    shipment = bar.ship(first)
    worlds.run(world, happy)
    shipment.units += [
        replace(unit(bar, late, shipment.box.lower(), f"HRBAG{late}"), really_in=shipment.box),
        unit(bar, elsewhere, "NEWBOX", f"HRBAG{elsewhere}"),
    ]
    shipment.boxes.append("NEWBOX")
    for r in (late, elsewhere):  # the returns name their bags
        bar.brand.returns[r].package_reference = f"HRBAG{r}"
        with world.sandbox.lock:
            world.sandbox.touch(bar.brand.returns[r])
    worlds.run(world, happy)
    worlds.run(world, happy, ticks=3, seconds=7200)
    assert sorted(t.po for t in bar.tickets(shipment)) == [
        f"HR-{shipment.happy_id}-{shipment.box}",
        f"HR-{shipment.happy_id}-NEWBOX",
    ], "looked for before its bags are told, and no second ticket for a box"
    assert needs(look) == ["shipment_rma"]
    assert row_of(happy, shipment.happy_id).expected == 3
    bar.arrive(shipment)
    worlds.run(world, happy, ticks=3)
    row = row_of(happy, shipment.happy_id)
    assert (row.stage, row.counted, open_claims(happy)) == (ShipmentStage.DONE, 3, [])


def test_a_box_whose_ticket_is_listed_as_finished_and_is_not_is_told(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    return_id = bar.drop()
    worlds.run(world, happy)
    shipment = bar.ship(return_id)
    worlds.run(world, happy)
    bar.arrive(shipment)
    read = "GetReceivingTicketObjectByTicketNo"
    final, other = re.compile(rb"(?i)>added ?to ?inventory<"), b">PendingPutaway<"
    world.rewrites.append(lambda name, x: final.sub(other, x) if name == read else x)
    worlds.run(world, happy, ticks=10, seconds=600)
    [(kind, why)] = look.brand_attention()
    assert kind == "shipment_counts"
    assert "the ticket itself says PendingPutaway, since" in why
    assert len(world.calls(read)) <= 12
    world.rewrites.clear()
    worlds.run(world, happy, ticks=3, seconds=900)
    assert row_of(happy, shipment.happy_id).counted == 1
    assert look.brand_attention() == []


def test_units_that_move_to_another_box_are_announced_there_or_are_no_difference(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    one, two = bar.drop(), bar.drop()
    worlds.run(world, happy)
    shipment = bar.ship(one, two, boxes=2)
    worlds.run(world, happy)
    moved = shipment.units[1]
    moved.box = shipment.boxes[0]
    shipment.created_at += 60  # its time in Loop has moved
    enter(happy, shipment.happy_id)
    worlds.run(world, happy)
    with happy.ledger.read() as session:
        units = store.units_of(session, row_of(happy, shipment.happy_id).id)
    assert {u.item.box for u in units} == {shipment.boxes[0]}
    assert len(bar.tickets(shipment)) == 2
    bar.arrive(shipment)
    worlds.run(world, happy, ticks=3)
    assert row_of(happy, shipment.happy_id).counted == 2
    assert open_claims(happy) == []


def test_what_a_list_leaves_out_later_is_expected_all_the_same_and_told(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    one, two = bar.drop(), bar.drop()
    worlds.run(world, happy)
    shipment = bar.ship(one, two)
    worlds.run(world, happy)
    del shipment.units[1]
    enter(happy, shipment.happy_id)
    worlds.run(world, happy)
    assert row_of(happy, shipment.happy_id).expected == 2
    [(kind, words)] = look.brand_attention()
    assert (kind, "does not list 1 units any more" in words) == ("shipment_unreadable", True)


def test_a_page_that_always_fails_keeps_no_other_shipment_and_is_told(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    bad, good = bar.ship(bar.drop()), bar.ship(bar.drop())
    bad.units *= 201
    world.fault("loop", "status_500", operation="happy_returns.items", subject=str(bad.loop_id))
    worlds.run(world, happy, ticks=2)
    assert (len(bar.tickets(bad)), len(bar.tickets(good))) == (0, 1)
    before = len(calls(world, "happy_returns.items"))
    worlds.run(world, happy, ticks=5, seconds=60)
    assert len(calls(world, "happy_returns.items")) == before, "asked for with pauses"
    worlds.run(world, happy, ticks=5, seconds=1000)
    assert needs(look) == ["shipment_unreadable"]


@pytest.mark.parametrize("kind", ["status_401", "status_403"])
def test_a_key_without_the_scope_stops_nothing_else_and_is_told(
    kind: str, world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    shipment, other = bar.ship(bar.drop()), world.new_return("northpine", late_label=False)
    world.fault("loop", kind, operation="happy_returns.shipment")
    for _ in range(12):
        tick.run(happy)
        world.advance(600)
    assert look.stage(other) is Stage.ANNOUNCED
    assert "access" in needs(look)
    assert len(calls(world, "happy_returns.shipment")) <= 6, "with pauses"
    world.sandbox.faults.clear()
    world.advance(3600)
    worlds.run(world, happy, ticks=3, seconds=3600)
    assert len(bar.tickets(shipment)) == 1
    assert needs(look) == []


# -- codes ------------------------------------------------------------------------------------


def test_boxes_and_bags_whose_codes_differ_in_case_are_one(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    one, two = bar.drop(), bar.drop()
    worlds.run(world, happy)
    shipment = bar.ship(one, two)
    shipment.units[1].box = f" {shipment.box.lower()} "
    shipment.units[1].bags = [f"hrbag{two}"]
    worlds.run(world, happy, ticks=2, seconds=7200)
    assert len(bar.tickets(shipment)) == 1
    assert row_of(happy, shipment.happy_id).boxes == 1
    with happy.ledger.read() as session:
        bags = session.scalars(sa.select(BagRow)).all()
        assert {(b.code, b.shipment_pk is None) for b in bags} == {
            (f"hrbag{one}", False),
            (f"hrbag{two}", False),
        }


def test_a_shipment_entered_in_another_case_is_the_same_one(
    world: World, happy: BrandContext, bar: Bar, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipment = bar.ship(bar.drop())
    worlds.run(world, happy)
    found = loop_happy.find
    monkeypatch.setattr(loop_happy, "find", lambda brand, i: found(brand, i.upper()))
    enter(happy, shipment.happy_id.lower())
    worlds.run(world, happy, ticks=2)
    assert len(bar.tickets(shipment)) == 1
    assert "under another name" in (row_of(happy, shipment.happy_id.lower()).problem or "")


def test_shipments_with_the_same_box_and_with_names_that_make_up_each_other_have_own_pos(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    one, two, three = (bar.ship(bar.drop()) for _ in range(3))
    two.units[0].box = one.box
    one.happy_id, one.units[0].box = "HRS-9", "1"
    three.happy_id, three.units[0].box = "HRS", "9-1"
    for shipment in (one, three):
        bar.tell(shipment)
    worlds.run(world, happy, ticks=3)
    with happy.ledger.read() as session:
        rmas = session.scalars(sa.select(ShipmentRmaRow)).all()
    made = [r for r in rmas if r.ticket_id]
    assert len(made) == 3
    assert len({r.customer_po.casefold() for r in made}) == 3
    assert all(len(r.customer_po) <= happy.settings.announce.po_length for r in made)


def test_a_bag_with_a_barcode_that_another_return_has_in_a_known_shipment_is_told(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    one, two = bar.drop(), bar.drop()
    shipment = bar.ship(one)
    bar.brand.returns[two].package_reference = f"HRBAG{one}"
    with world.sandbox.lock:
        world.sandbox.touch(bar.brand.returns[two])
    worlds.run(world, happy, ticks=2)
    worlds.run(world, happy, ticks=3, seconds=7200)
    assert len(bar.tickets(shipment)) == 1
    [(kind, words)] = look.brand_attention()
    assert (kind, f"HRBAG{one} (return {two})" in words) == ("bag_unknown", True)


# -- returns ----------------------------------------------------------------------------------


def test_an_open_return_in_two_boxes_or_two_shipments_is_settled_once_on_all_of_it(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    boxes, ships = bar.drop(2, paid=False), bar.drop(2, paid=False)
    worlds.run(world, happy)
    first = bar.ship(boxes, ships, boxes=2)
    second = bar.ship(bar.drop())
    first.units[1].box = first.boxes[1]
    for one in first.units[2:]:
        one.box = first.boxes[0]
    second.units.append(first.units.pop())  # its other unit leaves the hub later
    second.units[-1].box, second.units[-1].bags = second.box, ["HRBAGLATER"]
    worlds.run(world, happy, ticks=2)
    bar.arrive(first, first.boxes[0])
    worlds.run(world, happy, ticks=3)
    assert (look.stage(boxes), look.stage(ships)) == (Stage.SEEN, Stage.SEEN)
    bar.arrive(first, first.boxes[1])
    worlds.run(world, happy, ticks=3)
    assert (look.stage(boxes), look.stage(ships)) == (Stage.COMPLETE, Stage.SEEN)
    bar.arrive(second)
    worlds.run(world, happy, ticks=4)
    assert look.stage(ships) is Stage.COMPLETE
    assert world.calls("flag") == []
    assert len(world.calls("process")) == 2
    assert [world.effects(i)["money_moved"] for i in (boxes, ships)] == [1, 1]


def test_an_open_return_of_which_not_all_is_listed_waits_and_is_judged_when_nothing_more_comes(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    return_id = bar.drop(2, paid=False)
    worlds.run(world, happy)
    shipment = bar.ship(return_id)
    del shipment.units[1]
    worlds.run(world, happy)
    bar.arrive(shipment)
    worlds.run(world, happy, ticks=3)
    assert look.stage(return_id) is Stage.SEEN, "its other unit may come with the next shipment"
    world.advance(8 * DAY)
    worlds.run(world, happy, ticks=4)
    assert look.stage(return_id) in (Stage.FLAGGED, Stage.WAITING)
    assert row_of(happy, shipment.happy_id).remarks == [
        f"return {return_id} has 2 units, and 1 are listed"
    ]
    assert world.calls("process") == []


def test_a_return_cancelled_or_closed_after_it_was_handed_over_is_never_settled_by_us(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    cancelled, closed = bar.drop(paid=False), bar.drop(paid=False)
    worlds.run(world, happy)
    shipment = bar.ship(cancelled, closed)
    worlds.run(world, happy)
    world.change(cancelled, "cancel")
    world.change(closed, "close")
    bar.arrive(shipment)
    worlds.run(world, happy, ticks=3)
    assert (look.stage(cancelled), look.stage(closed)) == (Stage.CANCELLED, Stage.COMPLETE)
    [(_, words)] = look.attention(cancelled)
    assert "cancelled" in words
    assert world.calls("process") == world.calls("flag") == []


def test_a_unit_listed_in_two_shipments_is_claimed_with_a_hint_to_the_other(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    return_id = bar.drop()
    worlds.run(world, happy)
    first = bar.ship(return_id)
    second = bar.ship(bar.drop())
    second.units.append(replace(first.units[0], box=second.box))
    worlds.run(world, happy)
    bar.arrive(second)
    worlds.run(world, happy, ticks=2)
    world.advance(8 * DAY)
    worlds.run(world, happy, ticks=3)
    assert ("missing", 1, return_id) in open_claims(happy)
    with happy.ledger.read() as session:
        [claim] = session.scalars(sa.select(ClaimRow).where(ClaimRow.kind == "missing"))
        assert second.happy_id in (claim.hint or "")


def test_a_shipment_that_is_told_of_before_its_returns_are_known_waits_for_them(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    return_id = bar.drop()
    shipment = bar.ship(return_id, tell=False)
    enter(happy, shipment.happy_id)
    with tick.holding(happy):
        tick.step(happy, "shipments")
    assert calls(world, "happy_returns.items") == ["happy_returns.items"]
    assert bar.tickets(shipment) == []
    worlds.run(world, happy, ticks=3, seconds=900)
    [ticket] = bar.tickets(shipment)
    assert sum(i.expected for i in ticket.items) == 1
    with happy.ledger.read() as session:
        [unit] = store.units_of(session, row_of(happy, shipment.happy_id).id)
        assert unit.line_item_id, "and its unit is known by its return's line"


def test_a_closed_claim_is_opened_again_where_more_is_missing_than_was_closed(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    return_id = bar.drop(2)
    with world.sandbox.lock:
        lines = bar.brand.returns[return_id].lines
        lines[1].product = lines[0].product
        world.sandbox.touch(bar.brand.returns[return_id])
    worlds.run(world, happy)
    shipment = bar.ship(return_id)
    worlds.run(world, happy)
    shipment.units[0].fate = "damaged"
    bar.arrive(shipment)
    worlds.run(world, happy, ticks=2)
    assert open_claims(happy) == [("damaged", 1, return_id)]
    with happy.ledger.write() as session:
        [claim] = session.scalars(sa.select(ClaimRow))
        people.close_claim(
            Transaction(session, happy.brand, happy.now(), "ada"), claim, "the customer's own"
        )
    [ticket] = bar.tickets(shipment)
    ticket.items[0].actual, ticket.items[0].damaged = "0", "2"
    world.reopen_ticket(ticket.id, "none", seconds=100)
    worlds.run(world, happy, ticks=4)
    assert open_claims(happy) == [("damaged", 2, return_id)]


# -- a box's ticket, after it was counted -----------------------------------------------------


def becomes(world: World, bar: Bar, shipment: Shipment, status: str) -> None:
    [ticket] = bar.tickets(shipment)
    with world.sandbox.lock:
        tickets.set_status(world.sandbox, ticket, status)


def test_a_counted_box_whose_ticket_is_cancelled_is_claimed_and_no_rma_is_offered_for_its_returns(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    """Its counts did not hold any more, and nothing was ever claimed."""
    return_id = bar.drop(paid=False)
    worlds.run(world, happy)
    shipment = bar.ship(return_id)
    worlds.run(world, happy)
    world.fault("loop", "status_429", operation="process")
    bar.arrive(shipment)
    worlds.run(world, happy, ticks=3)
    becomes(world, bar, shipment, "Cancelled")
    worlds.run(world, happy, ticks=3)
    assert look.attention(return_id) == []
    assert [k for k, _ in look.brand_attention()] == ["shipment_rma"]
    world.advance(9 * DAY)
    worlds.run(world, happy, ticks=3)
    assert sorted(k for k, _ in look.brand_attention()) == ["bag_missing", "shipment_rma"]
    becomes(world, bar, shipment, "AddedToInventory")
    world.sandbox.faults.clear()
    worlds.run(world, happy, ticks=6)
    assert (look.stage(return_id), look.brand_attention()) == (Stage.COMPLETE, [])


@pytest.mark.parametrize("counted", [True, False])
def test_a_box_whose_ticket_stands_still_is_told_once(
    world: World, happy: BrandContext, bar: Bar, look: Look, counted: bool
) -> None:
    shipment = bar.ship(bar.drop())
    worlds.run(world, happy)
    if counted:
        bar.arrive(shipment)
        worlds.run(world, happy, ticks=2)
    becomes(world, bar, shipment, "CountingInProgress")
    worlds.run(world, happy, ticks=3 if counted else 10, seconds=DAY)
    assert look.brand_attention() == []
    worlds.run(world, happy, ticks=15, seconds=DAY)
    [(need, why)] = look.brand_attention()
    assert need == "shipment_counts"
    assert "has stood still for days: it is CountingInProgress" in why
    becomes(world, bar, shipment, "AddedToInventory")
    worlds.run(world, happy, ticks=2)
    assert "shipment_counts" not in [k for k, _ in look.brand_attention()]
