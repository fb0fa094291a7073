"""Reconcile finds what the syncs missed; rebuild recovers a lost ledger. Neither does anything
twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from reliability_fuse import Fuse
from reliability_judge import judge
from reliability_stage import BRAND, Stage

from bergen_loop.domain.returns import Stage as At
from bergen_loop.ledger.store import attention, journal, returns
from bergen_loop.repair import drift, rebuild, reconcile
from bergen_loop.repair.drift import Done
from loop_sandbox import control_views
from loop_sandbox.model import LoopReturn

Stages = Callable[..., Stage]


def _stages_of(stage: Stage) -> dict[str, str]:
    with stage.ctx.ledger.read() as session:
        rows = returns.by_ids(session, BRAND, list(stage.brand.returns))
        return {i: row.stage for i, row in rows.items()}


def _kinds(stage: Stage) -> list[str]:
    with stage.ctx.ledger.read() as session:
        return [i.kind for i in attention.open_items(session, BRAND)]


def _found(summary: drift.Summary) -> list[tuple[str, Done, str | None]]:
    return [(f.kind, f.done, f.return_id) for f in summary.findings]


def _announced(stage: Stage, count: int = 1) -> list[LoopReturn]:
    made = [stage.new_return(units=1) for _ in range(count)]
    stage.tick(after=65.0)
    assert len(stage.tickets()) >= count
    return made


def test_nothing_to_find_after_an_ordinary_day(stages: Stages) -> None:
    stage = stages(returns=8)
    for _ in range(3):
        stage.tick()
    stage.control("parcels/auto", brand=BRAND)
    stage.rest()
    summary = reconcile.run(stage.ctx)
    assert [f for f in summary.findings if f.kind != "unlisted"] == []
    assert summary.returns == 8
    with stage.ctx.ledger.read() as session:
        assert journal.counters(session, BRAND)["reconcile.runs"] == 1


def test_a_return_and_a_state_that_a_clock_hid(stages: Stages) -> None:
    """Loop's clock is hours behind ours for a while: farther than the deepest pull reaches."""
    stage = stages()
    [known] = _announced(stage)
    stage.tick(after=3700.0)
    stage.control("settings", loop_skew_seconds=-4.0 * 3600)
    missed = stage.new_return(units=1)
    stage.control(f"returns/{known.id}/cancel")
    for _ in range(3):
        stage.tick()
    assert _stages_of(stage) == {known.id: At.ANNOUNCED}  # the sync cannot see either
    summary = reconcile.run(stage.ctx)
    assert sorted(_found(summary)) == [
        ("missed", Done.REPAIRED, missed.id),
        ("state", Done.REPAIRED, known.id),
    ]
    assert _stages_of(stage) == {known.id: At.CANCELLED, missed.id: At.SEEN}
    stage.rest()
    assert judge(stage).problems == []


def test_a_ticket_whose_change_the_list_left_out(stages: Stages) -> None:
    """REX11's clock was more than a day behind when the ticket moved: its list has it too early,
    also where it is asked a day farther back."""
    stage = stages()
    [return_] = _announced(stage)
    for _ in range(3):
        stage.tick(after=3600.0)
    stage.control("settings", rex11_skew_seconds=-30.0 * 3600)
    stage.parcel(return_, "complete")
    for _ in range(24):
        stage.tick(after=3600.0)
    assert _stages_of(stage) == {return_.id: At.ANNOUNCED}
    summary = reconcile.run(stage.ctx)
    assert _found(summary) == [("ticket", Done.REPAIRED, return_.id)]
    stage.rest()
    assert return_.effects.money_moved == 1
    assert judge(stage).problems == []


