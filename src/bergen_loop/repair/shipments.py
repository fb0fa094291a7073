"""Consolidated shipments that the ledger has lost, or knows otherwise than Loop and REX11 do.

Loop has no list of shipments. But a ticket of ours names its shipment in its PO, and every return
names its bag: so a lost shipment is found by its tickets, and a bag without a shipment is told. A
ticket that is found is read before it is followed, and nothing is announced here: what has no
ticket is looked for by its PO once more before the next sync makes one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from bergen_loop.domain import shipment as shipping
from bergen_loop.domain.rma import Receipt, TicketStatus, normal_ticket_id
from bergen_loop.domain.shipment import ShipmentStage
from bergen_loop.domain.words import Need
from bergen_loop.flow import adopt, shipment_counts, shipment_rmas, shipments
from bergen_loop.flow.context import AHEAD, BrandContext
from bergen_loop.flow.shipments import Shown
from bergen_loop.ledger.codec import load_return
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.store import effects, returns
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.store.effects import ticket_key
from bergen_loop.ledger.tables.shipments import ShipmentRmaRow, ShipmentRow
from bergen_loop.outside.errors import Effect, OutsideError, Scope
from bergen_loop.outside.loop.shipments import ShipmentHead, ShipmentItems
from bergen_loop.repair import drift
from bergen_loop.repair.drift import Done, Finding, Summary

MOST_TICKETS = 2000
"""Unknown tickets that a rebuild reads, the newest: most may be of new goods."""
MOST_NAMES = 8
"""Ids that are tried for one PO."""


# -- found by their tickets -------------------------------------------------------------------


def recover(ctx: BrandContext, summary: Summary) -> None:
    """After the returns of a lost ledger: the shipments that REX11's tickets tell of."""
    if not ctx.settings.loop.happy_returns:
        return
    changes = ctx.warehouse.changed_tickets(summary.since, summary.until + AHEAD)
    ctx.counts.add("rex11.statuses_by_date")
    with ctx.ledger.read() as session:
        ids = list(dict.fromkeys(c.ticket_id for c in changes if c.ticket_id))
        known = returns.rmas_by_ticket(session, ctx.brand, ids).keys() | (
            store.rmas_by_ticket(session, ctx.brand, ids).keys()
        )
    unknown = [i for i in ids if i not in known]
    for batch in ctx.batches(unknown[-MOST_TICKETS:]):
        for ticket in ctx.in_parallel(lambda i: read(ctx, i), batch):
            if ticket is not None:
                summary.tickets += 1
                take_ticket(ctx, summary, ticket)
    if rest := unknown[:-MOST_TICKETS]:
        text = f"{len(rest)} tickets of other origin were not looked at: {drift.ids(rest)}"
        with ctx.write() as tx:
            drift.tell(tx, summary, Finding("strangers", text, Done.TOLD))


def read(ctx: BrandContext, ticket_id: str) -> Receipt | None:
    """None for a ticket that cannot be read: the next reconcile tries again. Raises OutsideError
    where the brand has no access."""
    try:
        return ctx.warehouse.receipt(ticket_id)
    except OutsideError as error:
        if error.scope is Scope.ACCESS:
            raise
        return None


def take_ticket(ctx: BrandContext, summary: Summary, ticket: Receipt) -> None:
    """A ticket that the ledger does not know: where its PO is one of a shipment's, it is followed,
    or told where another is."""
    po = ticket.customer_po or ""
    names = shipping.shipments_named(ctx.settings.shipments.po_prefix, po)
    if not (ctx.settings.loop.happy_returns and names):
        return
    with ctx.ledger.read() as session:
        rma = store.rma_of_po(session, ctx.brand, po)
    if rma is None and _learn(ctx, summary, ticket, names):
        with ctx.ledger.read() as session:
            rma = store.rma_of_po(session, ctx.brand, po)
    if rma is None:
        return
    if rma.ticket_id is None:
        _look_for(ctx, summary, rma)
    elif normal_ticket_id(rma.ticket_id) != normal_ticket_id(ticket.ticket_id) and (
        ticket.status is not TicketStatus.CANCELLED
    ):
        _two_tickets(ctx, summary, rma, ticket.ticket_id)


