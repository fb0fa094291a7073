"""Moments 6 and 7: the RMA is closed in Bergen, and the return is complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from bergen_loop.domain.lifecycle import Stage
from bergen_loop.domain.rma import CloseEvidence, TicketStatus
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.intake import enter
from bergen_loop.ledger.store import attention, journal, returns
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow
from bergen_loop.outside.errors import OutsideError, Refused

PER_TICK = 1000
PER_WRITE = 50
"""Returns in one transaction, so that others' turn comes."""
AGAIN = timedelta(minutes=5)
"""After how long a close that failed for a passing reason is tried again."""


@dataclass(slots=True)
class Closed:
    """What a close step did."""

    rmas: int = 0
    complete: int = 0
    waiting: int = 0


def run(ctx: BrandContext) -> Closed:
    """Close the RMAs of returns that Loop shows closed."""
    result = Closed()
    with ctx.ledger.read() as session:
        rows = returns.due(session, ctx.brand, [Stage.CLOSING], ctx.now(), PER_TICK)
        rmas = returns.rmas_of(session, [row.id for row in rows])
    if not rows:
        return result
    todo = [rma for row in rows for rma in rmas.get(row.id, []) if not rma.closed_at]
    evidence = dict(
        zip(
            (rma.id for rma in todo),
            ctx.in_parallel(lambda rma: _close(ctx, rma), todo),
            strict=True,
        )
    )
    ctx.boundary("closed in Bergen")
    for batch in returns.chunks(rows, PER_WRITE):
        with ctx.ledger.write() as session:
            pks = [row.id for row in batch]
            fresh, made = returns.by_pks(session, pks), returns.rmas_of(session, pks)
            for pk in pks:
                _record(ctx, session, fresh[pk], made.get(pk, []), evidence, result)
    return result


def _close(ctx: BrandContext, rma: RmaRow) -> CloseEvidence | OutsideError:
    if rma.ticket_id is None:
        return CloseEvidence(closed=True, evidence="no ticket was ever made")
    known = {s.value for s in TicketStatus}
    status = TicketStatus(rma.ticket_status) if rma.ticket_status in known else None
    try:
        return ctx.warehouse.close_rma(rma.ticket_id, status, rma.status_seen_at)
    except OutsideError as error:
        return error  # one RMA that cannot be closed must not keep the others open


def _record(
    ctx: BrandContext,
    session: Session,
    row: ReturnRow,
    rmas: Sequence[RmaRow],
    evidence: dict[int, CloseEvidence | OutsideError],
    result: Closed,
) -> None:
    if row.stage != Stage.CLOSING:
        return
    now = ctx.now()
    failed: OutsideError | None = None
    for rma in rmas:
        found = evidence.get(rma.id)
        if rma.closed_at or found is None:
            continue
        if isinstance(found, OutsideError):
            failed = found
            continue
        rma.close_evidence = found.evidence
        if found.closed:
            rma.closed_at = now
            result.rmas += 1
            journal.record(
                session,
                now,
                "RMA closed",
                found.evidence,
                brand=ctx.brand,
                return_pk=row.id,
                data={"ticket": rma.ticket_id},
            )
    if all(rma.closed_at for rma in rmas):
        row.rma_closed_at = now
        enter(row, Stage.COMPLETE, now)
        journal.record(
            session, now, "complete", "closed in Loop and in Bergen", brand=ctx.brand,
            return_pk=row.id,
        )  # fmt: skip
        result.complete += 1
    elif failed is not None:
        _not_closed(ctx, session, row, failed)
        result.waiting += 1
    else:
        row.due_at = None  # the ticket's next change makes it due
        result.waiting += 1


def _not_closed(ctx: BrandContext, session: Session, row: ReturnRow, error: OutsideError) -> None:
    row.due_at = ctx.now() + AGAIN
    if not isinstance(error, Refused):
        return
    attention.raise_item(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="close_refused",
        reason=f"the return is closed in Loop, but its RMA could not be closed: {error.message}; "
        "close it in Bergen by hand, or put the cause right and retry",
        row=row,
    )
