"""Tickets that REX11 has already, though the ledger does not know of them.

A return that is older than the ledger's acquaintance with its brand may have been announced
before: by an earlier ledger that was lost, or while the answer went to nobody. REX11's add is not
idempotent (I3), so such a return is looked up by its PO first, and its ticket adopted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby

from bergen_loop.domain import announce as rules
from bergen_loop.domain.returns import TO_JUDGE, LoopState, Return, Stage
from bergen_loop.domain.rma import Receipt, RmaRequest, TicketStatus, normal_ticket_id
from bergen_loop.domain.words import EffectKind, Need
from bergen_loop.flow.context import AHEAD, BrandContext
from bergen_loop.flow.facts import comparison_of
from bergen_loop.flow.transitions import (
    all_cancelled,
    follow,
    known_of,
    plan_note,
    settlement_shown,
)
from bergen_loop.ledger.codec import digest, document, dump_item, load_receipt, load_return
from bergen_loop.ledger.store import attention, effects, returns, shipments
from bergen_loop.ledger.store.effects import EffectState, Intent, settling_key, ticket_key
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow, RmaRow
from bergen_loop.ledger.tables.shipments import ShipmentRmaRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import Effect, OutsideError, Scope, Unavailable, Unreadable

LATE = timedelta(hours=1)
"""Returns seen so long after they were submitted are looked up as well."""
LOOK_FIRST = timedelta(days=90)
"""How long after a restore RMAs are looked for first: what they are for may be announced late."""
TOO_MANY = 429
PROBES, PROBED_FROM = 2, timedelta(days=30)
"""Tickets by whose POs it is tried whether a look-up finds any, and from how long ago."""
MOST = 100
"""Returns that are looked at in one go."""
LATE_TICKETS = timedelta(days=1)
"""How long a ticket may turn up by its PO although it was not found when it was looked for."""


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
        return any(t.receipt.final for t in self.tickets)


def may_have_past(row: ReturnRow, first_pull: datetime | None) -> bool:
    """Whether the return may have been announced before the ledger knew it."""
    late = row.seen_at - row.submitted_at > LATE
    return late or first_pull is None or row.submitted_at <= first_pull + AHEAD


def restored_lately(ctx: BrandContext) -> bool:
    """Whether the backup that the ledger was put back from may not know of an RMA (I3)."""
    restored = ctx.tick.restored_at
    return restored is not None and ctx.now() - restored < LOOK_FIRST


def look_up(ctx: BrandContext, return_: Return) -> Past | OutsideError:
    """Find the tickets of a return by its POs, also by those it was given while its brand had
    another name here, and read them; or why they cannot be found. Raises OutsideError where the
    brand has no access."""
    tickets: list[Ticket] = []
    seen: set[str] = set()
    parcels = len(rules.parcels(return_, ctx.rules))
    attempt = 1
    with ctx.ledger.read() as session:
        elsewhere = returns.pos_elsewhere(session, ctx.brand, return_.id)
    try:
        for po in elsewhere:
            tickets += _unseen(ctx, po, seen)
        while True:
            new = _unseen(ctx, rules.customer_po(return_, ctx.rules, attempt), seen)
            if not new and attempt >= parcels:
                break  # an earlier parcel's may have been refused, or be cancelled and gone
            tickets += new
            attempt += 1
        if not tickets:
            _mind_blindness(ctx, rules.customer_po(return_, ctx.rules, attempt))
        past = Past(tuple(tickets))
        if past.received and return_.state in (LoopState.OPEN, LoopState.REVIEW):
            return Past(past.tickets, len(ctx.loop.notes(return_.id)))
        return past
    except OutsideError as error:
        if error.scope is Scope.ACCESS:
            raise
        return error


def _unseen(ctx: BrandContext, po: str, seen: set[str]) -> list[Ticket]:
    """The tickets of a PO, read, that are not among those seen; by now they are."""
    new = [i for i in _listed(ctx, po) if normal_ticket_id(i) not in seen]
    seen.update(map(normal_ticket_id, new))
    return [Ticket(po, _read(ctx, i, po)) for i in new]


def find_read(ctx: BrandContext, po: str) -> list[str]:
    """Ids of the tickets with this PO, as REX11 lists them, where they are to be followed for no
    more than that: each says itself, when it is read, whether it is of this PO. On "none" hangs
    whether it is added again. Raises OutsideError: Unreadable where one is of another, Unavailable
    where REX11 finds no tickets that it has."""
    found = _listed(ctx, po)
    if not found:
        _mind_blindness(ctx, po)
    for ticket_id in found:
        try:
            _read(ctx, ticket_id, po)
        except Unreadable:
            raise
        except OutsideError as error:  # it may be listed before it can be read
            if error.scope is Scope.ACCESS:
                raise
    return found


def add(ctx: BrandContext, request: RmaRequest, effect: EffectRow) -> str:
    """Have the ticket made; its id. Where REX11 answers that it is not, `effect` remembers that the
    call arrived: before it is made again, it is looked for. Raises OutsideError."""
    ctx.counts.add("rex11.ticket_add")
    try:
        return ctx.warehouse.create_rma(request)
    except OutsideError as error:
        if error.raw is not None and error.status != TOO_MANY:
            effect.payload = {**effect.payload, effects.ANSWERED: True}
        raise


def _mind_blindness(ctx: BrandContext, po: str) -> None:
    """A look-up that finds none of the tickets that are known to be there says nothing about this
    one. Asked once for each tick."""
    if ctx.tick.blind is None:
        since, until = ctx.now() - PROBED_FROM, ctx.now() - LATE
        with ctx.ledger.read() as session:
            known = returns.tickets_made(session, ctx.brand, (since, until), PROBES)
        lost = 0
        for rma in known:
            listed = _listed(ctx, rma.customer_po)
            if others_than(rma.ticket_id, listed) != listed:
                break
            lost += 1
        ctx.tick.blind = bool(known) and lost == len(known)
    if ctx.tick.blind:
        raise Unavailable(
            "no ticket with this PO, and none with those of tickets that are there either: what "
            "the look-up says is not believed",
            system="REX11",
            brand=ctx.brand,
            call="GetReceivingTicketsByPO",
            subject=po,
        )


def beside(ctx: BrandContext, rma: RmaRow) -> list[Receipt] | OutsideError:
    """The tickets that REX11 has with an RMA's PO beside its own, but for cancelled ones: the
    warehouse has split it. Or why they cannot be found for now. Raises OutsideError where the brand
    has no access."""
    try:
        others = others_than(rma.ticket_id, _listed(ctx, rma.customer_po))
        found = [_read(ctx, ticket, rma.customer_po) for ticket in others]
    except OutsideError as error:
        if error.scope is Scope.ACCESS:
            raise
        return error if error.effect is Effect.NOT_SENT else []
    return [of for of in found if of.status is not TicketStatus.CANCELLED]


def instead(ctx: BrandContext, rma: RmaRow | ShipmentRmaRow) -> Receipt | None:
    """The ticket that REX11 has with an RMA's PO where the one that is followed is not among them;
    None: there is none, or it cannot be found for now. Raises OutsideError where the brand has no
    access."""
    try:
        listed = _listed(ctx, rma.customer_po)
        own = others_than(rma.ticket_id, listed) != listed
        found = [] if own else [_read(ctx, ticket, rma.customer_po) for ticket in listed]
    except OutsideError as error:
        if error.scope is Scope.ACCESS:
            raise
        return None
    alive = [of for of in found if of.status is not TicketStatus.CANCELLED]
    return next(iter(alive or found), None)


def find_made(ctx: BrandContext, effect: EffectRow) -> list[str] | OutsideError:
    """The tickets of a call whose answer was lost, or why they cannot be found. Raises OutsideError
    where the brand has no access."""
    try:
        return find_read(ctx, str(effect.payload["customer_po"]))
    except OutsideError as error:
        if error.scope is Scope.ACCESS:
            raise
        return error


def others_than(followed: str | None, tickets: Iterable[str]) -> list[str]:
    """Those that are not the one which is followed."""
    own = normal_ticket_id(followed or "")
    return [t for t in tickets if normal_ticket_id(t) != own]


Owners = dict[str | None, RmaRow | ShipmentRmaRow]
"""Whose tickets are, by their normal ids."""


def owners(tx: Transaction, tickets: Sequence[str]) -> Owners:
    """Of these tickets, those that an RMA has already."""
    found: dict[str, RmaRow | ShipmentRmaRow] = {
        **shipments.rmas_by_ticket(tx.session, tx.brand, tickets),
        **returns.rmas_by_ticket(tx.session, tx.brand, tickets),
    }
    return {normal_ticket_id(t): rma for t, rma in found.items()}


def of_others(
    tx: Transaction,
    po: str,
    tickets: Sequence[str],
    item: tuple[Need, ReturnRow | str],
    known: Owners | None = None,
) -> set[str]:
    """Those of the tickets that REX11 gives for a PO which are another RMA's already: they are not
    followed, and told. `item`: as what, and about what. `known`: their owners, asked together."""
    of = owners(tx, tickets) if known is None else known
    found = {t: rma for t in tickets if (rma := of.get(normal_ticket_id(t))) is not None}
    theirs = {t: rma for t, rma in found.items() if rma.customer_po != po}
    for ticket, other in theirs.items():
        tx.needs_person(
            item[0],
            f"REX11 gives ticket {ticket} for PO {po}, and that is the ticket of PO "
            f"{other.customer_po}: it is not followed. Ask Bergen which ticket has PO {po}",
            item[1],
        )
    return set(theirs)


def _listed(ctx: BrandContext, po: str) -> list[str]:
    ctx.counts.add("rex11.tickets_by_po")
    return ctx.warehouse.find_rmas(po)


def _read(ctx: BrandContext, ticket_id: str, po: str) -> Receipt:
    ctx.counts.add("rex11.ticket_read")
    return ctx.warehouse.receipt(ticket_id, po)


def take_over(ctx: BrandContext, tx: Transaction, row: ReturnRow, past: Past) -> None:
    """Make the tickets the return's own, and put it where the two systems show it to be."""
    item = (Need.TICKET_LOOKUP, row)
    mine = [
        t for t in past.tickets if not of_others(tx, t.customer_po, [t.receipt.ticket_id], item)
    ]
    past = replace(past, tickets=tuple(mine))
    if not past.tickets:
        return
    return_ = load_return(row.content)
    unmade = _never_made(tx, row, past, _parcels(ctx, return_))
    for po, parcel in unmade.items():
        _plan_again(ctx, tx, row, _new_rma(ctx, row, return_, po, parcel))
    for po, group in groupby(past.tickets, key=lambda t: t.customer_po):
        _follow(ctx, tx, row, return_, (po, [t.receipt for t in group]))
    tx.session.flush()
    row.announced_at = row.announced_at or tx.now
    if unmade:
        row.due_at = None  # it goes on when they are made
    else:
        _place(ctx, tx, row, past)


