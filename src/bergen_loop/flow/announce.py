"""Moment 3: an RMA in Bergen for every return whose parcel will come (I3: at most one each).

REX11's add is not idempotent. So every RMA has a PO of its own, written down before the call; where
an answer was lost, the ticket is looked for by that PO, and only if it stays absent is it added
again, with the same PO.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bergen_loop.domain import announce as rules
from bergen_loop.domain.naming import Known
from bergen_loop.domain.returns import LoopState, Return, Stage
from bergen_loop.domain.rma import RmaRequest, TicketStatus, normal_ticket_id
from bergen_loop.domain.words import EffectKind, Need, What
from bergen_loop.flow import adopt, intake, products, receive, transitions
from bergen_loop.flow.calls import Call, Undertaking, carry_out, had_no_effect, is_late, ready
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.transitions import follow, known_of
from bergen_loop.ledger.codec import dump_item, load_items, load_return
from bergen_loop.ledger.store import cursors, effects, journal, quiet, returns
from bergen_loop.ledger.store.effects import AlreadyIntended, EffectState, Intent, ticket_key
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow, RmaRow
from bergen_loop.ledger.transaction import FencedTransaction, Transaction
from bergen_loop.outside.errors import Effect, OutsideError, Refused

PER_TICK = 150
"""How many RMAs one tick makes at most, so that one brand's flood keeps its ticks short."""
REFUSED_PRODUCT = timedelta(hours=24)
"""How long a ticket that was refused for a product is not sent again as it is, unless a person
retries. Whether it would be another one now is looked at every hour."""

UNKNOWN_DESTINATION = timedelta(minutes=15)
"""How long a return waits whose destination is not listed, until it may be."""
ASKED = "destination."
"""Marks when a return last waited for its destination to be listed."""


@dataclass(slots=True)
class Announced:
    """What an announce step did."""

    created: int = 0
    found: int = 0
    waiting: int = 0
    attention: int = 0


LOOK_UPS = "ticket look-up"


def run(ctx: BrandContext) -> Announced:
    """Resolve lost ticket calls by looking, then make the RMAs that are due."""
    result = Announced()
    if ctx.tick.calm:
        ctx.tick.calls.setdefault(LOOK_UPS, None)
        _lift_destinations(ctx)
        return result
    _find_lost(ctx, result)
    _find_late(ctx)
    due = _due(ctx)
    asked = _announceable(ctx, due)
    if len(due) < PER_TICK:
        _lift_destinations(ctx)
    new = _without_ticket(ctx, _without_past(ctx, asked, result))
    ctx.tick.calls.setdefault(LOOK_UPS, None)
    known, called = products.known_to_the_warehouse(ctx, new)
    result.waiting += len(new) - len(known)
    carry_out(ctx, TicketAdds(ctx, result, _labels(ctx, known), called), known)
    if ctx.tick.waits is None or quiet.PRODUCTS in ctx.tick.waits:
        products.lift_needless(ctx)
    return result


def _due(ctx: BrandContext) -> list[ReturnRow]:
    """What is to be announced. Where something has waited for it, what was cancelled meanwhile
    is seen first; where that cannot be seen, it waits on."""
    rows = _due_now(ctx)
    new = [row for row in rows if ctx.now() - row.seen_at < ctx.settings.poll]
    if len(new) == len(rows):
        return rows
    try:
        return _due_now(ctx) if intake.look_aside(ctx) else new
    except OutsideError:
        return new


def _due_now(ctx: BrandContext) -> list[ReturnRow]:
    with ctx.ledger.read() as session:
        return returns.due(session, ctx.brand, [Stage.SEEN], ctx.now(), PER_TICK)


def _announceable(ctx: BrandContext, rows: Sequence[ReturnRow]) -> list[ReturnRow]:
    """Those that nothing keeps from being announced; about the others a person is asked, or they
    wait for their label."""
    kept = {row.id for row in rows if _keeps(ctx, row)}
    if kept:
        with ctx.write() as tx:
            rmas = returns.rmas_of(tx.session, sorted(kept))
            for row in returns.by_pks(tx.session, sorted(kept), lock=True).values():
                if row.stage == Stage.SEEN and not row.held:
                    _ask(ctx, tx, row, rmas.get(row.id, []))
    return [row for row in rows if row.id not in kept]


