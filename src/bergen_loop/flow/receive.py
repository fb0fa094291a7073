"""Moment 4: item receipts. One call lists every ticket that changed; each changed ticket whose
counts matter is read once.

A receipt counts while its ticket is final (AddedToInventory). A ticket that leaves that state takes
its receipt's word back: nothing is decided on it until it has been read again when it is final.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from bergen_loop.domain.comparison import Comparison
from bergen_loop.domain.criteria.deciding import UNCLEAR
from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import (
    OFF,
    SETTLED,
    SHOWN_CLOSED,
    TAKEN,
    TO_JUDGE,
    UNDECIDED,
    LoopState,
    Stage,
)
from bergen_loop.domain.rma import Receipt, TicketChange, TicketStatus, normal_ticket_id
from bergen_loop.domain.words import PAYING, Need, What
from bergen_loop.flow import adopt, intake
from bergen_loop.flow.context import AHEAD, BrandContext
from bergen_loop.flow.facts import comparison_of
from bergen_loop.flow.transitions import all_cancelled, look_later, plan_note
from bergen_loop.ledger.codec import load_receipt, load_return
from bergen_loop.ledger.store import attention, cursors, effects, journal, returns, shipments
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import EffectRow, ReceiptRow, ReturnRow, RmaRow
from bergen_loop.ledger.tables.shipments import ShipmentRmaRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import Effect, OutsideError, Scope

log = structlog.get_logger()

CURSOR = "rex11.statuses"
WIDE, WIDER = "rex11.wide", timedelta(days=1)
"""The mark of when REX11's list was last asked for so much more, before and after."""
ELSEWHERE, ZONE = "rex11.elsewhere", "rex11.time_zone"
"""The mark of since when only that tells of changes, and what the item about it is about."""
LINES = "lines of the list"
"""What the item about lines is about that name no ticket."""
PER_TICK = 300
"""As many as a tick settles: the lists that are read before money moves are read once for all."""
ROUNDED = {"minute": timedelta(minutes=5), "day": timedelta(days=2)}
"""How much farther back than asked REX11's list may reach, by the precision of its windows."""
LONGEST, SHORTEST = timedelta(days=4), timedelta(hours=6)
"""Of what is asked for at once: a first look, or one after days of downtime, goes by windows, which
get shorter where REX11 does not manage them."""
TELL_AFTER = timedelta(hours=1)
"""How long a ticket may be answered by what cannot be read before a person is told."""
TELL_UNANSWERED_AFTER = timedelta(hours=6)
"""How long reading a ticket may get no answer at all, while REX11 answers other calls."""
READ_AGAIN_WITHIN = timedelta(minutes=15)
"""The longest pause between two reads of a ticket that fail for a passing reason."""
OPENED, STANDS_STILL = timedelta(days=3), timedelta(days=10)
"""After how long a ticket is read by itself, and told if it is not finished: where it had been, and
where it has arrived and nothing was heard of it since."""
UNREAD_AGAIN = timedelta(hours=1)
"""The pause between two reads of a ticket whose answer has been told as not understood."""
UNREAD_RARELY, UNREAD_FOR = timedelta(days=1), timedelta(days=30)
"""The longest pause between two reads of a ticket that REX11 says it does not have, and how long it
is asked for: it may be at its own for hours, or give the ticket another number."""
UNCLEAR_AGAIN = timedelta(minutes=15)
"""How often a ticket is read whose line in the list of changes is unclear."""
DOUBTFUL_FOR = timedelta(days=7)
"""How long a receipt that cannot be relied on is read again by itself, ever more rarely."""


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
    if not ctx.tick.backlog:
        _see_changes(ctx, result)
    if ctx.tick.calm:
        return result
    _look_again_before_acting(ctx)
    with ctx.ledger.read() as session:
        due = returns.tickets_to_read(session, ctx.brand, ctx.now(), PER_TICK)
    _read_and_take(ctx, due, result)
    return result


def _look_again_before_acting(ctx: BrandContext) -> None:
    """Units may have been found, or damage, without a word in any status. So what is acted on long
    after it was counted is read once more: where a wait for missing units is over, and where a
    return could not be judged, or its decision not be carried out, for a while."""
    old = ctx.now() - ctx.settings.settle.fresh_within
    stages = [*TO_JUDGE, Stage.SETTLING]
    with ctx.ledger.read() as session:
        due = returns.due(session, ctx.brand, stages, ctx.now(), PER_TICK)
        read = returns.rmas_of(session, [row.id for row in due])
    split = _split(ctx, [row for row in due if row.stage == Stage.WAITING], read)
    wanted = {
        rma.id
        for row in due
        if row.id not in split
        for rma in read.get(row.id, [])
        if rma.read_status is not None
        and (row.stage == Stage.WAITING or rma.status_seen_at is None or rma.status_seen_at <= old)
    }
    if not wanted:
        return
    with ctx.write() as tx:
        for rma in returns.rmas_by_pk(tx.session, list(wanted)).values():
            if rma.to_read or rma.read_status is not None:
                _read_soon(rma)


def _read_soon(rma: RmaRow) -> None:
    """It is read in this tick, unless REX11 could not give it and it is left alone for a while."""
    rma.to_read = True
    if rma.unread_since is None:
        rma.read_due_at = None  # of a look that was put off


