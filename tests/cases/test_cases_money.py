"""What moves money, and what people do meanwhile: returns that are edited, refunded or closed while
a call of ours is under way, decisions by hand after which the return is not what it was, units that
are kept, answers that say no for ever."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cases_support import BRAND, Story, unkind
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cases_flows import becomes, counted, days, of_two_parcels, recount, tickets_of, touch
from test_cases_intake import gone

from bergen_loop.domain.criteria import load_criteria, preset_text
from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.store import returns
from bergen_loop.ledger.transaction import transaction
from bergen_loop.people import actions
from loop_sandbox import loop_actions
from loop_sandbox.model import Line
from support import worlds
from support.ledgers import empty_ledger

KEPT: dict[str, Any] = {"line_items.0.outcome": "keep"}
REFUNDS = [{"gateway": "x", "amount": "10.00", "currency": "USD", "provider_refund_id": "1"}]


def shows(story: Story, return_id: str, patch: dict[str, Any], **where: str) -> None:
    """Loop shows something else of a return from now on."""
    story.world.fault("loop", "record_patch", subject=return_id, patch=patch, **where)
    touch(story, return_id)


def by_hand(story: Story, return_id: str, outcome: Outcome = Outcome.PROCESS) -> None:
    ctx = story.ctx
    with transaction(ctx.ledger, ctx.brand, ctx.now(), "ada") as tx:
        row = returns.by_id(tx.session, ctx.brand, return_id)
        assert row is not None
        actions.decide(tx, row, actions.ByHand(outcome, "it is known to have come"))


def takes_off_what_is_missing(story: Story) -> None:
    text = preset_text("trusting").replace("wait: 5d", "wait: 2h")
    story.ctx.criteria = load_criteria(text, source="trusting.yaml")


def one_came(story: Story, return_id: str) -> None:
    """The first of two units is missing."""
    missing = story.in_loop(return_id).lines[0].product.upc
    story.world.receive(return_id, "complete", lines=[{"upc": missing, "actual": 0}])


def add_unit(story: Story, return_id: str) -> None:
    with story.world.sandbox.lock:
        return_, first = story.in_loop(return_id), story.in_loop(return_id).lines[0]
        line = Line(first.id + 5, story.stock()[5], "refund", first.reason, "", "")
        return_.lines.append(line)
        story.world.sandbox.brand(BRAND).lines[line.id] = (return_id, line)
        story.world.sandbox.touch(return_)


def take_off_unit(story: Story, return_id: str) -> None:
    with story.world.sandbox.lock:
        story.in_loop(return_id).lines.pop()
        story.world.sandbox.touch(story.in_loop(return_id))


def never_ending(story: Story) -> str:
    """A return whose process call Loop has taken and never finishes."""
    return_id = story.announced()
    story.world.fault("loop", "process_never_ends")
    story.world.receive(return_id)
    story.ticks(1)
    return return_id


# -- paid already, outside of our calls ---------------------------------------------------------


@pytest.mark.parametrize("where", ["refunds", "line_items.0.refunds"])
def test_refunds_that_an_open_return_lists_are_no_doubt_by_themselves(
    story: Story, where: str
) -> None:
    """Loop's own example of an open return lists one."""
    return_id = story.announced()
    shows(story, return_id, {where: REFUNDS})
    story.world.receive(return_id)
    story.ticks(4)
    story.settled(return_id)


@pytest.mark.parametrize("seen", [{"refunds": REFUNDS}, {"line_items.0.refunded_at": "2026-11-10"}])
def test_a_process_call_whose_answer_was_lost_is_not_made_again_where_details_show_it_half_done(
    story: Story, seen: dict[str, Any]
) -> None:
    """The list, which says nothing of refunds, lifted what the details told: **sent again**."""
    return_id = story.announced()
    story.world.fault("loop", "reset_before", operation="process", nth=1)
    story.world.receive(return_id)
    story.ticks(1)
    shows(story, return_id, seen, operation="details")
    story.ticks(4, seconds=1200)
    assert (story.calls("process"), story.kinds(return_id)) == (1, ["lost_settlement"])


def test_a_doubt_at_the_look_that_would_tell_of_an_unfinished_call_leaves_nothing_silent(
    story: Story,
) -> None:
    """The item of the doubt was lifted by the next list, and nothing was looked at any more."""
    return_id = never_ending(story)
    shows(story, return_id, {"refunds": REFUNDS}, operation="details")
    story.ticks(5, seconds=1200)
    story.ticks(2, seconds=3600)
    assert (story.calls("process"), story.kinds(return_id)) == (1, ["not_confirmed"])


# -- decided by hand, and then it is not what the person saw --------------------------------------


