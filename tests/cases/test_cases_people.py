"""People and settings that act in the middle of a return's way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cases_support import Story

from bergen_loop.domain.criteria import load_criteria, preset_text
from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.store import modes
from bergen_loop.ledger.transaction import Transaction
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