def _split(
    ctx: BrandContext, waited: Sequence[ReturnRow], rmas: Mapping[int, Sequence[RmaRow]]
) -> set[int]:
    """Of returns (keys) whose wait for missing units is over, those of which a part may have been
    counted on another ticket with the same PO: a person is asked. Where that cannot be seen now, it
    is waited on."""
    pairs = [
        (row, rma)
        for row in waited
        for rma in rmas.get(row.id, [])
        if rma.ticket_id and rma.shipment_pk is None
    ]
    keep: set[int] = set()
    for batch in ctx.batches(pairs):
        found = ctx.in_parallel(lambda pair: adopt.beside(ctx, pair[1]), batch)
        some = [(row.id, rma, of) for (row, rma), of in zip(batch, found, strict=True) if of]
        if not some:
            continue
        with ctx.write() as tx:
            fresh = returns.by_pks(tx.session, [pk for pk, _, _ in some], lock=True)
            for pk, rma, others in some:
                keep.add(pk)
                if isinstance(others, OutsideError):
                    fresh[pk].due_at = tx.now + ctx.settings.poll
                else:
                    _ask_of_split(tx, fresh[pk], rma, others)
    return keep


def _ask_of_split(tx: Transaction, row: ReturnRow, rma: RmaRow, others: Sequence[Receipt]) -> None:
    told = ", ".join(f"{of.ticket_id} ({of.counts}, {of.status_name})" for of in others)
    tx.needs_person(
        Need.DECIDE_BY_HAND,
        f"what is missing on ticket {rma.ticket_id} may be on another one with its PO "
        f"{rma.customer_po}: {told}. Ask Bergen what came, then correct the counts, or decide by "
        "hand; retry once the others are cancelled",
        row,
    )


# -- which tickets changed --------------------------------------------------------------------


def _see_changes(ctx: BrandContext, result: Received) -> None:
    """By windows, each written down: a list that is too long for REX11 does not get longer. Now and
    then the last one reaches a day farther both ways: a warehouse whose clock is not in the zone
    that is configured would tell of nothing else."""
    started = ctx.now()
    marks = ctx.marks(CURSOR, WIDE)
    cursor = cursors.believed(marks, started + AHEAD).get(CURSOR)
    cursor = cursor or started - ctx.settings.loop.backfill
    looked = marks.get(WIDE)
    wide = looked is None or not timedelta() <= started - looked < ctx.settings.loop.deep_every
    earliest = _earliest(ctx, cursor - ctx.settings.rex11.overlap)
    ctx.tick.changes_since = earliest
    span = LONGEST
    while True:
        since, until = cursor - ctx.settings.rex11.overlap, min(cursor + span, started)
        farther = WIDER if wide and until == started else timedelta()
        try:
            changes = _changes(ctx, since - farther, until + farther)
        except OutsideError as error:
            if farther and error.scope is not Scope.ACCESS:
                wide = False  # it may be too long: the next one comes in its time
                _looked_wide(ctx, started)
                continue
            if error.scope is Scope.ACCESS or until - cursor <= SHORTEST or span <= SHORTEST:
                raise
            span = max(SHORTEST, (until - cursor) / 4)
            continue
        moved = _take_changes(ctx, changes, since - farther, result)
        if farther:
            _looked_wide(ctx, started)
            _lift_unknown(ctx, changes, since - farther)
            ctx.tick.changes_since = min(earliest, _earliest(ctx, since - farther))
        if moved and looked:
            _mind_zone(ctx, moved, (since, until), wide=bool(farther))
        newest = {normal_ticket_id(c.ticket_id) or id(c): c for c in (*ctx.tick.changes, *changes)}
        ctx.tick.changes = list(newest.values())
        with ctx.noting(CURSOR) as tx:
            cursors.set(tx.session, ctx.brand, CURSOR, until)
        if until == started:
            break
        cursor = until
    ctx.tick.statuses_seen = True


def _looked_wide(ctx: BrandContext, at: datetime) -> None:
    with ctx.noting(WIDE) as tx:
        cursors.set(tx.session, ctx.brand, WIDE, at)


def _lift_unknown(ctx: BrandContext, changes: Sequence[TicketChange], since: datetime) -> None:
    """What was told of the list is over: no ticket is called by a name we do not know any more; or
    a list that reaches back to before lines that named no ticket has none of them now."""
    with ctx.ledger.read() as session:
        told = attention.opened(session, ctx.brand, Need.STATUS_UNKNOWN)
        called = returns.status_names(session, ctx.brand) if told else None
    nameless = any(c.problem and not c.ticket_id for c in changes)
    listed = {c.status_name for c in changes}
    gone = [
        (Need.STATUS_UNKNOWN, about)
        for about, at in told.items()
        if (
            at >= since and not nameless
            if about == LINES
            else called is not None and about not in called | listed
        )
    ]
    if gone:
        with ctx.noting() as tx:
            tx.resolve_each(gone, "REX11's list of changed tickets does not say so any more")


def _mind_zone(
    ctx: BrandContext,
    moved: Sequence[TicketChange],
    asked: tuple[datetime, datetime],
    *,
    wide: bool,
) -> None:
    """What the wider list alone tells of, and that again and again, is listed by another clock."""
    known = ctx.marks(ELSEWHERE)
    if not wide or not _missed(ctx, moved, asked):
        if known:
            with ctx.noting(ELSEWHERE) as tx:
                cursors.drop(tx.session, tx.brand, ELSEWHERE)
                tx.resolve(Need.CONFIGURATION, ZONE, "REX11's list tells of changes in time")
        return
    with ctx.noting(ELSEWHERE) as tx:
        cursors.set(tx.session, tx.brand, ELSEWHERE, known.get(ELSEWHERE, tx.now))
        if known:
            tx.needs_person(
                Need.CONFIGURATION,
                f"REX11's list of changed tickets tells of what has just changed (the last one is "
                f"{moved[-1].ticket_id}) only where it is asked for a day more: its times do not "
                f"seem to be those of {ZONE} ({ctx.settings.rex11.time_zone}). Ask Bergen by which "
                "clock its warehouse goes, and put it right; until then receipts are found an hour "
                "late",
                ZONE,
            )