def _keeps(ctx: BrandContext, row: ReturnRow) -> bool:
    return_ = load_return(row.content)
    return bool(
        rules.why_waiting(return_, ctx.rules, ctx.now())
        or rules.why_not_announced(return_, ctx.rules)
    )


def _ask(ctx: BrandContext, tx: Transaction, row: ReturnRow, rmas: Sequence[RmaRow]) -> None:
    """A person is asked: once for all returns of an unknown destination, else by return. Nobody
    is where nothing comes to Bergen any more."""
    return_ = load_return(row.content)
    skip = rules.why_not_announced(return_, ctx.rules)
    row.due_at = rules.ready_at(return_, ctx.rules) if skip is None else None
    if skip is None:
        return
    if skip.kind is rules.SkipKind.DESTINATION:
        tx.needs_person(Need.DESTINATION, skip.reason, return_.destination_id or "")
        mark = f"{ASKED}{return_.destination_id or ''}"
        cursors.set(tx.session, tx.brand, mark, tx.now)
        ctx.tick.moved.add(mark)
        row.due_at = tx.now + UNKNOWN_DESTINATION
        if not journal.told(tx.session, row.id, What.WAITS, skip.reason):
            tx.journal(What.WAITS, skip.reason, row)
    elif skip.kind is rules.SkipKind.DOUBT:
        tx.needs_person(Need.UNREADABLE, skip.reason, row)
    else:
        alive = [rma for rma in rmas if rma.ticket_status != TicketStatus.CANCELLED]
        made, unmade = _apart(alive, effects.sent_ticket_calls(tx.session, [row.id]))
        _drop_needless(tx, row, made, unmade)
        if not made:
            transitions.nothing_comes(tx, row, skip)


def _lift_destinations(ctx: BrandContext) -> None:
    """Nobody is asked any more about a destination that no return waits for: each that does is
    looked at every `UNKNOWN_DESTINATION`."""
    late = ctx.now() - UNKNOWN_DESTINATION - ctx.settings.poll_max
    over = [
        name
        for name, at in (ctx.tick.marks or {}).items()
        if name.startswith(ASKED) and name not in ctx.tick.moved and at < late
    ]
    if not over:
        return
    with ctx.write() as tx:
        for name in over:
            cursors.drop(tx.session, tx.brand, name)
        about = [(Need.DESTINATION, name.removeprefix(ASKED)) for name in over]
        tx.resolve_each(about, "no return waits for it any more")


def _labels(ctx: BrandContext, rows: Sequence[ReturnRow]) -> dict[str, dict[str, str]]:
    """Label of each line item by return, for brands whose returns travel in several parcels and
    where the returns themselves do not say it."""
    if not ctx.settings.announce.multi_parcel or not rows:
        return {}
    ctx.counts.add("loop.asn")
    since = min(row.submitted_at for row in rows).date() - timedelta(days=1)
    until = ctx.now().date() + timedelta(days=1)
    found: dict[str, dict[str, str]] = {}
    for line in ctx.loop.asn_report(since, until):
        if line.return_id and line.line_item_id and line.tracking_number:
            found.setdefault(line.return_id, {})[line.line_item_id] = line.tracking_number
    return found


# -- what was announced before ----------------------------------------------------------------