def _learn(ctx: BrandContext, summary: Summary, ticket: Receipt, names: Sequence[str]) -> bool:
    """Find out which shipment a PO is of, and take it in. Whether it was."""
    po = ticket.customer_po or ""
    for head, items in _shown(ctx, names):
        with ctx.write() as tx:
            known = store.by_happy_id(tx.session, tx.brand, head.happy_id)
            if known is None and po.casefold() in _pos(ctx, tx.session, head, items):
                row = shipments.learn(tx, head.happy_id, head.loop_id, summary.what)
                assert row is not None
                shipments.take(ctx, tx, row, Shown(row.id, head, items))
                text = f"ticket {ticket.ticket_id} is of consolidated shipment {head.happy_id}, "
                text += f"which the ledger had not: added, {row.expected} units"
                drift.tell(tx, summary, Finding("shipment", text, Done.REPAIRED))
                learned = True
            else:
                text = f"ticket {ticket.ticket_id} with PO {po} is of consolidated shipment "
                text += f"{head.happy_id}, which is not announced by such a PO now (were its "
                text += "settings changed, or its items?): ask Bergen what it announces"
                tx.needs_person(Need.TWO_TICKETS, text, po)
                drift.tell(tx, summary, Finding("orphan", text, Done.ATTENTION))
                learned = False
        ctx.boundary("repair shipment taken")
        return learned
    return False


def _shown(ctx: BrandContext, names: Sequence[str]) -> Iterator[tuple[ShipmentHead, ShipmentItems]]:
    """The shipment that Loop knows by one of these names, if any: REX11 may have put them into
    lower case. Raises OutsideError, except for names that Loop does not know."""
    tried = list(dict.fromkeys(x for n in names for x in (n, n.upper(), n.lower())))
    for name in tried[:MOST_NAMES]:
        try:
            ctx.counts.add("loop.shipment")
            head = ctx.loop.shipment(name)
            items = ctx.loop.shipment_items(head.loop_id)
        except OutsideError as error:
            if error.effect is not Effect.REFUSED:
                raise
            continue
        ctx.counts.add("loop.shipment_items", items.pages)
        yield head, items
        return


def _pos(ctx: BrandContext, session: Session, head: ShipmentHead, items: ShipmentItems) -> set[str]:
    """Every PO that one of its RMAs may have."""
    s, length = ctx.settings.shipments, ctx.settings.announce.po_length
    ids = {i.return_id for i in items.items if i.return_id}
    rows = returns.by_ids(session, ctx.brand, ids)
    units = shipping.units_of(items.items, {i: load_return(r.content) for i, r in rows.items()})
    return {
        po.casefold()
        for one in shipping.consignments(units, s.rma, s.most_items, ctx.rules.kits)
        for po in shipping.pos_of(s.po_prefix, head.happy_id, one, length)
    }


def _look_for(ctx: BrandContext, summary: Summary, rma: ShipmentRmaRow) -> None:
    """Follow the ticket with this PO, if there is one. One whose call is under way is left to the
    next sync, which looks for it as well."""
    with ctx.ledger.read() as session:
        effect = effects.find(session, ctx.brand, ticket_key(rma.customer_po))
    if effect is not None and effect.state in effects.OPEN:
        return
    try:
        tickets = adopt.find_read(ctx, rma.customer_po)
    except OutsideError as error:
        if error.scope is Scope.ACCESS:
            raise
        with ctx.write() as tx:
            text = f"whether REX11 has a ticket with PO {rma.customer_po} cannot be found out: "
            finding = Finding("orphan", f"{text}{error.message}", Done.TOLD)
            drift.tell(tx, summary, finding)
        return
    summary.tickets += 1
    ctx.boundary("repair shipment looked up")
    if not tickets:
        return
    with ctx.write() as tx:
        fresh = store.rmas_by_pks(tx.session, [rma.id])[rma.id]
        if fresh.ticket_id is not None:
            return
        shipment_rmas.adopt_ticket(tx, fresh, tickets)
        text = f"REX11 has ticket {tickets[0]} with PO {fresh.customer_po} of a consolidated "
        text += "shipment; the ledger knew of none: adopted"
        drift.tell(tx, summary, Finding("orphan", text, Done.REPAIRED))