def _missed(
    ctx: BrandContext, moved: Sequence[TicketChange], asked: tuple[datetime, datetime]
) -> bool:
    """Whether the list as it is asked for else names none of them."""
    try:
        told = {normal_ticket_id(c.ticket_id) for c in _changes(ctx, *asked)}
    except OutsideError:
        return False
    return told.isdisjoint(normal_ticket_id(c.ticket_id) for c in moved)


def _take_changes(
    ctx: BrandContext, changes: Sequence[TicketChange], since: datetime, result: Received
) -> Sequence[TicketChange]:
    """Those whose status the ledger did not have."""
    news, moved = _of_ours(ctx, changes, since)
    if any(c.status is TicketStatus.CANCELLED for c in news):
        _look_aside(ctx)

    def take(tx: Transaction, some: Sequence[TicketChange]) -> None:
        rmas = returns.rmas_by_ticket(tx.session, ctx.brand, [c.ticket_id for c in some])
        rows = returns.by_pks(tx.session, [rma.return_pk for rma in rmas.values()])
        for change in some:
            rma = rmas[change.ticket_id]
            _changed(tx, rma, rows[rma.return_pk], change)
        # What is decided on was so at one time: an earlier parcel may have been counted anew since.
        returns.read_again_beside(tx.session, list(rmas.values()))

    ctx.take_in(news, take, _set_aside_change)
    if ctx.tick.reached_back or any(c.status is TicketStatus.CANCELLED for c in news):
        adopt.made_instead(ctx)
    ctx.take_in([c for c in changes if c.problem], _unclear, _set_aside_change)
    if of_boxes := _of_shipments(ctx, changes, since):
        # Read by their own step, which may not come in this tick: the list is not asked again.
        with ctx.write() as tx:
            for rma in shipments.rmas_by_ticket(tx.session, ctx.brand, of_boxes).values():
                rma.to_read, rma.read_due_at = True, None
    result.changed += len(news)
    return moved


def any_news(ctx: BrandContext, cursor: datetime, until: datetime) -> bool:
    """Whether REX11 tells of a change since `cursor` that the ledger does not know."""
    since = cursor - ctx.settings.rex11.overlap
    changes = _changes(ctx, since, until)
    return (
        any(c.problem for c in changes)
        or bool(_of_ours(ctx, changes, since)[0])
        or bool(_of_shipments(ctx, changes, since))
    )


def _changes(ctx: BrandContext, since: datetime, until: datetime) -> list[TicketChange]:
    changes = _one_each(ctx.warehouse.changed_tickets(since, until + AHEAD))
    ctx.counts.add("rex11.statuses_by_date")
    return changes


def _of_ours(
    ctx: BrandContext, changes: Sequence[TicketChange], since: datetime
) -> tuple[list[TicketChange], list[TicketChange]]:
    """Changes of our tickets that the ledger does not have; of them those to another status."""
    if not changes:
        return [], []
    with ctx.ledger.read() as session:
        known = returns.statuses_by_ticket(session, ctx.brand, [c.ticket_id for c in changes])
    news = _news(changes, known, _earliest(ctx, since))
    return news, [c for c in news if known[c.ticket_id][0] != status_of(c)]


def _of_shipments(ctx: BrandContext, changes: Sequence[TicketChange], since: datetime) -> list[str]:
    """Tickets of consolidated shipments whose change the ledger does not have."""
    if not changes:
        return []
    with ctx.ledger.read() as session:
        rmas = shipments.rmas_by_ticket(session, ctx.brand, [c.ticket_id for c in changes])
    known = {i: (rma.ticket_status, rma.status_seen_at) for i, rma in rmas.items()}
    return [c.ticket_id for c in _news(changes, known, _earliest(ctx, since))]


def _news(
    changes: Sequence[TicketChange],
    known: Mapping[str, tuple[str | None, datetime | None]],
    earliest: datetime,
) -> list[TicketChange]:
    """Those of known tickets, by status and when it was seen, that tell something new."""
    return [
        c
        for c in changes
        if c.ticket_id in known and c.problem is None and is_news(c, *known[c.ticket_id], earliest)
    ]


def _earliest(ctx: BrandContext, since: datetime) -> datetime:
    """From when on a list of changes since then may tell: its window may be rounded. The first one
    after the ledger was put back from a backup tells of all that has moved since the backup."""
    if ctx.tick.restored_at is not None and since < ctx.tick.restored_at:
        return ctx.tick.restored_at
    return since - ROUNDED[ctx.settings.rex11.window_precision]


def _one_each(changes: Sequence[TicketChange]) -> list[TicketChange]:
    """One line for each ticket. A list that gives one several statuses does not say which of them
    it has now: the ticket itself tells."""
    found: dict[str, TicketChange] = {}
    for change in changes:
        key = normal_ticket_id(change.ticket_id) or f"line {len(found)}"
        before = found.setdefault(key, change)
        if status_of(before) != status_of(change) and before.problem is None:
            found[key] = replace(before, problem=f"{change.ticket_id} has several statuses")
    return list(found.values())


def is_news(
    change: TicketChange, status: str | None, seen_at: datetime | None, earliest: datetime
) -> bool:
    """Another status; or the same final one, but reached anew: a list of what changed since
    `earliest` shows no ticket that was seen as it is before that, unless it has moved since."""
    if status != status_of(change):
        return True
    final = change.status is TicketStatus.ADDED_TO_INVENTORY
    return final and seen_at is not None and seen_at < earliest