def made_instead(ctx: BrandContext) -> None:
    """Where a ledger that was put back from a backup learns of tickets that were cancelled, others
    may have been made for them since: they are followed."""
    restored = ctx.tick.restored_at
    if restored is None or ctx.now() - restored > LATE_TICKETS:
        return  # a retry looks for them as well before it makes one
    with ctx.ledger.read() as session:
        ids = attention.subjects(session, ctx.brand, Need.TICKET_CANCELLED, MOST)
        rows = returns.by_ids(session, ctx.brand, ids)
    stages = (Stage.ANNOUNCED, *TO_JUDGE)
    old = [r for r in rows.values() if r.stage in stages and r.submitted_at <= restored]
    for batch in ctx.batches(old):
        pasts = ctx.in_parallel(lambda row: look_up(ctx, load_return(row.content)), batch)
        with ctx.write() as tx:
            fresh = returns.by_pks(tx.session, [row.id for row in batch], lock=True)
            for row, past in zip(batch, pasts, strict=True):
                if isinstance(past, OutsideError):
                    continue
                known = {r.customer_po for r in returns.rmas_of(tx.session, [row.id])[row.id]}
                if any(t.customer_po not in known for t in past.tickets):
                    why = "another RMA was made for it before the ledger was put back"
                    tx.resolve(Need.TICKET_CANCELLED, fresh[row.id], why)
                    take_over(ctx, tx, fresh[row.id], past)


