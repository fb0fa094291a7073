"""What is listed when: cheap while nothing hangs on it, fresh where something does."""

from __future__ import annotations

import json

import pytest

from bergen_loop.domain.returns import Stage
from bergen_loop.flow import announce
from bergen_loop.flow.context import BrandContext
from support import worlds
from support.look import Look
from support.worlds import World


def announced(world: World, ctx: BrandContext) -> str:
    return_id = world.new_return("northpine", units=2, late_label=False)
    worlds.run(world, ctx, ticks=2)
    assert world.tickets(return_id), "no ticket was made"
    return return_id


def test_cancelled_returns_and_those_in_review_are_listed_every_half_hour(
    world: World, ctx: BrandContext
) -> None:
    worlds.run(world, ctx)
    before = len(world.sandbox.calls)
    worlds.run(world, ctx, ticks=60)
    made = world.sandbox.calls.find(after=before, limit=500)
    lists = [c for c in made if c.operation == "list"]
    assert len(lists) == 60 + 2 * 2


def test_a_return_flagged_by_a_person_a_moment_before_is_not_processed(
    world: World, ctx: BrandContext, look: Look
) -> None:
    """A shop may allow that returns in review are processed: it must be seen, not refused."""
    return_id = announced(world, ctx)
    worlds.run(world, ctx)
    world.receive(return_id)
    world.change(return_id, "flag")
    worlds.run(world, ctx, ticks=2)
    assert [kind for kind, _ in look.attention(return_id)] == ["decide_by_hand"]
    assert world.calls("process") == []


def test_a_return_cancelled_while_it_waited_for_its_label_gets_no_rma(
    world: World, ctx: BrandContext, look: Look
) -> None:
    ctx.settings = worlds.brand_settings(world, "northpine", announce={"label_wait": "5m"})
    return_id = world.new_return("northpine", units=1, late_label=True)
    worlds.run(world, ctx)
    world.change(return_id, "cancel")
    worlds.run(world, ctx, ticks=7)
    assert look.stage(return_id) is Stage.CANCELLED
    assert world.tickets(return_id) == []


def test_what_a_shifted_page_hid_after_hours_of_standstill_is_seen_all_the_same(
    world: World, ctx: BrandContext, look: Look
) -> None:
    """The deep overlap of three hours does not reach back to it (soak, seed 82162)."""
    return_id = announced(world, ctx)
    world.change(return_id, "expire")
    world.advance(4 * 3600)

    def without_it(operation: str, body: bytes) -> bytes:
        if operation != "list":
            return body
        page = json.loads(body)
        page["returns"] = [r for r in page["returns"] if str(r["id"]) != return_id]
        return json.dumps(page).encode()

    world.rewrites.append(without_it)
    worlds.run(world, ctx)
    assert look.stage(return_id) is Stage.ANNOUNCED
    world.rewrites.clear()
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.EXPIRED


def test_a_backlog_is_worked_off_without_listing_again(
    world: World, ctx: BrandContext, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce, "PER_TICK", 2)
    for _ in range(7):
        world.new_return("northpine", units=1, late_label=False)
    worlds.run(world, ctx, seconds=2.0)
    lists = len(world.calls("list"))
    worlds.run(world, ctx, ticks=3, seconds=2.0)
    assert len(world.calls("ReceivingTicketAdd")) == 7
    assert len(world.calls("list")) == lists
    assert len(world.calls("GetReceivingStatusesByDate")) == 1
    late = world.new_return("northpine", units=1, late_label=False)
    worlds.run(world, ctx, ticks=1)
    assert look.stage(late) is Stage.ANNOUNCED, "nothing waits any more: it is listed again"
