"""Does the ledger still say what Loop and REX11 say? Compare, repair what is safe, tell the rest.

The syncs follow what changed; this looks at what is, so it finds what a sync can miss: a change
stamped by a clock too far off, a webhook and a page lost together, a ticket that a list of
changes left out, or something done by hand. It takes the brand's lock, and moves no money: what
it repairs is the ledger's picture; the next sync acts on it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

from bergen_loop.domain.rma import Receipt, TicketStatus
from bergen_loop.domain.words import Need
from bergen_loop.flow import adopt, calls, intake, receive, tick
from bergen_loop.flow.context import AHEAD, BrandContext
from bergen_loop.flow.shipments import note_bags
from bergen_loop.ledger.codec import load_return
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.store import effects, returns
from bergen_loop.ledger.store import reconcile as asked
from bergen_loop.ledger.store import shipments as shipped
from bergen_loop.ledger.store.effects import ticket_key
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import OutsideError
from bergen_loop.outside.loop.models import ParsedReturn
from bergen_loop.repair import drift, shipments
from bergen_loop.repair.drift import Done, Finding, Summary

WINDOW = timedelta(days=30)
STALE = timedelta(days=1)
"""Open tickets whose status was not seen for so long are read again."""
MOST_TICKETS = 200
MOST_DETAILS = 200
MOST_LOOK_UPS = 200
OVERDUE = timedelta(days=45)
"""A ticket open for so long is told about: its parcel may be lost."""


def run(ctx: BrandContext, window: timedelta = WINDOW, *, stale: timedelta = STALE) -> Summary:
    """Compare the last `window`. Raises BrandBusy, OutsideError (its list could not be walked) and
    Unauthorized; what was repaired by then stays repaired."""
    until = ctx.now()
    summary = Summary(ctx.brand, "reconcile", until - window, until)
    with tick.holding(ctx):
        seen = _compare_returns(ctx, summary)
        _look_at_unlisted(ctx, summary, seen)
        _read_stale_tickets(ctx, summary, stale)
        _find_unknown_tickets(ctx, summary)
        _look_for_missing_tickets(ctx, summary)
        shipments.compare(ctx, summary, stale, OVERDUE)
        _tell_overdue(ctx, summary)
        return drift.close(ctx, summary)


# -- Loop -------------------------------------------------------------------------------------


def _compare_returns(ctx: BrandContext, summary: Summary) -> set[str]:
    """Every return made or changed in the window, in all states; the ids that Loop showed."""
    seen: set[str] = set()
    for way in ("created_at", "updated_at"):
        pages = ctx.loop.walk_returns(
            summary.since,
            summary.until + AHEAD,
            filter=way,
            page_size=ctx.settings.loop.page_size,
        )
        for page in pages:
            ctx.counts.add("loop.list.pages")
            _compare_page(ctx, summary, page.returns)
            seen.update(p.return_id for p in page.returns if p.return_id)
            if page.incomplete:
                _tell_incomplete(ctx, summary, f"{page.since:%Y-%m-%d %H:%M}", page.incomplete)
    summary.returns = len(seen)
    return seen


def _tell_incomplete(ctx: BrandContext, summary: Summary, since: str, why: str) -> None:
    text = f"Loop's list from {since} UTC on could not be walked to its end ({why})"
    with ctx.write() as tx:
        drift.tell(tx, summary, Finding("list", text, Done.TOLD))


def _compare_page(ctx: BrandContext, summary: Summary, page: Sequence[ParsedReturn]) -> None:
    good_answers = {p.value.id: p for p in page if p.value is not None}
    good = {i: p.value for i, p in good_answers.items() if p.value is not None}
    with ctx.ledger.read() as session:
        before = returns.by_ids(session, ctx.brand, good)
    intake.store(ctx, page, intake.Pulled())
    with ctx.write() as tx:
        note_bags(ctx, tx, [p.value for p in good_answers.values() if p.value is not None])
        after = returns.by_ids(tx.session, ctx.brand, good)
        for return_id, return_ in good.items():
            old, row = before.get(return_id), after.get(return_id)
            if row is None:
                continue  # set aside: it is on the attention list
            if old is None:
                text = f"Loop has return {return_id} ({return_.state}); the ledger had not: added"
            elif old.loop_state != return_.state:
                text = f"return {return_id} is {return_.state} in Loop, was known as "
                text += f"{old.loop_state}: taken in"
                if row.loop_state != return_.state:  # its time in Loop seems to have gone back
                    calls.take(ctx, tx, row, good_answers[return_id])
            else:
                continue
            kind = "missed" if old is None else "state"
            drift.tell(tx, summary, Finding(kind, text, Done.REPAIRED, return_id), row)


def _look_at_unlisted(ctx: BrandContext, summary: Summary, seen: set[str]) -> None:
    """Returns we wait for that Loop's lists do not show: read one by one, the longest unseen
    first."""
    with ctx.ledger.read() as session:
        rows = asked.going_on(session, ctx.brand, summary.since)
        unlisted = [row for row in rows if row.return_id not in seen][:MOST_DETAILS]
    for batch in ctx.batches(unlisted):
        answers = ctx.in_parallel(lambda row: calls.details(ctx, row.return_id), batch)
        with ctx.write() as tx:
            for old, answer in zip(batch, answers, strict=True):
                row = tx.session.get_one(ReturnRow, old.id)
                _unlisted(ctx, tx, summary, row, answer)


def _unlisted(
    ctx: BrandContext, tx: Transaction, summary: Summary, row: ReturnRow, answer: calls.Seen
) -> None:
    return_id, before = row.return_id, row.loop_state
    if answer.answer is not None:
        calls.take(ctx, tx, row, answer.answer)
        text = f"Loop's list does not show return {return_id}, its details do"
        done = Done.REPAIRED if row.loop_state != before else Done.TOLD
        drift.tell(tx, summary, Finding("unlisted", text, done, return_id), row)
    elif answer.problem:
        text = f"Loop shows return {return_id} no more: {answer.problem}"
        tried = "walked Loop's lists, then read the return's details"
        tx.needs_person(Need.GONE, text, row, tried)
        drift.tell(tx, summary, Finding("gone", text, Done.ATTENTION, return_id), row)


# -- REX11 ------------------------------------------------------------------------------------


def _read_stale_tickets(ctx: BrandContext, summary: Summary, stale: timedelta) -> None:
    """Tickets that should move and were not heard of: read a few, the longest unheard first."""
    before = ctx.now() - stale
    with ctx.ledger.read() as session:
        rmas = asked.unheard_tickets(session, ctx.brand, before, MOST_TICKETS)
        known = {rma.id: (rma.ticket_status, rma.read_status) for rma in rmas}
    receive.reread(ctx, rmas)
    summary.tickets += len(rmas)
    with ctx.write() as tx:
        for rma in (tx.session.get_one(RmaRow, i) for i in known):
            status, _ = known[rma.id]
            if rma.ticket_status == status:
                continue
            row = tx.session.get_one(ReturnRow, rma.return_pk)
            text = f"ticket {rma.ticket_id} of return {row.return_id} is {rma.ticket_status} in "
            text += f"REX11, was known as {status or 'new'}: taken in"
            finding = Finding("ticket", text, Done.REPAIRED, row.return_id)
            drift.tell(tx, summary, finding, row)


def _find_unknown_tickets(ctx: BrandContext, summary: Summary) -> None:
    """Tickets that changed in the window and are not in the ledger: is one of them for one of
    our POs?"""
    changes = ctx.warehouse.changed_tickets(summary.since, summary.until + AHEAD)
    ctx.counts.add("rex11.statuses_by_date")
    with ctx.ledger.read() as session:
        ids = [c.ticket_id for c in changes]
        known = returns.rmas_by_ticket(session, ctx.brand, ids).keys() | (
            shipped.rmas_by_ticket(session, ctx.brand, ids).keys()
        )
    unknown = [c.ticket_id for c in changes if c.ticket_id not in known]
    chosen, rest = unknown[-MOST_LOOK_UPS:], unknown[:-MOST_LOOK_UPS]
    summary.tickets += len(changes)
    for batch in ctx.batches(chosen):
        for answer in ctx.in_parallel(lambda ticket: shipments.read(ctx, ticket), batch):
            if answer is not None and answer.customer_po:
                _unknown_ticket(ctx, summary, answer)
    if rest:
        text = f"{len(rest)} tickets of other origin were not looked at: {drift.ids(rest)}"
        with ctx.write() as tx:
            drift.tell(tx, summary, Finding("strangers", text, Done.TOLD))


def _unknown_ticket(ctx: BrandContext, summary: Summary, ticket: Receipt) -> None:
    po = ticket.customer_po or ""
    with ctx.ledger.read() as session:
        row, rma = _owner(ctx, session, po)
        if row is None:  # a shipment's, or someone else's: a delivery of new goods, a walk-in
            shipments.take_ticket(ctx, summary, ticket)
            return
        effect = effects.find(session, ctx.brand, ticket_key(po))
    if effect is not None and effect.state in effects.OPEN:
        return  # its answer was lost: the next sync looks it up and takes it
    if rma is None or rma.ticket_id is None:
        _look_for_ticket(ctx, summary, row)
    elif ticket.status is not TicketStatus.CANCELLED:
        _second_ticket(ctx, summary, row.id, rma, ticket.ticket_id)


def _second_ticket(
    ctx: BrandContext, summary: Summary, return_pk: int, rma: RmaRow, ticket_id: str
) -> None:
    text = f"REX11 has ticket {ticket_id} with PO {rma.customer_po}, whose ticket is "
    text += f"{rma.ticket_id}: ask Bergen to cancel one"
    with ctx.write() as tx:
        row = tx.session.get_one(ReturnRow, return_pk)
        adopt.two_tickets(tx, row, rma.customer_po, rma.ticket_id or "", [ticket_id])
        finding = Finding("orphan", text, Done.ATTENTION, row.return_id)
        drift.tell(tx, summary, finding, row)


def _owner(ctx: BrandContext, session: Session, po: str) -> tuple[ReturnRow | None, RmaRow | None]:
    """The return whose RMA carries this PO, or would."""
    rma = asked.rma_of_po(session, ctx.brand, po)
    if rma is not None:
        return session.get_one(ReturnRow, rma.return_pk), rma
    match = _po_pattern(ctx.rules.po_template).fullmatch(po) if len(po) <= LONGEST_PO else None
    row = returns.by_id(session, ctx.brand, match["id"]) if match else None
    return row, None


LONGEST_PO = 100
"""Characters: a PO of ours is shorter, and what is searched in is the warehouse's text."""


