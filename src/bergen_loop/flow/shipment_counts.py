"""What was counted of consolidated shipments: read, judged against the whole shipment, claimed.

The money of most of these returns has moved already, so what differs becomes a claim for people, a
note and an event: a closed return is never processed or flagged. A return that is still open gets
its share of the counts as a receipt of its own, and is settled by the criteria as any other; where
the counts do not tell what is its own, the share is a doubt, which goes to a person (I5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bergen_loop.domain import shipment as shipping
from bergen_loop.domain.announce import physical_lines
from bergen_loop.domain.codes import normal_code
from bergen_loop.domain.comparison import compare
from bergen_loop.domain.grading import GradedUnit, graded_units
from bergen_loop.domain.returns import OFF, TO_JUDGE, LoopState, Stage
from bergen_loop.domain.rma import Receipt, TicketChange, TicketStatus
from bergen_loop.domain.shipment import Difference, Differs, Judgement, ShipmentStage, ShipmentUnit
from bergen_loop.domain.words import GRADING, Need, What
from bergen_loop.flow import adopt, grading, receive
from bergen_loop.flow.calls import carry_out
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.shipments import AGAIN, UNDONE, Shipped
from bergen_loop.flow.transitions import plan_note
from bergen_loop.ledger.codec import digest, load_items, load_return
from bergen_loop.ledger.store import attention, cursors, returns
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow
from bergen_loop.ledger.tables.shipments import ClaimRow, ShipmentRmaRow, ShipmentRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import OutsideError, Scope

PER_TICK = 100
ASK_AGAIN = timedelta(hours=1)
"""How often a shipment is judged whose missing units wait for a person's answer."""
LATE = timedelta(days=60)
"""How long ago another shipment's difference may be that explains one."""


def run(ctx: BrandContext, result: Shipped) -> None:
    """See which tickets changed, read them, and judge their shipments."""
    _see(ctx)
    _look_once_more(ctx)
    read, changed = _read(ctx, result)
    for pk in sorted(changed):
        news = _News(read, _notes_of_past(ctx, pk))
        ctx.take_in(
            [pk],
            lambda tx, pks, news=news: _judge(ctx, tx, pks[0], news, result),
            _set_aside,
        )
        ctx.boundary("shipment judged")
    if ctx.live:
        _grade(ctx)


# -- which tickets changed --------------------------------------------------------------------


def _see(ctx: BrandContext) -> None:
    """What REX11's list of changed tickets, read in this tick, says of shipments."""
    changes = [c for c in ctx.tick.changes if c.ticket_id]
    with ctx.ledger.read() as session:
        known = store.rmas_by_ticket(session, ctx.brand, [c.ticket_id for c in changes])
    news = [
        c
        for c in changes
        if c.ticket_id in known and (c.problem or _is_news(ctx, known[c.ticket_id], c))
    ]
    if not news:
        return
    with ctx.write() as tx:
        fresh = store.rmas_by_ticket(tx.session, ctx.brand, [c.ticket_id for c in news])
        for change in news:
            rma = fresh[change.ticket_id]
            if not change.problem:
                _changed(tx, rma, change)
            elif not rma.status_seen_at or tx.now - rma.status_seen_at >= receive.UNCLEAR_AGAIN:
                rma.to_read = True  # the ticket itself tells how it stands


def _is_news(ctx: BrandContext, rma: ShipmentRmaRow, change: TicketChange) -> bool:
    earliest = ctx.tick.changes_since or ctx.now()
    return receive.is_news(change, rma.ticket_status, rma.status_seen_at, earliest)


