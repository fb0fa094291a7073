"""Dead letters."""

from __future__ import annotations

import json

import httpx2
import sqlalchemy as sa

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import Need
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import attention, journal
from bergen_loop.ledger.tables.core import RawRow
from bergen_loop.repair import replay
from support import worlds
from support.look import Look
from support.worlds import World


def kept(ctx: BrandContext) -> int:
    with ctx.ledger.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(RawRow)) or 0


def keep(ctx: BrandContext, source: str, body: str, return_id: str | None = None) -> None:
    with ctx.ledger.write() as session:
        journal.keep_raw(
            session,
            ctx.now(),
            journal.Payload(
                brand=ctx.brand,
                source=source,
                digest=str(hash(body)),
                body=body,
                problem="an older release could not read it",
                return_id=return_id,
            ),
        )


def test_a_return_that_can_be_read_by_now_goes_on(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = world.new_return("northpine", units=1, late_label=False)
    answer = httpx2.get(
        f"{world.url}/loop/api/2026-10/warehouse/return/details",
        params={"return_id": return_id},
        headers={"X-Authorization": world.sandbox.brand("northpine").loop_key},
    )
    keep(ctx, "loop.list", answer.text, return_id)
    with ctx.ledger.write() as session:
        attention.raise_item(
            session,
            ctx.now(),
            attention.Matter(brand=ctx.brand, kind=Need.UNREADABLE, reason="?", about=return_id),
        )
    result = replay.run(ctx, who="ann")
    assert (result.read, result.left, kept(ctx)) == (1, [], 0)
    assert look.stage(return_id) is Stage.SEEN
    with ctx.ledger.read() as session:
        assert attention.open_items(session) == []


def test_what_still_cannot_be_read_stays(ctx: BrandContext) -> None:
    keep(ctx, "loop.list", json.dumps({"id": 1, "state": "odd"}), "1")
    keep(ctx, "webhook", "{not json")
    result = replay.run(ctx, who="ann")
    assert result.read == 0
    assert len(result.left) == kept(ctx) == 2


def test_a_ticket_is_read_again(world: World, ctx: BrandContext, look: Look) -> None:
    return_id = world.new_return("northpine", units=1, late_label=False)
    worlds.run(world, ctx, ticks=2)
    world.receive(return_id)
    world.fault("rex11", "truncated", operation="GetReceivingTicketObjectByTicketNo", nth=1)
    keep(ctx, "rex11.ticket", "<broken", return_id)
    assert replay.run(ctx, who="ann").read == 1
    worlds.run(world, ctx, ticks=3)
    assert look.stage(return_id) is Stage.COMPLETE
