"""A brand's mode: set by a command, taken up by the next tick, safe at any moment."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from bergen_loop.config import Settings
from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import Stage
from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.locks import LockLost
from bergen_loop.ledger.store import attention, journal, modes, returns
from bergen_loop.ledger.tables.core import DecisionRow, JournalRow, ReturnRow
from bergen_loop.ledger.transaction import Transaction, transaction
from bergen_loop.people import actions
from bergen_loop.service.registry import Registry
from support import worlds
from support.worlds import World

BRAND = "northpine"


@pytest.fixture
def ctx(world: World, sqlite_ledger: Ledger) -> BrandContext:
    return worlds.context(world, sqlite_ledger, mode="shadow")


def change(ctx: BrandContext, mode: str | None, why: str = "because") -> tuple[str, str]:
    with transaction(ctx.ledger, BRAND, ctx.now(), "ada") as tx:
        return modes.set_mode(tx, mode, configured=ctx.settings.mode, why=why)


def row(ctx: BrandContext, return_id: str) -> ReturnRow:
    with ctx.ledger.read() as session:
        found = returns.by_id(session, BRAND, return_id)
        assert found is not None
        return found


def received(world: World, ctx: BrandContext, kind: str = "complete") -> str:
    """A return whose parcel has come and was judged in the brand's mode."""
    return_id = world.new_return(BRAND, units=1, late_label=False, outcome="refund")
    worlds.run(world, ctx, ticks=2)
    world.receive(return_id, kind)
    worlds.run(world, ctx)
    return return_id


def decisions(ctx: BrandContext, return_id: str) -> list[tuple[str, bool]]:
    with ctx.ledger.read() as session:
        query = sa.select(DecisionRow).join(ReturnRow).where(ReturnRow.return_id == return_id)
        return [(d.outcome, d.shadow) for d in session.scalars(query.order_by(DecisionRow.id))]


def test_live_judges_anew_what_was_received_in_shadow(world: World, ctx: BrandContext) -> None:
    return_id = received(world, ctx)
    worlds.run(world, ctx, ticks=2)
    assert world.effects(return_id)["process_accepted"] == 0
    assert change(ctx, "live") == ("shadow", "live")
    worlds.run(world, ctx, ticks=3)
    assert decisions(ctx, return_id) == [("process", True), ("process", False)]
    assert world.effects(return_id)["money_moved"] == 1
    assert row(ctx, return_id).stage == Stage.COMPLETE
    with ctx.ledger.read() as session:
        entries = [(j.who, j.what, j.why) for j in session.scalars(sa.select(JournalRow))]
    assert ("ada", "mode: live", "because") in entries
    assert (
        journal.SERVICE,
        "live takes effect",
        "1 return(s) that were judged in shadow are judged anew",
    ) in entries


def test_the_configured_mode_takes_effect_as_well(world: World, ctx: BrandContext) -> None:
    return_id = received(world, ctx)
    ctx.settings = ctx.settings.model_copy(update={"mode": "live"})
    worlds.run(world, ctx, ticks=3)
    assert world.effects(return_id)["money_moved"] == 1


def test_a_return_that_people_flagged_in_shadow_is_left_to_them(
    world: World, ctx: BrandContext
) -> None:
    return_id = received(world, ctx)
    world.change(return_id, "flag")
    worlds.run(world, ctx)
    change(ctx, "live")
    worlds.run(world, ctx, ticks=2)
    assert decisions(ctx, return_id) == [("process", True)]
    with ctx.ledger.read() as session:
        assert not attention.open_items(session, BRAND)
    # Opened again it is ours to judge, however late.
    world.change(return_id, "reopen")
    worlds.run(world, ctx, ticks=3)
    assert decisions(ctx, return_id) == [("process", True), ("process", False)]
    assert world.effects(return_id)["money_moved"] == 1


def test_a_wait_of_shadow_ends_live(world: World, sqlite_ledger: Ledger) -> None:
    ctx = worlds.context(world, sqlite_ledger, mode="shadow", wait="1h")
    return_id = world.new_return(BRAND, units=2, late_label=False, outcome="refund")
    worlds.run(world, ctx, ticks=2)
    world.receive(return_id, "short")
    worlds.run(world, ctx)
    assert row(ctx, return_id).stage == Stage.WAITING
    change(ctx, "live")
    world.advance(7200)
    worlds.run(world, ctx, ticks=2)
    assert decisions(ctx, return_id) == [("wait", True), ("flag", False)]
    assert world.effects(return_id)["flags"] == 1


def test_leaving_live_stops_the_tick_that_is_acting(world: World, ctx: BrandContext) -> None:
    change(ctx, "live")
    return_id = world.new_return(BRAND, units=1, late_label=False, outcome="refund")
    worlds.run(world, ctx, ticks=2)
    world.receive(return_id, "complete")

    def stop(name: str) -> None:
        if name == "receipt recorded":
            change(ctx, "shadow", "something is wrong")

    ctx.boundary = stop
    with pytest.raises(LockLost):
        tick.run(ctx)
    ctx.boundary = lambda _name: None
    assert row(ctx, return_id).stage == Stage.SETTLING
    worlds.run(world, ctx, ticks=3)
    assert world.effects(return_id)["process_accepted"] == 0
    assert row(ctx, return_id).stage == Stage.RECEIVED
    assert decisions(ctx, return_id) == [("process", False), ("process", True)]
    with ctx.ledger.read() as session:
        found = returns.by_id(session, BRAND, return_id)
        assert found is not None
        whats = [e.what for e in journal.entries(session, found.id)]
    assert "taken back" in whats


def test_what_a_person_decided_is_not_taken_back(world: World, ctx: BrandContext) -> None:
    return_id = received(world, ctx)
    change(ctx, "live")
    with ctx.ledger.write() as session:
        brand = returns.brand_row(session, BRAND)
        brand.acted_mode = "live"
        found = returns.by_id(session, BRAND, return_id)
        assert found is not None
        tx = Transaction(session, ctx.brand, ctx.now(), "ada")
        actions.decide(tx, found, actions.ByHand(Outcome.PROCESS, "I looked"))
    change(ctx, "shadow")
    worlds.run(world, ctx)
    assert row(ctx, return_id).stage == Stage.SETTLING
    assert world.effects(return_id)["process_accepted"] == 0


def test_a_paused_brand_is_not_synced(world: World, ctx: BrandContext) -> None:
    change(ctx, "paused")
    world.new_return(BRAND)
    worlds.run(world, ctx)
    assert not world.calls("list")
    with ctx.ledger.read() as session:
        assert not session.scalars(sa.select(ReturnRow)).all()
    settings = Settings.model_construct(brands={BRAND: ctx.settings})
    registry = Registry(settings, ctx.ledger, Path())
    assert registry.paused() == {BRAND}
    assert registry.due(datetime.now(UTC)) == []
    change(ctx, "shadow")
    assert registry.paused() == set()
    assert registry.due(datetime.now(UTC)) == [BRAND], "a change is taken up at once"
    worlds.run(world, ctx)
    assert world.calls("list")


def test_back_to_the_configured_mode(ctx: BrandContext) -> None:
    assert change(ctx, "live") == ("shadow", "live")
    assert change(ctx, None) == ("live", "shadow")


@pytest.mark.parametrize(("mode", "why"), [("fast", "because"), ("live", " ")])
def test_a_mode_needs_a_name_and_a_reason(ctx: BrandContext, mode: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"is no mode|needs a reason"):
        change(ctx, mode, why)
    with ctx.ledger.read() as session:
        assert not session.scalars(sa.select(JournalRow)).all()