def _two_tickets(ctx: BrandContext, summary: Summary, rma: ShipmentRmaRow, ticket_id: str) -> None:
    text = f"REX11 has ticket {ticket_id} with PO {rma.customer_po}, whose ticket is "
    text += f"{rma.ticket_id}: ask Bergen to cancel one"
    with ctx.write() as tx:
        shipment_rmas.tell_others(tx, rma, [ticket_id])
        drift.tell(tx, summary, Finding("orphan", text, Done.ATTENTION))


# -- compared ---------------------------------------------------------------------------------


def compare(ctx: BrandContext, summary: Summary, stale: timedelta, overdue: timedelta) -> None:
    """What Loop and REX11 say of the shipments that go on, or left a hub in the window."""
    if not ctx.settings.loop.happy_returns:
        return
    with ctx.ledger.read() as session:
        rows = [
            row
            for row in store.since(session, ctx.brand, summary.since)
            if row.stage != ShipmentStage.DONE or row.problem
        ]
    for row in rows:
        _look_again(ctx, summary, row)
    with ctx.ledger.read() as session:
        rmas = store.rmas_of(session, [row.id for row in rows])
    for rma in rmas:
        if rma.ticket_id is None and rma.due_at is None:
            _look_for(ctx, summary, rma)
    before = ctx.now() - stale
    silent = [
        r
        for r in rmas
        if r.ticket_id
        and r.read_status is None
        and r.ticket_status != TicketStatus.CANCELLED
        and (r.status_seen_at or r.created_at) <= before
    ]
    _read_silent(ctx, summary, silent)
    _tell_overdue(ctx, summary, rmas, ctx.now() - overdue)


def _look_again(ctx: BrandContext, summary: Summary, row: ShipmentRow) -> None:
    def told(text: str, done: Done) -> None:
        with ctx.write() as tx:
            drift.tell(tx, summary, Finding("shipment", text, done))

    try:
        seen = shipments.look_at(ctx, row)
    except OutsideError as error:
        if error.scope is Scope.ACCESS:
            raise
        text = f"Loop does not show consolidated shipment {row.happy_id}: {error.message}"
        told(text, Done.TOLD)
        return
    with ctx.write() as tx:
        fresh = store.by_pks(tx.session, [row.id])[row.id]
        before = (fresh.expected, fresh.returns, fresh.bags, fresh.boxes)
        shipments.take(ctx, tx, fresh, seen)
        now = (fresh.expected, fresh.returns, fresh.bags, fresh.boxes)
    if now != before:
        words = "{} units of {} returns in {} bags and {} boxes"
        text = f"consolidated shipment {row.happy_id} holds {words.format(*now)} in Loop, was "
        told(f"{text}known with {words.format(*before)}: taken in", Done.REPAIRED)


def _read_silent(ctx: BrandContext, summary: Summary, rmas: Sequence[ShipmentRmaRow]) -> None:
    """Tickets that should move and were not heard of."""
    was = {r.id: r.ticket_status for r in rmas}
    shipment_counts.reread(ctx, rmas)
    summary.tickets += len(rmas)
    with ctx.write() as tx:
        for rma in store.rmas_by_pks(tx.session, list(was)).values():
            if rma.ticket_status == was[rma.id]:
                continue
            text = f"ticket {rma.ticket_id}, PO {rma.customer_po}, is {rma.ticket_status} in "
            text += f"REX11, was known as {was[rma.id] or 'new'}: taken in"
            drift.tell(tx, summary, Finding("ticket", text, Done.REPAIRED))


def _tell_overdue(
    ctx: BrandContext, summary: Summary, rmas: Sequence[ShipmentRmaRow], before: datetime
) -> None:
    old = [
        f"{r.ticket_id} ({r.customer_po})"
        for r in rmas
        if r.ticket_id and r.read_status is None and r.created_at <= before
    ]
    if old:
        text = f"{len(old)} tickets of consolidated shipments are not finished in REX11 for very "
        with ctx.write() as tx:
            finding = Finding("overdue", f"{text}long: {drift.ids(old)}", Done.TOLD)
            drift.tell(tx, summary, finding)