def _parcels(ctx: BrandContext, return_: Return) -> dict[str, int]:
    """The number of each parcel of a return, by its PO."""
    numbers = range(1, len(rules.parcels(return_, ctx.rules)) + 1)
    return {rules.customer_po(return_, ctx.rules, n): n for n in numbers}


def _never_made(
    tx: Transaction, row: ReturnRow, past: Past, parcels: Mapping[str, int]
) -> dict[str, int]:
    """Of the parcels of a return (by PO) those that have no ticket while another one's is open:
    its product may have been refused."""
    alive = {t.customer_po for t in past.tickets if t.receipt.status is not TicketStatus.CANCELLED}
    due = row.stage == Stage.SEEN and row.loop_state in (LoopState.OPEN, LoopState.REVIEW)
    if past.received or not due or not 0 < len(alive) < len(parcels):
        return {}
    known = {rma.customer_po for rma in returns.rmas_of(tx.session, [row.id]).get(row.id, [])}
    known |= {t.customer_po for t in past.tickets}
    return {po: parcel for po, parcel in parcels.items() if po not in known}


def _plan_again(ctx: BrandContext, tx: Transaction, row: ReturnRow, rma: RmaRow) -> None:
    """An RMA of which nobody remembers whether it was made: looked for, and then made."""
    tx.session.add(rma)
    tx.session.flush()
    po = rma.customer_po
    effect = tx.plan(Intent(EffectKind.TICKET, ticket_key(po), row.id, {"customer_po": po}))
    if effect is not None:
        why = "another parcel of the return has its ticket: this one's may show later"
        tx.outcome(effect, EffectState.DOUBT, why)


