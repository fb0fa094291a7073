"""Whatever people press, a return is paid once."""

from __future__ import annotations

import json
from datetime import timedelta

from bergen_loop.domain.returns import Stage
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import attention
from bergen_loop.ledger.tables.core import WebhookRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import actions
from support import worlds
from support.brands import configure
from support.look import Look
from support.worlds import World


def retry(ctx: BrandContext, kind: str) -> None:
    with ctx.ledger.write() as session:
        (item,) = [i for i in attention.open_items(session, ctx.brand) if i.kind == kind]
        actions.retry(Transaction(session, ctx.brand, ctx.now(), "ann"), item, "I looked")


def received(world: World, ctx: BrandContext) -> str:
    return_id = world.new_return("northpine", units=1, late_label=False)
    worlds.run(world, ctx)
    world.receive(return_id, "complete")
    return return_id


def test_a_call_that_loop_took_is_never_sent_again_however_often_it_is_retried(
    world: World, ctx: BrandContext, look: Look
) -> None:
    configure(ctx, settle={"confirm_within": timedelta(minutes=10)})
    return_id = received(world, ctx)
    world.fault("loop", "process_never_ends", operation="process", nth=1)
    worlds.run(world, ctx, ticks=15)
    for _ in range(3):
        assert [kind for kind, _ in look.attention(return_id)] == ["not_confirmed"]
        retry(ctx, "not_confirmed")
        worlds.run(world, ctx, ticks=15)
    assert len(world.calls("process")) == 1
    assert look.stage(return_id) is Stage.CONFIRMING


def test_a_failed_processing_is_sent_anew_only_after_a_fresh_look_and_the_usual_wait(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    world.fault("loop", "process_never_ends", operation="process", nth=1)
    worlds.run(world, ctx)
    failed(ctx, return_id)
    worlds.run(world, ctx)
    assert [kind for kind, _ in look.attention(return_id)] == ["processing_failed"]
    retry(ctx, "processing_failed")
    worlds.run(world, ctx, ticks=5)
    assert len(world.calls("process")) == 1, "the wait of a lost answer is kept"
    worlds.run(world, ctx, ticks=20)
    assert len(world.calls("process")) == 2
    assert world.effects(return_id)["money_moved"] == 1
    assert look.stage(return_id) is Stage.COMPLETE


def test_a_return_changed_after_the_retry_is_asked_about_again(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = received(world, ctx)
    world.fault("loop", "process_never_ends", operation="process", nth=1)
    worlds.run(world, ctx)
    failed(ctx, return_id)
    worlds.run(world, ctx)
    retry(ctx, "processing_failed")
    world.advance(5)
    world.change(return_id, "label", status="delivered")
    worlds.run(world, ctx, ticks=25)
    assert len(world.calls("process")) == 1
    assert [kind for kind, _ in look.attention(return_id)] == ["lost_settlement"]


def failed(ctx: BrandContext, return_id: str) -> None:
    """Loop tells that it could not process the return."""
    body = {"topic": "return.processing", "return_id": return_id, "message": "card expired"}
    with ctx.ledger.write() as session:
        session.add(
            WebhookRow(
                brand=ctx.brand,
                digest=f"failed {return_id}",
                received_at=ctx.now(),
                topic="return.processing",
                trigger="return.processing.failed",
                return_id=return_id,
                body=json.dumps(body),
            )
        )
