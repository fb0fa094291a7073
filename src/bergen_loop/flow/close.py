"""Moments 6 and 7: the RMA is closed in Bergen, and the return is complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.rma import CloseEvidence, TicketStatus
from bergen_loop.domain.words import Need, What
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import returns
from bergen_loop.ledger.store.statements import chunks
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import Effect, OutsideError

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


Evidence = dict[int, CloseEvidence | OutsideError]
"""By RMA."""


def run(ctx: BrandContext) -> Closed:
    """Close the RMAs of returns that Loop shows closed."""
    result = Closed()
    if ctx.tick.calm:
        return result
    with ctx.ledger.read() as session:
        due = returns.due_pks(session, ctx.brand, [Stage.CLOSING], ctx.now(), PER_TICK)
        rmas = returns.rmas_of(session, due)
    if not due:
        return result
    todo = [rma for pk in due for rma in rmas.get(pk, []) if not rma.closed_at]
    found = ctx.in_parallel(lambda rma: _close(ctx, rma), todo)
    evidence = dict(zip((rma.id for rma in todo), found, strict=True))
    ctx.boundary("closed in Bergen")
    for pks in chunks(due, PER_WRITE):
        with ctx.write() as tx:
            fresh, made = returns.by_pks(tx.session, pks), returns.rmas_of(tx.session, pks)
            for pk in pks:
                _record(tx, fresh[pk], made.get(pk, []), evidence, result)
    return result


def _close(ctx: BrandContext, rma: RmaRow) -> CloseEvidence | OutsideError:
    if rma.ticket_id is None:
        return CloseEvidence(closed=True, evidence="no ticket was ever made")
    status = TicketStatus.read(rma.ticket_status)
    try:
        return ctx.warehouse.close_rma(rma.ticket_id, status, rma.status_seen_at)
    except OutsideError as error:
        return error  # one RMA that cannot be closed must not keep the others open


def _record(
    tx: Transaction,
    row: ReturnRow,
    rmas: Sequence[RmaRow],
    evidence: Evidence,
    result: Closed,
) -> None:
    if row.stage != Stage.CLOSING:
        return
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
            rma.closed_at = tx.now
            result.rmas += 1
            tx.journal(What.RMA_CLOSED, found.evidence, row, {"ticket": rma.ticket_id})
    if all(rma.closed_at for rma in rmas):
        row.rma_closed_at = tx.now
        tx.move(row, Stage.COMPLETE, "closed in Loop and in Bergen")
        result.complete += 1
        return
    result.waiting += 1
    row.due_at = None  # the ticket's next change makes it due
    if failed is not None:
        row.due_at = tx.now + AGAIN
        if failed.effect is not Effect.NOT_SENT:
            tx.needs_person(
                Need.CLOSE_REFUSED,
                f"the return is closed in Loop, but its RMA could not be closed: {failed.message}; "
                "close it in Bergen by hand, or put the cause right and retry",
                row,
            )