def _without_past(
    ctx: BrandContext, rows: Sequence[ReturnRow], result: Announced
) -> list[ReturnRow]:
    """The returns that certainly have no ticket yet; those that have one get it here."""
    if not rows:
        return []
    with ctx.ledger.read() as session:
        marks = cursors.get_all(session, ctx.brand, [cursors.FIRST_PULL, cursors.FORMER])
        tried = effects.ticket_calls(session, [row.id for row in rows])
    first, former = marks.get(cursors.FIRST_PULL), marks.get(cursors.FORMER)
    old = [r for r in rows if r.id not in tried and adopt.may_have_past(r, first)]
    new = {row.id for row in rows} - {row.id for row in old}
    without = set[int]()
    for batch in ctx.batches(old):
        pasts = ctx.in_parallel(lambda row: adopt.look_up(ctx, load_return(row.content)), batch)
        ctx.boundary("past looked up")
        with ctx.write() as tx:
            fresh = returns.by_pks(tx.session, [row.id for row in batch])
            for row, past in zip(batch, pasts, strict=True):
                if isinstance(past, OutsideError):
                    _cannot_look(ctx, tx, fresh[row.id], past, result)
                elif not past.tickets:
                    without.add(row.id)
                else:
                    adopt.take_over(ctx, tx, fresh[row.id], past)
                    result.found += 1
    if result.found and former is None:
        former = first  # what has tickets was announced by somebody, perhaps a moment ago
    if not without or not _held_back(ctx, without, former):
        new |= without
    return [row for row in rows if row.id in new]


def _without_ticket(ctx: BrandContext, rows: list[ReturnRow]) -> list[ReturnRow]:
    """Those whose ticket was not cancelled, or still is, so that another may take its place. A
    cancelled one may have been taken up again, and its parcel have come."""
    if not rows:
        return rows
    with ctx.ledger.read() as session:
        rmas = returns.rmas_of(session, [row.id for row in rows])
    all_ = [rma for some in rmas.values() for rma in some if rma.ticket_id]
    cancelled = [rma for rma in all_ if rma.ticket_status == TicketStatus.CANCELLED]
    unseen = receive.read_cancelled(ctx, cancelled)
    if unseen:
        with ctx.write() as tx:
            for row in returns.by_pks(tx.session, sorted(unseen)).values():
                row.due_at = tx.now + ctx.settings.poll
    return [row for row in rows if row.id not in unseen]


def _held_back(ctx: BrandContext, rows: set[int], former: datetime | None) -> bool:
    """An earlier ledger's last tickets may not yet show by their PO: these wait until they must."""
    until = former and former + ctx.settings.announce.lost_ticket_wait
    if until is None or until <= ctx.now():
        return False
    with ctx.write() as tx:
        for row in returns.by_pks(tx.session, sorted(rows)).values():
            row.due_at = until
    return True


def _cannot_look(
    ctx: BrandContext, tx: Transaction, row: ReturnRow, error: OutsideError, result: Announced
) -> None:
    """Looking failed: again at the next tick, unless it will never be answered."""
    if error.effect is Effect.NOT_SENT:
        ctx.tick.calls[LOOK_UPS] = str(error)
        return
    tx.needs_person(
        Need.TICKET_LOOKUP,
        f"whether REX11 has an RMA of this return cannot be found out: {error.message}. Ask "
        "Bergen, then retry",
        row,
    )
    result.attention += 1


# -- making RMAs ------------------------------------------------------------------------------


