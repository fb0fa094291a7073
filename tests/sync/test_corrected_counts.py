"""A receipt that is unclear: a person says what came, and the criteria judge anew."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa
from test_flow import arrive

from bergen_loop.domain.returns import Stage
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import attention, returns
from bergen_loop.ledger.tables.core import AttentionRow, DecisionRow, ReceiptRow, ReturnRow
from bergen_loop.ledger.transaction import transaction
from bergen_loop.people import actions, counts
from bergen_loop.people.actions import NotPossible
from bergen_loop.people.counts import Evidence, Stated, Statement
from support import worlds
from support.look import Look
from support.worlds import World


def illegible(operation: str, body: bytes) -> bytes:
    if operation != "GetReceivingTicketObjectByTicketNo":
        return body
    return re.sub(rb"(ActualQuantity[^>]*>)[0-9.]+<", rb"\1one<", body, count=1)


def unclear(world: World, ctx: BrandContext) -> str:
    """A complete parcel of which one count cannot be read."""
    world.sandbox.settings.update({"review_held_share": 0.0, "two_label_share": 0.0})
    world.rewrites.append(illegible)
    return arrive(world, ctx, "complete", outcome="refund")


def say(
    ctx: BrandContext, look: Look, return_id: str, good: tuple[int, ...], damaged: int = 0
) -> ReceiptRow:
    """mara says what came of each item, in the ticket's order."""
    view = look.view(return_id)
    (sheet,) = counts.sheets(view.newest, view.compared)
    stated = tuple(
        Stated(e.product, n, damaged if i == 0 else 0)
        for i, (e, n) in enumerate(zip(sheet.entries, good, strict=True))
    )
    file = Evidence("photo.png", "image/png", b"\x89PNG")
    statement = Statement(sheet.receipt, stated, "I opened the box", file)
    with transaction(ctx.ledger, ctx.brand, ctx.now(), "mara") as tx:
        row = tx.session.get_one(ReturnRow, view.row.id)
        return counts.correct(tx, row, view.compared, statement)


def items(look: Look, return_id: str) -> int:
    """How many lines the return's ticket has."""
    return len(look.view(return_id).newest[0].content["lines"])


