"""One operation, or a whole system, that fails for a day in the middle of things: one item for one
cause, lifted by itself, and all returns end as without it."""

from __future__ import annotations

import pytest
from cases_support import Story

from bergen_loop.domain.returns import Stage


def a_day(story: Story) -> None:
    story.ticks(12, seconds=7200)


def well_again(story: Story) -> None:
    story.heal()
    story.world.advance(4000)
    story.ticks(4)
    story.ticks(4, seconds=1800)


def test_a_call_that_was_refused_and_is_not_needed_any_more_is_told_no_more(story: Story) -> None:
    """Its item stayed for good: nothing asked for the details again."""
    return_id = story.received()
    story.ticks(1)
    assert story.look.stage(return_id) is Stage.CONFIRMING
    story.world.fault("loop", "unauthorized_200")
    a_day(story)
    assert story.kinds(return_id) == ["access"]
    well_again(story)
    story.settled(return_id)
    assert story.told(return_id) == []


@pytest.mark.parametrize("kind", ["soap_fault", "html", "status_429"])
def test_tickets_that_could_not_be_read_for_a_day_are_read_when_they_can_be(
    story: Story, kind: str
) -> None:
    """Each was left unread after an hour, and its return held until a person's retry."""
    both = [story.announced(), story.announced()]
    for return_id in both:
        story.world.receive(return_id)
    story.world.fault("rex11", kind, operation="GetReceivingTicketObjectByTicketNo")
    a_day(story)
    assert [kind for of in both for kind, _ in story.look.attention(of)] == [
        "receipt_unreadable"
    ] * 2
    assert story.calls("GetReceivingTicketObjectByTicketNo") <= 60
    well_again(story)
    story.settled(*both)


def test_rmas_that_rex11_had_no_time_for_are_made_when_it_has(story: Story) -> None:
    """A 429 was taken for a doubt: looked up, tried five times, and held for a person."""
    story.ticks(2)
    return_id = story.submit(*story.stock()[:2])
    story.world.fault("rex11", "status_429", operation="ReceivingTicketAdd")
    a_day(story)
    assert story.kinds(return_id) == ["step_failing"]
    well_again(story)
    assert len(story.world.tickets(return_id)) == 1
    assert (story.look.stage(return_id), story.told(return_id)) == (Stage.ANNOUNCED, [])


def test_two_steps_that_fail_for_the_same_call_are_told_once(story: Story) -> None:
    return_id = story.announced()
    story.world.receive(return_id, "damaged")
    story.world.fault("loop", "status_429", operation="list")
    a_day(story)
    assert [kind for kind, _ in story.look.brand_attention()] == ["step_failing"]
    well_again(story)
    assert story.told(return_id) == []
