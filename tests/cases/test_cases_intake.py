"""What Loop shows over days: returns that are gone and there again, pages that shift for hours."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest
from cases_support import BRAND, Story

from bergen_loop.domain.returns import Stage
from support.brands import configure


@contextmanager
def gone(story: Story, return_id: str) -> Generator[None]:
    """Loop has the return no more, and then again, as it was."""
    sandbox = story.world.sandbox
    brand = sandbox.brand(BRAND)
    return_ = brand.returns.pop(return_id)
    indexes = ((brand.by_created, return_.created_at), (brand.by_updated, return_.updated_at))
    for index, at in indexes:
        index.remove(at, return_id)
    yield
    brand.returns[return_id] = return_
    for index, at in indexes:
        index.add(at, return_id)


@pytest.mark.parametrize("kind", ["complete", "damaged"])
def test_a_return_that_was_gone_when_it_was_to_be_settled_is_judged_when_it_is_there_again(
    story: Story, kind: str
) -> None:
    """It stayed refused ("No return found with this ID") until a person's retry."""
    return_id = story.announced()
    with gone(story, return_id):
        story.world.receive(return_id, kind)
        story.ticks(2)
        story.ticks(4, seconds=3600)
        assert story.look.stage(return_id) is Stage.RECEIVED
        [(need, why)] = story.told(return_id)
        assert need == "cannot_see"
        assert "does not have the return any more: No return found with this ID" in why
        assert story.calls("process") + story.calls("flag") == 1
    story.world.advance(3600)
    story.ticks(4)
    if kind == "complete":
        story.settled(return_id)
        return
    assert (story.look.stage(return_id), story.told(return_id)) == (Stage.FLAGGED, [])
    assert story.flags(return_id) == 1


def test_pages_that_shift_for_hours_hide_no_return_for_good(story: Story) -> None:
    """The hourly walk reached back three hours only: five of these were never seen."""
    configure(story.ctx, loop={"page_size": 3})
    story.ticks(1)
    story.world.fault("loop", "shifting_pages", operation="list")
    all_ = [story.submit(units=1) for _ in range(8)]
    story.ticks(6, seconds=3600)
    assert not all(story.world.tickets(r) for r in all_), "or nothing was tried"
    story.heal()
    story.ticks(2, seconds=3600)
    assert [len(story.world.tickets(r)) for r in all_] == [1] * 8
    assert story.told(all_[0]) == []


def test_pages_that_shift_for_days_are_told(story: Story) -> None:
    configure(story.ctx, loop={"page_size": 3})
    story.ticks(1)
    story.world.fault("loop", "shifting_pages", operation="list")
    for _ in range(8):
        story.submit(units=1, no_parcel=True)
    story.ticks(22, seconds=2 * 3600)
    assert story.look.brand_attention() == []
    story.ticks(3, seconds=2 * 3600)
    assert [kind for kind, _ in story.look.brand_attention()] == ["list_gap"]