def _changed(tx: Transaction, rma: ShipmentRmaRow, change: TicketChange | Receipt) -> None:
    before, rma.ticket_status = rma.ticket_status, receive.status_of(change)
    rma.status_seen_at = tx.now
    row = store.by_pks(tx.session, [rma.shipment_pk])[rma.shipment_pk]
    tx.journal(
        What.TICKET,
        f"ticket {change.ticket_id} of shipment {row.happy_id} is {change.status_name} in REX11",
        None,
        {"shipment": row.happy_id, "ticket": rma.ticket_id},
    )
    if change.status is None:
        receive.tell_unknown_status(tx, change.status_name, change.ticket_id)
    elif change.status is TicketStatus.ADDED_TO_INVENTORY:
        if before == rma.ticket_status and rma.read_status is not None:
            # Counted anew in between: its receipt, and every share of it, counts no more.
            rma.read_status = None
            for share in store.shares(tx.session, [row.id]):
                share.read_status = None
        rma.to_read = rma.to_read or rma.read_status is None
        rma.unread_since = rma.read_due_at = None  # now, whatever was to be looked at later
    elif before == TicketStatus.ADDED_TO_INVENTORY:
        _reopened(tx, row, rma)
    if change.status is not TicketStatus.ADDED_TO_INVENTORY:
        rma.to_read, rma.unread_since, rma.read_due_at = False, None, None
    opened = before in receive.ENDS
    receive.mind_standing(tx.now, rma, receive.OPENED if opened else receive.STANDS_STILL)
    if before == TicketStatus.CANCELLED:
        tx.resolve(Need.SHIPMENT_RMA, f"cancelled {rma.customer_po}", "it was taken up again")
    if change.status is TicketStatus.CANCELLED:
        row.due_at = tx.now  # to be judged without it
        tx.needs_person(
            Need.SHIPMENT_RMA,
            f"the warehouse cancelled ticket {rma.ticket_id} of consolidated shipment "
            f"{row.happy_id}: what it announced counts as not received",
            f"cancelled {rma.customer_po}",
        )


def _reopened(tx: Transaction, row: ShipmentRow, rma: ShipmentRmaRow) -> None:
    """Its counts, and every share of them, do not count until it is final again."""
    rma.read_status, rma.to_read = None, False
    row.counted_at = None
    if row.stage in (ShipmentStage.COUNTED, ShipmentStage.DONE):
        row.stage = ShipmentStage.AWAITED
    words = f"ticket {rma.ticket_id} was finished and is {rma.ticket_status} again"
    tx.journal(
        What.SHIPMENT_REOPENED, f"{words}: nothing is decided on it until it is finished again",
        None, {"shipment": row.happy_id},
    )  # fmt: skip
    for share in store.shares(tx.session, [row.id]):
        share.read_status, share.ticket_status = None, rma.ticket_status
        owner = returns.by_pks(tx.session, [share.return_pk])[share.return_pk]
        tx.journal(What.RECEIPT_REOPENED, words, owner)
        if owner.stage in TO_JUDGE:
            owner.stage, owner.due_at = Stage.RECEIVED, tx.now


def _look_once_more(ctx: BrandContext) -> None:
    """Before something is acted on that was counted long ago, its tickets are read again: shares
    whose wait is over; and all of a shipment whose missing units are about to be claimed, for a
    list may have missed that one of them was counted."""
    with ctx.ledger.read() as session:
        asked = {s.shipment_pk for s in store.shares_to_read(session, ctx.brand)}
        over = {r.id for r in store.due(session, ctx.brand, UNDONE, ctx.now(), PER_TICK)}
    pks = {pk for pk in asked if pk} | over
    if not pks:
        return
    with ctx.write() as tx:
        for rma in store.rmas_of(tx.session, pks):
            known = rma.ticket_id is not None and rma.shipment_pk in over
            rma.to_read = rma.to_read or known or rma.read_status is not None


# -- what was counted -------------------------------------------------------------------------


def _read(ctx: BrandContext, result: Shipped) -> tuple[set[int], set[int]]:
    """Read the tickets that are due. The RMAs (keys) that could be, and the shipments (keys) to
    be judged: those of which something was read, and those whose time has come."""
    with ctx.ledger.read() as session:
        todo = store.to_read(session, ctx.brand, ctx.now(), PER_TICK)
        judged = {r.id for r in store.due(session, ctx.brand, UNDONE, ctx.now(), PER_TICK)}
    read = reread(ctx, todo)
    judged |= {rma.shipment_pk for rma in todo if rma.id in read}
    result.receipts += len(read)
    return read, judged


def reread(ctx: BrandContext, todo: Sequence[ShipmentRmaRow]) -> set[int]:
    """Read tickets whatever is known of them; the RMAs (keys) that could be. Their shipments are
    judged by the next sync, unless that is done at once."""
    read: set[int] = set()
    for batch in ctx.batches(todo):
        answers = ctx.in_parallel(lambda rma: receive.read_ticket(ctx, rma), batch)
        with ctx.write() as tx:
            fresh = store.rmas_by_pks(tx.session, [rma.id for rma in batch])
            for answer in answers:
                rma = fresh[answer.rma_pk]
                receipt = receive.read_or_instead(tx, rma, answer)
                if receipt is not None:
                    if not _not_finished_itself(tx, rma, receipt):
                        _take(tx, rma, receipt)
                        read.add(rma.id)
                elif answer.error is not None:
                    _unread(ctx, tx, rma, answer.error)
        ctx.boundary("shipment receipt recorded")
    return read