def _follow(
    ctx: BrandContext,
    tx: Transaction,
    row: ReturnRow,
    return_: Return,
    found: tuple[str, Sequence[Receipt]],
) -> None:
    """One RMA: of several tickets with its PO, the first that is not cancelled."""
    po, tickets = found
    known = returns.rmas_of(tx.session, [row.id]).get(row.id, [])
    rma = next((r for r in known if r.customer_po == po), None)
    alive = [t for t in tickets if t.status is not TicketStatus.CANCELLED] or list(tickets)
    if rma is None or rma.ticket_id is None:
        if rma is None:
            parcel = _parcels(ctx, return_).get(po, len(known) + 1)
            rma = _new_rma(ctx, row, return_, po, parcel)
        rma.ticket_id, rma.confirmed_at = alive[0].ticket_id, tx.now
        tx.session.add(rma)
        _never_add_again(tx, row, po, alive[0].ticket_id)
    own = normal_ticket_id(rma.ticket_id)
    followed = next((t for t in tickets if normal_ticket_id(t.ticket_id) == own), alive[0])
    rma.ticket_status = followed.status.value if followed.status else followed.status_name
    rma.status_seen_at = tx.now
    tx.session.flush()
    if followed.final:
        newest = returns.latest_receipts(tx.session, [rma.id]).get(rma.id)
        hash_ = digest_of(followed)
        if newest is None or newest.content_hash.partition("#")[0] != hash_:
            returns.add_receipts(tx.session, [(rma, followed, hash_)], tx.now)
        rma.read_status = rma.ticket_status
        row.received_at = row.received_at or followed.added_to_inventory_at or tx.now
    others = others_than(rma.ticket_id, [t.ticket_id for t in alive])
    if others:
        two_tickets(tx, row, po, rma.ticket_id or "", others)