def _look_aside(ctx: BrandContext) -> None:
    """A cancelled ticket is usually that of a return cancelled in Loop: see that first."""
    try:
        intake.look_aside(ctx)
    except OutsideError as error:
        log.warning("cancelled returns not seen", brand=ctx.brand, error=str(error))


def status_of(change: TicketChange | Receipt) -> str:
    """The status in its normal form, as it is stored; a name we do not know as it came."""
    return change.status.value if change.status else change.status_name


def _changed(tx: Transaction, rma: RmaRow, row: ReturnRow, change: TicketChange) -> None:
    before, rma.ticket_status = rma.ticket_status, status_of(change)
    rma.status_seen_at = tx.now
    words = f"ticket {change.ticket_id} is {change.status_name} in REX11"
    tx.journal(What.TICKET, words, row)
    if change.status is None:
        tell_unknown_status(tx, change.status_name, change.ticket_id)
    # Counts may still change before the goods are in the inventory: only then are they read.
    if change.status is TicketStatus.ADDED_TO_INVENTORY:
        if before == rma.ticket_status and rma.read_status is not None:
            rma.read_status = None  # counted anew in between: its receipt does not count any more
        rma.to_read = rma.to_read or rma.read_status is None
        rma.unread_since = rma.read_due_at = None  # now, whatever was to be looked at later
    else:
        rma.to_read, rma.unread_since, rma.read_due_at = False, None, None
        if before == TicketStatus.ADDED_TO_INVENTORY:
            _reopened(tx, rma, row)
        mind_standing(tx.now, rma, OPENED if before in ENDS else STANDS_STILL)
    if change.status is TicketStatus.CANCELLED:
        tx.resolve(Need.RECEIPT_UNREADABLE, row, words)
        _ticket_cancelled(tx, rma, row)
    elif before == TicketStatus.CANCELLED:
        others = returns.rmas_of(tx.session, [row.id])[row.id]
        if all(r.ticket_status != TicketStatus.CANCELLED for r in others):
            tx.resolve(Need.TICKET_CANCELLED, row, words)
    if row.stage == Stage.CLOSING and not row.held:
        row.due_at = tx.now


def tell_unknown_status(tx: Transaction, name: str, ticket_id: str) -> None:
    """Once for all tickets of a status we do not know."""
    tx.needs_person(
        Need.STATUS_UNKNOWN,
        f"REX11 calls tickets {name!r}, which we do not know: nothing is decided on such tickets "
        f"(the first one is {ticket_id}). Ask Bergen what it means",
        name,
    )


def _unclear(tx: Transaction, changes: Sequence[TicketChange]) -> None:
    """Lines that cannot be relied on. Where it is known which ticket one is about, the ticket
    itself tells how it stands; else a person has to."""
    known = returns.rmas_by_ticket(tx.session, tx.brand, [c.ticket_id for c in changes])
    for change in changes:
        rma, problem = known.get(change.ticket_id), change.problem or ""
        if rma is not None:
            if rma.status_seen_at is None or tx.now - rma.status_seen_at >= UNCLEAR_AGAIN:
                _read_soon(rma)
        elif not change.ticket_id and tx.keep_raw("rex11.statuses", problem, problem):
            tx.needs_person(
                Need.STATUS_UNKNOWN,
                f"in REX11's list of changed tickets {problem}. Ask Bergen which ticket this is; "
                "`bergen-loop reconcile` reads every open ticket by itself",
                LINES,
                "such lines are kept as they came; the other tickets of the list are read",
            )


def _reopened(tx: Transaction, rma: RmaRow, row: ReturnRow) -> None:
    """Its receipt does not count any more; it is read again when the ticket is final again."""
    rma.read_status, rma.to_read = None, False
    words = f"ticket {rma.ticket_id} was finished and is {rma.ticket_status} again"
    tx.journal(
        What.RECEIPT_REOPENED,
        f"{words}: nothing is decided on its receipt until it is finished again",
        row,
    )
    if row.stage in TO_JUDGE:
        row.stage, row.due_at = Stage.RECEIVED, tx.now  # judged without it, if there is another


def _ticket_cancelled(tx: Transaction, rma: RmaRow, row: ReturnRow) -> None:
    if row.stage not in SETTLED:
        if not Stage(row.stage).terminal:
            all_cancelled(tx, row, f"ticket {rma.ticket_id}")
        return
    # Nothing is awaited any more, and a cancelled ticket is a finished one. But what was settled
    # on its counts stands on nothing now.
    counted = returns.latest_receipts(tx.session, [rma.id])
    if counted and row.id in effects.settlements_of(tx.session, [row.id]):
        why = f"ticket {rma.ticket_id} was cancelled after the return was settled on its counts"
        tx.journal(What.RECEIPT_CORRECTED, why, row)
        ask = "Ask Bergen whether the goods are there, and decide in Loop whether anything follows"
        tx.needs_person(Need.CORRECTED, f"{why}. {ask}", row)


def _set_aside_change(tx: Transaction, change: TicketChange, error: Exception) -> None:
    tx.needs_person(
        Need.INTERNAL,
        f"the change of ticket {change.ticket_id} to {change.status_name!r} could not be taken in: "
        f"{type(error).__name__}",
        f"ticket {change.ticket_id}",
    )


# -- what was counted -------------------------------------------------------------------------


def reread(ctx: BrandContext, rmas: Sequence[RmaRow]) -> Received:
    """Read tickets whatever is known of them: what the list of changes missed shows."""
    result = Received()
    _read_and_take(ctx, [rma for rma in rmas if rma.shipment_pk is None], result)
    return result