class TicketAdds(Undertaking[ReturnRow, RmaRequest, str]):
    """ReceivingTicketAdd, one for each parcel."""

    name = "ticket"

    def __init__(
        self,
        ctx: BrandContext,
        result: Announced,
        labels: Mapping[str, Mapping[str, str]],
        called: Known,
    ) -> None:
        super().__init__(ctx)
        self.result = result
        self.labels = labels
        self.called = called
        """What the warehouse calls products."""
        self.given: list[str] = []
        """Tickets that REX11 has answered with, and (below) whose they are."""
        self.found: dict[str, Sequence[str]] = {}
        """Tickets that were there before, each with the others of its PO."""
        self.owners: adopt.Owners = {}
        self.made = _Made({}, {}, {})
        self.otherwise: set[str] = set()
        """POs of RMAs that announce something else now than when they were last sent."""
        self.accepted: list[RmaRow] = []
        """Of the batch."""

    def intend(self, tx: FencedTransaction, items: Sequence[ReturnRow]) -> list[Call[RmaRequest]]:
        """The RMAs' rows and intents, from the returns as they are now; none where one is no
        longer due."""
        pks = [row.id for row in items]
        rows = returns.by_pks(tx.session, pks, lock=True)
        existing = returns.rmas_of(tx.session, pks)
        sent = effects.sent_ticket_calls(tx.session, pks)
        planned = [
            (rows[pk], rma, request)
            for pk in pks
            for rma, request in self._plan(tx, rows[pk], existing.get(pk, []), sent)
        ]
        tx.session.flush()
        keys = [ticket_key(rma.customer_po) for _, rma, _ in planned]
        known = effects.find_all(tx.session, tx.brand, keys)
        calls = [
            Call(request, (effect,))
            for row, rma, request in planned
            if (effect := self._intend(tx, row, rma, known))
        ]
        tx.session.flush()
        return calls

    def _plan(
        self,
        tx: Transaction,
        row: ReturnRow,
        existing: Sequence[RmaRow],
        sent: Collection[str],
    ) -> list[tuple[RmaRow, RmaRequest]]:
        if row.stage != Stage.SEEN or row.held:
            return []
        row.due_at = None  # until an answer says otherwise
        if row.loop_state not in (LoopState.OPEN, LoopState.REVIEW):
            return []  # nothing will come; it is due again if Loop opens it again
        return_ = load_return(row.content)
        if _keeps(self.ctx, row):  # it has changed since it was chosen
            row.due_at = tx.now
            return []
        if bad := rules.bad_codes(return_, self.ctx.rules, self.called):
            words = "; ".join(f"{code.name}: {code.problem}" for code in bad)
            why = f"the warehouse cannot be told of this return's products: {words}. Put it right "
            tx.needs_person(Need.CODE_UNSENDABLE, f"{why}in the shop, then retry", row)
            return []
        parcels = rules.parcels(return_, self.ctx.rules, self.labels.get(row.return_id))
        current = [r for r in existing if r.ticket_status != TicketStatus.CANCELLED]
        if not current:
            current = self._new(row, return_, existing, len(parcels))
        elif all(r.ticket_id for r in current) and _were_cancelled(return_, existing):
            current += self._new(row, return_, existing, 1)
        made, unmade = _apart(current, sent)
        pairs = _paired(made, unmade, parcels)
        if not pairs or len(pairs) < len(unmade):
            paired = [rma for rma, _ in pairs]
            _drop_needless(tx, row, [*made, *paired], [r for r in unmade if r not in paired])
        planned: list[tuple[RmaRow, RmaRequest]] = []
        for rma, parcel in pairs:
            request = rules.rma_request(
                parcel, self.ctx.rules, rma.customer_po, tx.now, self.called
            )
            rma.warehouse = request.warehouse
            if rma.items and load_items(rma.items) != request.items:
                self.otherwise.add(rma.customer_po)
            rma.items = [dump_item(i) for i in request.items]
            rma.tracking_numbers = list(request.tracking_numbers)
            tx.session.add(rma)
            planned.append((rma, request))
        return planned

    def _new(
        self, row: ReturnRow, return_: Return, before: Sequence[RmaRow], parcels: int
    ) -> list[RmaRow]:
        """One for each parcel, with a PO of its own."""
        taken = [rma.customer_po for rma in before]
        numbers = rules.customer_pos(return_, self.ctx.rules, parcels, taken)
        return [
            RmaRow(
                brand=row.brand,
                return_pk=row.id,
                parcel=len(before) + place,
                customer_po=number,
                created_at=self.ctx.now(),
            )
            for place, number in enumerate(numbers, start=1)
        ]

    def _intend(
        self,
        tx: FencedTransaction,
        row: ReturnRow,
        rma: RmaRow,
        known: Mapping[str, EffectRow],
    ) -> EffectRow | None:
        """None: its answer is being looked for, or it failed before and its pause is not over."""
        key = ticket_key(rma.customer_po)
        before = known.get(key)
        same = before and (
            before.state not in effects.SENDABLE or rma.customer_po not in self.otherwise
        )
        if before and before.try_at and same and not ready(before, tx.now):
            again = tx.now + products.RECHECK
            if before.try_at > again:  # it was refused for a product
                products.ask_again(tx, rma)
            row.due_at = min(before.try_at, again)
            return None
        payload = {"customer_po": rma.customer_po}
        try:
            return tx.intend(Intent(EffectKind.TICKET, key, row.id, payload), known)
        except AlreadyIntended:
            return None  # `_looked` makes the return due again

    def send(self, call: Call[RmaRequest]) -> str:
        effect, po = call.effects[0], call.request.customer_po
        # A ledger that was put back may not know of it; and what was not found may show by now, or
        # exist although REX11 has said that it did not make it.
        answered = effects.ANSWERED in effect.payload
        look = answered or adopt.restored_lately(self.ctx) or is_late(self.ctx, effect)
        if before := self._made_before(po) if look else []:
            ticket, self.found[before[0]] = before[0], before[1:]
        else:
            ticket = adopt.add(self.ctx, call.request, effect)
        self.given.append(ticket)
        return ticket

    def _made_before(self, po: str) -> list[str]:
        try:
            return adopt.find_read(self.ctx, po)
        except OutsideError as error:
            if error.effect is Effect.NOT_SENT:
                self.ctx.tick.calls[LOOK_UPS] = str(error)
            raise

    def load(self, tx: Transaction, of: Sequence[EffectRow]) -> None:
        self.made = _Made.of(tx, self.rows)
        self.owners, self.given = adopt.owners(tx, self.given), []

    def taken(self, tx: Transaction, effect: EffectRow, answer: str) -> None:
        row, po = self.made.row(effect), str(effect.payload["customer_po"])
        if adopt.of_others(tx, po, [answer], (Need.TICKET_LOOKUP, row), self.owners):
            tx.outcome(effect, EffectState.DOUBT, f"REX11 answered with ticket {answer}, not ours")
            self.lost(tx, effect)
            return
        rma = _exists(tx, self.made, effect, answer, f"REX11 made ticket {answer}")
        self.owners[normal_ticket_id(answer)] = rma
        rma.to_read = answer in self.found  # its status may have changed before it was known
        self.accepted.append(rma)
        if others := self.found.get(answer):
            adopt.two_tickets(tx, row, po, answer, others)
        if effect.attempts > 1:
            # The first one may have arrived all the same, and show only later.
            effect.try_at = tx.now + self.ctx.settings.announce.lost_ticket_wait
        self.result.created += 1

    def recorded(self, tx: Transaction) -> None:
        products.accepted(tx, self.accepted)
        self.accepted = []

    def refused(self, tx: Transaction, effect: EffectRow, error: OutsideError) -> None:
        """It changed nothing, so after its cause is gone the same PO may be used."""
        tx.outcome(effect, EffectState.NOT_SENT, str(error))
        row, rma = self.made.row(effect), self.made.rma(effect)
        named = error.items if isinstance(error, Refused) else ()
        once_more = effect.attempts < self.ctx.settings.repeats.attempts
        if named and once_more and products.outdated(self.ctx, tx, rma, named):
            row.due_at = tx.now
            return
        self.result.attention += 1
        if named and products.refused(tx, rma, named, error):
            effect.attempts, effect.try_at = 0, tx.now + REFUSED_PRODUCT
            row.due_at = tx.now + products.RECHECK
            return
        codes = f" (codes {', '.join(map(str, error.codes))})" if error.codes else ""
        tx.needs_person(
            Need.TICKET_REFUSED,
            f"REX11 refused the RMA: {error.message}. Put right what it names, or ask Bergen, then "
            "retry",
            row,
            f"one ReceivingTicketAdd with PO {rma.customer_po}{codes}",
        )


