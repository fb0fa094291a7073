"""People and settings that act in the middle of a return's way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from cases_support import Story, all_of
from pydantic import SecretStr

from bergen_loop.domain.criteria import load_criteria, preset_text
from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.codec import load_items
from bergen_loop.ledger.store import modes
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow
from bergen_loop.ledger.transaction import Transaction
from support import worlds
from support.brands import configure


def mode(story: Story, wanted: str) -> None:
    with story.ctx.ledger.write() as session:
        tx = Transaction(session, story.ctx.brand, story.ctx.now(), "ann")
        modes.set_mode(tx, wanted, configured=story.ctx.settings.mode, why="because")


def criteria(story: Story, wait: str) -> None:
    text = preset_text("standard").replace("wait: 7d", f"wait: {wait}")
    story.ctx.criteria = load_criteria(text, source="standard.yaml")


def announce(story: Story, **changes: Any) -> None:
    configure(story.ctx, announce=changes)


# -- from shadow to live ---------------------------------------------------------------------


def test_what_had_waited_in_shadow_is_judged_when_its_brand_goes_live(story: Story) -> None:
    """Its wait was over in shadow, so it is not received anew: it stood as waiting, for nothing."""
    mode(story, "shadow")
    return_id = story.received("short")
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.WAITING
    story.world.advance(timedelta(days=8).total_seconds())
    story.ticks(3)
    assert story.look.stage(return_id) is Stage.RECEIVED, "nothing is awaited any more"
    assert story.flags(return_id) == 0
    mode(story, "live")
    story.ticks(3)
    assert story.flags(return_id) == 1
    assert story.look.stage(return_id) is Stage.FLAGGED


# -- settings change before there is an RMA --------------------------------------------------


def test_one_return_that_cannot_be_looked_at_anew_keeps_no_other(story: Story) -> None:
    announce(story, when="delivered")
    bad, good = (story.world.new_return("northpine", units=1, late_label=False) for _ in range(2))
    story.ticks(1)
    with story.ctx.ledger.write() as session:
        row = session.scalar(sa.select(ReturnRow).where(ReturnRow.return_id == bad))
        assert row is not None
        row.content = {"id": bad}
    announce(story, when="submitted")
    story.ticks(2)
    assert story.look.stage(good) is Stage.ANNOUNCED
    assert "internal" in [kind for kind, _ in story.told(bad)]


def test_a_return_that_waits_for_the_carrier_is_announced_when_that_is_asked_no_more(
    story: Story,
) -> None:
    announce(story, when="delivered")
    return_id = story.submit(*story.stock()[:2])
    story.ticks(2)
    assert not story.world.tickets(return_id)
    announce(story, when="submitted")
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.ANNOUNCED


def test_what_is_never_shipped_after_all_or_after_all_is_goes_by_the_settings_of_now(
    story: Story,
) -> None:
    """One is known when its SKUs are named as never shipped, one comes after."""
    announce(story, when="delivered")
    products = story.stock()[:2]
    early = story.submit(*products)
    story.ticks(2)
    announce(story, when="submitted", no_parcel_skus=[p.sku for p in products])
    late = story.submit(*products)
    story.ticks(2)
    assert [story.look.stage(r) for r in (early, late)] == [Stage.NO_PARCEL] * 2
    announce(story, no_parcel_skus=[])
    story.ticks(2)
    assert [story.look.stage(r) for r in (early, late)] == [Stage.ANNOUNCED] * 2


def test_a_destination_that_was_asked_about_is_answered_by_the_settings(story: Story) -> None:
    """Not Bergen's: left alone, and nobody is asked any more. Bergen's after all: announced."""
    announce(story, destinations={"999": "NJ"})
    return_id = story.submit(*story.stock()[:2])
    story.ticks(2)
    assert story.kinds(return_id) == ["destination"]
    announce(story, destinations={"999": "NJ", "77": None})
    story.ticks(2)
    assert (story.look.stage(return_id), story.told(return_id)) == (Stage.IGNORED, [])
    announce(story, destinations={"999": "NJ", "77": "NJ"})
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    story.world.receive(return_id)
    story.ticks(4)
    story.settled(return_id)


def test_returns_before_the_start_are_announced_when_the_start_is_put_back(story: Story) -> None:
    announce(story, start=story.world.now() + timedelta(days=1))
    return_id = story.submit(*story.stock()[:2])
    ended = story.submit(*story.stock()[:2])
    story.ticks(2)
    story.world.change(ended, "close")
    story.ticks(2)
    announce(story, start=story.world.now() - timedelta(days=1))
    story.ticks(2)
    stages = [story.look.stage(r) for r in (return_id, ended)]
    assert stages == [Stage.ANNOUNCED, Stage.IGNORED]


def test_a_return_whose_destination_becomes_bergen_in_loop_is_announced(story: Story) -> None:
    announce(story, destinations={"999": "NJ", "77": None})
    return_id = story.submit(*story.stock()[:2])
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.IGNORED
    story.in_loop(return_id).destination_id = 999
    story.world.change(return_id, "edit")
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.ANNOUNCED


# -- settings or criteria change while a return waits ----------------------------------------


def test_a_wait_ends_by_the_criteria_of_now(story: Story) -> None:
    shorter, longer = story.received("short"), story.received("short")
    story.ticks(2)
    before = story.look.row(shorter).due_at
    criteria(story, "1h")
    story.ticks(65)
    assert [story.flags(r) for r in (shorter, longer)] == [1, 1]
    third = story.received("short")
    story.ticks(2)
    criteria(story, "9d")
    story.ticks(62)
    assert before and story.flags(third) == 0, "judged again, it waits on"


def test_a_unit_that_is_named_as_never_shipped_is_waited_for_no_more(story: Story) -> None:
    goods, protection = story.stock()[:2]
    return_id = story.announced(goods, protection)
    story.world.receive(return_id, "short")
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.WAITING
    missing = story.look.view(return_id).decision
    assert missing
    sku = protection.sku if protection.sku in missing.reason else goods.sku
    announce(story, no_parcel_skus=[sku])
    story.ticks(3)
    story.settled(return_id)


# -- while the answer to the RMA is lost -----------------------------------------------------


def lost(story: Story) -> str:
    """Its RMA was made, and whether that is so cannot be seen for now."""
    announce(story, lost_ticket_wait="30m")
    story.world.fault("rex11", "timeout_after", operation="ReceivingTicketAdd", nth=1)
    return_id = story.submit(*story.stock()[:2])
    story.ticks(1)
    story.world.fault("rex11", "status_502", operation="GetReceivingTicketsByPO", probability=1.0)
    return return_id


def test_a_return_that_is_to_have_no_parcel_any_more_is_judged_if_one_comes(story: Story) -> None:
    return_id = lost(story)
    announce(story, no_parcel_skus=[p.sku for p in story.stock()[:2]])
    story.world.change(return_id, "label", status="in_transit")
    story.ticks(2)
    story.heal()
    story.ticks(8)
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    story.world.receive(return_id)
    story.ticks(4)
    assert story.paid(return_id) == 0
    assert story.kinds(return_id) == ["decide_by_hand"]


def test_what_comes_for_a_return_without_a_parcel_is_judged(story: Story) -> None:
    """As an earlier release left it: with a ticket, and yet to have no parcel."""
    return_id = story.announced()
    with story.ctx.ledger.write() as session:
        session.execute(sa.update(ReturnRow).values(stage=Stage.NO_PARCEL))
    story.world.receive(return_id)
    story.ticks(4)
    story.settled(return_id)


def test_what_was_announced_is_kept_as_it_was_sent_while_its_answer_is_lost(story: Story) -> None:
    return_id = lost(story)
    sent = announced_skus(story)
    story.in_loop(return_id).lines[0].product = story.stock()[2]
    story.world.change(return_id, "label", status="in_transit")
    story.ticks(3)
    assert announced_skus(story) == sent
    story.heal()
    story.ticks(8)
    assert story.look.stage(return_id) is Stage.ANNOUNCED
    assert announced_skus(story) == sent


def announced_skus(story: Story) -> list[str]:
    with story.ctx.ledger.read() as session:
        (rma,) = session.scalars(sa.select(RmaRow))
        return sorted(str(item.sku) for item in load_items(rma.items))


# -- keys ------------------------------------------------------------------------------------


def with_key(story: Story, key: str) -> Story:
    """The same brand with the same ledger, after its file has been changed."""
    changed = {"api_key": SecretStr(key)}
    return Story(story.world, worlds.context(story.world, story.ctx.ledger, loop=changed))


def loop_calls(story: Story, slug: str) -> list[str]:
    with story.world.sandbox.lock:
        made = story.world.sandbox.calls.find(brand=slug, limit=10**6)
        return [call.operation for call in made if call.system == "loop"]


def test_a_key_of_another_shop_takes_nothing_in_and_settles_nothing(story: Story) -> None:
    mine = story.received("complete")
    with story.world.sandbox.lock:
        lumen = story.world.sandbox.brand("lumen")
    story.world.new_return("lumen", units=1, late_label=False)
    wrong = with_key(story, lumen.loop_key)
    wrong.ticks(5, seconds=1800)
    with wrong.ctx.ledger.read() as session:
        assert list(session.scalars(sa.select(ReturnRow.return_id))) == [mine]
    assert set(loop_calls(story, "lumen")) == {"details"}
    [(kind, why)] = wrong.look.brand_attention()
    assert kind == "access"
    assert all_of([why], mine, "another shop's", "loop.api_key", "brand of its own")
    right = with_key(story, story.ctx.settings.loop.api_key.get_secret_value())
    right.ticks(4)
    assert right.look.brand_attention() == []
    assert right.look.stage(mine) is Stage.COMPLETE
    assert story.world.effects(mine)["money_moved"] == 1


def test_a_new_key_of_the_same_shop_costs_one_call_once(story: Story) -> None:
    mine = story.received("complete")
    with story.world.sandbox.lock:
        story.world.sandbox.brand("northpine").loop_key = "loop-renewed"
    story.ticks(1)
    renewed = with_key(story, "loop-renewed")
    before = loop_calls(story, "northpine").count("details")
    renewed.ticks(4)
    assert renewed.look.stage(mine) is Stage.COMPLETE
    assert renewed.look.brand_attention() == []
    assert loop_calls(story, "northpine").count("details") == before + 1


def test_a_new_key_that_nothing_can_be_seen_by_is_not_worked_with_yet(story: Story) -> None:
    mine = story.received("complete")
    with story.world.sandbox.lock:
        story.world.sandbox.brand("northpine").loop_key = "loop-renewed"
    renewed = with_key(story, "loop-renewed")
    story.world.fault("loop", "status_500", operation="details")
    renewed.ticks(2)
    assert renewed.look.stage(mine) is Stage.RECEIVED
    assert story.world.calls("process") == []
    with story.world.sandbox.lock:
        story.world.sandbox.faults.clear()
    renewed.ticks(4)
    assert renewed.look.stage(mine) is Stage.COMPLETE
