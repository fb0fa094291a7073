"""Returns that do not go the straight way: each has a stated behaviour (docs/architecture.md)."""

from __future__ import annotations

from dataclasses import replace

from test_pays_once import retry

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import Stage
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.ledger.transaction import transaction
from bergen_loop.people import actions
from support import worlds
from support.brands import configure
from support.look import Look
from support.worlds import World


def announced(world: World, ctx: BrandContext, **how: object) -> str:
    return_id = world.new_return("northpine", **{"units": 2, "late_label": False, **how})
    worlds.run(world, ctx, ticks=2)
    assert world.tickets(return_id), "no ticket was made"
    return return_id


def test_cancelled_before_its_rma_gets_none(world: World, ctx: BrandContext, look: Look) -> None:
    return_id = world.new_return("northpine", units=1)
    world.change(return_id, "cancel")
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.CANCELLED
    assert not world.tickets(return_id)


def test_cancelled_after_its_rma_is_left_and_its_parcel_needs_a_person(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = announced(world, ctx)
    world.change(return_id, "cancel")
    worlds.run(world, ctx, ticks=31)
    assert look.stage(return_id) is Stage.CANCELLED
    assert any("no cancel call" in line for line in look.journal(return_id))
    world.receive(return_id)
    worlds.run(world, ctx, ticks=2)
    ((kind, reason),) = look.attention(return_id)
    assert kind == "unexpected_receipt"
    assert "cancelled" in reason
    assert world.effects(return_id)["process_accepted"] == 0


def test_cancelled_after_receipt_is_a_conflict_for_a_person(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = announced(world, ctx)
    world.receive(return_id, "short")
    worlds.run(world, ctx)
    world.change(return_id, "cancel")
    worlds.run(world, ctx, ticks=31)
    assert look.stage(return_id) is Stage.CANCELLED
    assert [kind for kind, _ in look.attention(return_id)] == ["conflict"]


def test_expired_and_opened_again_goes_on(world: World, ctx: BrandContext, look: Look) -> None:
    return_id = announced(world, ctx)
    world.change(return_id, "expire")
    worlds.run(world, ctx)
    assert look.stage(return_id) is Stage.EXPIRED
    world.change(return_id, "reopen")
    worlds.run(world, ctx)
    assert look.stage(return_id) is Stage.ANNOUNCED
    world.receive(return_id)
    worlds.run(world, ctx, ticks=3)
    assert look.stage(return_id) is Stage.COMPLETE
    assert len(world.tickets(return_id)) == 1


def test_expired_before_its_rma_and_opened_again_is_announced(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = world.new_return("northpine", units=1, late_label=False)
    world.change(return_id, "expire")
    worlds.run(world, ctx)
    assert look.stage(return_id) is Stage.EXPIRED
    world.change(return_id, "reopen")
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.ANNOUNCED


def test_a_parcel_for_an_expired_return_needs_a_person(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = announced(world, ctx)
    world.change(return_id, "expire")
    worlds.run(world, ctx)
    world.receive(return_id)
    worlds.run(world, ctx, ticks=2)
    assert [kind for kind, _ in look.attention(return_id)] == ["unexpected_receipt"]
    assert world.effects(return_id)["process_accepted"] == 0


def test_an_edited_return_is_judged_by_its_new_units(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = announced(world, ctx, units=2)
    world.change(return_id, "edit", add=1, remove=0)
    worlds.run(world, ctx)
    assert any(line.startswith("edited in Loop") for line in look.journal(return_id))
    world.receive(return_id, "complete")  # what the ticket said: two units, not three
    worlds.run(world, ctx)
    assert look.stage(return_id) is Stage.WAITING
    assert world.effects(return_id)["process_accepted"] == 0


def test_the_rma_waits_for_a_late_label(world: World, ctx: BrandContext, look: Look) -> None:
    world.sandbox.settings.update({"label_delay_seconds": 600.0})
    configure(ctx, announce={"label_wait": "1h"})
    return_id = world.new_return("northpine", units=1, late_label=True)
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.SEEN
    world.advance(600)
    worlds.run(world, ctx, ticks=2)
    (ticket,) = world.tickets(return_id)
    assert ticket.tracking_numbers == [look.row(return_id).tracking_number]


def test_a_label_that_never_comes_delays_the_rma_only_so_long(
    world: World, ctx: BrandContext, look: Look
) -> None:
    world.sandbox.settings.update({"label_delay_seconds": 10.0**6})
    configure(ctx, announce={"label_wait": "1h"})
    return_id = world.new_return("northpine", units=1, late_label=True)
    worlds.run(world, ctx, seconds=3500)
    worlds.run(world, ctx)
    assert look.stage(return_id) is Stage.SEEN
    world.advance(100)
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.ANNOUNCED


def test_a_return_without_a_parcel_gets_no_rma_and_ends_with_loop(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = world.new_return("northpine", units=1, no_parcel=True)
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.NO_PARCEL
    assert not world.tickets(return_id)
    world.change(return_id, "close")
    worlds.run(world, ctx)
    assert look.stage(return_id) is Stage.COMPLETE


def test_closed_by_hand_before_the_parcel_is_never_processed_by_us(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = announced(world, ctx)
    world.change(return_id, "close")
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.CLOSING, "the ticket is not finished yet"
    world.receive(return_id)
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.COMPLETE
    assert world.effects(return_id)["process_accepted"] == 0


def test_flagged_by_hand_before_the_parcel_goes_to_a_person(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = announced(world, ctx)
    world.change(return_id, "flag")
    worlds.run(world, ctx)
    world.receive(return_id)
    worlds.run(world, ctx, ticks=2)
    assert [kind for kind, _ in look.attention(return_id)] == ["decide_by_hand"]
    assert world.effects(return_id)["process_accepted"] == 0


def test_opened_again_after_our_flag_is_never_processed(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = announced(world, ctx)
    world.receive(return_id, "damaged")
    worlds.run(world, ctx, ticks=2)
    world.change(return_id, "reopen")
    worlds.run(world, ctx, ticks=3)
    assert look.stage(return_id) is Stage.FLAGGED
    assert [kind for kind, _ in look.attention(return_id)] == ["conflict"]
    assert world.effects(return_id)["process_accepted"] == 0


def test_a_ticket_the_warehouse_cancels_needs_a_person(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = announced(world, ctx)
    (ticket,) = world.tickets(return_id)
    world.cancel_ticket(ticket.id)
    worlds.run(world, ctx, ticks=2)
    assert [kind for kind, _ in look.attention(return_id)] == ["ticket_cancelled"]


def test_a_return_whose_only_ticket_was_cancelled_never_waits_for_it(
    world: World, ctx: BrandContext, look: Look
) -> None:
    """A person decided, the return was edited meanwhile, and they tried again (seed 79553)."""
    return_id = announced(world, ctx)
    world.cancel_ticket(world.tickets(return_id)[0].id)
    worlds.run(world, ctx)
    with transaction(ctx.ledger, ctx.brand, ctx.now(), "ada") as tx:
        row = tx.session.get_one(ReturnRow, look.row(return_id).id)
        actions.decide(tx, row, actions.ByHand(Outcome.FLAG, "it is long gone"))
    world.change(return_id, "edit", add=1, remove=0)
    worlds.run(world, ctx)
    assert [kind for kind, _ in look.attention(return_id)] == ["decide_by_hand"]
    retry(ctx, "decide_by_hand")
    worlds.run(world, ctx, ticks=2)
    assert [kind for kind, _ in look.attention(return_id)] == ["ticket_cancelled"]


def test_a_retry_leaves_an_expired_return_where_it_goes_on_from(
    world: World, ctx: BrandContext, look: Look
) -> None:
    """It was put back to be announced, and waited there in silence (seed 84473)."""
    return_id = announced(world, ctx)
    world.cancel_ticket(world.tickets(return_id)[0].id)
    worlds.run(world, ctx)
    world.change(return_id, "expire")
    worlds.run(world, ctx)
    retry(ctx, "ticket_cancelled")
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.EXPIRED
    world.change(return_id, "reopen")
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.ANNOUNCED
    assert len(world.tickets(return_id)) == 2


def test_a_return_for_another_destination_is_left_alone(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = world.new_return("northpine", units=1, late_label=False)
    with world.sandbox.lock:
        found = world.sandbox.find_return(return_id)
        assert found is not None
        found.destination_id = 9
    configure(ctx, announce={"destinations": {"9": None}})
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.IGNORED
    assert not world.tickets(return_id)


def test_an_unknown_product_is_added_and_awaited_where_the_brand_allows(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = _with_unknown_product(world)
    worlds.run(world, ctx)
    assert look.stage(return_id) is Stage.SEEN
    assert len(world.calls("StyleMasterProductAdd")) == 1
    worlds.run(world, ctx, ticks=2, seconds=300)
    assert look.stage(return_id) is Stage.ANNOUNCED


def test_an_unknown_product_needs_a_person_where_the_brand_does_not_allow(
    world: World, ctx: BrandContext, look: Look
) -> None:
    configure(ctx, announce={"add_products": False})
    return_id = _with_unknown_product(world)
    worlds.run(world, ctx, ticks=3)
    ((kind, reason),) = look.brand_attention()
    assert kind == "unknown_product"
    assert "ask Bergen" in reason
    assert look.attention(return_id) == [], "told once for the product, not for each return"
    assert any("waits for what REX11 does not know" in entry for entry in look.journal(return_id))
    assert not world.calls("StyleMasterProductAdd")
    assert not world.calls("ReceivingTicketAdd")


def _with_unknown_product(world: World) -> str:
    return_id = world.new_return("northpine", units=1, late_label=False)
    with world.sandbox.lock:
        found = world.sandbox.find_return(return_id)
        assert found is not None
        world.sandbox.brand("northpine").rex_products.pop(found.lines[0].product.upc, None)
    return return_id


def test_the_words_for_no_parcel_are_settings(world: World, ctx: BrandContext, look: Look) -> None:
    settings = ("no_parcel_methods", "no_parcel_method_types", "no_parcel_outcomes")
    none = {name: list[str]() for name in settings}
    configure(ctx, announce=none)
    return_id = world.new_return("northpine", units=1, no_parcel=True)
    worlds.run(world, ctx, ticks=2)
    assert look.stage(return_id) is Stage.ANNOUNCED
    assert len(world.tickets(return_id)) == 1


def test_shipping_protection_is_neither_announced_nor_missed(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = world.new_return("northpine", units=2, late_label=False)
    with world.sandbox.lock:
        sold = world.sandbox.find_return(return_id)
        assert sold is not None
        protection = replace(sold.lines[1].product, sku="ROUTEINS10", upc="")
        sold.lines[1].product = protection
    configure(ctx, announce={"no_parcel_skus": ["ROUTEINS*"]})
    worlds.run(world, ctx, ticks=2)
    [ticket] = world.tickets(return_id)
    assert [item.expected for item in ticket.items] == [1]
    world.receive(return_id)
    worlds.run(world, ctx, ticks=3)
    assert look.stage(return_id) is Stage.COMPLETE
    assert world.effects(return_id)["money_moved"] == 1
    assert not world.calls("remove_lines")


def test_an_answer_that_nobody_understood_is_read_again_though_no_list_shows_it_any_more(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = announced(world, ctx)
    world.receive(return_id)
    worlds.run(world, ctx)
    world.fault("loop", "record_patch", subject=return_id, patch={"created_at": "$absent"})
    worlds.run(world, ctx, ticks=3)
    assert world.state(return_id) == "closed"
    assert [kind for kind, _ in look.attention(return_id)] == ["unreadable"]
    world.advance(4 * 3600)
    worlds.run(world, ctx)
    assert [kind for kind, _ in look.attention(return_id)] == ["unreadable"], "it still is"
    with world.sandbox.lock:
        world.sandbox.faults.clear()
    world.advance(4 * 3600)
    worlds.run(world, ctx, ticks=2)
    assert (look.stage(return_id), look.attention(return_id)) == (Stage.COMPLETE, [])
    assert world.effects(return_id)["process_accepted"] == 1


def test_an_edit_is_seen_though_loops_clock_was_put_back_before_it(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = announced(world, ctx)
    world.change(return_id, "edit", add=1, remove=0)
    worlds.run(world, ctx)
    world.sandbox.settings.update({"loop_skew_seconds": -240.0})
    world.change(return_id, "edit", add=0, remove=2)
    worlds.run(world, ctx)
    with world.sandbox.lock:
        shown = world.sandbox.find_return(return_id)
        assert shown is not None
        units = {str(line.id) for line in shown.lines}
    assert {line.line_item_id for line in look.view(return_id).lines} == units


def cut_off(operation: str, body: bytes) -> bytes:
    ticket = operation == "GetReceivingTicketObjectByTicketNo"
    return body[: len(body) // 2] if ticket else body


def test_counts_that_are_not_understood_at_one_sync_are_read_at_the_next(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = announced(world, ctx)
    world.receive(return_id)
    world.rewrites.append(cut_off)
    worlds.run(world, ctx)
    assert look.attention(return_id) == []
    world.rewrites.clear()
    worlds.run(world, ctx, ticks=3)
    assert (look.stage(return_id), look.attention(return_id)) == (Stage.COMPLETE, [])


def test_counts_that_stay_beyond_understanding_go_to_a_person_and_are_left_to_them(
    world: World, ctx: BrandContext, look: Look
) -> None:
    return_id = announced(world, ctx)
    world.receive(return_id)
    world.rewrites.append(cut_off)
    worlds.run(world, ctx, ticks=2)
    assert [kind for kind, _ in look.attention(return_id)] == ["receipt_unreadable"]
    calls = len(world.calls("GetReceivingTicketObjectByTicketNo"))
    worlds.run(world, ctx, ticks=3)
    assert len(world.calls("GetReceivingTicketObjectByTicketNo")) == calls