def test_a_ticket_that_the_warehouse_made_for_our_po(stages: Stages) -> None:
    stage = stages()
    [return_] = _announced(stage)
    stage.tick(after=3700.0)
    waiting = stage.new_return(units=1, held=False)
    stage.unreachable.add("ReceivingTicketAdd")
    stage.tick()
    items = [{"sku": waiting.lines[0].product.sku, "expected": 1}]
    stage.control("tickets", brand=BRAND, customer_po=f"lr-{waiting.id}", items=items)
    made = stage.control("tickets", brand=BRAND, customer_po=f"LR-{waiting.id}", items=items)
    more = [{"sku": return_.lines[0].product.sku, "expected": 1}]
    stage.control("tickets", brand=BRAND, customer_po=f"LR-{return_.id}", items=more)
    stage.control("tickets", brand=BRAND, customer_po="PURCHASE-7", items=more)
    stage.control("tickets", brand=BRAND, customer_po="", items=more)
    stage.clock.advance(10)  # a new ticket is not found by its PO at once
    summary = reconcile.run(stage.ctx)
    assert ("orphan", Done.REPAIRED, waiting.id) in _found(summary)
    assert ("orphan", Done.ATTENTION, return_.id) in _found(summary)
    assert _stages_of(stage)[waiting.id] == At.ANNOUNCED
    with stage.ctx.ledger.read() as session:
        assert made["id"] in returns.rmas_by_ticket(session, BRAND, [made["id"]])
    stage.unreachable.clear()
    stage.rest()
    assert len([t for t in stage.tickets(waiting.id) if t.id == made["id"]]) == 1
    assert len(stage.tickets(waiting.id)) == 2  # the warehouse's own two, none of ours
    assert "two_tickets" in _kinds(stage)


def test_a_return_that_loop_shows_no_more(stages: Stages) -> None:
    stage = stages()
    gone, _ = _announced(stage, 2)
    kept = stage.brand.returns.pop(gone.id)
    for index in (stage.brand.by_created, stage.brand.by_updated):
        at = kept.created_at if index is stage.brand.by_created else kept.updated_at
        index._keys.remove((at, kept.id))
    summary = reconcile.run(stage.ctx)
    assert _found(summary) == [("gone", Done.ATTENTION, gone.id)]
    assert _kinds(stage) == ["gone"]


def test_tickets_that_never_end_are_told(stages: Stages) -> None:
    stage = stages()
    [return_] = _announced(stage)
    stage.clock.advance(50 * 86400.0)
    summary = reconcile.run(stage.ctx, timedelta(days=60))
    assert ("overdue", Done.TOLD, None) in _found(summary)
    assert _stages_of(stage) == {return_.id: At.ANNOUNCED}


def _half_way(stage: Stage) -> None:
    """Returns of every kind, at every point of their way; then the ledger is gone."""
    kinds = ("complete", "damaged", "complete", "short", "wrong", "complete")
    made = [stage.new_return(units=2) for _ in kinds]
    stage.tick(after=65.0)
    for return_, kind in zip(made[:4], kinds, strict=False):
        stage.parcel(return_, kind)
    for _ in range(3):
        stage.tick()
    # What is settled but not yet shown, received but not yet judged, or not yet announced.
    stage.control("settings", processing_min_seconds=600.0, processing_max_seconds=600.0)
    stage.parcel(made[4], kinds[4])
    stage.parcel(made[5], kinds[5])
    stage.tick()
    late = [stage.new_return(units=1) for _ in range(3)]
    stage.tick()
    stage.parcel(late[0], "complete")
    stage.control(f"returns/{late[1].id}/cancel")
    stage.new_return(units=1)


def _log(stage: Stage) -> dict[str, tuple[int, int, int]]:
    seen = control_views.effects(stage.world, {"brand": BRAND}, "")
    assert seen["violations"] == []
    return {
        i: (e["process_accepted"], e["flags"], len(e["tickets"]))
        for i, e in seen["returns"].items()
    }


def _unharmed(stage: Stage) -> None:
    """Nothing doubled, lost or stuck. What was closed before has no receipt in a new ledger."""
    verdict = judge(stage)
    assert [*verdict.doubled, *verdict.lost, *verdict.stuck, *verdict.needless] == []
    assert verdict.second_calls == []


@pytest.mark.parametrize("by_command", [True, False])
def test_a_lost_ledger_is_rebuilt_without_a_second_effect(
    stages: Stages, *, by_command: bool
) -> None:
    """By the command; and by the syncs alone, where someone forgot to run it."""
    stage = stages(returns=6)
    _half_way(stage)
    before = _log(stage)
    assert any(accepted for accepted, _, _ in before.values())
    stage.fresh_ledger()
    if by_command:
        summary = rebuild.run(stage.ctx)
        assert summary.returns == len(stage.brand.returns)
        assert summary.counts()["repaired"] == summary.returns
        assert _log(stage) == before  # it only looks
    stage.rest()
    _unharmed(stage)
    after = _log(stage)
    for return_id, (accepted, flags, tickets) in before.items():
        assert after[return_id][2] >= max(tickets, 1)
        assert after[return_id][0] >= accepted
        assert after[return_id][1] >= flags
    for return_id, (accepted, flags, tickets) in after.items():
        assert accepted + flags <= 1
        assert tickets <= max(1, len(stage.brand.returns[return_id].labels()))
    if by_command:
        assert len([s for s in _stages_of(stage).values() if s == At.COMPLETE]) >= 4