@pytest.mark.parametrize("change", ["kept", "product", "price"])
def test_what_a_person_decided_is_asked_again_when_the_return_is_not_what_they_saw(
    story: Story, change: str
) -> None:
    """Only the units' ids were looked at: **paid** for a unit that is kept, another product, a
    hundredfold."""
    return_id = story.announced()
    story.world.fault("loop", "status_429", operation="process")
    by_hand(story, return_id)
    story.ticks(1)
    story.heal()
    line = story.in_loop(return_id).lines[0]
    if change == "product":
        line.product = story.stock()[7]
    elif change == "price":
        line.product = story.make(line.product, price=line.product.price * 100)
    shows(story, return_id, KEPT if change == "kept" else {"edited_at": "2026-11-10 15:00:00"})
    story.ticks(5, seconds=300)
    assert (story.paid(return_id), story.kinds(return_id)) == (0, ["decide_by_hand"])
    by_hand(story, return_id)
    story.ticks(2)
    assert story.paid(return_id) == 1


# -- edited while Loop is at it, or closed by a person --------------------------------------------


def make_another(story: Story, return_id: str) -> None:
    story.in_loop(return_id).lines[0].product = story.stock()[7]
    touch(story, return_id)


@pytest.mark.parametrize("edit", [add_unit, take_off_unit, make_another])
def test_what_loop_pays_of_a_return_that_is_edited_while_it_is_at_it_is_told(
    story: Story, edit: Any
) -> None:
    """It was silent: **paid for a unit that never came**."""
    seconds = {"processing_min_seconds": 300.0, "processing_max_seconds": 300.0}
    story.world.sandbox.settings.update(seconds)
    return_id = story.received()
    story.ticks(1)
    edit(story, return_id)
    story.ticks(8)
    [(need, why)] = story.told(return_id)
    assert need == "corrected"
    assert "with other units than our call was made for" in why
    assert (story.calls("process"), story.look.stage(return_id)) == (1, Stage.COMPLETE)
    becomes(story, story.ticket(return_id), "CountingInProgress")
    story.ticks(1)
    becomes(story, story.ticket(return_id), "AddedToInventory")
    story.ticks(2)
    assert story.kinds(return_id) == ["corrected"], "the same counts again are no answer"


@pytest.mark.parametrize("answer", ["reset_before", "status_429", "done"])
def test_units_to_be_taken_off_that_a_person_has_paid_meanwhile_are_told(
    story: Story, answer: str
) -> None:
    """It counted as done by our call, for the return was closed."""
    takes_off_what_is_missing(story)
    return_id = story.announced()
    if answer != "done":
        story.world.fault("loop", answer, operation="remove")
    one_came(story, return_id)
    story.ticks(2)
    story.ticks(2, seconds=7200)
    if answer != "done":
        story.world.change(return_id, "close")
        story.heal()
    story.ticks(3, seconds=300)
    assert story.look.stage(return_id) is Stage.COMPLETE
    assert story.kinds(return_id) == ([] if answer == "done" else ["corrected"])


@pytest.mark.parametrize("answer", ["status_429", "refusal"])
def test_damage_whose_flag_was_not_taken_is_told_when_a_person_closes_the_return(
    story: Story, answer: str
) -> None:
    return_id = story.announced()
    story.world.fault("loop", answer, operation="flag")
    story.world.receive(return_id, "damaged")
    story.ticks(2)
    story.world.change(return_id, "close")
    story.heal()
    story.ticks(3, seconds=300)
    assert story.kinds(return_id) == ["corrected"]
    assert (story.flags(return_id), story.look.stage(return_id)) == (0, Stage.COMPLETE)


def test_what_a_person_has_decided_by_hand_and_finished_in_loop_asks_nobody(story: Story) -> None:
    return_id = story.received("garbled")
    story.ticks(2)
    story.world.fault("loop", "status_429", operation="process")
    by_hand(story, return_id)
    story.ticks(1)
    story.world.change(return_id, "close")
    story.ticks(3)
    assert (story.look.stage(return_id), story.told(return_id)) == (Stage.COMPLETE, [])


# -- units that are kept --------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["kept", "counted"])
def test_a_parcel_of_which_all_units_are_kept_is_not_awaited(story: Story, first: str) -> None:
    """It was waited for a week, and **flagged as overdue** though all that was due had come."""
    return_id = of_two_parcels(story)
    story.ticks(3)
    one, other = tickets_of(story, return_id)
    lines = [line.product.upc for line in story.in_loop(return_id).lines]
    kept = {f"line_items.{lines.index(other.items[0].values['UPC'])}.outcome": "keep"}
    if first == "kept":
        shows(story, return_id, kept)
    counted(story, one)
    story.ticks(3)
    if first == "counted":
        assert story.look.stage(return_id) is Stage.WAITING
        shows(story, return_id, kept)
    story.ticks(3)
    assert (story.paid(return_id), story.flags(return_id), story.told(return_id)) == (1, 0, [])


# -- answers that go on saying no -----------------------------------------------------------------