def read_cancelled(ctx: BrandContext, rmas: Sequence[RmaRow]) -> set[int]:
    """Read tickets that were cancelled, before others take their place. Of which returns (keys) one
    cannot be read for now."""
    unseen: set[int] = set()
    for batch in ctx.batches(rmas):
        answers = ctx.in_parallel(lambda rma: read_ticket(ctx, rma), batch)
        read = [answer for answer in answers if answer.receipt is not None]
        ctx.take_in(read, lambda tx, some: _take(ctx, tx, some), _set_aside_answer)
        for rma, answer in zip(batch, answers, strict=True):
            if answer.error is not None and answer.error.effect is Effect.NOT_SENT:
                unseen.add(rma.return_pk)
    return unseen


def take_share(
    ctx: BrandContext, tx: Transaction, rma: RmaRow, row: ReturnRow, receipt: Receipt
) -> None:
    """What of a consolidated shipment's final counts is a return's own: as if its own parcel had
    been counted."""
    before = returns.latest_receipts(tx.session, [rma.id]).get(rma.id)
    _counts(ctx, tx, [_Counted(rma, row, receipt, before, adopt.digest_of(receipt))])


@dataclass(frozen=True, slots=True)
class Answer:
    """What reading an RMA's ticket came to."""

    rma_pk: int
    receipt: Receipt | None = None
    error: OutsideError | None = None
    instead: Receipt | None = None
    """What REX11 gives for the RMA's PO, where the ticket that is followed is not of it."""


def _read_and_take(ctx: BrandContext, due: Sequence[RmaRow], result: Received) -> None:
    for answers in ctx.ahead(lambda rma: read_ticket(ctx, rma), due):
        ctx.take_in(answers, lambda tx, some: _take(ctx, tx, some), _set_aside_answer)
        ctx.tick.tickets_read.update(a.rma_pk for a in answers if a.receipt)
        result.read += sum(a.receipt is not None for a in answers)
        result.receipts += sum(a.receipt is not None and a.receipt.final for a in answers)
        ctx.boundary("receipt recorded")


def read_ticket(ctx: BrandContext, rma: RmaRow | ShipmentRmaRow) -> Answer:
    """Read the ticket. Raises OutsideError where the brand has no access."""
    ctx.counts.add("rex11.ticket_read")
    try:
        return Answer(rma.id, ctx.warehouse.receipt(rma.ticket_id or "", rma.customer_po))
    except OutsideError as error:
        if error.scope is Scope.ACCESS:
            raise
        again = error.effect is not Effect.NOT_SENT and rma.unread_since is not None
        instead = adopt.instead(ctx, rma) if again else None
        return Answer(rma.id, error=error, instead=instead)


def read_or_instead(
    tx: Transaction, rma: RmaRow | ShipmentRmaRow, answer: Answer, row: ReturnRow | None = None
) -> Receipt | None:
    """What was read. Where the ticket is another PO's and REX11 gives one for this PO, that one is
    followed from now on: an answer about somebody else's may once have been taken for ours."""
    found = answer.instead
    if answer.receipt is not None or found is None or adopt.owners(tx, [found.ticket_id]):
        return answer.receipt
    words = (
        f"REX11 gives ticket {found.ticket_id} for PO {rma.customer_po}, and ticket "
        f"{rma.ticket_id}, which was followed, is not of this PO: the other is followed"
    )
    tx.journal(What.TICKET, words, row, {"was": rma.ticket_id, "ticket": found.ticket_id})
    rma.ticket_id = found.ticket_id
    rma.ticket_status = rma.read_status = rma.unread_since = rma.read_due_at = None
    tx.session.flush()
    return found


def _take(ctx: BrandContext, tx: Transaction, answers: Sequence[Answer]) -> None:
    rmas = returns.rmas_by_pk(tx.session, [a.rma_pk for a in answers])
    rows = returns.by_pks(tx.session, [rma.return_pk for rma in rmas.values()])
    newest = returns.latest_receipts(tx.session, list(rmas))
    readable: list[tuple[Need, ReturnRow | str]] = []
    counted: list[_Counted] = []
    for answer in answers:
        rma = rmas[answer.rma_pk]
        row = rows[rma.return_pk]
        receipt = read_or_instead(tx, rma, answer, row)
        if receipt is None:
            assert answer.error is not None
            _unread(ctx, tx, rma, row, answer.error)
            continue
        if _not_finished_itself(tx, rma, row, receipt):
            continue
        if _status_read(tx, rma, row, receipt):
            continue
        readable.append((Need.RECEIPT_UNREADABLE, row))
        if receipt.final:
            before, read = newest.get(rma.id), adopt.digest_of(receipt)
            counted.append(_Counted(rma, row, receipt, before, read))
            _read_doubtful_again(tx.now, counted[-1])
    tx.resolve_each(readable, "the ticket can be read again")
    _counts(ctx, tx, counted)


def _not_finished_itself(tx: Transaction, rma: RmaRow, row: ReturnRow, receipt: Receipt) -> bool:
    contradiction = contradicts_list(tx, rma, receipt)
    if contradiction and contradiction.new:
        tx.journal(What.TICKET, f"{contradiction.words}: it is read again", row)
    if contradiction and contradiction.to_tell:
        tx.needs_person(Need.RECEIPT_UNREADABLE, contradiction.asks, row, CONTRADICTS)
    return contradiction is not None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """REX11's list says that a ticket is finished, and the ticket that it is not."""

    words: str
    since: datetime
    new: bool
    to_tell: bool

    @property
    def asks(self) -> str:
        return (
            f"{self.words}, since {self.since:%Y-%m-%d %H:%M} UTC: whether its counts are final "
            "is not certain. Ask Bergen how the ticket stands"
        )