@pytest.mark.parametrize("by_command", [True, False])
def test_tickets_that_do_not_show_yet_when_the_ledger_is_lost_are_not_made_again(
    stages: Stages, *, by_command: bool
) -> None:
    """By the syncs alone it is known from the tickets that do show."""
    stage = stages(returns=2, po_lookup_delay_seconds=90.0)
    stage.tick(after=100.0)
    stage.tick(after=100.0)
    late = stage.new_return(units=1)
    stage.tick(after=1.0)
    assert len(stage.tickets(late.id)) == 1
    stage.fresh_ledger()
    if by_command:
        rebuild.run(stage.ctx)
    stage.tick(after=20.0)
    stage.rest()
    _unharmed(stage)
    assert [tickets for _, _, tickets in _log(stage).values()] == [1, 1, 1]


def test_pages_that_shift_hide_no_return_from_a_rebuild(stages: Stages) -> None:
    stage = stages(returns=9)
    stage.fault("loop", "shifting_pages", operation="list", probability=1.0, count=16)
    assert rebuild.run(stage.ctx).returns == len(stage.brand.returns)


def test_what_was_flagged_and_opened_again_is_not_processed_by_a_new_ledger(
    stages: Stages,
) -> None:
    stage = stages()
    return_ = stage.new_return(units=1)
    stage.tick(after=65.0)
    stage.parcel(return_, "damaged")
    stage.tick()
    assert return_.effects.flags == 1
    stage.control(f"returns/{return_.id}/reopen")
    for item in stage.tickets(return_.id)[0].items:
        item.damaged = "0"  # even if the warehouse puts its count right
    stage.fresh_ledger()
    rebuild.run(stage.ctx)
    stage.rest()
    assert return_.effects.process_accepted == 0
    assert "unknown_past" in _kinds(stage)


def test_a_flag_whose_reason_went_with_its_ledger_gets_the_counts_as_a_note(
    stages: Stages,
) -> None:
    """Seed 79432: the note had not been sent yet."""
    stage = stages()
    return_ = stage.new_return(units=1)
    stage.tick(after=65.0)
    stage.fault("loop", "status_502", operation="note")
    stage.parcel(return_, "damaged")
    stage.tick()
    assert (return_.effects.flags, return_.notes) == (1, [])
    stage.world.faults.clear()
    stage.fresh_ledger()
    rebuild.run(stage.ctx)
    stage.rest()
    assert return_.effects.flags == 1
    (note,) = return_.notes
    assert note["content"] == "Warehouse: 1 of 1 units counted, 1 damaged."


@pytest.mark.parametrize("point", [5, 12, 20, 31, 43, 60, 71])
def test_a_rebuild_that_dies_is_run_again(point: int, stages: Stages) -> None:
    stage = stages(returns=4)
    _half_way(stage)
    before = _log(stage)
    stage.fresh_ledger()
    assert not stage.act(rebuild.run, Fuse(lambda n, _name: n == point))
    stage.tick()  # a service that was left running meanwhile
    assert stage.act(rebuild.run)
    stage.rest()
    _unharmed(stage)
    after = _log(stage)
    assert {i: max(t, 1) for i, (_, _, t) in before.items()} == {
        i: t for i, (_, _, t) in after.items() if i in before
    }
    assert all(accepted + flags <= 1 for accepted, flags, _ in after.values())


def test_the_second_parcels_ticket_is_found_where_the_first_has_none(stages: Stages) -> None:
    """Its product had been refused when the ledger was lost."""
    stage = stages(two_label_share=1.0)
    return_ = stage.new_return(units=2)
    items = [{"sku": return_.lines[1].product.sku, "expected": 1}]
    po = f"LR-{return_.id}-2"
    stage.control("tickets", brand=BRAND, customer_po=po, items=items)
    [ticket] = [t.id for t in stage.tickets() if t.po == po]
    stage.clock.advance(120.0)
    rebuild.run(stage.ctx)
    with stage.ctx.ledger.read() as session:
        assert list(returns.rmas_by_ticket(session, BRAND, [ticket])) == [ticket]
    for _ in range(5):
        stage.tick(after=60.0)
    made = {t.po: [i.values["UPC"] for i in t.items] for t in stage.tickets()}
    assert list(made) == [po, f"LR-{return_.id}"], "the first one's too, and once"
    assert made[f"LR-{return_.id}"] == [return_.lines[0].product.upc]