def _apart(rmas: Sequence[RmaRow], sent: Collection[str]) -> tuple[list[RmaRow], list[RmaRow]]:
    """Those that are made, or may be (`sent`: calls whose answer may be being looked for: what they
    announce stands), and the others; in order."""
    fixed = [r for r in rmas if r.ticket_id or ticket_key(r.customer_po) in sent]
    rest = [rma for rma in rmas if rma not in fixed]
    return fixed, sorted(rest, key=lambda rma: rma.parcel)


def _were_cancelled(return_: Return, rmas: Sequence[RmaRow]) -> bool:
    """Whether the warehouse has cancelled the only ticket of a unit that is still to come."""
    lost = transitions.cancelled_units(rmas)
    return any(line.line_item_id in lost for line in return_.lines)


def _paired(
    made: Sequence[RmaRow], unmade: Sequence[RmaRow], parcels: Sequence[rules.Parcel]
) -> list[tuple[RmaRow, rules.Parcel]]:
    """Each RMA that is not made yet with the units of a parcel that none has yet, whatever became
    of lines and labels in between. Where they do not fit, the first RMA announces all of them."""
    announced = transitions.units_of(made)
    # RMAs of an earlier release do not say which units they announce: all of their label's.
    blind = {n for r in made if not transitions.units_of([r]) for n in r.tracking_numbers}
    new = [
        replace(p, lines=lines)
        for p in parcels
        if not blind.intersection(p.tracking_numbers)
        and (lines := tuple(x for x in p.lines if x.line_item_id not in announced))
    ]
    if len(new) == len(unmade) or not (new and unmade):
        return list(zip(unmade, new, strict=False))
    numbers = {n for rma in made for n in rma.tracking_numbers}
    fresh = [p for p in new if not numbers.intersection(p.tracking_numbers)] or new
    together = rules.Parcel(
        new[0].return_,
        tuple(x for p in new for x in p.lines),
        tuple(n for p in fresh for n in p.tracking_numbers),
    )
    return [(unmade[0], together)]


