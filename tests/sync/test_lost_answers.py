"""Calls whose answer is lost or is a refusal: resolved by looking, never by repeating blindly."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import Stage
from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.intake import take_webhooks
from bergen_loop.ledger.store import attention
from bergen_loop.ledger.tables.core import DecisionRow
from bergen_loop.ledger.tables.operations import CallRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import RateLimited
from bergen_loop.outside.http import Around
from bergen_loop.people import actions
from bergen_loop.service import wiring as connecting
from support import worlds
from support.brands import configure
from support.look import Look
from support.worlds import World

MINUTE = 60.0


def received(world: World, ctx: BrandContext, kind: str = "complete") -> str:
    """A return whose parcel has come, not yet judged."""
    return_id = world.new_return("northpine", units=1, late_label=False)
    worlds.run(world, ctx, ticks=2)
    world.receive(return_id, kind)
    return return_id


# -- tickets ----------------------------------------------------------------------------------


def test_a_ticket_whose_answer_was_lost_is_found_by_its_po(
    world: World, ctx: BrandContext, look: Look
) -> None:
    world.fault("rex11", "reset_mid_body", operation="ReceivingTicketAdd", nth=1)
    return_id = world.new_return("northpine", units=1, late_label=False)
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.ANNOUNCED
    (ticket,) = world.tickets(return_id)
    assert look.view(return_id).rmas[0].ticket_id == ticket.id
    assert len(world.calls("ReceivingTicketAdd")) == 1
    assert any("found by its PO" in line for line in look.journal(return_id))


def test_the_log_has_the_calls_of_a_tick_that_was_killed(world: World, ctx: BrandContext) -> None:
    return_id = world.new_return("northpine", units=1, late_label=False)
    worlds.killed_at(ctx, "ticket recorded")
    with ctx.ledger.read() as session:
        logged = {(row.call, row.subject) for row in session.scalars(sa.select(CallRow))}
    assert ("ReceivingTicketAdd", f"LR-{return_id}") in logged


def test_a_ticket_that_never_arrived_is_added_once_more_after_the_wait(
    world: World, ctx: BrandContext, look: Look
) -> None:
    world.fault("rex11", "status_502", operation="ReceivingTicketAdd", nth=1)
    return_id = world.new_return("northpine", units=1, late_label=False)
    worlds.run(world, ctx, ticks=2, seconds=30)
    assert not world.tickets(return_id), "within the wait it is not added again"
    worlds.run(world, ctx, ticks=3, seconds=2 * MINUTE)
    assert len(world.tickets(return_id)) == 1
    assert look.stage(return_id) is Stage.ANNOUNCED
    assert look.view(return_id).effects[0].attempts == 2


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_ticket_rex11_refuses_goes_to_a_person_and_may_be_retried(
    world: World, ctx: BrandContext, look: Look, *, cancelled: bool
) -> None:
    """Also for a return that is cancelled then, and opened again later (soak, seed 87243)."""
    configure(ctx, announce={"check_products": False})
    return_id = world.new_return("northpine", units=1, late_label=False)
    with world.sandbox.lock:
        found = world.sandbox.find_return(return_id)
        assert found is not None
        upc = found.lines[0].product.upc
        product = world.sandbox.brand("northpine").rex_products.pop(upc, None)
    worlds.run(world, ctx, ticks=3)
    ((kind, reason),) = look.brand_attention()
    assert kind == "product_refused"
    assert "is not valid" in reason
    assert f"UPC '0{upc}'" in reason, "what was sent is told: the shop's spelling"
    assert look.attention(return_id) == [], "told once for the product, not for each return"
    assert len(world.calls("ReceivingTicketAdd")) == 1, "a refusal is not repeated by itself"
    if product is not None:
        world.sandbox.brand("northpine").rex_products[upc] = product
        configure(ctx, announce={"check_products": True})  # and so by REX11's names
        if cancelled:
            world.change(return_id, "cancel")
            world.advance(1800)
            worlds.run(world, ctx)
            assert look.stage(return_id) is Stage.CANCELLED
        with ctx.ledger.write() as session:
            (item,) = attention.open_items(session, ctx.brand)
            actions.retry(Transaction(session, ctx.brand, ctx.now(), "ann"), item, "imported")
        if cancelled:
            world.change(return_id, "reopen")
        worlds.run(world, ctx, ticks=2)
        assert look.brand_attention() == []
        assert look.stage(return_id) is Stage.ANNOUNCED
        assert len(world.tickets(return_id)) == 1


# -- process ----------------------------------------------------------------------------------


def test_a_process_call_whose_answer_was_lost_is_confirmed_by_the_list(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    world.fault("loop", "reset_mid_body", operation="process", nth=1)
    worlds.run(world, ctx, ticks=3, seconds=10)
    assert look.stage(return_id) is Stage.COMPLETE
    effects = world.effects(return_id)
    assert (effects["process_accepted"], effects["money_moved"]) == (1, 1)
    assert len(world.calls("process")) == 1


def test_a_process_call_that_never_arrived_is_sent_again_only_after_the_wait(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    world.fault("loop", "status_502", operation="process", nth=1)
    worlds.run(world, ctx, ticks=10, seconds=MINUTE)
    assert len(world.calls("process")) == 1, "within the wait it is not repeated"
    worlds.run(world, ctx, ticks=8, seconds=MINUTE)
    assert look.stage(return_id) is Stage.COMPLETE
    assert world.effects(return_id)["money_moved"] == 1
    assert len(world.calls("process")) == 2


def test_a_process_call_lost_twice_goes_to_a_person(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    world.fault("loop", "status_502", operation="process", nth=1, count=5)
    worlds.run(world, ctx, ticks=50, seconds=MINUTE)
    assert [kind for kind, _ in look.attention(return_id)] == ["lost_settlement"]
    assert len(world.calls("process")) == 2
    _retry(ctx, look, return_id)
    world.sandbox.faults.clear()
    worlds.run(world, ctx, ticks=3)
    assert look.stage(return_id) is Stage.COMPLETE
    assert world.effects(return_id)["money_moved"] == 1


def test_a_lost_process_call_is_not_repeated_if_the_return_has_changed_since(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    world.fault("loop", "status_502", operation="process", nth=1)
    worlds.run(world, ctx, ticks=2)
    world.change(return_id, "label", status="delivered")
    worlds.run(world, ctx, ticks=20, seconds=MINUTE)
    assert [kind for kind, _ in look.attention(return_id)] == ["lost_settlement"]
    assert len(world.calls("process")) == 1


def test_a_refusal_that_comes_as_200_is_a_refusal(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    world.fault("loop", "refusal", operation="process", nth=1)
    worlds.run(world, ctx, ticks=5)
    assert look.attention(return_id) == [
        (
            "refused",
            "Loop refused to process the return: Return is open and therefore cannot be processed. "
            "Look at it in Loop",
        )
    ]
    assert world.effects(return_id)["money_moved"] == 0
    assert len(world.calls("process")) == 1


def test_loop_closing_between_pull_and_process_is_seen_not_processed(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    with tick.holding(ctx):
        tick.begin(ctx)
        for name in ("intake", "announce", "receive"):
            tick.step(ctx, name)
        world.change(return_id, "close")
        tick.step(ctx, "settle")
    worlds.run(world, ctx, ticks=3)
    assert look.stage(return_id) is Stage.COMPLETE
    assert world.effects(return_id)["money_moved"] == 0


def test_what_looking_shows_of_an_unconfirmed_call_is_told_once(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    world.fault("loop", "process_never_ends", operation="process", nth=1)
    worlds.run(world, ctx, ticks=3, seconds=MINUTE)
    world.clock.advance(ctx.settings.settle.confirm_within.total_seconds())
    with tick.holding(ctx):
        tick.begin(ctx)
        tick.step(ctx, "intake")
        world.change(return_id, "flag")  # between the list and the look
        tick.step(ctx, "settle")
    assert [kind for kind, _ in look.attention(return_id)] == ["conflict"]


def test_processing_that_never_ends_goes_to_a_person_after_a_time(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    world.fault("loop", "process_never_ends", operation="process", nth=1)
    worlds.run(world, ctx, ticks=5, seconds=MINUTE)
    assert look.stage(return_id) is Stage.CONFIRMING, "a 200 is not yet processed (I4)"
    worlds.run(world, ctx, ticks=15, seconds=5 * MINUTE)
    assert [kind for kind, _ in look.attention(return_id)] == ["not_confirmed"]
    assert len(world.calls("process")) == 1
    world.change(return_id, "close")
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.COMPLETE, "seen closed, the question is answered"
    assert look.attention(return_id) == []


def test_one_garbled_look_at_an_unconfirmed_call_is_told_to_nobody(
    world: World, ctx: BrandContext, look: Look
) -> None:
    """Seed 93695: the first look came long after the call."""
    return_id = received(world, ctx)
    world.fault("loop", "process_never_ends", operation="process", nth=1)
    worlds.run(world, ctx, ticks=2)
    world.fault("loop", "truncated", operation="details", nth=1)
    world.advance(ctx.settings.settle.confirm_within.total_seconds())
    worlds.run(world, ctx)
    assert look.attention(return_id) == []
    worlds.run(world, ctx)
    assert [kind for kind, _ in look.attention(return_id)] == ["not_confirmed"]


def test_an_unconfirmed_call_that_stays_garbled_goes_to_a_person(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    world.fault("loop", "process_never_ends", operation="process", nth=1)
    worlds.run(world, ctx, ticks=2)
    world.fault("loop", "truncated", operation="details")
    world.advance(ctx.settings.settle.confirm_within.total_seconds())
    worlds.run(world, ctx, ticks=2)
    assert [kind for kind, _ in look.attention(return_id)] == ["cannot_see"]


def test_a_flag_taken_off_in_the_second_of_its_lost_call_is_not_made_again_and_has_its_reason(
    world: World, ctx: BrandContext, look: Look
) -> None:
    """Seed 90348: Loop's times are whole seconds, ours are not."""
    return_id = received(world, ctx, "damaged")
    world.fault("loop", "reset_mid_body", operation="flag", nth=1)
    world.advance(0.4)
    tick.run(ctx)
    world.change(return_id, "reopen")
    world.advance(MINUTE)
    worlds.run(world, ctx, ticks=3, seconds=20 * MINUTE)
    assert len(world.calls("flag")) == 1
    assert [kind for kind, _ in look.attention(return_id)] == ["lost_settlement"]
    assert len(world.effects(return_id)["notes"]) == 1


