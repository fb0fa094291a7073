"""Settings, switches, keys and accounts that change while returns are on their way, and are changed
back: what comes of them is as if nothing had been changed, or a person is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cases_support import Story
from pydantic import SecretStr
from test_cases_accounts import named
from test_cases_flows import ignore, recount

from bergen_loop.domain.criteria import load_criteria, preset_text
from bergen_loop.domain.returns import Stage
from support import worlds
from support.bars import Bar
from support.brands import configure

Life = Callable[[Story], str]


def again(story: Story, **changes: Any) -> Story:
    """The same brand with the same ledger, connected anew with these settings."""
    return Story(story.world, worlds.context(story.world, story.ctx.ledger, **changes))


# -- another warehouse, or another account there --------------------------------------------------


def others_account(story: Story) -> dict[str, Any]:
    """By mistake, another client's."""
    lumen = story.world.sandbox.brand("lumen")
    password = SecretStr(lumen.password)
    names = {"web_address": lumen.web_address, "user_name": lumen.user_name}
    return {"rex11": {**names, "password": password}}


def the_floor(_: Story) -> dict[str, Any]:
    return {"warehouse": "embedded"}


def to_announce(story: Story) -> str:
    return story.submit(*story.stock()[:2])


def in_doubt(story: Story) -> str:
    """Its RMA was made, and the answer is lost."""
    story.world.fault("rex11", "timeout_after", operation="ReceivingTicketAdd", nth=1)
    return_id = to_announce(story)
    story.ticks(1)
    return return_id


def counted(story: Story) -> str:
    return story.received()


@pytest.mark.parametrize("other", [others_account, the_floor])
@pytest.mark.parametrize("life", [to_announce, in_doubt, counted])
def test_nothing_is_announced_to_a_warehouse_that_has_none_of_the_brands_rmas(
    story: Story, other: Callable[[Story], dict[str, Any]], life: Life
) -> None:
    """It was announced there, in silence, and waited for for ever; a second time where the first
    answer had been lost; what had been counted was asked for in vain, return by return."""
    known = story.announced()
    return_id = life(story)
    wrong = again(story, **other(story))
    wrong.ticks(5, seconds=1800)
    [(need, why)] = wrong.look.brand_attention()
    assert need == "access"
    assert "has none of its newest RMAs" in why
    assert wrong.look.attention(return_id) == wrong.look.attention(known) == []
    right = again(story)
    right.ticks(4)
    for one in (known, return_id):
        story.world.receive(one)
    right.ticks(6)
    right.settled(known, return_id)
    assert (len(story.world.tickets(return_id)), right.told(return_id)) == (1, [])


def test_a_brand_that_has_moved_to_another_warehouse_for_good_goes_on_there(story: Story) -> None:
    story.announced()
    new = again(story, warehouse="embedded")
    return_id = to_announce(story)
    new.ticks(2)
    assert not new.look.view(return_id).rmas
    ignore(new)
    new.ticks(3)
    [rma] = new.look.view(return_id).rmas
    assert (str(rma.ticket_id)[:3], new.told(return_id)) == ("FLR", [])
    third = again(story, **others_account(story))
    third.ticks(2)
    assert third.kinds(return_id) == ["access"], "asked anew"


def test_another_password_of_the_same_account_is_taken_without_a_look(story: Story) -> None:
    return_id = story.announced()
    with story.world.sandbox.lock:
        story.world.sandbox.brand("northpine").password = "renewed"
    reads = story.calls("GetReceivingTicketObjectByTicketNo")
    renewed = again(story, rex11={"password": SecretStr("renewed")})
    renewed.ticks(2)
    assert story.calls("GetReceivingTicketObjectByTicketNo") == reads
    assert (renewed.look.stage(return_id), renewed.told(return_id)) == (Stage.ANNOUNCED, [])


# -- a key, before anything is known of its shop --------------------------------------------------


def test_returns_of_the_time_when_another_shops_key_was_in_use_are_seen(story: Story) -> None:
    """Nothing was known yet to tell the shops apart: lists were read on from where the other
    shop's had ended, and what had been submitted before was never seen."""
    story.ticks(1)
    mine = story.submit(*story.stock()[:2])
    key = SecretStr(story.world.sandbox.brand("lumen").loop_key)
    wrong = again(story, loop={"api_key": key})
    wrong.ticks(6, seconds=3600)
    right = again(story)
    right.ticks(3)
    assert (right.look.stage(mine), right.told(mine)) == (Stage.ANNOUNCED, [])


