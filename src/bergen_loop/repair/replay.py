"""Dead letters: payloads that could not be understood, tried again with the code as it is now.

What can be read by now is taken in as if it had just come; what it held up goes on. What still
cannot be read stays where it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from bergen_loop.domain.words import Need, What
from bergen_loop.flow import intake, tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import attention, journal, payloads, returns
from bergen_loop.ledger.tables.core import RawRow
from bergen_loop.outside.errors import Unreadable
from bergen_loop.outside.loop.models import parse_return
from bergen_loop.outside.loop.webhooks import parse_event


@dataclass(slots=True)
class Replayed:
    """How many payloads were read now, and which still cannot be."""

    read: int = 0
    left: list[str] = field(default_factory=list[str])


def run(ctx: BrandContext, *, who: str) -> Replayed:
    """Try every kept payload of a brand again, between its ticks. Raises BrandBusy."""
    with tick.holding(ctx):
        return _run(ctx, who)


def _run(ctx: BrandContext, who: str) -> Replayed:
    result = Replayed()
    with ctx.ledger.read() as session:
        kept = payloads.kept(session, ctx.brand)
    for raw in kept:
        problem = _replay(ctx, raw)
        if problem:
            result.left.append(f"{raw.source} of {raw.at:%Y-%m-%d %H:%M} UTC: {problem}")
            continue
        result.read += 1
        with ctx.ledger.write() as session:
            payloads.drop(session, raw.id)
            journal.record(
                session,
                ctx.now(),
                journal.Entry(
                    What.REPLAYED,
                    f"a payload kept from {raw.source} can be read now",
                    brand=ctx.brand,
                    who=who,
                    data={"problem": raw.problem, "return_id": raw.return_id},
                ),
            )
    return result


def _replay(ctx: BrandContext, raw: RawRow) -> str | None:
    """None if it has been taken in, else what is still wrong."""
    if raw.source == "loop.list":
        return _return(ctx, raw)
    if raw.source == "webhook":
        return _webhook(ctx, raw)
    return _ticket(ctx, raw)


def _return(ctx: BrandContext, raw: RawRow) -> str | None:
    try:
        parsed = parse_return(json.loads(raw.body))
    except (ValueError, RecursionError):
        return "the payload is not JSON"
    if parsed.problem or parsed.value is None:
        return parsed.problem or "not understood"
    # Newer pictures that came since win: `store` takes no older one.
    intake.store(ctx, [parsed], intake.Pulled())
    return None


def _webhook(ctx: BrandContext, raw: RawRow) -> str | None:
    try:
        parse_event(raw.body.encode(), brand=ctx.brand)
    except Unreadable as error:
        return error.message
    with ctx.ledger.write() as session:  # a delivery says no more than "look now"
        returns.brand_row(session, ctx.brand).nudged_at = ctx.now()
    return None


def _ticket(ctx: BrandContext, raw: RawRow) -> str | None:
    """A ticket is read anew from REX11 at the next sync: its answer may be another by now."""
    with ctx.ledger.write() as session:
        row = returns.by_id(session, ctx.brand, raw.return_id) if raw.return_id else None
        if row is None:
            return "it belongs to no known return"
        for rma in returns.rmas_of(session, [row.id]).get(row.id, []):
            rma.to_read, rma.read_due_at = rma.ticket_id is not None, None
        attention.resolve_kinds(
            session,
            ctx.now(),
            brand=ctx.brand,
            about=[(Need.RECEIPT_UNREADABLE, row.return_id)],
            resolution="its ticket is read again",
        )
    return None