CONTRADICTS = "it is read again every 15 minutes; this is lifted when it says that it is finished"


def contradicts_list(
    tx: Transaction, rma: RmaRow | ShipmentRmaRow, receipt: Receipt
) -> Contradiction | None:
    """Whether the counts of a ticket that is listed as finished are final is in doubt where it says
    otherwise itself. It is read again, ever more rarely, and told where it stays so."""
    listed = rma.ticket_status == TicketStatus.ADDED_TO_INVENTORY and rma.read_status is None
    if not listed or receipt.status in ENDS:
        return None
    new = rma.unread_since is None
    since = rma.unread_since = rma.unread_since or tx.now
    rma.read_due_at = tx.now + min(READ_AGAIN_WITHIN, (tx.now - since) / 2)
    rma.status_seen_at = tx.now
    if receipt.status is None:
        tell_unknown_status(tx, receipt.status_name, receipt.ticket_id)
    words = (
        f"REX11 lists ticket {rma.ticket_id} as {rma.ticket_status}, and the ticket itself says "
        f"{receipt.status_name or 'nothing of how it stands'}"
    )
    return Contradiction(words, since, new, tx.now - since >= TELL_AFTER)


ENDS = (TicketStatus.ADDED_TO_INVENTORY, TicketStatus.CANCELLED)
"""Statuses in which the warehouse has done with a ticket."""


def _status_read(tx: Transaction, rma: RmaRow, row: ReturnRow, receipt: Receipt) -> bool:
    """Follow the status that the ticket itself gives; whether it stands still, which is told."""
    unheard = rma.read_due_at is not None and rma.unread_since is None
    moved = rma.ticket_status != status_of(receipt)
    if moved:
        _changed(tx, rma, row, TicketChange(receipt.ticket_id, receipt.status, receipt.status_name))
    rma.to_read, rma.status_seen_at = False, tx.now
    rma.unread_since = rma.read_due_at = None
    rma.read_status = status_of(receipt) if receipt.final else None
    if moved or not receipt.final:
        mind_standing(tx.now, rma, STANDS_STILL)
    if not moved and rma.to_read and _stands_still(tx, rma, row, unheard=unheard):
        return True
    if unheard and row.stage == Stage.ANNOUNCED:
        look_later(tx, [rma])
    return False


def _read_doubtful_again(now: datetime, one: _Counted) -> None:
    """What an answer leaves out, or spells in no known way, may be the answer's own fault, and gone
    in an hour. A person is asked meanwhile, and has the last word on what was read."""
    unsure = (x.problems or x.actual is None or x.damaged is None for x in one.receipt.lines)
    doubtful = one.receipt.problems or not one.receipt.lines or any(unsure)
    by_hand = one.again and one.before is not None and one.before.corrects is not None
    age = now - (one.row.received_at or now)
    if doubtful and not by_hand and one.row.stage in UNDECIDED and age <= DOUBTFUL_FOR:
        one.rma.to_read = True
        one.rma.read_due_at = now + min(max(UNCLEAR_AGAIN, age / 2), UNREAD_RARELY)


def mind_standing(now: datetime, rma: RmaRow | ShipmentRmaRow, wait: timedelta) -> None:
    """A ticket that has arrived, or had been finished, is to be finished: it is read by itself
    where nothing is heard of it for long."""
    arrived = rma.ticket_status not in (None, TicketStatus.DRAFT, *ENDS)
    if arrived or (wait is OPENED and rma.ticket_status == TicketStatus.DRAFT):
        rma.to_read, rma.read_due_at = True, now + wait


def _stands_still(tx: Transaction, rma: RmaRow, row: ReturnRow, *, unheard: bool) -> bool:
    """A person is asked once; what is on the list stays there until the ticket moves."""
    if not (unheard or attention.is_asked(tx.session, row, Need.RECEIPT_UNREADABLE)):
        return False
    if attention.left_alone(tx.session, row, Need.RECEIPT_UNREADABLE):
        return False
    counted = returns.latest_receipts(tx.session, [rma.id])
    was = "was finished, was opened again, and" if counted else "has arrived, and"
    tx.needs_person(
        Need.RECEIPT_UNREADABLE,
        f"ticket {rma.ticket_id} {was} has stood still for days: it is {rma.ticket_status}. "
        "Its counts are not final until it is finished. Ask Bergen what it waits for",
        row,
        "the ticket is read again now and then; this is lifted when it moves",
    )
    return True


@dataclass(frozen=True, slots=True)
class _Counted:
    """Final counts as they were read, and as they were before."""

    rma: RmaRow
    row: ReturnRow
    receipt: Receipt
    before: ReceiptRow | None
    hash: str

    @property
    def again(self) -> bool:
        """Whether they are the same as before."""
        return self.before is not None and self.before.content_hash.partition("#")[0] == self.hash


def _counts(ctx: BrandContext, tx: Transaction, counted: Sequence[_Counted]) -> None:
    """Stored where they differ from the last ones, and followed."""
    new = [c for c in counted if not c.again]
    stored = returns.add_receipts(tx.session, [(c.rma, c.receipt, c.hash) for c in new], tx.now)
    for one, kept in zip(new, stored, strict=True):
        words = f"ticket {one.receipt.ticket_id}: {one.receipt.counts}"
        if one.before is not None and one.before.corrects is not None:
            words += f"; the count that {one.before.by} gave does not hold any more"
        tx.journal(What.RECEIVED, words, one.row, {"receipt": kept.id})
    for one in counted:
        if not one.again:
            _arrived(ctx, tx, one.row, one.receipt, one.before)
        elif one.row.stage in UNDECIDED:
            _arrived(ctx, tx, one.row, one.receipt, None)
        elif one.row.stage in SETTLED:
            _lift_corrected(tx, one.row)