def _po_pattern(template: str) -> re.Pattern[str]:
    """Matches a PO of any of a return's RMAs, with the return's id in the group `id`."""
    values = {"return_id": "\0", "order_name": "\1"}
    escaped = re.escape(template.format(**values))
    named = escaped.replace("\\\0", "\0").replace("\\\1", "\1")
    named = named.replace("\0", "(?P<id>.+?)", 1).replace("\0", "(?P=id)").replace("\1", ".*")
    return re.compile(rf"{named}(?:-\d+)?", re.IGNORECASE)


def _look_for_missing_tickets(ctx: BrandContext, summary: Summary) -> None:
    """Returns that should have had a ticket long ago and have none: look by their PO."""
    with ctx.ledger.read() as session:
        rows = asked.without_ticket(session, ctx.brand, ctx.now() - STALE, MOST_LOOK_UPS)
        flying = effects.open_ticket_calls(session, [row.id for row in rows])
    for row in rows:
        if row.id not in flying:
            _look_for_ticket(ctx, summary, row)


def _look_for_ticket(ctx: BrandContext, summary: Summary, row: ReturnRow) -> None:
    past = adopt.look_up(ctx, load_return(row.content))
    if isinstance(past, OutsideError):
        return
    summary.tickets += 1
    if not past.tickets:
        return
    with ctx.write() as tx:
        fresh = tx.session.get_one(ReturnRow, row.id)
        adopt.take_over(ctx, tx, fresh, past)
        text = f"REX11 has ticket {past.tickets[0].receipt.ticket_id} for return {row.return_id}; "
        text += "the ledger knew of none: adopted"
        finding = Finding("orphan", text, Done.REPAIRED, row.return_id)
        drift.tell(tx, summary, finding, fresh)


# -- what only time shows ---------------------------------------------------------------------


def _tell_overdue(ctx: BrandContext, summary: Summary) -> None:
    """Tickets that the warehouse has not finished for very long: only told, for REX11 has no
    call to end one."""
    before = ctx.now() - OVERDUE
    with ctx.write() as tx:
        old = asked.old_tickets(tx.session, ctx.brand, before)
        tickets = [f"{x.ticket_id} (return {x.return_id}, {x.stage})" for x in old]
        if tickets:
            text = f"{len(tickets)} tickets are older than {OVERDUE.days} days and not finished "
            text += f"in REX11: {drift.ids(tickets)}"
            drift.tell(tx, summary, Finding("overdue", text, Done.TOLD))