def _not_finished_itself(tx: Transaction, rma: ShipmentRmaRow, receipt: Receipt) -> bool:
    contradiction = receive.contradicts_list(tx, rma, receipt)
    if contradiction and contradiction.to_tell:
        words = f"RMA {rma.customer_po} of a consolidated shipment: {contradiction.asks}"
        tx.needs_person(Need.SHIPMENT_COUNTS, words, rma.customer_po, receive.CONTRADICTS)
    return contradiction is not None


def _take(tx: Transaction, rma: ShipmentRmaRow, receipt: Receipt) -> None:
    unheard = rma.read_due_at is not None and rma.unread_since is None
    moved = rma.ticket_status != receive.status_of(receipt)
    if moved:
        _changed(tx, rma, receipt)
    rma.to_read, rma.status_seen_at = False, tx.now
    rma.unread_since = rma.read_due_at = None
    final = receipt.final
    rma.read_status = receive.status_of(receipt) if final else None
    row = store.by_pks(tx.session, [rma.shipment_pk])[rma.shipment_pk]
    if unheard and not moved and _in_hand(rma) and not final:
        _tell_standing(tx, row, rma)  # once: it is read again when it moves
        return
    receive.mind_standing(tx.now, rma, receive.STANDS_STILL)
    tx.resolve(Need.SHIPMENT_COUNTS, rma.customer_po, "the ticket can be read again")
    hash_ = adopt.digest_of(receipt)
    if not final or not store.add_receipt(tx.session, tx.now, rma, receipt, hash_):
        return
    row.arrived_at, row.due_at = row.arrived_at or tx.now, tx.now  # to be judged
    if row.stage == ShipmentStage.DONE:
        row.stage = ShipmentStage.COUNTED
    tx.journal(
        What.SHIPMENT_RECEIVED,
        f"ticket {receipt.ticket_id} of shipment {row.happy_id}: {receipt.counts}",
        None,
        {"shipment": row.happy_id, "ticket": receipt.ticket_id},
    )


def _tell_standing(tx: Transaction, row: ShipmentRow, rma: ShipmentRmaRow) -> None:
    tx.needs_person(
        Need.SHIPMENT_COUNTS,
        f"ticket {rma.ticket_id} of consolidated shipment {row.happy_id} has stood still for days: "
        f"it is {rma.ticket_status}. Its counts are not final until it is finished. Ask Bergen "
        "what it waits for",
        rma.customer_po,
        "this is lifted when it is finished",
    )


def _unread(ctx: BrandContext, tx: Transaction, rma: ShipmentRmaRow, error: OutsideError) -> None:
    if told := receive.not_read(ctx, tx, rma, error):
        words = f"RMA {rma.customer_po} of a consolidated shipment: {told[0]}"
        tx.needs_person(Need.SHIPMENT_COUNTS, words, rma.customer_po, told[1])


# -- judged -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _News:
    """What was read for judging."""

    read: Set[int]
    """RMAs (keys) whose tickets have been read in this very step."""
    notes: Mapping[str, int | None]
    """Of open returns that may have been settled before this ledger knew them: how many notes
    Loop has of each; None where it did not say."""


def _notes_of_past(ctx: BrandContext, pk: int) -> dict[str, int | None]:
    """A return whose goods came by a ticket that was there before this ledger knew of it may have
    been settled on them: its notes tell whether it was flagged."""
    with ctx.ledger.read() as session:
        ids = {u.item.return_id for u in store.units_of(session, pk) if u.item.return_id}
        others = store.listed_elsewhere(session, ctx.brand, pk, ids)
        adopted = {
            r.shipment_pk
            for r in store.rmas_of(session, {pk, *(o for of in others.values() for o in of)})
            if r.adopted_at is not None
        }
        if not adopted:
            return {}
        mine = {i for i in ids if pk in adopted or adopted.intersection(others.get(i, ()))}
        first_pull = cursors.get(session, ctx.brand, cursors.FIRST_PULL)
        had = {s.return_pk for s in store.shares(session, [pk])}
        asked = [
            owner.return_id
            for owner in returns.by_ids(session, ctx.brand, mine).values()
            if owner.id not in had and _takes_part(owner) and adopt.may_have_past(owner, first_pull)
        ]
    return dict(zip(asked, ctx.in_parallel(lambda i: _notes(ctx, i), asked), strict=True))


def _notes(ctx: BrandContext, return_id: str) -> int | None:
    try:
        return len(ctx.loop.notes(return_id))
    except OutsideError as error:
        if error.scope is Scope.ACCESS:
            raise
        return None


