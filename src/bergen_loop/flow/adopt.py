"""Tickets that REX11 has already, though the ledger does not know of them.

A return that is older than the ledger's acquaintance with its brand may have been announced
before: by an earlier ledger that was lost, or while the answer went to nobody. REX11's add is not
idempotent (I3), so such a return is looked up by its PO first, and its ticket adopted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy.orm import Session

from bergen_loop.domain import announce as rules
from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.lifecycle import Stage
from bergen_loop.domain.receipt import Receipt
from bergen_loop.domain.returns import LoopState, Return
from bergen_loop.domain.rma import TicketStatus
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.intake import enter
from bergen_loop.flow.pull import AHEAD
from bergen_loop.flow.pull import FIRST_PULL as FIRST_PULL
from bergen_loop.ledger.codec import digest, dump_item, dump_receipt, load_return
from bergen_loop.ledger.store import attention, effects, journal, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow

LATE = timedelta(hours=1)
"""Returns seen so long after they were submitted are looked up as well."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket found by the PO of one of our RMAs."""

    customer_po: str
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Past:
    """What the outside knows of a return that the ledger does not."""

    tickets: tuple[Ticket, ...] = ()
    notes: int = 0
    """Notes on the return in Loop; counted only where it matters."""

    @property
    def received(self) -> bool:
        return any(final(t.receipt) for t in self.tickets)


def final(receipt: Receipt) -> bool:
    """Whether the counts are final. A ticket that was read for another reason, such as a resync,
    may be a Draft still; one in a status we do not know is taken, for what judges it to say so."""
    return receipt.status in (None, TicketStatus.ADDED_TO_INVENTORY)


def may_have_past(row: ReturnRow, first_pull: datetime | None) -> bool:
    """Whether the return may have been announced before the ledger knew it."""
    late = row.seen_at - row.submitted_at > LATE
    return late or first_pull is None or row.submitted_at <= first_pull + AHEAD


def look_up(ctx: BrandContext, return_: Return) -> Past:
    """Find the tickets of a return by its POs, and read them. Raises OutsideError, OutsideError."""
    tickets: list[Ticket] = []
    attempt = 1
    while True:
        po = rules.customer_po(return_, ctx.rules, attempt)
        ctx.counts.add("rex11.tickets_by_po")
        ids = ctx.warehouse.find_rmas(po)
        if not ids:
            break
        tickets += [Ticket(po, ctx.warehouse.receipt(i)) for i in ids]
        attempt += 1
    past = Past(tuple(tickets))
    if past.received and return_.state is LoopState.OPEN:
        return Past(past.tickets, len(ctx.loop.notes(return_.id)))
    return past


def take_over(ctx: BrandContext, session: Session, row: ReturnRow, past: Past) -> None:
    """Make the tickets the return's own, and put it where the two systems show it to be."""
    if not past.tickets:
        return
    return_ = load_return(row.content)
    for po, group in groupby(past.tickets, key=lambda t: t.customer_po):
        _follow(ctx, session, row, return_, po, [t.receipt for t in group])
    session.flush()
    row.announced_at = row.announced_at or ctx.now()
    _place(ctx, session, row, past)


def _follow(
    ctx: BrandContext,
    session: Session,
    row: ReturnRow,
    return_: Return,
    po: str,
    tickets: Sequence[Receipt],
) -> None:
    """One RMA: of several tickets with its PO, the first that is not cancelled."""
    now = ctx.now()
    known = returns.rmas_of(session, [row.id]).get(row.id, [])
    rma = next((r for r in known if r.customer_po == po), None)
    alive = [t for t in tickets if t.status is not TicketStatus.CANCELLED] or list(tickets)
    if rma is None or rma.ticket_id is None:
        rma = rma or _new_rma(ctx, row, return_, po, len(known) + 1)
        rma.ticket_id, rma.confirmed_at = alive[0].ticket_id, now
        session.add(rma)
        _settle_effect(ctx, session, row, po, alive[0].ticket_id)
    followed = next((t for t in tickets if t.ticket_id == rma.ticket_id), alive[0])
    rma.ticket_status, rma.status_seen_at = followed.status_name, now
    session.flush()
    if final(followed):
        returns.add_receipt(session, rma, followed, digest_of(followed), now)
        rma.read_status = followed.status_name
        row.received_at = row.received_at or followed.added_to_inventory_at or now
    others = [t.ticket_id for t in alive if t.ticket_id != rma.ticket_id]
    if others:
        two_tickets(ctx, session, row, po, rma.ticket_id or "", others)


def digest_of(receipt: Receipt) -> str:
    """What tells one reading of a ticket from another."""
    return digest(dump_receipt(receipt))