def _judged(tx: Transaction, row: ReturnRow) -> bool:
    """Whether the last decision about a return was made on the receipts that count now."""
    decision = returns.latest_decision(tx.session, row.id)
    now = returns.final_receipt_ids(tx.session, row.id)
    return decision is not None and decision.receipt_ids == now


def _arrived(
    ctx: BrandContext,
    tx: Transaction,
    row: ReturnRow,
    receipt: Receipt,
    before: ReceiptRow | None,
) -> None:
    """`before`: what was counted before, where that was something else."""
    settled = row.stage in SETTLED
    if settled and before is not None and _same_counts(receipt, load_receipt(before.content)):
        # Finished once more, as it was: that is no news to anybody.
        _lift_corrected(tx, row)
        return
    row.received_at = row.received_at or tx.now
    if row.held and row.stage in UNDECIDED and comparison_of(ctx, tx.session, row).complete:
        tx.resolve(Need.TICKET_CANCELLED, row, "all its units were counted on other tickets")
    if row.held and before is not None and _was_unclear(tx, row):
        tx.resolve(Need.DECIDE_BY_HAND, row, "the warehouse has counted it again since")
    first = row.stage in UNDECIDED and row.stage not in TO_JUDGE
    if first or (row.stage in TO_JUDGE and not _judged(tx, row)):
        tx.enter(row, Stage.RECEIVED)
    elif row.stage == Stage.FLAGGED:
        # A person decides in Loop: that is where the news has to go.
        words = comparison_of(ctx, tx.session, row).in_words
        news = f"Warehouse update after the flag (ticket {receipt.ticket_id}): now {words}."
        plan_note(tx, row, adopt.digest_of(receipt)[:12], news)
        if before is not None:
            _corrected(ctx, tx, row, receipt, before)
    elif row.stage in OFF:
        tx.needs_person(
            Need.UNEXPECTED_RECEIPT,
            f"ticket {receipt.ticket_id} was received ({receipt.counts}), but Loop shows the "
            f"return {row.stage}. Decide in Loop what becomes of the goods",
            row,
        )
    elif row.stage in TAKEN:
        _corrected(ctx, tx, row, receipt, before)


def _was_unclear(tx: Transaction, row: ReturnRow) -> bool:
    """Whether a person was asked only for what the counts before did not say clearly."""
    decision = returns.latest_decision(tx.session, row.id)
    asked = decision is not None and decision.by == journal.SERVICE and decision.rule == UNCLEAR
    return asked and row.stage in TO_JUDGE and row.loop_state == LoopState.OPEN


def _same_counts(one: Receipt, other: Receipt) -> bool:
    """Whether two readings of a ticket say the same of what came; when it was finished apart."""
    return (one.lines, one.problems, one.bags) == (other.lines, other.problems, other.bags)


def _corrected(
    ctx: BrandContext,
    tx: Transaction,
    row: ReturnRow,
    receipt: Receipt,
    before: ReceiptRow | None,
) -> None:
    """Counts that change, or come, after the return was settled: nothing is taken back by us."""
    now = comparison_of(ctx, tx.session, row)
    was = "nothing was known of this parcel"
    if before is not None:
        was = f"it was {load_receipt(before.content).counts}"
    ours = row.id in effects.settlements_of(tx.session, [row.id])
    by = "" if ours else ", and not by us"
    why = (
        f"ticket {receipt.ticket_id} was counted after the return was settled{by}: "
        f"now {now.in_words}; {was}"
    )
    tx.journal(What.RECEIPT_CORRECTED, why, row)
    known = not ours and attention.left_alone(tx.session, row, Need.CORRECTED)
    if known and now.complete:
        # What a person has done about what was missing may not be right any more.
        _ask_what_follows(tx, row, why, now)
    elif _as_settled(tx, row) if ours else now.complete:
        tx.resolve(Need.CORRECTED, row, f"now {now.in_words}, as it was settled")
    elif ours or (ctx.live and _tells(tx, row, now)):
        _ask_what_follows(tx, row, why, now)


def mind_closing(
    ctx: BrandContext, tx: Transaction, row: ReturnRow, effect: EffectRow | None
) -> None:
    """A return that somebody closes in Loop while we wait for what is missing, or have not said yet
    what is wrong: in Loop nobody can know of it. What a person was asked about is known. So it is
    where our call had no effect, or where Loop may have paid other units than it was made for."""
    ours = effect is not None and effect.state not in (*effects.SENDABLE, EffectState.REFUSED)
    if effect is not None and ours and not _other_units(row, effect):
        return
    if row.stage not in SHOWN_CLOSED or row.received_at is None or not ctx.live:
        return
    decision = returns.latest_decision(tx.session, row.id)
    if decision is None or decision.shadow or decision.outcome == Outcome.ATTENTION:
        return
    if not ours and decision.by != journal.SERVICE:
        return  # whoever decided it knew what had come
    if attention.was_asked(tx.session, row, Need.CORRECTED):
        return
    now = comparison_of(ctx, tx.session, row)
    if now.complete or not _tells(tx, row, now):
        return
    how = "with other units than our call was made for" if ours else "and not by us"
    _ask_what_follows(tx, row, f"the return was closed in Loop, {how}, with {now.in_words}", now)


