"""The ledger is lost; both systems are as they are. Recover the true state without doing
anything twice.

Returns come from Loop for a window. Before one is written down, its tickets are looked for by its
POs, and both are written in one transaction: at no moment is there a return in the ledger that a
sync would announce again. A return that was received and is still open may have a process call
under way that nobody remembers: it gets a settling intent in doubt, so that the ordinary
resolution applies, which waits `settle.lost_answer_wait` and then looks. A return in review with
a receipt counts as flagged; it is never processed.

Consolidated shipments come after the returns: `repair.shipments`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from bergen_loop.domain.announce import physical_lines, why_not_announced
from bergen_loop.flow import adopt, intake, receive, tick
from bergen_loop.flow.context import AHEAD, BrandContext
from bergen_loop.ledger.store import cursors, returns
from bergen_loop.outside.errors import OutsideError
from bergen_loop.outside.loop.models import ParsedReturn
from bergen_loop.repair import drift, shipments
from bergen_loop.repair.drift import Done, Finding, Summary

WINDOW = timedelta(days=120)

WAYS: tuple[Literal["created_at", "updated_at"], ...] = ("created_at", "updated_at")
MOST_WALKS = 6
"""Twice, and again while pages shift."""


def run(ctx: BrandContext, window: timedelta = WINDOW) -> Summary:
    """Recover what the last `window` holds; returns the ledger knows are left alone, so that a
    rebuild that was interrupted can simply be run again. Raises BrandBusy, OutsideError,
    OutsideError."""
    started = ctx.now()
    summary = Summary(ctx.brand, "rebuild", started - window, started)
    with tick.holding(ctx):
        with ctx.ledger.write() as session:
            if cursors.get(session, ctx.brand, cursors.FIRST_PULL) is None:
                cursors.set(session, ctx.brand, cursors.FIRST_PULL, started)
            cursors.set(session, ctx.brand, cursors.FORMER, started)
        for number in range(MOST_WALKS):
            if _walk(ctx, summary, started, WAYS[number % 2]) and number:
                break
        shipments.recover(ctx, summary)
        with ctx.ledger.write() as session:
            cursors.set(session, ctx.brand, intake.CURSOR, started)
            cursors.set(session, ctx.brand, intake.ASIDE, started)
            cursors.set(session, ctx.brand, receive.CURSOR, started)
        return drift.close(ctx, summary)


def _walk(
    ctx: BrandContext, summary: Summary, started: datetime, way: Literal["created_at", "updated_at"]
) -> bool:
    """Take in what Loop's list shows. Whether no return came twice: where one did, pages have
    shifted while they were read, which hides others."""
    seen, whole = set[str](), True
    pages = ctx.loop.walk_returns(
        summary.since, started + AHEAD, filter=way, page_size=ctx.settings.loop.page_size
    )
    for page in pages:
        ids = {parsed.value.id for parsed in page.returns if parsed.value is not None}
        whole = whole and not seen & ids
        seen |= ids
        _take_page(ctx, summary, page.returns)
        if page.incomplete:
            _tell_incomplete(ctx, summary, page.incomplete)
    return whole


def _tell_incomplete(ctx: BrandContext, summary: Summary, why: str) -> None:
    with ctx.write() as tx:
        text = f"Loop's list could not be walked to its end ({why}): run the rebuild again"
        drift.tell(tx, summary, Finding("list", text, Done.TOLD))


def _take_page(ctx: BrandContext, summary: Summary, page: Sequence[ParsedReturn]) -> None:
    good = {p.value.id: p for p in page if p.value is not None}
    with ctx.ledger.read() as session:
        known = returns.by_ids(session, ctx.brand, good)
    new = [answer for i, answer in good.items() if i not in known]
    for batch in ctx.batches(new):
        pasts = ctx.in_parallel(lambda answer: _past(ctx, answer), batch)
        ctx.boundary("rebuild looked up")
        for answer, past in zip(batch, pasts, strict=True):
            _take(ctx, summary, answer, past)
    intake.store(ctx, [p for p in page if p.value is None], intake.Pulled())


def _past(ctx: BrandContext, answer: ParsedReturn) -> adopt.Past:
    assert answer.value is not None
    skip = why_not_announced(answer.value, ctx.rules)
    if (skip and skip.not_ours) or not physical_lines(answer.value, ctx.rules):
        return adopt.Past()
    past = adopt.look_up(ctx, answer.value)
    if isinstance(past, OutsideError):
        raise past
    return past


def _take(ctx: BrandContext, summary: Summary, answer: ParsedReturn, past: adopt.Past) -> None:
    with ctx.write() as tx:
        row = intake.add(ctx, tx, answer)
        adopt.take_over(ctx, tx, row, past)
        tickets = [t.receipt.ticket_id for t in past.tickets]
        text = f"return {row.return_id}, {row.loop_state} in Loop, "
        text += f"with ticket {', '.join(tickets)}" if tickets else "without a ticket"
        done = Done.ATTENTION if row.held else Done.REPAIRED
        finding = Finding("recovered", f"{text}: {row.stage}", done, row.return_id)
        drift.tell(tx, summary, finding, row)
    summary.returns += 1
    summary.tickets += len(tickets)