def digest_of(receipt: Receipt) -> str:
    """What tells one reading of a ticket from another."""
    content = document(receipt)
    # Receipts of a warehouse that counts no bags are told apart as they were before it was asked.
    return digest({k: v for k, v in content.items() if k != "bags" or v})


def two_tickets(
    tx: Transaction, row: ReturnRow, po: str, followed: str, others: Sequence[str]
) -> None:
    """Tell that REX11 has more tickets with a PO than the one that is followed."""
    tx.needs_person(
        Need.TWO_TICKETS,
        f"REX11 has {len(others) + 1} tickets with PO {po}: {followed}, "
        f"{', '.join(others)}; we follow {followed}, ask Bergen to cancel the others",
        row,
    )


def _new_rma(ctx: BrandContext, row: ReturnRow, return_: Return, po: str, parcel: int) -> RmaRow:
    parcels = rules.parcels(return_, ctx.rules)
    mine = parcels[min(parcel, len(parcels)) - 1]
    return RmaRow(
        brand=ctx.brand,
        return_pk=row.id,
        parcel=parcel,
        customer_po=po,
        created_at=ctx.now(),
        warehouse=rules.warehouse_of(return_, ctx.rules) or ctx.rules.warehouse,
        items=[dump_item(i) for i in rules.rma_items(mine.lines, ctx.rules)],
        tracking_numbers=list(mine.tracking_numbers),
    )


def _never_add_again(tx: Transaction, row: ReturnRow, po: str, ticket_id: str) -> None:
    """The ticket call has been made, whoever remembers it: it is never made again."""
    key = ticket_key(po)
    intent = Intent(EffectKind.TICKET, key, row.id, {"customer_po": po})
    effect = effects.find(tx.session, tx.brand, key) or tx.plan(intent)
    assert effect is not None
    tx.outcome(effect, EffectState.DONE, f"found by its PO {po}: ticket {ticket_id}")


def _place(ctx: BrandContext, tx: Transaction, row: ReturnRow, past: Past) -> None:
    state = LoopState(row.loop_state)
    if _settled_before(ctx, tx, row):
        if row.stage == Stage.FLAGGED and past.received:
            _tell_reason(ctx, tx, row, past.notes)
        return
    stage = _stage(row, state, past)
    if stage is not None and stage != row.stage:
        why = f"its ticket was in REX11 already, and Loop shows the return {state}"
        tx.move(row, stage, why, {"tickets": [t.receipt.ticket_id for t in past.tickets]})
        row.completed_at = None
        if stage is Stage.FLAGGED:
            _tell_reason(ctx, tx, row, past.notes)
    if state is LoopState.OPEN and row.stage == Stage.RECEIVED:
        maybe_settled(ctx, tx, row, past.notes)
    elif row.stage == Stage.ANNOUNCED and _all_cancelled(past):
        all_cancelled(tx, row, "its ticket")


def _settled_before(ctx: BrandContext, tx: Transaction, row: ReturnRow) -> bool:
    """Whether this ledger has settled the return under another name of its brand: that call stands,
    and no other is made (I1)."""
    known = effects.settled_elsewhere(tx.session, tx.brand, [row.return_id])
    former = known.get(settling_key(row.return_id))
    if former is None:
        return False
    payload = {**former.payload, "brand": former.brand}
    effect = tx.plan(Intent(EffectKind(former.kind), former.key, row.id, payload))
    if effect is None:
        return False
    tx.session.flush()
    effect.attempts = former.attempts
    why = f"made for this return as one of brand {former.brand}"
    state = EffectState(former.state)
    tx.outcome(effect, EffectState.DOUBT if state in effects.OPEN else state, why)
    move = partial(tx.move, row, why=f"its {former.kind} call was {why}")
    if former.kind == EffectKind.FLAG:
        move(Stage.FLAGGED)
    elif state in effects.OPEN:
        move(Stage.SETTLING)
    elif state is EffectState.FAILED:
        move(Stage.RECEIVED)  # judged; and a person is asked, for it is never settled twice
    else:
        move(Stage.CONFIRMING)
        row.due_at = tx.now + ctx.settings.settle.confirm_within
    row.completed_at = None
    settlement_shown(tx, row, effect)
    follow(tx, row, known_of(tx.session, [row])[row.id])
    return True


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


