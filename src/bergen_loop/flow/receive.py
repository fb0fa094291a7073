"""Moment 4: item receipts. One call lists every ticket that changed; each changed ticket whose
counts matter is read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from bergen_loop.domain.lifecycle import Stage
from bergen_loop.domain.receipt import Receipt
from bergen_loop.domain.rma import TicketChange, TicketStatus
from bergen_loop.flow import adopt, notes, pull
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.facts import comparison_of, in_words
from bergen_loop.flow.intake import enter
from bergen_loop.ledger.codec import digest, dump_receipt
from bergen_loop.ledger.store import attention, journal, returns
from bergen_loop.ledger.tables.core import ReceiptRow, ReturnRow, RmaRow
from bergen_loop.outside.errors import OutsideError, Refused, Unauthorized, Unreadable

log = structlog.get_logger()

CURSOR = "rex11.statuses"
AHEAD = timedelta(minutes=5)
PER_TICK = 150


@dataclass(slots=True)
class Received:
    """What a receive step brought."""

    changed: int = 0
    read: int = 0
    receipts: int = 0
    attention: int = 0


def run(ctx: BrandContext) -> Received:
    """See which tickets changed, and read the receipts among them."""
    result = Received()
    if not ctx.backlog:
        _see_changes(ctx, result)
    _look_again_at_waiting(ctx)
    _read_tickets(ctx, result)
    return result


def _look_again_at_waiting(ctx: BrandContext) -> None:
    """A wait for missing units is over: units may have been found and added to the ticket, so it
    is read once more before that is decided."""
    with ctx.ledger.read() as session:
        rows = returns.due(session, ctx.brand, [Stage.WAITING], ctx.now(), PER_TICK)
    if not rows:
        return
    with ctx.ledger.write() as session:
        for rmas in returns.rmas_of(session, [row.id for row in rows]).values():
            for rma in rmas:
                rma.to_read = rma.to_read or rma.read_status is not None


def _see_changes(ctx: BrandContext, result: Received) -> None:
    started = ctx.now()
    with ctx.ledger.read() as session:
        cursor = returns.cursor(session, ctx.brand, CURSOR)
    reach = cursor or started - ctx.settings.loop.backfill
    changes = ctx.warehouse.changed_tickets(reach - ctx.settings.rex11.overlap, started + AHEAD)
    ctx.counts.add("rex11.statuses_by_date")
    with ctx.ledger.read() as session:
        known = returns.rmas_by_ticket(session, ctx.brand, [c.ticket_id for c in changes])
    news = [
        c
        for c in changes
        if c.ticket_id in known and known[c.ticket_id].ticket_status != c.status_name
    ]
    if any(c.status is TicketStatus.CANCELLED for c in news):
        _look_aside(ctx)
    with ctx.ledger.write() as session:
        rmas = returns.rmas_by_ticket(session, ctx.brand, [c.ticket_id for c in news])
        rows = returns.by_pks(session, [rma.return_pk for rma in rmas.values()])
        for change in news:
            rma = rmas[change.ticket_id]
            _changed(ctx, session, rma, rows[rma.return_pk], change, result)
        returns.set_cursor(session, ctx.brand, CURSOR, started)


def _look_aside(ctx: BrandContext) -> None:
    """A cancelled ticket is usually that of a return cancelled in Loop: see that first."""
    try:
        pull.look_aside(ctx)
    except OutsideError as error:
        log.warning("cancelled returns not seen", brand=ctx.brand, error=str(error))


def _changed(
    ctx: BrandContext,
    session: Session,
    rma: RmaRow,
    row: ReturnRow,
    change: TicketChange,
    result: Received,
) -> None:
    now = ctx.now()
    rma.ticket_status, rma.status_seen_at = change.status_name, now
    result.changed += 1
    # Counts may still change before the goods are in the inventory: only then are they read.
    if change.status is TicketStatus.ADDED_TO_INVENTORY and rma.read_status != change.status_name:
        rma.to_read = True
    journal.record(
        session,
        now,
        "ticket",
        f"ticket {change.ticket_id} is {change.status_name} in REX11",
        brand=ctx.brand,
        return_pk=row.id,
    )
    if change.status is TicketStatus.CANCELLED and not Stage(row.stage).terminal:
        _ticket_cancelled(ctx, session, row, change, result)
    if row.stage == Stage.CLOSING and not row.held:
        row.due_at = now


def _ticket_cancelled(
    ctx: BrandContext, session: Session, row: ReturnRow, change: TicketChange, result: Received
) -> None:
    if row.stage == Stage.CLOSING:
        return  # nothing is awaited any more: a cancelled ticket is a finished one
    attention.raise_item(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="ticket_cancelled",
        reason=f"the warehouse cancelled ticket {change.ticket_id}, but the return is still open "
        "in Loop: retry makes a new RMA, or close the return in Loop by hand",
        row=row,
    )
    result.attention += 1


def _read_tickets(ctx: BrandContext, result: Received) -> None:
    with ctx.ledger.read() as session:
        due = list(
            session.scalars(
                sa.select(RmaRow)
                .where(RmaRow.brand == ctx.brand, RmaRow.to_read.is_(True))
                .order_by(RmaRow.status_seen_at, RmaRow.id)
                .limit(PER_TICK)
            )
        )
    _read_and_take(ctx, due, result)


def reread(ctx: BrandContext, rmas: Sequence[RmaRow]) -> Received:
    """Read tickets whatever is known of them: what the list of changes missed shows."""
    result = Received()
    _read_and_take(ctx, rmas, result)
    return result


def _read_and_take(ctx: BrandContext, due: Sequence[RmaRow], result: Received) -> None:
    for batch in ctx.batches(due):
        answers = ctx.in_parallel(lambda rma: _read(ctx, rma), batch)
        with ctx.ledger.write() as session:
            rmas = returns.rmas_by_pk(session, [rma.id for rma in batch])
            rows = returns.by_pks(session, [rma.return_pk for rma in batch])
            stored = _store(ctx, session, rmas, zip(batch, answers, strict=True))
            for before, answer in zip(batch, answers, strict=True):
                rma = rmas[before.id]
                _take(ctx, session, rma, rows[rma.return_pk], answer, stored.get(rma.id), result)
        ctx.boundary("receipt recorded")


def _store(
    ctx: BrandContext,
    session: Session,
    rmas: Mapping[int, RmaRow],
    answers: Iterable[tuple[RmaRow, Receipt | OutsideError]],
) -> dict[int, ReceiptRow]:
    """Store those whose counts are final and that are not stored yet; by RMA."""
    known = returns.receipts_known(session, list(rmas))
    stored: dict[int, ReceiptRow] = {}
    for rma, answer in answers:
        if isinstance(answer, OutsideError) or not adopt.final(answer):
            continue
        hash_ = digest(dump_receipt(answer))
        row = returns.add_receipt(session, rmas[rma.id], answer, hash_, ctx.now(), known)
        if row is not None:
            stored[rma.id] = row
    session.flush()  # their keys are told in the journal
    return stored


def _read(ctx: BrandContext, rma: RmaRow) -> Receipt | OutsideError:
    ctx.counts.add("rex11.ticket_read")
    try:
        return ctx.warehouse.receipt(rma.ticket_id or "")
    except Unauthorized:
        raise  # the brand's credentials, not this ticket
    except OutsideError as error:
        return error


def _take(
    ctx: BrandContext,
    session: Session,
    rma: RmaRow,
    row: ReturnRow,
    answer: Receipt | OutsideError,
    stored: ReceiptRow | None,
    result: Received,
) -> None:
    if isinstance(answer, OutsideError):
        _unread(ctx, session, rma, row, answer, result)
        return
    result.read += 1
    if rma.ticket_status != answer.status_name:
        status = TicketChange(answer.ticket_id, answer.status, answer.status_name)
        _changed(ctx, session, rma, row, status, result)
    rma.to_read, rma.read_status = False, answer.status_name
    rma.status_seen_at = ctx.now()
    if stored is None:
        return
    result.receipts += 1
    counted = sum(x.actual or 0 for x in answer.lines)
    damaged = sum(x.damaged or 0 for x in answer.lines)
    journal.record(
        session,
        ctx.now(),
        "received",
        f"ticket {answer.ticket_id}: {counted} counted, {damaged} damaged",
        brand=ctx.brand,
        return_pk=row.id,
        data={"receipt": stored.id},
    )
    _arrived(ctx, session, row, answer, result)


def _arrived(
    ctx: BrandContext, session: Session, row: ReturnRow, receipt: Receipt, result: Received
) -> None:
    now = ctx.now()
    row.received_at = row.received_at or now
    if row.stage in (Stage.SEEN, Stage.ANNOUNCED, Stage.RECEIVED, Stage.WAITING):
        enter(row, Stage.RECEIVED, now)
    elif row.stage == Stage.FLAGGED:
        # A person decides in Loop: that is where the news has to go.
        words = in_words(comparison_of(ctx, session, row))
        news = f"Warehouse update after the flag (ticket {receipt.ticket_id}): now {words}."
        notes.intend(ctx, session, row, digest(dump_receipt(receipt))[:12], news)
    elif row.stage in (Stage.CANCELLED, Stage.EXPIRED):
        attention.raise_item(
            session,
            now,
            brand=ctx.brand,
            kind="unexpected_receipt",
            reason=f"ticket {receipt.ticket_id} was received, but Loop shows the return "
            f"{row.stage}",
            row=row,
        )
        result.attention += 1


def _unread(
    ctx: BrandContext,
    session: Session,
    rma: RmaRow,
    row: ReturnRow,
    error: OutsideError,
    result: Received,
) -> None:
    """A read that failed for a passing reason is tried at the next tick; one that cannot be
    understood goes to a person, with the answer as it came."""
    if not isinstance(error, (Unreadable, Refused)):
        return
    rma.to_read = False
    if error.raw:
        journal.keep_raw(
            session,
            ctx.now(),
            brand=ctx.brand,
            source="rex11.ticket",
            digest=digest(error.raw),
            body=error.raw,
            problem=error.message,
            return_id=row.return_id,
        )
    attention.raise_item(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="receipt_unreadable",
        reason=f"the receipt of ticket {rma.ticket_id} cannot be read: {error.message}",
        tried="one read of the ticket; the answer is kept as it came",
        row=row,
    )
    result.attention += 1