def _set_aside(tx: Transaction, pk: int, error: Exception) -> None:
    """It cannot be judged; the others go on."""
    row = store.by_pks(tx.session, [pk])[pk]
    row.due_at = tx.now + AGAIN
    tx.needs_person(
        Need.SHIPMENT_COUNTS,
        f"judging consolidated shipment {row.happy_id} failed inside bergen-loop: "
        f"{type(error).__name__}",
        row.happy_id,
        "it is judged again every 15 minutes",
    )


@dataclass(frozen=True, slots=True)
class _Standing:
    """How far a shipment has come."""

    rmas: Sequence[ShipmentRmaRow]
    receipts: Mapping[int, Receipt]
    """Of those that are final, by RMA."""
    whole: bool
    """Nothing of it is awaited any more."""
    over: bool
    """What is missing is not waited for any more."""
    asked: bool = False
    """A part of it has no ticket, and a person is asked about that: whatever lies in it cannot be
    counted, so nothing is said to be missing until that is answered."""
    fresh: bool = False
    """Each of the receipts has been read in this very step."""

    @property
    def final(self) -> list[ShipmentRmaRow]:
        return [rma for rma in self.rmas if rma.id in self.receipts]

    @property
    def judged(self) -> list[ShipmentRmaRow]:
        """Those whose units are here or missing; none that the warehouse is counting now."""
        if not (self.whole or self.over):
            return self.final
        return [rma for rma in self.rmas if rma.id in self.receipts or not _in_hand(rma)]


def _in_hand(rma: ShipmentRmaRow) -> bool:
    """Whether it has arrived and is not counted to the end."""
    return rma.ticket_status not in (None, TicketStatus.DRAFT, TicketStatus.CANCELLED)


def judgement_of(
    ctx: BrandContext, units: Sequence[ShipmentUnit], standing: _Standing
) -> Judgement:
    """What has come: of a whole shipment, or of the RMAs of it that are counted."""
    counted = standing.judged
    keys = {key for rma in counted for key in rma.unit_keys}
    return shipping.judge(
        [u for u in units if u.key in keys],
        list(standing.receipts.values()),
        [load_items(rma.items) for rma in counted],
        ctx.rules.kits,
        ctx.rules.remarks,
    )


def _standing(ctx: BrandContext, tx: Transaction, row: ShipmentRow) -> _Standing:
    rmas = store.rmas_of(tx.session, [row.id])
    receipts = store.final_receipts(tx.session, rmas)
    over = _until(ctx, row)
    awaited = [
        r for r in rmas if r.id not in receipts and r.ticket_status != TicketStatus.CANCELLED
    ]
    unmade = {r.customer_po for r in rmas if r.ticket_id is None}
    asked = bool(unmade) and not unmade.isdisjoint(
        po for _, po in attention.subjects_open(tx.session, tx.brand, [Need.SHIPMENT_RMA])
    )
    return _Standing(rmas, receipts, not awaited, tx.now >= over, asked)


@dataclass(frozen=True, slots=True)
class _Count:
    """A shipment, and what has come of it by now."""

    row: ShipmentRow
    units: tuple[ShipmentUnit, ...]
    standing: _Standing
    judgement: Judgement

    def listed(self, return_id: str) -> list[ShipmentUnit]:
        """All that is to come of a return, counted or not."""
        return [u for u in self.units if u.item.return_id == return_id]


def _count(ctx: BrandContext, tx: Transaction, row: ShipmentRow, read: Set[int]) -> _Count:
    standing = _standing(ctx, tx, row)
    standing = replace(standing, fresh=all(r.id in read for r in standing.final))
    units = store.units_of(tx.session, row.id)
    return _Count(row, units, standing, judgement_of(ctx, units, standing))


def _judge(ctx: BrandContext, tx: Transaction, pk: int, news: _News, result: Shipped) -> None:
    row = store.by_pks(tx.session, [pk])[pk]
    count = _count(ctx, tx, row, news.read)
    standing, judgement = count.standing, count.judgement
    counts = judgement.comparison
    row.judged_at, row.counted, row.damaged = tx.now, counts.counted, counts.damaged
    row.missing = judgement.total(Differs.MISSING)
    row.surplus = judgement.total(Differs.EXTRA) + judgement.total(Differs.WRONG)
    doubts = judgement.doubts if standing.receipts else ()
    unlisted = _unlisted(ctx, tx, count) if standing.over else []
    row.remarks = [*doubts, *judgement.misplaced, *unlisted]
    _mind_doubts(tx, row, doubts)
    again = _share(ctx, tx, count, news)
    claimed = standing.whole or (standing.over and not standing.asked)
    if standing.over and not claimed:
        again = again or tx.now + ASK_AGAIN
    _move(ctx, tx, row, standing, again)
    if claimed:
        result.claims += _claim(ctx, tx, row, standing, judgement)
        _mind_missing(tx, row, standing, judgement)