# -- what people were asked about, and the settings answer ----------------------------------------


@pytest.mark.parametrize(
    ("wrong", "need"),
    [({"supplier": None}, "ticket_refused"), ({"code_length": 8}, "code_unsendable")],
)
def test_rmas_that_could_not_be_made_by_the_settings_are_made_by_those_of_now(
    story: Story, wrong: dict[str, Any], need: str
) -> None:
    """Each return was held until a person's retry."""
    broken = again(story, announce=wrong)
    both = [to_announce(story), to_announce(story)]
    broken.ticks(3)
    assert [kind for one in both for kind, _ in broken.look.attention(one)] == [need] * 2
    first = broken.look.attention(both[0])
    broken.ctx.criteria = load_criteria(preset_text("strict"), source="strict.yaml")
    adds = story.calls("ReceivingTicketAdd")
    broken.ticks(2)
    assert (broken.look.attention(both[0]), story.calls("ReceivingTicketAdd")) == (first, adds)
    right = again(story)
    right.ticks(3)
    assert [right.look.stage(r) for r in both] == [Stage.ANNOUNCED] * 2
    assert right.told(both[0]) == right.told(both[1]) == []


@pytest.mark.parametrize("kind", ["complete", "damaged"])
def test_what_the_settings_made_a_person_decide_is_judged_by_those_of_now(
    story: Story, kind: str
) -> None:
    """It was held until a person's retry, also where nobody had to be asked any more."""
    return_id = story.received(kind)
    skus = [p.sku for p in story.stock()[:2]]
    other = again(story, announce={"no_parcel_skus": skus})
    other.ticks(3)
    assert other.kinds(return_id) == ["decide_by_hand"]
    still = again(story, announce={"no_parcel_skus": skus, "expected_days": 3})
    still.ticks(3)
    assert still.kinds(return_id) == ["decide_by_hand"], "it would be asked again"
    right = again(story)
    right.ticks(6)
    paid = int(kind == "complete")
    assert (story.paid(return_id), story.flags(return_id)) == (paid, 1 - paid)
    assert right.told(return_id) == []


def test_what_a_person_has_left_alone_is_left_alone_whatever_the_settings_are(story: Story) -> None:
    return_id = story.received()
    other = again(story, announce={"no_parcel_skus": [p.sku for p in story.stock()[:2]]})
    other.ticks(3)
    ignore(other)
    right = again(story)
    right.ticks(5)
    assert (story.paid(return_id), right.told(return_id)) == (0, [])


# -- return bars that are switched off, and on again ----------------------------------------------


def bars(story: Story) -> tuple[Story, Bar]:
    """A brand with return bars, whose returns Loop pays when a test says so."""
    story.world.sandbox.settings.update({"happy_returns_seconds": 10**9})
    on = again(story, loop={"happy_returns": True})
    on.ticks(1, seconds=3600)
    return on, Bar(story.world, on.ctx)


def test_what_was_dropped_off_box_free_comes_in_its_shipment_though_there_are_no_bars_any_more(
    story: Story,
) -> None:
    """As soon as Loop showed anything new of it, it was announced by itself; its shipment was
    neither announced nor counted. Both in silence."""
    on, bar = bars(story)
    return_id, other = bar.drop(paid=False), bar.drop()
    on.ticks(2)
    off = again(story)
    off.ticks(1)
    story.world.change(return_id, "edit")
    off.ticks(3, seconds=1800)
    assert story.world.tickets(return_id) == []
    shipment = bar.ship(return_id, other)
    off.ticks(3, seconds=1800)
    bar.arrive(shipment)
    off.ticks(5)
    off.settled(return_id)
    assert (len(bar.tickets(shipment)), off.told(return_id)) == (1, [])


def test_a_bag_in_no_known_shipment_is_told_though_there_are_no_bars_any_more(story: Story) -> None:
    on, bar = bars(story)
    return_id = bar.drop(paid=False)
    on.ticks(2)
    off = again(story)
    off.ticks(1)
    bar.ship(return_id, tell=False)
    off.ticks(4, seconds=3600)
    assert off.kinds(return_id) == ["bag_unknown"]
    late = story.world.new_return("northpine", units=1, method="happy_returns", late_label=False)
    off.ticks(3)
    assert off.look.stage(late) is Stage.ANNOUNCED, "by itself, as the settings have it"