def _tell_reason(ctx: BrandContext, tx: Transaction, row: ReturnRow, notes: int) -> None:
    """Whoever flagged it, where no reason is there, a note of ours may have been lost."""
    if not notes:
        counts = comparison_of(ctx, tx.session, row).in_words
        plan_note(tx, row, "past", f"Warehouse: {counts}.")


def maybe_settled(ctx: BrandContext, tx: Transaction, row: ReturnRow, notes: int) -> None:
    """Received, perhaps before this ledger knew the return, or what was done about it. In review:
    what was flagged is not judged again. Open: a process call that nobody remembers may be under
    way, which shows with time; or it was settled, and opened again by a person, which does not.
    `notes`: how many it has in Loop that this ledger has not made."""
    if row.stage not in (*TO_JUDGE, Stage.SETTLING):
        return
    if row.loop_state == LoopState.REVIEW:
        tx.move(row, Stage.FLAGGED, "it was received before, and Loop shows it in review")
        _tell_reason(ctx, tx, row, notes)
        return
    payload: dict[str, object] = {"return_id": row.return_id, "decision": None, "line_item_ids": []}
    key = settling_key(row.return_id)
    effect = effects.find(tx.session, tx.brand, key) or tx.plan(
        Intent(EffectKind.PROCESS, key, row.id, payload)
    )
    if effect is not None and effect.state in effects.SENDABLE:
        why = "a call made before this ledger knew the return may be under way"
        effect.attempts, effect.intended_at, effect.doubt_since = 1, tx.now, tx.now
        effect.payload = {**effect.payload, "decision": None}
        tx.outcome(effect, EffectState.DOUBT, why)
    changed = _changed_since(tx, row)
    signs = [
        f"it has notes in Loop ({notes})" if notes else "",
        f"Loop shows it changed at {changed:%Y-%m-%d %H:%M} UTC, after that" if changed else "",
    ]
    if any(signs):
        if row.stage == Stage.SETTLING:
            tx.enter(row, Stage.RECEIVED)
        tx.needs_person(
            Need.UNKNOWN_PAST,
            "its parcel was received before this ledger knew the return, and "
            f"{' and '.join(filter(None, signs))}: it may have been flagged or processed before, "
            "and opened again, and what was settled is never settled again. Look in Loop; retry "
            "lets the criteria judge it",
            row,
        )


_LABEL_SEEN = timedelta(minutes=1)
"""How far a return's time may be from its label's where the label is what has changed."""


def _changed_since(tx: Transaction, row: ReturnRow) -> datetime | None:
    """When Loop shows something of the return changed after its goods were counted, unless that is
    its label: it may have been settled then, and opened again."""
    return_ = load_return(row.content)
    reading = returns.readings(tx.session, [row.id])[row.id]
    receipts = [load_receipt(r.content) for r in reading.receipts]
    # A share of a consolidated shipment was counted when its boxes were.
    boxes = shipments.rmas_of(tx.session, [r.shipment_pk for r in reading.rmas if r.shipment_pk])
    receipts += shipments.final_receipts(tx.session, boxes).values()
    counted = [at for receipt in receipts if (at := counted_at(receipt))]
    if return_.updated_at <= max(counted, default=row.received_at or tx.now):
        return None
    labels = [x.updated_at for x in (return_.label, *return_.labels) if x.updated_at]
    by_label = any(abs(return_.updated_at - at) <= _LABEL_SEEN for at in labels)
    return None if by_label else return_.updated_at


def counted_at(receipt: Receipt) -> datetime | None:
    """When its counts became final, or the last that is known of before."""
    return receipt.added_to_inventory_at or receipt.arrived_at or receipt.created_at
