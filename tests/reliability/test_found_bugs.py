"""What the random runs and a close reading found, each as the shortest life that shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from reliability_driver import Driver
from reliability_fuse import Fuse
from reliability_judge import judge
from reliability_stage import BRAND, Stage

from bergen_loop.domain.returns import Stage as At
from bergen_loop.ledger.store import attention, effects, returns
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import actions
from loop_sandbox.model import LoopReturn, Product

Stages = Callable[..., Stage]


def _received(stage: Stage, kind: str = "complete", **kwargs: object) -> LoopReturn:
    """A return whose parcel lies on the shelf, its receipt not yet seen by us."""
    return_ = stage.new_return(units=2, outcome="refund", **kwargs)
    for after in (5.0, 65.0, 300.0):
        stage.tick(after=after)
    stage.parcel(return_, kind)
    return return_


def _aged(stage: Stage) -> Stage:
    """With a ledger that has known its brand for long: a new return has no past."""
    stage.tick(after=5.0)
    stage.tick(after=3700.0)
    return stage


def _row(stage: Stage, return_: LoopReturn) -> ReturnRow:
    with stage.ctx.ledger.read() as session:
        row = returns.by_id(session, BRAND, return_.id)
    assert row is not None
    return row


def _kinds(stage: Stage) -> list[str]:
    with stage.ctx.ledger.read() as session:
        return [i.kind for i in attention.open_items(session, BRAND)]


def _well(stage: Stage) -> None:
    verdict = judge(stage)
    assert verdict.problems == []
    assert verdict.second_calls == []


def _at(name: str) -> Fuse:
    return Fuse(lambda _n, passed: passed == name)


def test_a_decision_made_before_an_edit_is_not_carried_out(stages: Stages) -> None:
    stage = stages()
    return_ = _received(stage)
    # Killed between the decision and its intent; then the customer adds a unit.
    assert not stage.tick(_at("settlement intended"))
    with stage.ctx.ledger.write() as session:
        effect = effects.find(session, BRAND, f"settle:{return_.id}")
        assert effect is not None
        session.delete(effect)
        _fetch(session, return_).due_at = stage.now()
    stage.control(f"returns/{return_.id}/edit", add=1)
    stage.tick()
    assert return_.effects.process_accepted == 0
    assert _row(stage, return_).stage == At.RECEIVED
    stage.tick()
    assert _row(stage, return_).stage == At.WAITING  # a unit is missing now
    assert return_.effects.process_accepted == 0


def _fetch(session: object, return_: LoopReturn) -> ReturnRow:
    row = returns.by_id(session, BRAND, return_.id)  # type: ignore[arg-type]
    assert row is not None
    return row


def test_a_refused_call_is_judged_again_after_an_edit(stages: Stages) -> None:
    stage = stages()
    return_ = _received(stage)
    stage.fault("loop", "status_429", operation="process", count=6)
    stage.tick()
    assert _row(stage, return_).stage == At.SETTLING
    stage.control(f"returns/{return_.id}/edit", add=1)
    stage.tick()
    stage.tick()
    assert return_.effects.process_accepted == 0
    assert _row(stage, return_).stage == At.WAITING


def test_what_someone_flagged_meanwhile_is_not_processed(stages: Stages) -> None:
    stage = stages(allow_process_flagged=True)
    return_ = _received(stage)
    stage.fault("loop", "status_429", operation="process", count=6)
    stage.tick()
    stage.control(f"returns/{return_.id}/flag")
    for _ in range(3):
        stage.tick()
    assert return_.effects.process_accepted == 0
    assert _kinds(stage) == ["decide_by_hand"]


def test_a_lost_process_of_a_return_in_review_is_told(stages: Stages) -> None:
    stage = stages()
    return_ = _received(stage)
    stage.fault("loop", "reset_before", operation="process", count=1)
    stage.tick()
    stage.control(f"returns/{return_.id}/flag")
    stage.rest()
    assert return_.effects.process_accepted == 0
    assert _kinds(stage) == ["lost_settlement"]
    _well(stage)


def test_the_wait_for_a_lost_answer_starts_when_it_was_missed(stages: Stages) -> None:
    """The intent may be old when the call goes out: it waits for its turn under 429s."""
    stage = stages(processing_min_seconds=890.0, processing_max_seconds=890.0)
    return_ = _received(stage)
    # About ten minutes of refusals, then taken, then dead before the answer is recorded.
    stage.world.settings.send_retry_after = True
    stage.fault("loop", "status_429", operation="process", count=5)
    before = stage.now()
    assert not stage.tick(_at("settlement sent"))
    late = (stage.now() - before).total_seconds()
    assert late > 60
    assert return_.effects.process_accepted == 1
    # Just past `lost_answer_wait` after the intent, Loop is still at it.
    stage.tick(after=5.0)
    stage.tick(after=901.0 - late)
    assert return_.effects.process_accepted == 1
    stage.rest()
    assert return_.effects.money_moved == 1
    _well(stage)


def test_a_lost_call_is_not_repeated_while_loop_is_behind(stages: Stages) -> None:
    """Loop takes half an hour today, as other returns of the brand show."""
    stage = stages(processing_min_seconds=1800.0, processing_max_seconds=1800.0)
    one, two = _received(stage), stage.new_return(units=1)
    stage.tick()
    stage.parcel(two, "complete")
    stage.fault("loop", "timeout_after", operation="process", subject=two.id, count=1)
    for _ in range(20):
        stage.tick(after=120.0)
    assert [r.effects.process_accepted for r in (one, two)] == [1, 1]
    stage.rest()
    assert [r.effects.money_moved for r in (one, two)] == [1, 1]
    _well(stage)


def test_a_flag_that_finds_the_return_in_review_is_done(stages: Stages) -> None:
    stage = stages()
    return_ = _received(stage, "damaged")

    def someone_flags(_n: int, name: str) -> bool:
        if name == "settlement intended":
            stage.control(f"returns/{return_.id}/flag")
        return False

    assert stage.tick(Fuse(someone_flags))
    assert return_.effects.refused == 1
    stage.rest()
    assert _row(stage, return_).stage == At.FLAGGED
    assert len(return_.notes) == 1
    _well(stage)


def test_a_note_that_cannot_be_looked_for_is_not_sent_again(stages: Stages) -> None:
    stage = stages()
    return_ = _received(stage, "damaged")
    assert not stage.tick(_at("note sent"))
    assert len(return_.notes) == 1
    stage.fault("loop", "status_500", operation="notes", count=8)
    stage.tick()
    stage.tick()
    assert len(return_.notes) == 1
    stage.rest()
    assert len(return_.notes) == 1
    _well(stage)


def test_a_garbled_look_is_no_matter_for_a_person(stages: Stages) -> None:
    stage = stages()
    return_ = _received(stage)
    stage.fault("loop", "reset_before", operation="process", count=1)
    stage.tick()
    stage.fault("loop", "truncated", operation="details", count=2)
    stage.tick()
    assert _kinds(stage) == []
    stage.rest()
    assert _row(stage, return_).stage == At.COMPLETE
    _well(stage)


def test_reading_a_draft_again_is_no_receipt(stages: Stages) -> None:
    stage = stages()
    return_ = stage.new_return(units=2)
    for after in (5.0, 65.0, 130.0):
        stage.tick(after=after)
    with stage.ctx.ledger.write() as session:
        actions.resync(Transaction(session, BRAND, stage.now(), "ada"), _fetch(session, return_))
    stage.rest()
    assert _row(stage, return_).stage == At.ANNOUNCED
    assert return_.effects.flags == 0
    _well(stage)


def test_no_ticket_for_a_return_closed_while_rex11_was_down(stages: Stages) -> None:
    stage = _aged(stages())
    return_ = stage.new_return(units=1)
    stage.unreachable.add("ReceivingTicketAdd")
    stage.tick(after=60.0)
    with stage.ctx.ledger.read() as session:
        effect = effects.find(session, BRAND, f"ticket:LR-{return_.id}")
    assert effect is not None
    assert effect.state == effects.EffectState.NOT_SENT
    stage.unreachable.clear()
    stage.control(f"returns/{return_.id}/close")
    stage.rest()
    assert stage.tickets(return_.id) == []
    assert _row(stage, return_).stage == At.COMPLETE
    _well(stage)


def test_a_reopened_return_whose_ticket_was_cancelled_gets_a_new_one(stages: Stages) -> None:
    stage = stages()
    return_ = stage.new_return(units=1)
    for after in (5.0, 65.0, 130.0):
        stage.tick(after=after)
    [ticket] = stage.tickets(return_.id)
    stage.control(f"tickets/{ticket.id}/cancel")
    stage.control(f"returns/{return_.id}/cancel")
    stage.tick()
    stage.control(f"returns/{return_.id}/reopen")
    stage.rest()
    assert [t.status for t in stage.tickets(return_.id)] == ["Cancelled", "Draft"]
    _well(stage)


def test_one_po_that_cannot_be_looked_up_does_not_stop_the_others(stages: Stages) -> None:
    stage = _aged(stages())
    odd = stage.new_return(units=1)
    po = f"LR-{odd.id}"
    stage.fault("rex11", "reset_before", operation="ReceivingTicketAdd", subject=po, count=1)
    stage.fault("rex11", "html", operation="GetReceivingTicketsByPO", subject=po)
    stage.tick(after=60.0)
    other = stage.new_return(units=1)
    for _ in range(3):
        stage.tick(after=60.0)
    assert len(stage.tickets(other.id)) == 1
    assert stage.tickets(odd.id) == []
    stage.rest()
    assert len(stage.tickets(odd.id)) == 1
    _well(stage)


def test_one_product_that_rex11_refuses_does_not_stop_the_others(stages: Stages) -> None:
    stage = stages()
    odd, good = stage.new_return(units=1), stage.new_return(units=1)
    odd.lines[0].product = _with_barcode(odd, "36\x01000\x02291452")
    stage.brand.rex_products.pop(good.lines[0].product.upc, None)
    stage.rest()
    assert len(stage.tickets(good.id)) == 1
    assert stage.tickets(odd.id) == []
    assert _kinds(stage) == ["code_unsendable"]
    _well(stage)


def _with_barcode(return_: LoopReturn, barcode: str) -> Product:
    from dataclasses import replace

    return replace(return_.lines[0].product, shop_barcode=barcode, upc=barcode)


def test_one_rma_that_cannot_be_closed_does_not_keep_the_others_open(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bergen_loop.outside.errors import NotFound

    stage = stages()
    one, two = stage.new_return(units=1), stage.new_return(units=1)
    stage.tick()
    [odd] = stage.tickets(one.id)
    real = stage.ctx.warehouse.close_rma

    def close(ticket_id: str, *rest: object) -> object:
        if ticket_id == odd.id:
            raise NotFound("no such ticket", system="REX11", brand=BRAND, call="close")
        return real(ticket_id, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(stage.ctx.warehouse, "close_rma", close)
    stage.parcel(one, "complete")
    stage.parcel(two, "complete")
    stage.rest()
    assert _row(stage, two).stage == At.COMPLETE
    assert _row(stage, one).stage == At.CLOSING
    assert _kinds(stage) == ["close_refused"]


def test_a_list_that_breaks_off_is_walked_again_and_forgotten(stages: Stages) -> None:
    stage = stages()
    made = [stage.new_return(units=1) for _ in range(7)]  # all in one second, over three pages
    stage.tick(after=5.0)
    more = [stage.new_return(units=1) for _ in range(7)]
    stage.fault("loop", "repeat_cursor", operation="list")
    stage.tick(after=5.0)
    assert _kinds(stage) == ["list_incomplete"]
    stage.world.faults.clear()
    stage.tick(after=60.0)
    assert _kinds(stage) == []
    with stage.ctx.ledger.read() as session:
        known = returns.by_ids(session, BRAND, [r.id for r in made + more])
    assert len(known) == 14


def test_a_step_that_keeps_failing_is_told_and_forgotten(stages: Stages) -> None:
    stage = stages()
    stage.fault("rex11", "html", operation="GetReceivingStatusesByDate")
    stage.tick()
    assert _kinds(stage) == []
    stage.tick(after=3700.0)
    assert _kinds(stage) == ["step_failing"]
    stage.world.faults.clear()
    stage.tick()
    assert _kinds(stage) == []


def test_a_ticket_too_many_stays_told_when_the_return_is_settled(stages: Stages) -> None:
    stage = _aged(stages())
    return_ = stage.new_return(units=1)
    stage.fault("rex11", "timeout_after", operation="ReceivingTicketAdd", count=1)
    stage.tick(after=60.0)
    items = [{"sku": return_.lines[0].product.sku, "expected": 1}]
    stage.control("tickets", brand=BRAND, customer_po=f"LR-{return_.id}", items=items)
    stage.tick()
    stage.parcel(return_, "complete")
    stage.rest()
    assert return_.effects.money_moved == 1
    assert _kinds(stage) == ["two_tickets"]


def test_a_clock_of_loops_that_goes_back_does_not_hide_a_closing(stages: Stages) -> None:
    stage = stages(loop_skew_seconds=240.0)
    return_ = _received(stage)
    stage.control(f"returns/{return_.id}/label", status="delivered")
    stage.tick()
    stage.control("settings", loop_skew_seconds=-240.0)
    stage.rest()
    assert return_.state == "closed"
    assert _row(stage, return_).stage == At.COMPLETE
    _well(stage)


def test_a_clock_of_loops_that_goes_back_does_not_hide_a_state(stages: Stages) -> None:
    stage = stages(loop_skew_seconds=240.0)
    return_ = stage.new_return(units=1)
    for after in (5.0, 300.0):
        stage.tick(after=after)
    stage.control(f"returns/{return_.id}/flag")
    stage.tick(after=5.0)
    stage.control("settings", loop_skew_seconds=-240.0)
    stage.control(f"returns/{return_.id}/expire")
    stage.tick(after=5.0)
    assert _row(stage, return_).stage == At.EXPIRED
    _well(stage)


def test_after_our_flag_a_retry_explains_why_it_is_not_possible(stages: Stages) -> None:
    stage = stages()
    return_ = _received(stage, "damaged")
    stage.tick()
    stage.control(f"returns/{return_.id}/reopen")
    stage.tick()
    with stage.ctx.ledger.write() as session:
        [item] = attention.open_items(session, BRAND)
        with pytest.raises(actions.NotPossible, match="after a flag nothing is processed"):
            actions.retry(Transaction(session, item.brand, stage.now(), "ada"), item, "?")
    assert return_.effects.process_accepted == 0


def test_a_ticket_found_late_has_its_status_read(stages: Stages) -> None:
    """The change to AddedToInventory may be older than the list of changes reaches back."""
    stage = _aged(stages())
    return_ = stage.new_return(units=1)
    stage.fault("rex11", "timeout_after", operation="ReceivingTicketAdd", count=1)
    stage.fault("rex11", "html", operation="GetReceivingTicketsByPO")
    stage.tick(after=60.0)
    stage.parcel(return_, "complete")
    for _ in range(4):
        stage.tick(after=3700.0)
    stage.world.faults.clear()
    stage.rest()
    assert _row(stage, return_).stage == At.COMPLETE
    _well(stage)


@pytest.mark.parametrize("seed", [4, 20, 55, 62, 1115, 20027])
def test_seeds_that_once_failed(seed: int, tmp_path: Path) -> None:
    run = Driver(tmp_path, seed).play()
    assert run.verdict.problems == []


@pytest.mark.parametrize("seed", range(9000, 9008))
def test_random_lives(seed: int, tmp_path: Path) -> None:
    run = Driver(tmp_path, seed).play()
    assert run.verdict.problems == [], "\n".join(run.story)


def test_a_doubt_about_a_return_that_has_ended_asks_nobody(stages: Stages) -> None:
    """Seed 66426: its item stayed for ever, for Loop lists the return no more."""
    stage = _aged(stages())
    return_ = stage.new_return(units=2)
    stage.control(f"returns/{return_.id}/close")
    stage.tick(after=5.0)
    assert _row(stage, return_).stage == At.COMPLETE
    stage.fault("loop", "line_twice", subject=return_.id, count=3)
    stage.tick(after=20.0)
    assert _kinds(stage) == []
    stage.rest()
    _well(stage)