def test_a_shipment_of_a_brand_without_return_bars_is_told_until_it_has_some(story: Story) -> None:
    """Its webhook was dropped without a word."""
    story.world.sandbox.settings.update({"happy_returns_seconds": 10**9})
    bar = Bar(story.world, story.ctx)
    return_id = bar.drop()
    story.ticks(2)
    bar.ship(return_id)
    story.ticks(2)
    [(need, why)] = story.look.brand_attention()
    assert need == "configuration"
    assert "loop.happy_returns is off" in why
    on = again(story, loop={"happy_returns": True})
    on.ticks(2)
    assert on.look.brand_attention() == []


def test_what_is_missing_of_a_shipment_is_waited_for_as_long_as_the_settings_say_now(
    story: Story,
) -> None:
    on, bar = bars(story)
    lost, here = bar.drop(), bar.drop()
    on.ticks(2)
    shipment = bar.ship(lost, here)
    on.ticks(2)
    bar.arrive(shipment, missing=(f"HRBAG{lost}",))
    on.ticks(2)
    short = again(story, loop={"happy_returns": True}, shipments={"missing_wait": "1h"})
    short.ticks(4, seconds=3600)
    assert short.kinds(here) == ["bag_missing"]


# -- under another name ---------------------------------------------------------------------------


def test_what_was_announced_under_another_name_is_found_though_its_pos_are_written_otherwise_now(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was announced a second time, in silence."""
    return_id = story.announced()
    new = named(story, "renamed", monkeypatch)
    configure(new.ctx, announce={"po_template": "RX-{return_id}"})
    new.ticks(4)
    story.world.receive(return_id)
    new.ticks(4)
    new.ticks(3, seconds=1800)
    assert len(story.world.tickets(return_id)) == 1
    new.settled(return_id)


def test_the_reason_of_a_flag_is_told_though_its_brand_has_another_name_by_then(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stayed in review without one."""
    return_id = story.announced()
    story.world.fault("loop", "status_429", operation="note")
    story.world.receive(return_id, "damaged")
    story.ticks(3)
    assert (story.flags(return_id), story.notes(return_id)) == (1, [])
    story.heal()
    new = named(story, "renamed", monkeypatch)
    new.ticks(4)
    [note] = story.notes(return_id)
    assert "damaged" in note
    assert (new.look.stage(return_id), new.told(return_id)) == (Stage.FLAGGED, [])


# -- there and back -------------------------------------------------------------------------------

THERE_AND_BACK: tuple[dict[str, Any], ...] = (
    {"announce": {"when": "delivered"}},
    {"announce": {"destinations": {"77": None, "9": "NJ"}}},
    {"announce": {"start": "2030-01-01T00:00:00Z"}},
    {"announce": {"po_length": 10, "code_length": 8}},
    {"announce": {"no_parcel_methods": ["loop"], "no_parcel_method_types": ["mail", "dropoff"]}},
    {"announce": {"multi_parcel": True, "check_products": False, "po_template": "X{return_id}"}},
    {"loop": {"happy_returns": True, "page_size": 1, "overlap": "0s"}},
    {"rex11": {"window_precision": "day", "close": {"strategy": "file", "folder": "/none"}}},
    {"warehouse": "embedded"},
    {"settle": {"confirm_within": "1m", "lost_answer_wait": "1m"}, "mode": "shadow"},
)


def test_settings_that_are_changed_and_changed_back_leave_no_trace(story: Story) -> None:
    waiting = story.received("short")
    story.ticks(2)
    flagged = story.received("damaged")
    story.ticks(4)
    closed, announced = story.announced(), story.announced()
    story.world.change(closed, "close")
    by_label = story.submit(*story.stock()[:2], late_label=True)
    new: list[str] = []
    for changes in THERE_AND_BACK:
        new.append(story.submit(story.stock()[0]))
        again(story, **changes).ticks(1, seconds=900)
        story = again(story)
        story.ticks(1, seconds=300)
    story.world.change(by_label, "label", status="in_transit")
    story.ticks(4)
    recount(story, waiting, 0, 0)
    for one in (closed, announced, by_label, *new):
        story.world.receive(one)
    story.ticks(6)
    story.ticks(2, seconds=7200)
    story.settled(waiting, announced, by_label, *new)
    assert (story.paid(closed), story.look.stage(closed)) == (0, Stage.COMPLETE)
    assert (story.flags(flagged), len(story.notes(flagged))) == (1, 1)
    for one in (waiting, flagged, closed, announced, by_label, *new):
        assert (len(story.world.tickets(one)), story.told(one)) == (1, [])
