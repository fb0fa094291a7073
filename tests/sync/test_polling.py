"""When a brand is looked at again."""

from __future__ import annotations

from datetime import timedelta

from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import returns
from support import worlds
from support.brands import configure
from support.rows import a_return
from support.worlds import World


def interval(ctx: BrandContext) -> timedelta:
    """A tick, and how long after it the next one is due."""
    tick.run(ctx)
    with ctx.ledger.read() as session:
        due = returns.brand_row(session, ctx.brand).next_due_at
    assert due is not None
    return due - ctx.now()


def test_a_quiet_brand_is_polled_ever_more_rarely_up_to_the_bound(
    world: World, ctx: BrandContext
) -> None:
    intervals = [interval(ctx) for _ in range(8)]
    assert intervals == sorted(intervals)
    assert intervals[0] > ctx.settings.poll
    assert 0.9 * ctx.settings.poll_max <= intervals[-1] <= ctx.settings.poll_max
    world.new_return("northpine", units=1, late_label=False)
    assert interval(ctx) <= ctx.settings.poll, "something happened: look again soon"


def test_the_next_tick_is_not_later_than_the_next_return_is_due(
    world: World, ctx: BrandContext
) -> None:
    world.sandbox.settings.update({"label_delay_seconds": 10.0**6})
    configure(ctx, announce={"label_wait": timedelta(seconds=90)})
    world.new_return("northpine", units=1, late_label=True)
    tick.run(ctx)
    for _ in range(8):
        assert interval(ctx) <= timedelta(seconds=90)


def test_a_failing_brand_is_not_hammered(world: World, ctx: BrandContext) -> None:
    world.new_return("northpine", units=1, late_label=False)
    worlds.run(world, ctx)
    world.fault("loop", "status_502", operation="list", nth=1, count=1000)
    assert interval(ctx) == ctx.settings.poll


def test_while_parcels_are_awaited_and_the_warehouse_works_receipts_are_looked_for_at_every_poll(
    world: World, ctx: BrandContext
) -> None:
    world.new_return("northpine", units=1, late_label=False, held=False)
    worlds.run(world, ctx, ticks=3)
    assert interval(ctx) > ctx.settings.poll, "when the warehouse works is not known yet"
    noon = ctx.now()
    for day in range(21):
        received = {"received_at": noon - timedelta(days=day)}
        a_return(ctx.ledger, f"old{day}", ctx.brand, stage="complete", **received)
    world.advance(3600)
    known = interval(ctx)
    assert 0.9 * ctx.settings.poll <= known <= ctx.settings.poll
    with ctx.ledger.read() as session:
        said = tick.next_look(ctx, session, returns.brand_row(session, ctx.brand))
    assert said.startswith(f"every {known.total_seconds():.0f} s: parcels are awaited")
    world.advance(8 * 3600)
    interval(ctx)
    assert interval(ctx) > ctx.settings.poll, "at night nobody counts"