def _drop_needless(
    tx: Transaction, row: ReturnRow, made: Sequence[RmaRow], needless: Sequence[RmaRow]
) -> None:
    """RMAs for whose parcel nothing is left, and which were certainly never made, are not awaited;
    where all others are made, the return is announced."""
    for rma in needless:
        if rma in tx.session:
            tx.session.delete(rma)
    tx.session.flush()
    if made and all(rma.ticket_id for rma in made):
        _announced(tx, row)


def _announced(tx: Transaction, row: ReturnRow) -> None:
    """All its RMAs are made; of some the parcel may have come before the others were."""
    tx.enter(row, Stage.RECEIVED if row.received_at else Stage.ANNOUNCED)


@dataclass(frozen=True, slots=True)
class _Made:
    """What the ledger has of the returns of a batch of effects, by key."""

    rows: Mapping[int, ReturnRow]
    rmas: Mapping[int, Sequence[RmaRow]]
    known: Mapping[int, transitions.Known]
    """Of those that Loop's state may lead elsewhere: not of one that waits for its RMA and is
    open."""

    @classmethod
    def load(cls, tx: Transaction, of: Sequence[EffectRow]) -> _Made:
        """In a few questions, however many they are."""
        pks = [e.return_pk for e in of if e.return_pk is not None]
        return cls.of(tx, returns.by_pks(tx.session, pks))

    @classmethod
    def of(cls, tx: Transaction, rows: Mapping[int, ReturnRow]) -> _Made:
        gone_on = [
            row
            for row in rows.values()
            if row.loop_state != LoopState.OPEN or row.stage != Stage.SEEN
        ]
        rmas = returns.rmas_of(tx.session, list(rows))
        return cls(rows, rmas, known_of(tx.session, gone_on))

    def row(self, effect: EffectRow) -> ReturnRow:
        return self.rows[effect.return_pk or 0]

    def rma(self, effect: EffectRow) -> RmaRow:
        """The RMA that the effect makes."""
        po = effect.payload["customer_po"]
        return next(r for r in self.rmas[effect.return_pk or 0] if r.customer_po == po)


def _exists(tx: Transaction, batch: _Made, effect: EffectRow, ticket_id: str, how: str) -> RmaRow:
    """The RMA exists: note its ticket, and go where Loop's state leads by now."""
    row, rma = batch.row(effect), batch.rma(effect)
    rma.ticket_id, rma.confirmed_at = ticket_id, tx.now
    tx.outcome(effect, EffectState.DONE, how)
    row.announced_at = row.announced_at or tx.now
    unmade = any(r.ticket_id is None for r in batch.rmas[row.id])
    if row.stage == Stage.SEEN and not unmade:
        _announced(tx, row)
    if (known := batch.known.get(row.id)) is not None:
        flying = unmade and bool(effects.open_ticket_calls(tx.session, [row.id]))
        follow(tx, row, replace(known, in_flight=flying))
    return rma