def _unlisted(ctx: BrandContext, tx: Transaction, count: _Count) -> list[str]:
    """In words: returns that have more units than any shipment lists. Their customers may have got
    money for what was never handed over."""
    ids = sorted({u.item.return_id for u in count.units if u.item.return_id})
    elsewhere = store.listed_elsewhere(tx.session, tx.brand, count.row.id, ids)
    found: list[str] = []
    for return_id, owner in sorted(returns.by_ids(tx.session, tx.brand, ids).items()):
        listed = len(count.listed(return_id)) + sum(
            u.item.return_id == return_id
            for pk in elsewhere.get(return_id, ())
            for u in store.units_of(tx.session, pk)
        )
        units = len(physical_lines(load_return(owner.content), ctx.rules))
        if units > listed:
            found.append(f"return {return_id} has {units} units, and {listed} are listed")
    return found


def _mind_doubts(tx: Transaction, row: ShipmentRow, doubts: Sequence[str]) -> None:
    if doubts:
        tx.needs_person(
            Need.SHIPMENT_COUNTS,
            f"what was counted of consolidated shipment {row.happy_id} is in doubt: "
            f"{'; '.join(doubts[:10])}. Its claims may be wrong until that is cleared up",
            row.happy_id,
        )
    else:
        tx.resolve(Need.SHIPMENT_COUNTS, row.happy_id, "its counts are clear")


def _until(ctx: BrandContext, row: ShipmentRow) -> datetime:
    """When what is missing is not waited for any more."""
    return (row.shipped_at or row.learned_at) + ctx.settings.shipments.missing_wait


def wait_anew(ctx: BrandContext, tx: Transaction) -> None:
    """By settings that have changed, what is missing may be waited for less long."""
    for row in store.waiting(tx.session, ctx.brand, UNDONE, tx.now):
        row.due_at = min(row.due_at or tx.now, max(tx.now, _until(ctx, row)))


def _move(
    ctx: BrandContext,
    tx: Transaction,
    row: ShipmentRow,
    standing: _Standing,
    again: datetime | None,
) -> None:
    """`again`: when it is to be judged again whatever is counted."""
    row.due_at = again or (None if standing.over else _until(ctx, row))
    if not standing.whole:
        return
    row.counted_at = row.counted_at or tx.now
    done = again is None and (not row.missing or standing.over)
    stage = ShipmentStage.DONE if done else ShipmentStage.COUNTED
    if done and row.stage != stage:
        tx.journal(
            What.SHIPMENT_DONE,
            f"shipment {row.happy_id}: {row.counted} of {row.expected} units counted, "
            f"{row.missing} missing, {row.damaged} damaged, {row.surplus} not expected",
            None,
            {"shipment": row.happy_id},
        )
        row.due_at = tx.now  # for what follows from it
    elif done:
        row.due_at = None
    row.stage = stage


def _mind_missing(
    tx: Transaction, row: ShipmentRow, standing: _Standing, judgement: Judgement
) -> None:
    """Bags of which nothing came, and boxes that never arrived, are told once the wait is over."""
    gone = judgement.missing_places if standing.over else ()
    codes = {normal_code(b) for p in gone for b in p.bags}
    for bag in store.bags_of(tx.session, row.id):
        if bag.code not in codes:
            bag.missing_since = None
        elif bag.missing_since is None:
            bag.missing_since = tx.now
    if not gone:
        tx.resolve(Need.BAG_MISSING, row.happy_id, "its bags have come")
        return
    absent = [
        r.box or r.customer_po
        for r in standing.rmas
        if r.id not in standing.receipts and r.ticket_status != TicketStatus.CANCELLED
    ]
    boxes = f" Not received at all: {', '.join(absent)}." if absent else ""
    tx.needs_person(
        Need.BAG_MISSING,
        f"nothing has come of {len(gone)} bags of consolidated shipment {row.happy_id}: "
        f"{'; '.join(p.words for p in gone[:20])}.{boxes} Their claims are on the list",
        row.happy_id,
    )


# -- returns that are still open --------------------------------------------------------------


