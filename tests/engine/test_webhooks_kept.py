"""Deliveries of Loop's webhooks: repeats are dropped, a failure that happens again is not."""

from __future__ import annotations

import json
from collections.abc import Generator

import pytest

from bergen_loop.domain.words import EffectKind
from bergen_loop.flow import intake
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention, effects, webhooks
from bergen_loop.ledger.store.effects import EffectState, Intent
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.ledger.transaction import FencedTransaction, Transaction
from bergen_loop.people import actions
from support import worlds
from support.rows import a_return
from support.worlds import World

BRAND, RETURN = "northpine", "77"
BODY = json.dumps(
    {
        "topic": "return.processing",
        "trigger": "return.processing.failed",
        "return_id": RETURN,
        "return_state": "open",
        "message": "the card was refused",
        "source": "api",
    }
).encode()


@pytest.fixture
def world() -> Generator[World]:
    with worlds.serving() as served:
        yield served


@pytest.fixture
def ctx(world: World, ledger: Ledger) -> BrandContext:
    return worlds.context(world, ledger)


@pytest.fixture(autouse=True)
def pk(ctx: BrandContext) -> int:
    """The return's key: it is to be confirmed by Loop."""
    return a_return(ctx.ledger, RETURN, BRAND, stage="confirming")


def comes(ctx: BrandContext, body: bytes = BODY, trigger: str = "return.processing.failed") -> bool:
    """A delivery; whether it is a new one."""
    delivery = webhooks.Delivery(ctx.brand, "return.processing", trigger, RETURN, body)
    with ctx.ledger.write() as session:
        return webhooks.keep(session, ctx.now(), delivery)


def accepted(ctx: BrandContext, pk: int) -> None:
    """We have called process, for the first time or again, and Loop has taken it."""
    key = effects.settling_key(RETURN)
    with ctx.ledger.write() as session:
        effect = effects.find(session, BRAND, key)
        if effect is None:
            intent = Intent(EffectKind.PROCESS, key, pk)
            effect = FencedTransaction(session, BRAND, ctx.now()).intend(intent)
        else:
            effect.attempts, effect.intended_at = effect.attempts + 1, ctx.now()
        effect.state = EffectState.ACCEPTED


def state(ctx: BrandContext) -> str:
    with ctx.ledger.read() as session:
        effect = effects.find(session, BRAND, effects.settling_key(RETURN))
        assert effect is not None
        return effect.state


def needs(ctx: BrandContext) -> list[str]:
    with ctx.ledger.read() as session:
        return [item.kind for item in attention.open_items(session, BRAND)]


def test_a_failure_that_loop_delivers_again_is_one(
    ctx: BrandContext, pk: int, world: World
) -> None:
    accepted(ctx, pk)
    assert comes(ctx)
    world.advance(60)
    assert not comes(ctx), "Loop repeats a delivery whose answer it did not get"
    intake.take_webhooks(ctx)
    assert (state(ctx), needs(ctx)) == ("failed", ["processing_failed"])
    assert not comes(ctx)


def test_the_same_words_after_another_call_are_another_failure(
    ctx: BrandContext, pk: int, world: World
) -> None:
    accepted(ctx, pk)
    comes(ctx)
    intake.take_webhooks(ctx)
    with ctx.ledger.write() as session:
        [item] = attention.open_items(session, BRAND)
        attention.resolve(
            session, ctx.now(), item, attention.Resolution(who="ann", words="the card is good now")
        )

    world.advance(600)
    accepted(ctx, pk)
    assert state(ctx) == "accepted"
    assert comes(ctx)
    assert not comes(ctx)
    assert intake.take_webhooks(ctx)[0] == 1
    assert (state(ctx), needs(ctx)) == ("failed", ["processing_failed"])


def test_a_person_who_has_it_looked_at_again_makes_no_new_failure_of_the_old_one(
    ctx: BrandContext, pk: int
) -> None:
    accepted(ctx, pk)
    comes(ctx)
    intake.take_webhooks(ctx)
    with ctx.ledger.write() as session:
        row = session.get_one(ReturnRow, pk)
        [item] = attention.open_items(session, BRAND)
        actions.retry(Transaction(session, BRAND, ctx.now(), "ann"), item, "looked into it")
        assert row.stage == "settling"
    assert not comes(ctx), "it is the old call's"


def test_a_failure_of_a_return_we_have_not_called_for_is_told_by_its_body(
    ctx: BrandContext,
) -> None:
    assert comes(ctx)
    assert not comes(ctx)
    assert comes(ctx, BODY.replace(b"card", b"gift card"))


def test_other_deliveries_are_told_by_their_body_alone(
    ctx: BrandContext, pk: int, world: World
) -> None:
    accepted(ctx, pk)
    assert comes(ctx, b"{}", "return.updated")
    world.advance(60)
    accepted(ctx, pk)
    assert not comes(ctx, b"{}", "return.updated")
