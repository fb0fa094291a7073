"""Consolidated shipments with faults, kills, lost webhooks, lost bags and lost ledgers: nothing is
paid twice, and no lost bag stays untold. `tools/soak --kind shipments` plays more of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from reliability_fuse import Fuse
from reliability_shipments import SETTINGS, play
from reliability_stage import BRAND, Stage

from bergen_loop.domain.returns import Stage as At
from bergen_loop.domain.shipment import ShipmentStage
from bergen_loop.ledger.store import attention, returns
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.tables.shipments import ShipmentRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import shipments as people
from bergen_loop.repair import rebuild, reconcile
from loop_sandbox import loop_happy
from loop_sandbox.model import LoopReturn, Shipment

Stages = Callable[..., Stage]


@pytest.mark.parametrize("seed", range(1, 5))
def test_nothing_is_paid_twice_and_no_lost_bag_untold(
    seed: int, folders: Callable[[], Path]
) -> None:
    _, wrong = play(folders(), seed)
    assert wrong == []


@pytest.fixture
def stage(stages: Stages) -> Stage:
    return stages(brand_changes=SETTINGS, happy_returns_seconds=10.0**9)


def drop(stage: Stage, *, units: int = 1, paid: bool = True) -> LoopReturn:
    made = stage.new_return(units=units, outcome="refund", method="happy_returns", held=False)
    if paid:
        stage.control(f"returns/{made.id}/close")
    return made


def ship(stage: Stage, *of: LoopReturn, told: bool = True, boxes: int = 1) -> Shipment:
    shipment = loop_happy.ship(stage.world, stage.brand, list(of), boxes=boxes, webhook=False)
    if told:
        stage.fuse = Fuse()
        with stage.ctx.ledger.write() as session:
            people.enter(Transaction(session, BRAND, stage.now(), "ada"), shipment.happy_id)
    return shipment


def arrive(stage: Stage, shipment: Shipment) -> None:
    assert loop_happy.arrive(stage.world, stage.brand, shipment)


def row_of(stage: Stage, shipment: Shipment) -> ShipmentRow:
    with stage.ctx.ledger.read() as session:
        row = store.by_happy_id(session, BRAND, shipment.happy_id)
        assert row is not None, shipment.happy_id
        return row


def pos(stage: Stage) -> list[str]:
    return sorted(t.po for t in stage.tickets())


def nth(number: int, name: str) -> Fuse:
    """Dies when a point of this name is passed for the nth time."""
    passed: list[str] = []

    def blows(_n: int, at: str) -> bool:
        if at == name:
            passed.append(at)
        return len(passed) == number

    return Fuse(blows)


@pytest.mark.parametrize(
    "dies",
    [
        None,
        (3, "rebuild looked up"),
        (1, "after GET items"),
        (1, "repair shipment taken"),
        (1, "repair shipment looked up"),
        (2, "repair shipment taken"),
    ],
)
def test_a_lost_ledger_finds_its_shipments_again_whatever_dies_and_pays_nothing_twice(
    dies: tuple[int, str] | None, stage: Stage
) -> None:
    open_, flagged, paid = drop(stage, paid=False), drop(stage, paid=False), drop(stage)
    stage.tick()
    counted = ship(stage, open_, flagged, paid, boxes=2)
    stage.tick(after=4000.0)
    counted.units[1].fate = "damaged"
    arrive(stage, counted)
    stage.tick()
    stage.tick()
    assert (open_.effects.process_accepted, flagged.effects.flags) == (1, 1)
    coming, never = drop(stage), drop(stage)
    on_its_way, untold = ship(stage, coming), ship(stage, never, told=False)
    stage.tick()
    before = pos(stage)
    assert len(before) == 3
    stage.fresh_ledger()
    if dies:
        assert not stage.act(rebuild.run, nth(*dies))
        stage.tick()  # a service that was left running meanwhile
    assert stage.act(rebuild.run)
    assert row_of(stage, counted).expected == 3
    stage.rest()
    assert pos(stage) == before, "no second ticket for a box"
    assert row_of(stage, counted).stage == ShipmentStage.DONE
    assert row_of(stage, on_its_way).stage == ShipmentStage.AWAITED
    assert (open_.effects.process_accepted, flagged.effects.flags) == (1, 1)
    assert flagged.effects.process_accepted == 0
    with stage.ctx.ledger.read() as session:
        kinds = [i.kind for i in attention.open_items(session, BRAND)]
        assert store.by_happy_id(session, BRAND, untold.happy_id) is None
    assert "bag_unknown" in kinds, "what Loop lists nowhere is told"
    arrive(stage, on_its_way)
    stage.rest()
    assert row_of(stage, on_its_way).stage == ShipmentStage.DONE
    assert stage.bugs == []


def test_what_was_counted_while_its_ledger_was_lost_is_settled_once(stage: Stage) -> None:
    """The call was made, and Loop has not carried it out when the new ledger looks."""
    open_ = drop(stage, paid=False)
    stage.tick()
    shipment = ship(stage, open_)
    stage.tick(after=4000.0)
    arrive(stage, shipment)
    stage.control("settings", processing_min_seconds=900.0, processing_max_seconds=900.0)
    stage.tick()
    assert open_.effects.process_accepted == 1
    stage.fresh_ledger()
    rebuild.run(stage.ctx)
    stage.tick()
    with stage.ctx.ledger.read() as session:
        row = returns.by_id(session, BRAND, open_.id)
        assert row is not None
        assert row.stage not in (At.SEEN, At.COMPLETE), "it is known to have come"
    stage.rest()
    assert open_.effects.process_accepted == 1
    with stage.ctx.ledger.read() as session:
        row = returns.by_id(session, BRAND, open_.id)
        assert row is not None
        assert row.stage == At.COMPLETE


def test_a_reconcile_finds_what_the_syncs_missed_of_shipments(stage: Stage) -> None:
    one, late = drop(stage), drop(stage)
    stage.tick()
    shipment = ship(stage, one)
    stage.tick(after=4000.0)
    # A unit is listed late, and a list of changes leaves a ticket out.
    line = late.lines[0]
    unit = loop_happy.HappyUnit(late.id, line.id, line.product, [f"HRBAG{late.id}"], shipment.box)
    shipment.units.append(unit)
    [ticket] = stage.tickets()
    ticket.status = "CountingInProgress"
    stage.clock.advance(2 * 86400.0)
    found = [(f.kind, str(f.done), f.text) for f in reconcile.run(stage.ctx).findings]
    assert [(k, d) for k, d, _ in found] == [("shipment", "repaired"), ("ticket", "repaired")]
    assert "holds 2 units of 2 returns" in found[0][2]
    assert "is CountingInProgress in REX11" in found[1][2]
    assert reconcile.run(stage.ctx).findings == []
    stage.tick()
    assert pos(stage) == [ticket.po]


def test_a_second_ticket_of_a_box_is_told_by_a_reconcile_and_another_brands_goods_are_not(
    stage: Stage,
) -> None:
    stage.tick()
    shipment = ship(stage, drop(stage))
    stage.tick(after=4000.0)
    [ticket] = stage.tickets()
    item = {"sku": shipment.units[0].product.sku, "expected": 1}
    for po in (ticket.po, "HR-NOTHING-OF-OURS", "PO 4711"):
        stage.control("tickets", brand=BRAND, customer_po=po, items=[item])
    stage.clock.advance(600.0)
    [found] = reconcile.run(stage.ctx).findings
    assert (found.kind, str(found.done)) == ("orphan", "attention")
    assert f"whose ticket is {ticket.id}" in found.text