def _share(ctx: BrandContext, tx: Transaction, count: _Count, news: _News) -> datetime | None:
    """Give each open return what is its own of the counts, once that is known or will not be
    known better: of all shipments that bring something of it, at once. When to look again, where
    one waits for nothing that is going to be counted."""
    row, again = count.row, None
    had = {s.return_pk: s for s in store.shares(tx.session, [row.id])}
    ids = sorted({u.item.return_id for u in count.units if u.item.return_id})
    owners = returns.by_ids(tx.session, tx.brand, ids).values()
    new = [o for o in owners if o.id not in had and _takes_part(o)]
    elsewhere = store.listed_elsewhere(tx.session, tx.brand, row.id, [o.return_id for o in new])
    others = store.by_pks(tx.session, [pk for of in elsewhere.values() for pk in of])
    counts = {pk: _count(ctx, tx, other, news.read) for pk, other in others.items()}
    for owner in owners:
        if owner.id in had:
            _give(ctx, tx, count, owner)
    for owner in new:
        parts = [count, *(counts[pk] for pk in sorted(elsewhere.get(owner.return_id, ())))]
        known = all(_can_be_told(part, owner.return_id) for part in parts)
        if not known or not _all_listed(ctx, parts, owner):
            again = _until(ctx, row) if not count.standing.over else again
            continue
        notes = news.notes.get(owner.return_id, 0)
        if notes is None:
            again = tx.now + AGAIN
            continue
        for part in parts:
            _give(ctx, tx, part, owner)
        if owner.return_id in news.notes:
            adopt.maybe_settled(ctx, tx, owner, notes)
    return again


def _all_listed(ctx: BrandContext, parts: Sequence[_Count], owner: ReturnRow) -> bool:
    """Whether these shipments list as many units as the return has; or nothing more of it is waited
    for: what was handed over later leaves its hub later."""
    listed = sum(len(part.listed(owner.return_id)) for part in parts)
    wanted = len(physical_lines(load_return(owner.content), ctx.rules))
    return listed >= wanted or all(part.standing.over for part in parts)


def _give(ctx: BrandContext, tx: Transaction, part: _Count, owner: ReturnRow) -> None:
    """Its share of one shipment, where anything of it was counted and can be told."""
    standing, mine = part.standing, part.judgement.of_return(owner.return_id)
    ticket = _ticket_of(standing, mine)
    if ticket is None or not _can_be_told(part, owner.return_id):
        return
    share = next(
        (s for s in store.shares(tx.session, [part.row.id]) if s.return_pk == owner.id), None
    ) or _new_share(ctx, tx, part.row, owner, ticket)
    share.ticket_status = share.read_status = TicketStatus.ADDED_TO_INVENTORY
    share.to_read, share.status_seen_at = False, tx.now
    receipt = _receipt(part, owner.return_id, share.ticket_id or "")
    receive.take_share(ctx, tx, share, owner, receipt)
    if standing.fresh:
        ctx.tick.tickets_read.add(share.id)


def _receipt(part: _Count, return_id: str, ticket_id: str) -> Receipt:
    return shipping.share(part.judgement, return_id, ticket_id)


def _takes_part(owner: ReturnRow) -> bool:
    """Open, and not announced on its own: what the criteria are to settle. One that is off is
    told of, as any whose parcel comes all the same."""
    open_ = owner.loop_state in (LoopState.OPEN, LoopState.REVIEW)
    return (open_ and not Stage(owner.stage).terminal) or owner.stage in OFF


def _can_be_told(part: _Count, return_id: str) -> bool:
    """Whether what is a return's own of a shipment's counts is known, or will not be known
    better."""
    standing = part.standing
    keys = {u.key for u in part.listed(return_id)}
    own = [r for r in standing.rmas if keys.intersection(r.unit_keys)]
    if any(r.id not in standing.receipts and _in_hand(r) for r in own):
        return False
    if standing.over:
        return True
    if not standing.receipts:
        return False
    receipt = _receipt(part, return_id, "")
    lacks = receipt.problems or any(
        (x.actual or 0) + (x.damaged or 0) < (x.expected or 0) for x in receipt.lines
    )
    clean = not lacks and not any(x.damaged for x in receipt.lines)
    here = all(r.id in standing.receipts for r in own)
    return (clean and here) or (standing.whole and not lacks)


def _ticket_of(standing: _Standing, units: Sequence[ShipmentUnit]) -> ShipmentRmaRow | None:
    keys = {u.key for u in units}
    of = [r for r in standing.final if keys.intersection(r.unit_keys)]
    return next(iter(of), None)