def two_tickets(
    ctx: BrandContext,
    session: Session,
    row: ReturnRow,
    po: str,
    followed: str,
    others: Sequence[str],
) -> None:
    """Tell that REX11 has more tickets with a PO than the one that is followed."""
    attention.raise_item(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="two_tickets",
        reason=f"REX11 has {len(others) + 1} tickets with PO {po}: {followed}, "
        f"{', '.join(others)}; we follow {followed}, ask Bergen to cancel the others",
        row=row,
        blocking=False,
    )


def _new_rma(ctx: BrandContext, row: ReturnRow, return_: Return, po: str, parcel: int) -> RmaRow:
    request = rules.rma_request(return_, ctx.rules, po, ctx.now())
    return RmaRow(
        brand=ctx.brand,
        return_pk=row.id,
        parcel=parcel,
        customer_po=po,
        created_at=ctx.now(),
        warehouse=request.warehouse,
        items=[dump_item(i) for i in request.items],
        tracking_numbers=list(request.tracking_numbers),
    )


def _settle_effect(
    ctx: BrandContext, session: Session, row: ReturnRow, po: str, ticket_id: str
) -> None:
    """The ticket call has been made, whoever remembers it: it is never made again."""
    key, now = f"ticket:{po}", ctx.now()
    effect = effects.find(session, ctx.brand, key)
    if effect is None:
        effect = effects.intend(
            session,
            now,
            brand=ctx.brand,
            key=key,
            kind="ticket_add",
            payload={"customer_po": po},
            return_pk=row.id,
        )
    effects.finish(
        session, effect, now, EffectState.DONE, f"found by its PO {po}: ticket {ticket_id}"
    )


def _place(ctx: BrandContext, session: Session, row: ReturnRow, past: Past) -> None:
    now, state = ctx.now(), LoopState(row.loop_state)
    stage = _stage(row, state, past)
    if stage is not None and stage != row.stage:
        journal.record(
            session,
            now,
            stage.value,
            f"its ticket was in REX11 already, and Loop shows the return {state}",
            brand=ctx.brand,
            return_pk=row.id,
            data={"from": row.stage, "tickets": [t.receipt.ticket_id for t in past.tickets]},
        )
        row.completed_at = None
        enter(row, stage, now)
    if state is LoopState.OPEN and row.stage == Stage.RECEIVED:
        _maybe_settled(ctx, session, row, past)
    elif row.stage == Stage.ANNOUNCED and _all_cancelled(past):
        attention.raise_item(
            session,
            now,
            brand=ctx.brand,
            kind="ticket_cancelled",
            reason="the warehouse cancelled its ticket, but the return is still open in Loop: "
            "retry makes a new RMA, or close the return in Loop by hand",
            row=row,
        )


def _stage(row: ReturnRow, state: LoopState, past: Past) -> Stage | None:
    """Where a return with these tickets stands; None: where it is."""
    if row.stage not in (Stage.SEEN, Stage.NO_PARCEL, Stage.ANNOUNCED, Stage.COMPLETE):
        return None
    if state is LoopState.CLOSED:
        return Stage.CLOSING
    if row.stage == Stage.COMPLETE:
        return None
    if not past.received:
        return Stage.ANNOUNCED
    return Stage.FLAGGED if state is LoopState.REVIEW else Stage.RECEIVED


def _all_cancelled(past: Past) -> bool:
    return all(t.receipt.status is TicketStatus.CANCELLED for t in past.tickets)


def _maybe_settled(ctx: BrandContext, session: Session, row: ReturnRow, past: Past) -> None:
    """Received and open: a process call that nobody remembers may be under way, or a flag may
    have been taken off again by a person. The first shows with time; the second does not."""
    now, key = ctx.now(), f"settle:{row.return_id}"
    if effects.find(session, ctx.brand, key) is None:
        effect = effects.intend(
            session,
            now,
            brand=ctx.brand,
            key=key,
            kind=Outcome.PROCESS.value,
            payload={"return_id": row.return_id, "decision": None, "line_item_ids": []},
            return_pk=row.id,
        )
        effects.finish(
            session,
            effect,
            now,
            EffectState.DOUBT,
            "a call made before this ledger knew the return may be under way",
        )
    if past.notes:
        attention.raise_item(
            session,
            now,
            brand=ctx.brand,
            kind="unknown_past",
            reason="its parcel was received before this ledger knew the return, and it has notes "
            f"in Loop ({past.notes}): it may have been flagged before, and what was flagged is "
            "never processed. Look in Loop; retry lets the criteria judge it",
            row=row,
        )