@pytest.mark.parametrize(("kind", "call"), [("complete", "process"), ("damaged", "flag")])
def test_a_return_that_only_one_call_does_not_find_is_not_tried_without_end(
    story: Story, kind: str, call: str
) -> None:
    """Its details show it, so it was judged and sent again every hour, for ever."""
    return_id = story.announced()
    story.rewrite(call, lambda _: '{"error": {"message": "No return found with this ID."}}')
    story.world.fault("loop", "refusal", operation=call)
    story.world.receive(return_id, kind)
    story.ticks(2)
    story.ticks(12, seconds=3600)
    assert (story.calls(call), story.kinds(return_id)) == (5, ["refused"])


def test_a_return_that_was_gone_when_loop_was_to_show_it_closed_is_looked_for_again(
    story: Story,
) -> None:
    """What was asked of it stayed on the list when it was there again."""
    return_id = never_ending(story)
    with gone(story, return_id):
        story.ticks(5, seconds=1200)
        assert story.kinds(return_id) == ["cannot_see"]
    story.ticks(2, seconds=3600)
    assert (story.calls("process"), story.kinds(return_id)) == (1, ["not_confirmed"])


# -- any of it, in any order ----------------------------------------------------------------------


def fault(operation: str, kind: str) -> Callable[[Story, str], None]:
    return lambda story, _: story.world.fault("loop", kind, operation=operation, nth=1)


def change(action: str) -> Callable[[Story, str], None]:
    return lambda story, return_id: story.world.change(return_id, action)


def parcel(kind: str) -> Callable[[Story, str], None]:
    return lambda story, return_id: story.world.receive(return_id, kind)


def count_again(hurt: int) -> Callable[[Story, str], None]:
    def again(story: Story, return_id: str) -> None:
        if story.ticket(return_id).status == "AddedToInventory":
            recount(story, return_id, *(hurt for _ in story.ticket(return_id).items))

    return again


EXAMPLES = int(os.environ.get("MONEY_EXAMPLES", "0"))
"""0: a few that are always the same."""

HAPPENS: dict[str, Callable[[Story, str], None]] = {
    **{kind: parcel(kind) for kind in ("complete", "short", "damaged", "extra")},
    **{action: change(action) for action in ("reopen", "flag", "cancel", "expire", "close")},
    **{f"{call} {kind}": fault(call, kind) for call in ("process", "flag", "remove")
       for kind in ("reset_before", "reset_mid_body", "status_429", "refusal")},
    "counted right": count_again(0), "counted damaged": count_again(1),
    "unit more": add_unit, "unit less": take_off_unit, "another product": make_another,
    "an hour": lambda story, _: story.ticks(1, seconds=3600.0),
    "days": lambda story, _: days(story, 3),
}  # fmt: skip


@settings(max_examples=EXAMPLES or 3, deadline=None, derandomize=not EXAMPLES)
@given(st.lists(st.sampled_from(sorted(HAPPENS)), min_size=4, max_size=10), st.booleans())
def test_whatever_happens_nothing_is_paid_that_was_not_counted_nor_twice_nor_left_in_silence(
    happens: list[str], trusting: bool
) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory() as folder,
        worlds.serving(settings=unkind()) as world,
    ):
        story = Story(world, worlds.context(world, empty_ledger(Path(folder) / "ledger.db")))
        if trusting:
            takes_off_what_is_missing(story)
        return_id = story.announced()
        unfounded: list[tuple[Counter[str], Counter[str]]] = []
        queue = loop_actions._queue  # pyright: ignore[reportPrivateUsage]

        def paid(*call: Any) -> None:
            good = Counter[str]()
            for item in story.ticket(return_id).items:
                if story.ticket(return_id).status == "AddedToInventory":
                    good[item.values["UPC"]] += int(item.actual)
            due = Counter(line.product.upc for line in story.in_loop(return_id).lines)
            if not due <= good:
                unfounded.append((due, good))
            queue(*call)

        patch.setattr(loop_actions, "_queue", paid)
        for name in happens:
            done = {"reopen": "open", "close": "closed"}.get(name)
            lines = len(story.in_loop(return_id).lines)
            closed = story.in_loop(return_id).state == "closed"
            edits = "unit" in name or "product" in name
            if story.in_loop(return_id).state == done or (edits and (closed or lines != 2)):
                continue
            HAPPENS[name](story, return_id)
            story.ticks(2)
        story.heal()
        story.ticks(4, seconds=1200.0)
        days(story, 9)
        story.ticks(3)
        effects, stage = story.in_loop(return_id).effects, story.look.stage(return_id)
        assert (effects.money_moved <= 1, effects.flags <= 1) == (True, True)
        assert not effects.moved_after_flag
        goes_on = (Stage.SEEN, Stage.RECEIVED, Stage.SETTLING, Stage.CONFIRMING)
        assert story.told(return_id) or stage not in goes_on
        assert unfounded == [], "paid for what was not counted"