def _new_share(
    ctx: BrandContext, tx: Transaction, row: ShipmentRow, owner: ReturnRow, ticket: ShipmentRmaRow
) -> RmaRow:
    before = returns.rmas_of(tx.session, [owner.id]).get(owner.id, [])
    share = RmaRow(
        brand=tx.brand,
        return_pk=owner.id,
        parcel=len(before) + 1,
        customer_po=f"{ticket.customer_po}/{owner.return_id}",
        ticket_id=f"{ticket.ticket_id}/{owner.return_id}",
        warehouse=ctx.rules.warehouse,
        items=[],
        tracking_numbers=list(ticket.tracking_numbers),
        created_at=ticket.created_at,
        confirmed_at=ticket.confirmed_at,
        closed_at=tx.now,
        close_evidence=f"a share of ticket {ticket.ticket_id}, which the warehouse has finished",
        shipment_pk=row.id,
    )
    tx.session.add(share)
    tx.session.flush()
    owner.announced_at = owner.announced_at or ticket.confirmed_at
    return share


# -- claims -----------------------------------------------------------------------------------


def _claim(
    ctx: BrandContext,
    tx: Transaction,
    row: ShipmentRow,
    standing: _Standing,
    judgement: Judgement,
) -> int:
    """Open, change and withdraw claims so that they are what the counts say. Those that people
    have closed stay closed, unless more units differ than were closed; counts in doubt are not
    noted on returns. How many were opened."""
    wanted = {
        d.key: d for d in judgement.differences if standing.over or d.kind is not Differs.MISSING
    }
    had = store.claims_of(tx.session, row.id)
    names = {u.item.return_id: u.item.order_name for u in judgement.units}
    changed: list[ClaimRow] = []
    opened = 0
    for key, difference in wanted.items():
        claim = had.get(key)
        if claim is None:
            claim = ClaimRow(brand=tx.brand, shipment_pk=row.id, key=key, opened_at=tx.now,
                             state=store.OPEN, kind=difference.kind, bags=[], units=0)  # fmt: skip
            tx.session.add(claim)
        elif (claim.state == store.CLOSED and claim.units >= difference.units) or (
            claim.state == store.OPEN and claim.units == difference.units
        ):
            continue
        what = What.CLAIM_CHANGED if claim.units and claim.state == store.OPEN else (
            What.CLAIM_OPENED
        )  # fmt: skip
        opened += what is What.CLAIM_OPENED
        _fill(claim, difference, names)
        claim.state, claim.closed_at, claim.closed_by, claim.why = store.OPEN, None, None, None
        _explain(tx, row, claim)
        _journal(tx, row, claim, what)
        changed.append(claim)
    for key, claim in had.items():
        if key not in wanted and claim.state == store.OPEN:
            claim.state, claim.closed_at, claim.why = store.WITHDRAWN, tx.now, "counted since"
            _journal(tx, row, claim, What.CLAIM_WITHDRAWN)
            changed.append(claim)
    if not (judgement.doubts and standing.receipts):
        _note(ctx, tx, row, changed)
    return opened


def _fill(claim: ClaimRow, d: Difference, names: Mapping[str | None, str | None]) -> None:
    claim.bags = list(d.place.bags) if d.place else []
    claim.return_id = d.place.return_id if d.place else None
    claim.order_name = names.get(claim.return_id) if claim.return_id else None
    claim.sku, claim.upc, claim.title = d.sku, d.upc, d.title
    claim.units, claim.currency = d.units, d.currency
    claim.value = str(d.value) if d.value is not None else None


_OPPOSITE = {
    Differs.MISSING: (Differs.EXTRA, Differs.WRONG),
    Differs.EXTRA: (Differs.MISSING,),
    Differs.WRONG: (Differs.MISSING,),
}


def _explain(tx: Transaction, row: ShipmentRow, claim: ClaimRow) -> None:
    """What is missing here may have come with another shipment, and the other way round: a hint
    for people, and no proof."""
    if claim.kind == Differs.MISSING and claim.return_id:
        where = store.listed_elsewhere(tx.session, tx.brand, row.id, [claim.return_id])
        others = store.by_pks(tx.session, where.get(claim.return_id, ()))
        if others:
            names = ", ".join(sorted(s.happy_id for s in others.values()))
            claim.hint = f"units of its return are listed in shipment {names} as well"
            return
    kinds = _OPPOSITE.get(Differs(claim.kind), ())
    code = normal_code(claim.sku) or normal_code(claim.upc)
    since = tx.now - LATE
    for other, happy_id in store.other_claims(tx.session, tx.brand, row.id, kinds, since):
        if code and code in (normal_code(other.sku), normal_code(other.upc)):
            claim.hint = f"see shipment {happy_id}: {_words(other)}"
            other.hint = f"see shipment {row.happy_id}: {_words(claim)}"
            return


