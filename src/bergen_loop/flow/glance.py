"""Looking whether anything has changed for a brand for which nothing waits.

A glance only reads: Loop's list and REX11's changed tickets, against what the ledger has. What is
new it leaves to a tick, which is then asked for; so it needs no lock, and may be made anywhere, at
any time, beside a tick or twice. What no list of a glance shows (returns cancelled or in review,
pages that shifted) a tick looks at as before, every `loop.look_aside` and `loop.deep_every`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bergen_loop.flow import intake, receive
from bergen_loop.flow.context import AHEAD, BrandContext
from bergen_loop.ledger.store import cursors, modes
from bergen_loop.ledger.store.quiet import Waiting
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.tell import tracing

CURSORS = (intake.CURSOR, receive.CURSOR)
"""What a glance moves on."""


def enough(ctx: BrandContext, row: BrandRow, waiting: Waiting, now: datetime) -> bool:
    """Whether a glance is enough for now: nothing happened lately, nothing waits, nothing was set
    anew, and no other list is due."""
    settings, marks = ctx.settings.loop, cursors.believed(waiting.marks, now + AHEAD)
    if not row.quiet_looks or not row.last_sync_ok or waiting.restless or settings.happy_returns:
        return False  # shipments are followed by a step of their own
    if modes.effective(row, ctx.settings.mode) != row.acted_mode:
        return False
    if row.config_version != ctx.judged_by or not all(name in marks for name in CURSORS):
        return False
    if waiting.earliest is not None and waiting.earliest <= now:
        return False
    reach = now - marks[intake.CURSOR]
    return (
        reach < min(settings.deep_every, intake.FIRST_WINDOW)
        and intake.ASIDE in marks
        and now - marks[intake.ASIDE] < settings.look_aside
        and intake.DEEP in marks
        and now - marks[intake.DEEP] < settings.deep_every
    )


def news(ctx: BrandContext, marks: Mapping[str, datetime], now: datetime) -> bool:
    """Whether Loop or REX11 shows anything that the ledger does not have. `marks`: how far the
    lists are known. Raises OutsideError."""
    with tracing.span("glance", {"brand": ctx.brand}):
        return _in_loop(ctx, marks[intake.CURSOR], now) or receive.any_news(
            ctx, marks[receive.CURSOR], now
        )


def _in_loop(ctx: BrandContext, since: datetime, now: datetime) -> bool:
    settings = ctx.settings.loop
    pages = ctx.loop.list_returns(
        since - settings.overlap,
        now + AHEAD,
        filter="updated_at",
        page_size=settings.page_size,
    )
    for page in pages:
        ctx.counts.add("loop.list.pages")
        if page.incomplete is not None or intake.any_news(ctx, page.listed):
            return True
    return False