def _other_units(row: ReturnRow, effect: EffectRow) -> bool:
    """Whether a return that Loop shows closed has other units than our call was to pay: it was
    edited meanwhile, or what was to be taken off is still on it and Loop never took the call."""
    if effect.kind not in PAYING:
        return False
    if effect.payload.get(effects.UNANSWERED) and effect.kind == Outcome.REMOVE_LINES:
        off = {str(i) for i in effect.payload.get("line_item_ids") or ()}
        return any(x.line_item_id in off for x in load_return(row.content).lines)
    return bool(effect.payload.get(effects.EDITED_SINCE))


def _ask_what_follows(tx: Transaction, row: ReturnRow, why: str, now: Comparison) -> None:
    if now.unclear:
        why += f" ({'; '.join(now.unclear[:3])})"
    tx.needs_person(Need.CORRECTED, f"{why}. Decide in Loop whether anything follows", row)


def _lift_corrected(tx: Transaction, row: ReturnRow) -> None:
    """A ticket that was opened, or cancelled, is finished again as it was."""
    if attention.is_open(tx.session, row, Need.CORRECTED) and _as_settled(tx, row):
        tx.resolve(Need.CORRECTED, row, "the counts are those that it was settled on again")


def _tells(tx: Transaction, row: ReturnRow, now: Comparison) -> bool:
    """Whether what has come tells that something is wrong: while a parcel is awaited, what is only
    missing may be in it."""
    if now.unclear or now.damaged or now.extra or now.wrong:
        return True
    rmas = returns.rmas_of(tx.session, [row.id])[row.id]
    return all(
        r.read_status is not None or r.ticket_status == TicketStatus.CANCELLED
        for r in rmas
        if r.ticket_id
    )


def _as_settled(tx: Transaction, row: ReturnRow) -> bool:
    """Whether the counts are (again) those that the return was settled on, and for its units."""
    decision = returns.latest_decision(tx.session, row.id)
    effect = effects.settlements_of(tx.session, [row.id]).get(row.id)
    if decision is None or (effect is not None and _other_units(row, effect)):
        return False
    then = returns.receipts_by_pk(tx.session, decision.receipt_ids)
    now = returns.readings(tx.session, [row.id])[row.id].receipts
    counts = {r.rma_pk: load_receipt(r.content) for r in now}
    return counts.keys() == {r.rma_pk for r in then} and all(
        _same_counts(counts[r.rma_pk], load_receipt(r.content)) for r in then
    )


def _unread(
    ctx: BrandContext, tx: Transaction, rma: RmaRow, row: ReturnRow, error: OutsideError
) -> None:
    if told := not_read(ctx, tx, rma, error, row.return_id):
        tx.needs_person(Need.RECEIPT_UNREADABLE, told[0], row, told[1])


def not_read(
    ctx: BrandContext,
    tx: Transaction,
    rma: RmaRow | ShipmentRmaRow,
    error: OutsideError,
    return_id: str | None = None,
) -> tuple[str, str] | None:
    """A read that failed for a passing reason is tried again, ever more rarely, and told where it
    goes on for long with this ticket alone. One that is refused goes to a person, with the answer
    as it came; so does one that is not understood, if the next sync does not understand it either
    (what spoils an answer on its way spoils the next one too). What to tell and what was tried;
    None: nothing yet."""
    if error.effect is Effect.NOT_SENT:
        since = rma.unread_since = rma.unread_since or tx.now
        waited = tx.now - since
        if error.raw is None or waited < TELL_AFTER:
            rma.read_due_at = tx.now + min(READ_AGAIN_WITHIN, waited / 2)
            if waited < TELL_UNANSWERED_AFTER or not ctx.tick.statuses_seen:
                return None
            return (
                f"ticket {rma.ticket_id} has not been read since {since:%Y-%m-%d %H:%M} UTC, "
                f"though REX11 answers other calls: {error.message}. Ask Bergen about the ticket",
                "it is read again every 15 minutes; this is lifted when it works",
            )
        # What was not understood may pass like what was not answered, and for all tickets alike.
        rma.read_due_at = tx.now + UNREAD_AGAIN
        tx.keep_raw("rex11.ticket", error.raw, error.message, return_id)
        return (
            f"ticket {rma.ticket_id} has not been read since {since:%Y-%m-%d %H:%M} UTC: "
            f"{error.message}. Ask Bergen about the ticket",
            "it is read again every hour, and the answer is kept as it came; this is lifted when "
            "it works",
        )
    if error.raw:
        tx.keep_raw("rex11.ticket", error.raw, error.message, return_id)
    if error.effect is Effect.DOUBT and rma.unread_since is None:
        rma.unread_since = rma.read_due_at = tx.now
        return None
    if error.effect is Effect.DOUBT:
        rma.read_due_at = tx.now + UNREAD_AGAIN  # a gateway's page for a day spoils them all
    else:
        since = rma.unread_since = rma.unread_since or tx.now
        rma.to_read = tx.now - since <= UNREAD_FOR
        rma.read_due_at = tx.now + min(max(UNREAD_AGAIN, (tx.now - since) / 2), UNREAD_RARELY)
    return (
        f"the receipt of ticket {rma.ticket_id} cannot be read: {error.message}. Ask Bergen about "
        "the ticket, then retry",
        "read the ticket; the answer is kept as it came",
    )


def _set_aside_answer(tx: Transaction, answer: Answer, error: Exception) -> None:
    """It was read, but cannot be put into the ledger."""
    rma = returns.rmas_by_pk(tx.session, [answer.rma_pk])[answer.rma_pk]
    rma.to_read = False
    row = returns.by_pks(tx.session, [rma.return_pk])[rma.return_pk]
    tx.needs_person(
        Need.RECEIPT_UNREADABLE,
        f"the receipt of ticket {rma.ticket_id} cannot be stored: {type(error).__name__}",
        row,
        "read the ticket",
    )