def _words(claim: ClaimRow) -> str:
    return Difference(
        Differs(claim.kind), claim.sku, claim.upc, claim.title, claim.units
    ).words  # fmt: skip


def _journal(tx: Transaction, row: ShipmentRow, claim: ClaimRow, what: What) -> None:
    owner = returns.by_id(tx.session, tx.brand, claim.return_id) if claim.return_id else None
    where = f" in bag {', '.join(claim.bags)}" if claim.bags else ""
    worth = f", worth at least {claim.value} {claim.currency or ''}".rstrip() if claim.value else ""
    tx.journal(
        what,
        f"{_words(claim)}{where} of consolidated shipment {row.happy_id}{worth}",
        owner,
        {
            "shipment": row.happy_id,
            "claim": {
                "kind": str(claim.kind),
                "units": claim.units,
                "sku": claim.sku,
                "upc": claim.upc,
                "bags": list(claim.bags),
                "return_id": claim.return_id,
                "value": claim.value,
                "currency": claim.currency,
            },
        },
    )


def _note(
    ctx: BrandContext, tx: Transaction, row: ShipmentRow, changed: Sequence[ClaimRow]
) -> None:
    """One note on each return that these claims are about. Not in shadow."""
    if not (ctx.live and ctx.settings.shipments.notes):
        return
    owned: dict[str, list[ClaimRow]] = {}
    for claim in changed:
        if claim.return_id:
            owned.setdefault(claim.return_id, []).append(claim)
    rows = returns.by_ids(tx.session, tx.brand, owned)
    for return_id, claims in owned.items():
        if return_id not in rows:
            continue
        words = "; ".join(
            _words(c) if c.state == store.OPEN else f"{_words(c)}: counted since" for c in claims
        )
        text = f"Warehouse count of Happy Returns shipment {row.happy_id}: {words}."
        name = digest([[c.key, c.state, c.units, str(c.opened_at)] for c in claims])[:12]
        plan_note(tx, rows[return_id], f"shipment-{row.id}-{name}", text[:254])


# -- grades -----------------------------------------------------------------------------------


def _grade(ctx: BrandContext) -> None:
    """Grades and dispositions of what the closed returns of shipments that are done have sent
    back, where the brand has them on; open ones get them when they are settled."""
    with ctx.ledger.read() as session:
        done = store.due(session, ctx.brand, [ShipmentStage.DONE], ctx.now(), PER_TICK)
    for shipment in done:
        found: list[grading.Found] = []
        with ctx.write() as tx:
            row = store.by_pks(tx.session, [shipment.id])[shipment.id]
            if ctx.settings.grading.enabled:
                found = _found(ctx, tx, row)
        for kind in GRADING if found else ():
            carry_out(ctx, grading.FoundGradings(ctx, kind), found)
        with ctx.write() as tx:
            store.by_pks(tx.session, [shipment.id])[shipment.id].due_at = None


def _found(ctx: BrandContext, tx: Transaction, row: ShipmentRow) -> list[grading.Found]:
    standing = _standing(ctx, tx, row)
    judgement = judgement_of(ctx, store.units_of(tx.session, row.id), standing)
    had = {s.return_pk for s in store.shares(tx.session, [row.id])}
    ids = sorted({u.item.return_id for u in judgement.units if u.item.return_id})
    found: list[grading.Found] = []
    for owner in returns.by_ids(tx.session, tx.brand, ids).values():
        if owner.id in had or owner.loop_state != LoopState.CLOSED:
            continue
        units = judgement.of_return(owner.return_id)
        receipt = shipping.share(judgement, owner.return_id, row.happy_id)
        if receipt.problems:
            continue  # it cannot be told what its own are like
        named = {u.key: u.line_item_id for u in units}
        compared = compare([u.line for u in units], [receipt], (), ctx.rules.kits)
        graded = tuple(
            GradedUnit(line_item_id, g.condition, g.description)
            for g in graded_units(compared)
            if (line_item_id := named.get(g.line_item_id))
        )
        if graded:
            at = row.arrived_at or tx.now
            found.append(grading.Found(owner.id, owner.return_id, f"shipment{row.id}", graded, at))
    return found