def test_what_is_not_known_is_never_shown_as_nothing(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = unclear(world, ctx)
    view = look.view(return_id)
    assert view.compared.in_words.startswith(("1 + ? of 2 units", "? of 2 units"))
    assert "missing" not in view.compared.in_words
    assert [u for u in view.compared.unclear if "ActualQuantity" in u] == [
        u for u in view.compared.unclear if "ActualQuantity is 'one', not a whole number" in u
    ]
    assert len(view.compared.unclear) == 1, "the raw value, once"
    (received,) = [line for line in look.journal(return_id) if line.startswith("received")]
    assert "? counted, 0 damaged" in received


def test_a_corrected_count_is_judged_and_paid_once(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = unclear(world, ctx)
    assert [kind for kind, _ in look.attention(return_id)] == ["decide_by_hand"]
    raw = look.view(return_id).newest[0]
    world.advance(600)  # the ticket is to be read again, but not yet
    kept = say(ctx, look, return_id, (1,) * items(look, return_id))
    worlds.run(world, ctx, ticks=4)
    assert look.stage(return_id) is Stage.COMPLETE
    effects = world.effects(return_id)
    assert (effects["money_moved"], effects["process_accepted"]) == (1, 1)
    view = look.view(return_id)
    assert [(r.id, r.corrects, r.by) for r in view.receipts] == [
        (raw.id, None, None), (kept.id, raw.id, "mara"),
    ]  # fmt: skip
    assert view.receipts[0].content == raw.content, "what was read stays as it came"
    assert view.decisions[-1].receipt_ids == [kept.id]
    assert any(j.startswith("count corrected by hand: ") and "I opened the box" in j
               for j in look.journal(return_id))  # fmt: skip


def test_a_corrected_count_may_be_bad_news(world: World, ctx: BrandContext, look: Look) -> None:
    return_id = unclear(world, ctx)
    say(ctx, look, return_id, (1,) * items(look, return_id), damaged=1)
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.FLAGGED
    assert world.effects(return_id)["money_moved"] == 0


def test_reading_the_same_again_is_nothing_new_and_another_count_is(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = unclear(world, ctx)
    kept = say(ctx, look, return_id, (1,) * items(look, return_id))
    with transaction(ctx.ledger, ctx.brand, ctx.now(), "mara") as tx:
        actions.resync(tx, tx.session.get_one(ReturnRow, look.row(return_id).id))
    world.fault("loop", "status_502")  # read again, and not settled yet
    worlds.tick.run(ctx)
    assert look.view(return_id).newest[0].id == kept.id
    world.rewrites.clear()
    world.correct_ticket(world.tickets(return_id)[0].id, "damaged")
    with transaction(ctx.ledger, ctx.brand, ctx.now(), "mara") as tx:
        actions.resync(tx, tx.session.get_one(ReturnRow, look.row(return_id).id))
    worlds.tick.run(ctx)
    newest = look.view(return_id).newest[0]
    assert (newest.corrects, newest.id != kept.id) == (None, True)
    assert any("the count that mara gave does not hold any more" in j
               for j in look.journal(return_id))  # fmt: skip


def test_only_an_unclear_receipt_is_corrected_and_only_once(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = unclear(world, ctx)
    number = items(look, return_id)
    stale = look.view(return_id)
    say(ctx, look, return_id, (1,) * number)
    (sheet,) = counts.sheets(stale.newest, stale.compared)
    stated = tuple(Stated(e.product, 1, 0) for e in sheet.entries)
    with (
        pytest.raises(NotPossible, match="counted again"),
        transaction(ctx.ledger, ctx.brand, ctx.now(), "jo") as tx,
    ):
        row = tx.session.get_one(ReturnRow, stale.row.id)
        counts.correct(tx, row, stale.compared, Statement(sheet.receipt, stated, "me too"))
    with pytest.raises(NotPossible, match="the receipt is clear"):
        say(ctx, look, return_id, (1,) * number)
    worlds.run(world, ctx, ticks=4)
    with pytest.raises(NotPossible, match="not open"):
        say(ctx, look, return_id, (1,) * number)
    with ctx.ledger.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ReceiptRow)) == 2


# -- retry, ignore, undo ------------------------------------------------------------------------


def the_item(ctx: BrandContext) -> AttentionRow:
    with ctx.ledger.read() as session:
        (item,) = session.scalars(sa.select(AttentionRow).where(AttentionRow.return_pk > 0))
        return item


def do(ctx: BrandContext, act: object, *more: object, who: str = "mara") -> None:
    with transaction(ctx.ledger, ctx.brand, ctx.now(), who) as tx:
        item = tx.session.get_one(AttentionRow, the_item(ctx).id)
        act(tx, item, *more)  # type: ignore[operator]


def test_retry_reads_the_ticket_again_and_says_what_it_found(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = unclear(world, ctx)
    before = the_item(ctx)
    reads = len(world.calls("GetReceivingTicketObjectByTicketNo"))
    do(ctx, actions.retry, "again")
    worlds.run(world, ctx)
    assert len(world.calls("GetReceivingTicketObjectByTicketNo")) == reads + 1
    item = the_item(ctx)
    assert (item.id, item.opened_at, item.resolved_at) == (before.id, before.opened_at, None)
    assert item.tried_again_by == "mara"
    assert look.row(return_id).held
    last = [j for j in look.journal(return_id) if j.startswith("needs attention")][-1]
    assert last.startswith("needs attention: still: the receipt is not clear")
    world.rewrites.clear()
    do(ctx, actions.retry, "Bergen has put it right")
    worlds.run(world, ctx, ticks=4)
    assert look.stage(return_id) is Stage.COMPLETE
    assert the_item(ctx).ended == "retried"


def test_nothing_is_judged_on_a_retry_before_the_ticket_was_read(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = unclear(world, ctx)
    do(ctx, actions.retry, "again")
    world.fault("rex11", "status_502")
    worlds.tick.run(ctx)
    with ctx.ledger.read() as session:
        decisions = session.scalars(sa.select(DecisionRow)).all()
    assert (look.stage(return_id), len(decisions)) == (Stage.WAITING, 1)


def test_what_is_ignored_is_left_alone_until_it_is_put_back(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = unclear(world, ctx)
    since = the_item(ctx).opened_at
    do(ctx, actions.ignore, "the shop sorts it out")
    worlds.run(world, ctx, ticks=2)
    view = look.view(return_id)
    assert view.ignored is not None
    assert "mara left it to people" in view.why().sentence()
    assert "the shop sorts it out" in view.why().sentence()
    do(ctx, actions.undo, "")
    row = look.row(return_id)
    assert (row.held, look.view(return_id).ignored) == (True, None)
    assert the_item(ctx).opened_at == since
    with pytest.raises(NotPossible, match="on the list"):
        do(ctx, actions.undo, "")


def test_the_second_is_told_who_did_what(world: World, ctx: BrandContext) -> None:
    unclear(world, ctx)
    do(ctx, actions.ignore, "known")
    told = r"resolved already, by mara at 2026-11-10 \d\d:\d\d UTC: ignored: known"
    for act, more in ((actions.retry, "x"), (actions.ignore, "x"), (actions.assign, "jo")):
        with pytest.raises(NotPossible, match=told):
            do(ctx, act, more, who="jo")


def test_what_is_put_off_still_holds_and_is_back_when_something_else_is_said(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = unclear(world, ctx)
    do(ctx, actions.assign, "jo")
    do(ctx, actions.snooze, ctx.now() + timedelta(days=2))
    with ctx.ledger.read() as session:
        assert (
            session.scalars(sa.select(AttentionRow).where(attention.awake(ctx.now()))).all() == []
        )
        later = attention.awake(ctx.now() + timedelta(days=3))
        assert len(session.scalars(sa.select(AttentionRow).where(later)).all()) == 1
    assert look.row(return_id).held
    with transaction(ctx.ledger, ctx.brand, ctx.now()) as tx:
        row = returns.by_id(tx.session, ctx.brand, return_id)
        assert row is not None
        item = attention.raise_item(
            tx.session,
            tx.now,
            attention.Matter(
                brand=ctx.brand,
                kind=attention.Need.DECIDE_BY_HAND,
                reason="something else",
                about=row,
            ),
        )
        assert (item.snoozed_until, item.assignee) == (None, "jo")
    with pytest.raises(NotPossible, match="at most 31 days"):
        do(ctx, actions.snooze, ctx.now() + timedelta(days=32))