def test_one_garbled_look_for_a_note_is_told_to_nobody(
    world: World, ctx: BrandContext, look: Look
) -> None:
    world.fault("loop", "reset_mid_body", operation="note", nth=1)
    return_id = received(world, ctx, "damaged")
    worlds.run(world, ctx)
    world.fault("loop", "truncated", operation="notes", nth=1)
    world.advance(2 * 60 * MINUTE)
    worlds.run(world, ctx, ticks=3)
    assert (look.attention(return_id), look.stage(return_id)) == ([], Stage.FLAGGED)
    assert len(world.effects(return_id)["notes"]) == 1


def test_processing_that_fails_is_told_by_webhook_and_goes_to_a_person(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    worlds.run(world, ctx)
    assert look.stage(return_id) in (Stage.CONFIRMING, Stage.CLOSING)
    _webhook(ctx, return_id, "card expired")
    take_webhooks(ctx)
    assert [kind for kind, _ in look.attention(return_id)] == ["processing_failed"]
    assert "card expired" in look.attention(return_id)[0][1]


def test_a_429_storm_delays_and_doubles_nothing(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    world.fault("loop", "status_429", operation="process", nth=1, count=3)
    worlds.run(world, ctx, ticks=5)
    assert look.stage(return_id) is Stage.COMPLETE
    assert world.effects(return_id)["money_moved"] == 1


def test_calls_that_are_always_one_too_many_are_told_and_paced(
    world: World, ctx: BrandContext, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were tried in silence; a Retry-After of years was kept."""
    return_id = received(world, ctx)
    sent = 0

    def limited(_: str) -> None:
        nonlocal sent
        sent += 1
        about = {"system": "Loop", "brand": "northpine", "call": "process"}
        raise RateLimited("one too many", status=429, retry_after=1e9, **about)

    with monkeypatch.context() as patch:
        patch.setattr(ctx.loop, "process", limited)
        worlds.run(world, ctx, ticks=4, seconds=1800)
    [(kind, why)] = look.brand_attention()
    assert (kind, sent) == ("step_failing", 2)
    assert "process calls have failed" in why
    worlds.run(world, ctx, ticks=4, seconds=3600)
    assert look.stage(return_id) is Stage.COMPLETE
    assert look.brand_attention() == []


def test_nothing_is_decided_on_a_stale_picture(world: World, ctx: BrandContext, look: Look) -> None:
    return_id = received(world, ctx)
    world.advance(3600)
    world.fault("loop", "status_502", operation="list", nth=1, count=1000)
    for _ in range(3):
        tick.run(ctx)
        world.advance(MINUTE)
    assert look.stage(return_id) is Stage.RECEIVED
    assert world.effects(return_id)["process_accepted"] == 0


# -- flag and note ----------------------------------------------------------------------------


def test_a_flag_and_a_note_whose_answers_were_lost_happen_once(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx, "damaged")
    world.fault("loop", "reset_mid_body", operation="flag", nth=1)
    world.fault("loop", "reset_mid_body", operation="note", nth=1)
    worlds.run(world, ctx, ticks=5)
    assert look.stage(return_id) is Stage.FLAGGED
    effects = world.effects(return_id)
    assert (effects["flags"], len(effects["notes"])) == (1, 1)
    assert {e.state for e in look.view(return_id).effects} == {"done"}


def test_a_flag_and_a_note_that_never_arrived_are_sent_again(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx, "damaged")
    world.fault("loop", "status_502", operation="flag", nth=1)
    world.fault("loop", "status_502", operation="note", nth=1)
    worlds.run(world, ctx, ticks=6)
    effects = world.effects(return_id)
    assert (effects["flags"], len(effects["notes"])) == (1, 1)


# -- access -----------------------------------------------------------------------------------


def test_a_dead_key_is_told_in_plain_words_and_resolves_itself(
    world: World, ctx: BrandContext
) -> None:
    ctx.loop = connecting.loop_client(
        ctx.brand, ctx.settings, around=Around(guard=ctx.breakers.loop)
    )
    worlds.run(world, ctx)
    real, world.sandbox.brand("northpine").loop_key = (
        world.sandbox.brand("northpine").loop_key,
        "another",
    )
    tick.run(ctx)
    with ctx.ledger.read() as session:
        (item,) = attention.open_items(session, "northpine")
        assert item.kind == "access"
        assert "ask the brand" in item.reason
        assert real not in item.reason
    world.sandbox.brand("northpine").loop_key = real
    world.advance(130)
    tick.run(ctx)
    with ctx.ledger.read() as session:
        assert attention.open_items(session, "northpine") == []


def _retry(ctx: BrandContext, look: Look, return_id: str) -> None:
    with ctx.ledger.write() as session:
        row = look.row(return_id)
        (item,) = attention.open_items(session, return_pk=row.id)
        actions.retry(Transaction(session, item.brand, ctx.now(), "ann"), item, "looked into it")


def _webhook(ctx: BrandContext, return_id: str, message: str) -> None:
    import json

    from bergen_loop.ledger.tables.core import WebhookRow

    body = {"topic": "return.processing", "return_id": return_id, "message": message}
    with ctx.ledger.write() as session:
        session.add(
            WebhookRow(
                brand=ctx.brand,
                digest="d",
                received_at=ctx.now(),
                topic="return.processing",
                trigger="return.processing.failed",
                return_id=return_id,
                body=json.dumps(body),
            )
        )


@pytest.mark.parametrize("left", ["none", "a wait", "one in shadow"])
def test_a_call_whose_decision_a_lost_ledger_took_with_it_is_judged_anew_once_it_had_no_effect(
    world: World, ctx: BrandContext, look: Look, left: str
) -> None:
    return_id = received(world, ctx)
    world.fault("loop", "status_502", operation="process", nth=1)
    worlds.run(world, ctx)
    assert look.stage(return_id) is Stage.SETTLING
    with ctx.ledger.write() as session:
        if left == "none":
            session.execute(sa.delete(DecisionRow))
        shadow = left == "one in shadow"
        outcome = Outcome.PROCESS if shadow else Outcome.WAIT
        session.execute(sa.update(DecisionRow).values(outcome=outcome, shadow=shadow))
    worlds.run(world, ctx, ticks=6, seconds=10 * MINUTE)
    assert look.stage(return_id) is Stage.COMPLETE
    assert world.effects(return_id)["process_accepted"] == 1


def test_a_flag_whose_answer_was_lost_and_that_somebody_took_back_is_not_made_again(
    world: World, ctx: BrandContext, look: Look
) -> None:
    configure(ctx, criteria="strict")
    return_id = received(world, ctx, "damaged")
    world.fault("loop", "status_502", operation="flag", nth=1, after=True)
    worlds.run(world, ctx)
    assert world.effects(return_id)["flags"] == 1
    world.change(return_id, "reopen")
    worlds.run(world, ctx, ticks=4, seconds=5 * MINUTE)
    assert world.effects(return_id)["flags"] == 1
    assert world.effects(return_id)["process_accepted"] == 0
    ((kind, reason),) = look.attention(return_id)
    assert kind == "lost_settlement"
    assert "may have been opened again" in reason