# -- lost answers -----------------------------------------------------------------------------


def _find_lost(ctx: BrandContext, result: Announced) -> None:
    """Find out by its PO whether a ticket whose answer was lost exists; only then add again."""
    with ctx.ledger.read() as session:
        lost = effects.in_doubt(session, ctx.brand, [EffectKind.TICKET], PER_TICK)
    for batch in ctx.batches(lost):
        found = ctx.in_parallel(lambda e: adopt.find_made(ctx, e), batch)
        ctx.boundary("ticket looked up")
        with ctx.write() as tx:
            fresh = effects.by_pks(tx.session, [effect.id for effect in batch])
            made = _Made.load(tx, list(fresh.values()))
            for lost_one, tickets in zip(batch, found, strict=True):
                effect = fresh[lost_one.id]
                effect.state = EffectState.DOUBT
                effect.doubt_since = effect.doubt_since or tx.now
                if isinstance(tickets, OutsideError):
                    _cannot_look(ctx, tx, made.row(effect), tickets, result)
                else:
                    _looked(ctx, tx, made, effect, tickets)
                    result.found += bool(tickets)


def _looked(
    ctx: BrandContext, tx: Transaction, batch: _Made, effect: EffectRow, tickets: Sequence[str]
) -> None:
    row, po = batch.row(effect), str(effect.payload["customer_po"])
    if others := adopt.of_others(tx, po, tickets, (Need.TICKET_LOOKUP, row)):
        tickets = [t for t in tickets if t not in others]
        if not tickets:
            return  # whether it was made is as open as before
    else:
        tx.resolve(Need.TICKET_LOOKUP, row, "REX11 answers the look-up again")
    if tickets:
        how = f"found by its PO {po}: ticket {tickets[0]}"
        rma = _exists(tx, batch, effect, tickets[0], how)
        products.accepted(tx, [rma])
        rma.to_read = True  # its status may have changed before it was known
        if len(tickets) > 1:
            adopt.two_tickets(tx, row, po, tickets[0], tickets[1:])
        return
    wait = ctx.settings.announce.lost_ticket_wait
    if tx.now - (effect.doubt_since or tx.now) < wait:
        return  # it may still be on its way into REX11: look again at the next tick
    may_go_on = had_no_effect(ctx, tx, effect, f"no ticket with PO {po} in REX11, {wait} later")
    if row.loop_state in (LoopState.OPEN, LoopState.REVIEW):
        row.due_at = effect.try_at if may_go_on else None
        return
    # The return went another way meanwhile: the RMA that was never made is not needed.
    tx.session.delete(batch.rma(effect))
    tx.session.flush()
    follow(tx, row, known_of(tx.session, [row])[row.id])


def _find_late(ctx: BrandContext) -> None:
    """Where a ticket was added again, the first add may have arrived after all and show its ticket
    late: looked for, ever more rarely, for a day."""
    with ctx.ledger.read() as session:
        due = effects.to_look_after(session, ctx.brand, [EffectKind.TICKET], ctx.now(), PER_TICK)
    for batch in ctx.batches(due):
        found = ctx.in_parallel(lambda e: adopt.find_made(ctx, e), batch)
        with ctx.write() as tx:
            fresh = effects.by_pks(tx.session, [effect.id for effect in batch])
            made = _Made.load(tx, list(fresh.values()))
            for one, tickets in zip(batch, found, strict=True):
                effect, late = fresh[one.id], tx.now - (one.finished_at or tx.now)
                wait = max(ctx.settings.announce.lost_ticket_wait, late)
                effect.try_at = tx.now + wait if late < adopt.LATE_TICKETS else None
                if isinstance(tickets, OutsideError):
                    continue
                rma = made.rma(effect)
                if others := adopt.others_than(rma.ticket_id, tickets):
                    effect.try_at = None
                    row, po = made.row(effect), rma.customer_po
                    adopt.two_tickets(tx, row, po, rma.ticket_id or "", others)
