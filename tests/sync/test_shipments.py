"""Consolidated shipments of box-free returns, from the drop-off to the claims."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2
import sqlalchemy as sa

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.shipment import ShipmentStage
from bergen_loop.domain.words import Need
from bergen_loop.flow import receive, tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import cursors
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.tables.shipments import BagRow, ClaimRow, ShipmentRmaRow, ShipmentRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import shipments as people
from loop_sandbox import loop_happy
from loop_sandbox.model import Shipment
from support import worlds
from support.bars import Bar
from support.brands import configure
from support.look import Look
from support.worlds import World

DAY = 86400.0


def row_of(ctx: BrandContext, shipment: Shipment) -> ShipmentRow:
    with ctx.ledger.read() as session:
        row = store.by_happy_id(session, ctx.brand, shipment.happy_id)
        assert row is not None
        return row


def claims(ctx: BrandContext) -> list[tuple[str, int, list[Any], str | None, str]]:
    with ctx.ledger.read() as session:
        rows = session.scalars(sa.select(ClaimRow).order_by(ClaimRow.id))
        return [(c.kind, c.units, c.bags, c.return_id, c.state) for c in rows]


def sku_of(bar: Bar, return_id: str) -> str:
    return str(bar.brand.returns[return_id].lines[0].product.sku)


def different(bar: Bar, *, paid: bool = True) -> tuple[str, str]:
    """Two returns of one unit each, of different products."""
    first = bar.drop(paid=paid)
    second = bar.drop()
    while sku_of(bar, first) == sku_of(bar, second):
        second = bar.drop()
    return first, second


def unsendable(world: World, bar: Bar, return_id: str) -> None:
    """The code of what it returns cannot be sent to REX11."""
    with world.sandbox.lock:
        line = bar.brand.returns[return_id].lines[0]
        line.product = replace(line.product, sku="AB\x0b-100", upc="", shop_barcode="")
        world.sandbox.touch(bar.brand.returns[return_id])


def test_a_box_is_announced_by_one_ticket_and_counted_without_any_call_about_its_returns(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    ids = [bar.drop(units=2) for _ in range(3)]
    worlds.run(world, happy)
    assert {look.stage(i) for i in ids} == {Stage.COMPLETE}
    shipment = bar.ship(*ids)
    with world.sandbox.lock:
        before = len(world.sandbox.calls.find(limit=10**6))
    worlds.run(world, happy)
    [ticket] = bar.tickets(shipment)
    assert ticket.po == f"HR-{shipment.happy_id}-{shipment.box}"
    assert sum(i.expected for i in ticket.items) == 6
    assert ticket.fields["LicensePlate"] == shipment.box
    assert ticket.tracking_numbers == [shipment.tracking_number, shipment.box]
    assert ticket.fields["Memo"].endswith(f"box {shipment.box}: 6 units, 3 returns, 3 bags")
    bar.arrive(shipment)
    worlds.run(world, happy, ticks=2)
    row = row_of(happy, shipment)
    assert (row.stage, row.counted, row.missing) == (ShipmentStage.DONE, 6, 0)
    assert claims(happy) == []
    with world.sandbox.lock:
        made = [c.operation for c in world.sandbox.calls.find(limit=10**6)][before:]
    of = [x for x in made if "happy_" in x or "Ticket" in x]
    assert sorted(x for x in of if "Status" not in x) == [
        "GetReceivingTicketObjectByTicketNo",
        "ReceivingTicketAdd",
        "happy_returns.items",
        "happy_returns.shipment",
    ], "one, its pages, one ticket, and one read of it"
    assert [c for c in made if c in ("process", "flag", "remove_lines")] == [], "Loop has paid them"
    assert any("its goods come in consolidated shipment" in line for line in look.journal(ids[0]))


def test_a_code_is_sent_whole_or_not_at_all_and_people_are_told_what_finds_no_ticket(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    codes = {"license_plate": "{shipment}/{box}", "license_plate_length": 12}
    configure(happy, shipments={**codes, "tracking_numbers": "bags", "most_tracking_numbers": 2})
    bags = [f"HRBAG{bar.drop()}" for _ in range(4)]
    shipment = bar.ship(*(bag.removeprefix("HRBAG") for bag in bags))
    worlds.run(world, happy)
    [ticket] = bar.tickets(shipment)
    assert "LicensePlate" not in ticket.fields or not ticket.fields["LicensePlate"]
    [(_, reason)] = look.brand_attention()
    assert f"no LicensePlate, for {shipment.happy_id}/{shipment.box} has" in reason
    left_out = reason.split("most_tracking_numbers: 2): ")[1].split(". ")[0].split(", ")
    assert sorted([*ticket.tracking_numbers, *left_out]) == bags


def test_what_is_missing_is_claimed_once_it_cannot_come_any_more_and_never_settled_by_us(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    lost, here = different(bar)
    shipment = bar.ship(lost, here)
    worlds.run(world, happy)
    bar.arrive(shipment, missing=(f"HRBAG{lost}",))
    worlds.run(world, happy, ticks=2)
    assert (row_of(happy, shipment).stage, claims(happy)) == (ShipmentStage.COUNTED, [])
    world.advance(8 * DAY)
    worlds.run(world, happy, ticks=2)
    assert claims(happy) == [("missing", 1, [f"HRBAG{lost}"], lost, "open")]
    [(kind, reason)] = look.brand_attention()
    assert (kind, f"bag HRBAG{lost} (return {lost})" in reason) == ("bag_missing", True)
    notes = bar.notes(lost)
    assert [sku_of(bar, lost) in str(n) for n in notes] == [True]
    assert bar.notes(here) == []
    assert world.calls("process") == world.calls("flag") == []
    assert look.stage(lost) is Stage.COMPLETE
    # It turns up after all: the warehouse opens the ticket again.
    [ticket] = bar.tickets(shipment)
    world.reopen_ticket(ticket.id, "found", seconds=100)
    worlds.run(world, happy, ticks=4)
    assert claims(happy) == [("missing", 1, [f"HRBAG{lost}"], lost, "withdrawn")]
    assert look.brand_attention() == []
    assert len(bar.notes(lost)) == 2
    worlds.run(world, happy, ticks=3)
    assert len(bar.notes(lost)) == 2, "each is told once"


def test_damage_and_strangers_are_claimed_at_once_where_all_is_counted(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    hurt, here = different(bar)
    shipment = bar.ship(hurt, here)
    worlds.run(world, happy)
    late = bar.brand.catalogue[-1]
    assert late.sku not in (sku_of(bar, hurt), sku_of(bar, here))
    with world.sandbox.lock:
        shipment.late.append(loop_happy.HappyUnit("?", 0, late, ["HRBAGX"], shipment.box))
    bar.arrive(shipment, damaged=(0,))
    worlds.run(world, happy, ticks=2)
    assert claims(happy) == [
        ("damaged", 1, [f"HRBAG{hurt}"], hurt, "open"),
        ("wrong", 1, [], None, "open"),
    ]
    assert row_of(happy, shipment).stage == ShipmentStage.DONE


def test_a_return_that_is_still_open_is_settled_by_the_criteria_on_its_share(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    open_, other = different(bar, paid=False)
    worlds.run(world, happy, ticks=3, seconds=3600)
    assert look.stage(open_) is Stage.SEEN, "no RMA of its own"
    assert world.tickets(open_) == []
    shipment = bar.ship(open_, other)
    worlds.run(world, happy)
    bar.arrive(shipment)
    worlds.run(world, happy, ticks=3)
    assert look.stage(open_) is Stage.COMPLETE
    assert world.effects(open_)["money_moved"] == 1
    assert len(world.calls("process")) == 1
    [rma] = look.view(open_).rmas
    [ticket] = bar.tickets(shipment)
    assert rma.ticket_id == f"{ticket.id}/{open_}"
    assert rma.closed_at


def test_a_share_is_read_again_before_it_pays_though_the_brand_has_no_more_return_bars(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    configure(happy, mode="shadow")
    open_, other = different(bar, paid=False)
    worlds.run(world, happy, ticks=2)
    shipment = bar.ship(open_, other)
    worlds.run(world, happy)
    bar.arrive(shipment)
    worlds.run(world, happy, ticks=3)
    assert (row_of(happy, shipment).stage, look.stage(open_)) == (
        ShipmentStage.DONE, Stage.RECEIVED
    )  # fmt: skip
    configure(happy, mode="live", loop={"happy_returns": False})
    world.advance(DAY)
    worlds.run(world, happy, ticks=5)
    assert look.stage(open_) is Stage.COMPLETE
    assert world.effects(open_)["money_moved"] == 1


def test_bags_that_were_named_while_there_were_no_return_bars_are_looked_for_once_there_are(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    configure(happy, loop={"happy_returns": False})
    worlds.run(world, happy)
    shipment = bar.ship(*different(bar), tell=False)
    worlds.run(world, happy, ticks=2)
    configure(happy, loop={"happy_returns": True})
    world.advance(2 * 3600)
    worlds.run(world, happy)
    world.advance(2 * 3600)
    worlds.run(world, happy, ticks=2)
    assert [k for k, _ in look.brand_attention()] == ["bag_unknown"]
    assert all(f"HRBAG{i}" in look.brand_attention()[0][1] for i in shipment.returns)


def test_a_ticket_opened_again_is_seen_though_the_brand_has_no_more_return_bars(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    one, two = different(bar)
    shipment = bar.ship(one, two)
    worlds.run(world, happy)
    bar.arrive(shipment)
    worlds.run(world, happy, ticks=3)
    assert row_of(happy, shipment).stage == ShipmentStage.DONE
    configure(happy, loop={"happy_returns": False})
    worlds.run(world, happy)
    [ticket] = bar.tickets(shipment)
    world.reopen_ticket(ticket.id, "damaged", seconds=100)
    worlds.run(world, happy, ticks=5)
    assert {(kind, state) for kind, _, _, _, state in claims(happy)} == {("damaged", "open")}


def test_what_a_list_told_before_a_kill_is_known_though_that_list_is_never_asked_again(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    shipment = bar.ship(*different(bar))
    worlds.run(world, happy)
    bar.arrive(shipment)
    world.advance(DAY / 2)  # down for longer than lists overlap
    for name in tick.names(happy)[: tick.names(happy).index("shipments")]:
        tick.begin(happy)
        assert "error" not in tick.step(happy, name)
    worlds.run(world, happy, ticks=2)
    assert row_of(happy, shipment).stage == ShipmentStage.DONE


def test_a_damaged_unit_of_an_open_return_is_flagged_and_one_that_may_be_anothers_is_a_doubt(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    open_, other = different(bar, paid=False)
    first = bar.ship(open_, other)
    worlds.run(world, happy)
    bar.arrive(first, damaged=(0,))
    worlds.run(world, happy, ticks=2)
    assert look.stage(open_) is Stage.FLAGGED
    assert world.effects(open_)["money_moved"] == 0
    one, two = bar.drop(paid=False), bar.drop()
    with world.sandbox.lock:
        bar.brand.returns[two].lines[0].product = bar.brand.returns[one].lines[0].product
    second = bar.ship(one, two)
    worlds.run(world, happy)
    bar.arrive(second, missing=(f"HRBAG{two}",))
    worlds.run(world, happy, ticks=2)
    assert look.stage(one) is Stage.SEEN, "what is missing may still come"
    world.advance(8 * DAY)
    worlds.run(world, happy, ticks=3)
    assert world.calls("process") == []
    assert [k for k, _ in look.attention(one)] == ["decide_by_hand"]
    assert claims(happy)[-1] == ("missing", 1, [], None, "open")


def test_an_open_return_whose_goods_lie_in_another_box_with_a_doubtful_word_goes_to_a_person(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    """All is counted, and nothing is missing: nobody would look at the shipment again."""
    one, two = different(bar, paid=False)
    shipment = bar.ship(one, two, boxes=2, split=(two,))
    worlds.run(world, happy)
    bar.arrive(shipment, misplaced=(f"HRBAG{one}",))
    with world.sandbox.lock:
        for ticket in bar.tickets(shipment):
            for item in ticket.items:
                if not item.expected:
                    item.values["Comments"] = "its seal was broken"
    worlds.run(world, happy, ticks=2)
    assert look.stage(one) is Stage.SEEN
    world.advance(8 * DAY)
    worlds.run(world, happy, ticks=3)
    assert [k for k, _ in look.attention(one)] == ["decide_by_hand"]
    assert row_of(happy, shipment).stage == ShipmentStage.DONE


def test_a_return_whose_goods_are_all_there_need_not_wait_for_the_other_boxes(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    open_, other = different(bar, paid=False)
    shipment = bar.ship(open_, other, boxes=2)
    worlds.run(world, happy)
    assert len(bar.tickets(shipment)) == 2
    bar.arrive(shipment, shipment.boxes[0])
    worlds.run(world, happy, ticks=3)
    assert look.stage(open_) is Stage.COMPLETE
    assert row_of(happy, shipment).stage == ShipmentStage.AWAITED
    world.advance(8 * DAY)
    worlds.run(world, happy, ticks=2)
    assert claims(happy) == [("missing", 1, [f"HRBAG{other}"], other, "open")]
    assert "Not received at all" in look.brand_attention()[0][1]
    bar.arrive(shipment, shipment.boxes[1])
    worlds.run(world, happy, ticks=2)
    assert (row_of(happy, shipment).stage, claims(happy)[0][-1]) == ("done", "withdrawn")


def test_a_bag_in_another_box_than_told_is_no_difference(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    one, two = different(bar)
    shipment = bar.ship(one, two, boxes=2, split=(two,))
    worlds.run(world, happy)
    bar.arrive(shipment, misplaced=(f"HRBAG{two}B",))
    worlds.run(world, happy, ticks=2)
    assert (row_of(happy, shipment).stage, claims(happy)) == (ShipmentStage.DONE, [])


def test_a_bag_of_a_shipment_nobody_told_of_is_told_and_found_when_its_id_is_entered(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    return_id = bar.drop()
    shipment = bar.ship(return_id, tell=False)
    worlds.run(world, happy)
    assert look.brand_attention() == []
    world.advance(2 * 3600)
    worlds.run(world, happy)
    [(kind, reason)] = look.brand_attention()
    assert kind == "bag_unknown"
    assert f"HRBAG{return_id} (return {return_id})" in reason
    bar.tell(shipment)
    bar.tell(shipment)
    worlds.run(world, happy)
    assert look.brand_attention() == []
    assert len(bar.tickets(shipment)) == 1
    with happy.ledger.read() as session:
        [bag] = session.scalars(sa.select(BagRow)).all()
        assert bag.shipment_pk == row_of(happy, shipment).id


def test_a_lost_answer_is_looked_for_by_its_po_and_no_second_ticket_made(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    shipment = bar.ship(bar.drop())
    world.fault("rex11", "reset_mid_body", operation="ReceivingTicketAdd", nth=1)
    worlds.run(world, happy, ticks=2)
    worlds.run(world, happy, ticks=3, seconds=120)
    assert len(bar.tickets(shipment)) == 1
    assert row_of(happy, shipment).stage == ShipmentStage.AWAITED


def test_a_shipment_entered_by_hand_takes_the_ticket_that_is_there_and_a_missed_count_is_seen(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    shipment = bar.ship(bar.drop(), tell=False)
    po = f"HR-{shipment.happy_id}-{shipment.box}"
    item = {"sku": sku_of(bar, shipment.returns[0]), "expected": 1}
    made = {"brand": "northpine", "customer_po": po, "items": [item]}
    assert httpx2.post(f"{world.url}/control/tickets", json=made).status_code == 201
    world.advance(600)  # the look-up by PO shows it by now
    with happy.ledger.write() as session:
        people.enter(Transaction(session, "northpine", happy.now(), "ada"), shipment.happy_id)
    worlds.run(world, happy)
    assert len(bar.tickets(shipment)) == 1
    assert row_of(happy, shipment).stage == ShipmentStage.AWAITED
    bar.arrive(shipment)
    world.advance(8 * DAY)
    with happy.ledger.write() as session:
        cursors.set(session, "northpine", receive.CURSOR, happy.now())  # the list has missed it
    worlds.run(world, happy, ticks=2)
    assert (row_of(happy, shipment).stage, claims(happy)) == (ShipmentStage.DONE, [])


def test_a_product_that_is_refused_keeps_no_box_from_being_announced(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    bad, good = different(bar)
    unsendable(world, bar, bad)
    worlds.run(world, happy)
    shipment = bar.ship(bad, good)
    worlds.run(world, happy, ticks=2)
    [ticket] = bar.tickets(shipment)
    assert sum(i.expected for i in ticket.items) == 1
    assert [k for k, _ in look.brand_attention()] == ["shipment_rma"]
    with happy.ledger.read() as session:
        [rma] = session.scalars(sa.select(ShipmentRmaRow)).all()
        assert len(rma.unit_keys) == 2, "it is expected all the same"


def test_nothing_is_claimed_as_missing_while_a_box_could_not_be_announced(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    bad, good = different(bar)
    unsendable(world, bar, bad)
    worlds.run(world, happy)
    shipment = bar.ship(bad, good, boxes=2)
    worlds.run(world, happy, ticks=2)
    assert len(bar.tickets(shipment)) == 1
    bar.arrive(shipment, missing=(f"HRBAG{good}",))  # it may lie in the other box
    world.advance(8 * DAY)
    worlds.run(world, happy, ticks=3)
    assert (claims(happy), {k for k, _ in look.brand_attention()}) == ([], {"shipment_rma"})
    with happy.ledger.write() as session:
        tx = Transaction(session, "northpine", happy.now(), "ada")
        with happy.ledger.read() as reading:
            [rma] = [r for r in reading.scalars(sa.select(ShipmentRmaRow)) if not r.ticket_id]
        tx.resolve(Need.SHIPMENT_RMA, rma.customer_po, "looked into by hand")
    world.advance(DAY)
    worlds.run(world, happy, ticks=2)
    assert sorted(c[3] or "" for c in claims(happy)) == sorted([bad, good])


def test_a_shipment_that_loop_does_not_show_is_told_and_a_key_without_the_scope_too(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    nothing = Shipment(1, "HRSNONE", [], "B", "1Z", 0)
    bar.tell(nothing)
    worlds.run(world, happy, ticks=6, seconds=1200)
    assert [k for k, _ in look.brand_attention()] == ["shipment_unreadable"]
    assert row_of(happy, nothing).due_at is not None
    world.advance(25 * 3600)
    worlds.run(world, happy, ticks=2, seconds=1200)
    assert row_of(happy, nothing).due_at is None, "not asked for without end"


def test_in_shadow_nothing_is_noted_and_all_is_shown(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    configure(happy, mode="shadow")
    hurt, here = different(bar)
    shipment = bar.ship(hurt, here)
    worlds.run(world, happy)
    bar.arrive(shipment, damaged=(0,))
    worlds.run(world, happy, ticks=2)
    assert [c[0] for c in claims(happy)] == ["damaged"]
    assert bar.notes(hurt) == []


def test_closed_returns_are_graded_by_what_their_bags_held(
    world: World, happy: BrandContext, bar: Bar
) -> None:
    configure(happy, grading={"enabled": True})
    hurt, here = different(bar)
    shipment = bar.ship(hurt, here)
    worlds.run(world, happy)
    bar.arrive(shipment, damaged=(0,))
    worlds.run(world, happy, ticks=3)
    assert len(world.calls("grade")) == 1
    assert len(world.calls("assess")) == 1
    worlds.run(world, happy, ticks=2)
    assert len(world.calls("grade")) == 1


def test_a_brand_without_return_bars_makes_no_call_for_them(
    world: World, ctx: BrandContext, look: Look
) -> None:
    bar = Bar(world, ctx)
    return_id = bar.drop(paid=False)
    bar.ship(return_id)
    worlds.run(world, ctx, ticks=2, seconds=7200)
    assert look.stage(return_id) is Stage.ANNOUNCED, "as any other return"
    assert world.calls("happy_returns.shipment") == []


def test_a_ticket_that_rex11_never_answers_is_told_and_lifted_when_it_does(
    world: World, happy: BrandContext, bar: Bar, look: Look
) -> None:
    shipment = bar.ship(bar.drop())
    worlds.run(world, happy)
    operation = "GetReceivingTicketObjectByTicketNo"
    world.fault("rex11", "reset_before", operation=operation)
    bar.arrive(shipment)
    worlds.run(world, happy, ticks=2)
    assert look.brand_attention() == []
    worlds.run(world, happy, ticks=9, seconds=3600)
    assert [k for k, _ in look.brand_attention()] == ["shipment_counts"]
    world.sandbox.faults.clear()
    worlds.run(world, happy, ticks=3, seconds=3600)
    assert (row_of(happy, shipment).stage, look.brand_attention()) == (ShipmentStage.DONE, [])
