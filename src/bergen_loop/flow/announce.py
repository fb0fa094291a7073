"""Moment 3: an RMA in Bergen for every return whose parcel will come (I3: at most one each)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy.orm import Session

from bergen_loop.domain import announce as rules
from bergen_loop.domain.lifecycle import Stage
from bergen_loop.domain.returns import LoopState, Return
from bergen_loop.domain.rma import ProductImport, RmaRequest, TicketStatus
from bergen_loop.flow import adopt, products, pull
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.intake import Known, enter, follow, known_of
from bergen_loop.ledger.codec import dump_item, load_return
from bergen_loop.ledger.store import attention, effects, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow, RmaRow
from bergen_loop.outside.errors import (
    OutcomeUnknown,
    OutsideError,
    Refused,
    Unauthorized,
    Unavailable,
    Unreadable,
)

PER_TICK = 150
"""How many RMAs one tick makes at most, so that one brand's flood keeps its ticks short."""


@dataclass(slots=True)
class Announced:
    """What an announce step did."""

    created: int = 0
    found: int = 0
    waiting: int = 0
    attention: int = 0


def run(ctx: BrandContext) -> Announced:
    """Resolve lost ticket calls by looking, then make the RMAs that are due."""
    result = Announced()
    _resolve_lost(ctx, result)
    rows = _new_ones(ctx, _due(ctx), result)
    ready = _with_known_products(ctx, rows, result)
    trackings = _trackings(ctx, ready)
    for batch in ctx.batches(ready):
        _create(ctx, batch, trackings, result)
    return result


def _due(ctx: BrandContext) -> list[ReturnRow]:
    """What is to be announced. Where something has waited for it, what was cancelled meanwhile
    is seen first; where that cannot be seen, it waits on."""
    rows = _due_now(ctx)
    new = [row for row in rows if ctx.now() - row.seen_at < ctx.settings.poll]
    if len(new) == len(rows):
        return rows
    try:
        return _due_now(ctx) if pull.look_aside(ctx) else new
    except OutsideError:
        return new


def _due_now(ctx: BrandContext) -> list[ReturnRow]:
    with ctx.ledger.read() as session:
        return returns.due(session, ctx.brand, [Stage.SEEN], ctx.now(), PER_TICK)


# -- what was announced before ----------------------------------------------------------------


def _new_ones(ctx: BrandContext, rows: Sequence[ReturnRow], result: Announced) -> list[ReturnRow]:
    """The returns that certainly have no ticket yet; those that have one get it here."""
    if not rows:
        return []
    with ctx.ledger.read() as session:
        first = returns.cursor(session, ctx.brand, adopt.FIRST_PULL)
        tried = returns.tickets_tried(session, [row.id for row in rows])
    old = [r for r in rows if r.id not in tried and adopt.may_have_past(r, first)]
    new = {row.id for row in rows} - {row.id for row in old}
    for batch in ctx.batches(old):
        pasts = ctx.in_parallel(lambda row: _look_up(ctx, row), batch)
        ctx.boundary("past looked up")
        with ctx.ledger.write() as session:
            for row, past in zip(batch, pasts, strict=True):
                if isinstance(past, OutsideError):
                    _cannot_look(ctx, session, row.id, past, result)
                elif not past.tickets:
                    new.add(row.id)
                else:
                    adopt.take_over(ctx, session, session.get_one(ReturnRow, row.id), past)
                    result.found += 1
    return [row for row in rows if row.id in new]


def _look_up(ctx: BrandContext, row: ReturnRow) -> adopt.Past | OutsideError:
    try:
        return adopt.look_up(ctx, load_return(row.content))
    except Unauthorized:
        raise  # the brand's credentials, not this return
    except OutsideError as error:
        return error


def _cannot_look(
    ctx: BrandContext, session: Session, return_pk: int, error: OutsideError, result: Announced
) -> None:
    if not isinstance(error, Refused):
        return
    attention.raise_item(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="ticket_lookup",
        reason="whether REX11 has an RMA of this return already cannot be found out, for it "
        f"refuses the look-up: {error.message}",
        row=session.get_one(ReturnRow, return_pk),
    )
    result.attention += 1


# -- products ---------------------------------------------------------------------------------


def _with_known_products(
    ctx: BrandContext, rows: Sequence[ReturnRow], result: Announced
) -> list[ReturnRow]:
    if not ctx.settings.announce.check_products:
        return list(rows)
    wanted = {row.id: rules.products(load_return(row.content), ctx.rules) for row in rows}
    states = products.check(ctx, [p for of in wanted.values() for p in of])
    ready: list[ReturnRow] = []
    for row in rows:
        mine = {p.upc: (states.get(p.upc, ProductImport.UNKNOWN), p.sku) for p in wanted[row.id]}
        missing = {u: s for u, s in mine.items() if s[0] is not ProductImport.KNOWN}
        if not missing:
            ready.append(row)
        elif all(s is ProductImport.PENDING for s, _ in missing.values()):
            _wait_for_import(ctx, row, list(missing), result)
        else:
            _unknown_products(ctx, row, missing, result)
    return ready


def _wait_for_import(
    ctx: BrandContext, row: ReturnRow, upcs: Sequence[str], result: Announced
) -> None:
    since = min(filter(None, (products.pending_since(ctx, u) for u in upcs)), default=ctx.now())
    if ctx.now() - since > ctx.settings.announce.product_patience:
        ctx.needs_person(
            row.id,
            "product_import",
            f"REX11 has not finished importing UPC {', '.join(upcs)} since {since:%Y-%m-%d %H:%M}"
            " UTC; ask Bergen to look at the import",
        )
        result.attention += 1
        return
    with ctx.ledger.write() as session:
        fresh = session.get_one(ReturnRow, row.id)
        fresh.due_at = ctx.now() + ctx.settings.announce.product_poll
    result.waiting += 1


def _unknown_products(
    ctx: BrandContext,
    row: ReturnRow,
    missing: dict[str, tuple[ProductImport, str | None]],
    result: Announced,
) -> None:
    names = ", ".join(f"{sku or '?'} (UPC {upc}: {s})" for upc, (s, sku) in missing.items())
    ctx.needs_person(
        row.id,
        "unknown_product",
        f"REX11 does not know {names}. Ask Bergen to import the product, or let this brand add "
        "products (announce.add_products), then retry",
        "looked it up in REX11's inventory and import status",
    )
    result.attention += 1


# -- tickets ----------------------------------------------------------------------------------


def _trackings(ctx: BrandContext, rows: Sequence[ReturnRow]) -> dict[str, dict[str, str]]:
    """Label of each line item by return, for brands whose returns travel in several parcels."""
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


def _create(
    ctx: BrandContext,
    batch: Sequence[ReturnRow],
    trackings: Mapping[str, Mapping[str, str]],
    result: Announced,
) -> None:
    with ctx.acting() as session:
        work = _intend_all(ctx, session, [row.id for row in batch], trackings)
    ctx.boundary("ticket intended")
    outcomes = ctx.in_parallel(lambda w: _send(ctx, w[1]), work)
    ctx.boundary("ticket sent")
    with ctx.ledger.write() as session:
        made = _Made.load(session, [effect.id for effect, _ in work])
        for (sent, _), outcome in zip(work, outcomes, strict=True):
            _finish(ctx, session, made, made.effects[sent.id], outcome, result)
    ctx.boundary("ticket recorded")


def _intend_all(
    ctx: BrandContext,
    session: Session,
    pks: Sequence[int],
    trackings: Mapping[str, Mapping[str, str]],
) -> list[tuple[EffectRow, RmaRequest]]:
    """The RMAs' rows and intents, from the returns as they are now; none where one is no longer
    due."""
    rows = returns.by_pks(session, pks, lock=True)
    existing = returns.rmas_of(session, pks)
    planned = [
        (rows[pk], rma, request)
        for pk in pks
        for rma, request in _plan(ctx, session, rows[pk], existing.get(pk, []), trackings)
    ]
    session.flush()
    known = effects.find_all(session, ctx.brand, [_key(rma) for _, rma, _ in planned])
    work = [
        (effect, request)
        for row, rma, request in planned
        if (effect := _intend(ctx, session, row, rma, known))
    ]
    session.flush()
    return work


def _key(rma: RmaRow) -> str:
    return f"ticket:{rma.customer_po}"


def _plan(
    ctx: BrandContext,
    session: Session,
    row: ReturnRow,
    existing: Sequence[RmaRow],
    trackings: Mapping[str, Mapping[str, str]],
) -> list[tuple[RmaRow, RmaRequest]]:
    if row.stage != Stage.SEEN or row.held:
        return []
    row.due_at = None  # until an answer says otherwise
    if row.loop_state not in (LoopState.OPEN, LoopState.REVIEW):
        return []  # nothing will come; it is due again if Loop opens it again
    return_ = load_return(row.content)
    return _rmas(ctx, session, row, return_, existing, trackings.get(row.return_id))


def _intend(
    ctx: BrandContext,
    session: Session,
    row: ReturnRow,
    rma: RmaRow,
    known: Mapping[str, EffectRow],
) -> EffectRow | None:
    """None: its answer is being looked for; `_looked` makes the return due again."""
    try:
        return effects.intend(
            session,
            ctx.now(),
            brand=ctx.brand,
            key=_key(rma),
            kind="ticket_add",
            payload={"customer_po": rma.customer_po},
            return_pk=row.id,
            known=known,
        )
    except effects.AlreadyIntended:
        return None


def _rmas(
    ctx: BrandContext,
    session: Session,
    row: ReturnRow,
    return_: Return,
    existing: Sequence[RmaRow],
    tracking: Mapping[str, str] | None,
) -> list[tuple[RmaRow, RmaRequest]]:
    """The RMAs to make, one per parcel: those that were planned and not made, else new ones,
    each with a PO of its own."""
    current = [r for r in existing if r.ticket_status != TicketStatus.CANCELLED]
    parcels = rules.parcels(return_, ctx.rules, tracking)
    if not current:
        numbers = range(len(existing) + 1, len(existing) + 1 + len(parcels))
        current = [
            RmaRow(
                brand=ctx.brand,
                return_pk=row.id,
                parcel=number,
                customer_po=rules.customer_po(return_, ctx.rules, number),
                created_at=ctx.now(),
            )
            for number in numbers
        ]
    planned: list[tuple[RmaRow, RmaRequest]] = []
    for rma, parcel in _paired(current, parcels, return_):
        request = rules.rma_request(return_, ctx.rules, rma.customer_po, ctx.now(), parcel)
        rma.warehouse = request.warehouse
        rma.items = [dump_item(i) for i in request.items]
        rma.tracking_numbers = list(request.tracking_numbers)
        session.add(rma)
        planned.append((rma, request))
    return planned


def _paired(
    rmas: Sequence[RmaRow], parcels: Sequence[rules.Parcel], return_: Return
) -> list[tuple[RmaRow, rules.Parcel]]:
    """Each RMA that is not made yet with its parcel. Where the labels have been changed in
    between, so that they no longer fit, the first RMA announces all units that are left."""
    if len(rmas) == len(parcels):
        return [(r, p) for r, p in zip(rmas, parcels, strict=True) if r.ticket_id is None]
    unmade = [r for r in rmas if r.ticket_id is None][:1]
    made = {n for r in rmas if r.ticket_id for n in r.tracking_numbers}
    left = [p for p in parcels if not made.intersection(p.tracking_numbers)] or list(parcels)
    together = rules.Parcel(
        tuple(x for p in left for x in p.lines),
        tuple(n for p in left for n in p.tracking_numbers),
    )
    return [(r, together) for r in unmade]


def _send(ctx: BrandContext, request: RmaRequest) -> str | OutsideError:
    ctx.counts.add("rex11.ticket_add")
    try:
        return ctx.warehouse.create_rma(request)
    except OutsideError as error:
        return error


@dataclass(frozen=True, slots=True)
class _Made:
    """The effects of a batch, and what the ledger has of their returns, by key."""

    effects: dict[int, EffectRow]
    rows: dict[int, ReturnRow]
    known: dict[int, Known]

    @classmethod
    def load(cls, session: Session, effect_pks: Sequence[int]) -> _Made:
        """In a few questions, however many they are."""
        found = effects.by_pks(session, effect_pks)
        pks = [e.return_pk for e in found.values() if e.return_pk is not None]
        rows = returns.by_pks(session, pks)
        return cls(found, rows, known_of(session, list(rows.values())))

    def row(self, effect: EffectRow) -> ReturnRow:
        return self.rows[effect.return_pk or 0]

    def rma(self, effect: EffectRow) -> RmaRow:
        """The RMA that the effect makes."""
        po = effect.payload["customer_po"]
        return next(r for r in self.known[effect.return_pk or 0].rmas if r.customer_po == po)


def _finish(
    ctx: BrandContext,
    session: Session,
    batch: _Made,
    effect: EffectRow,
    outcome: str | OutsideError,
    result: Announced,
) -> None:
    if isinstance(outcome, str):
        _made(ctx, session, batch, effect, outcome, f"REX11 made ticket {outcome}")
        result.created += 1
    elif isinstance(outcome, (Unavailable, Unauthorized)):
        effects.finish(session, effect, ctx.now(), EffectState.NOT_SENT, str(outcome))
        _later(ctx, session, effect)
    elif isinstance(outcome, (OutcomeUnknown, Unreadable)):
        effects.finish(session, effect, ctx.now(), EffectState.DOUBT, str(outcome))
    else:
        _refused(ctx, session, effect, outcome)
        result.attention += 1


def _later(ctx: BrandContext, session: Session, effect: EffectRow) -> None:
    if effect.return_pk is not None:
        row = session.get_one(ReturnRow, effect.return_pk)
        row.due_at = ctx.now() + timedelta(minutes=1)


def _refused(ctx: BrandContext, session: Session, effect: EffectRow, error: OutsideError) -> None:
    # A refusal changed nothing, so after a person has seen to it the same PO may be used.
    effects.finish(session, effect, ctx.now(), EffectState.NOT_SENT, str(error))
    codes = error.codes if isinstance(error, Refused) else ()
    attention.raise_item(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="ticket_refused",
        reason=f"REX11 refused the RMA: {error.message}",
        tried=f"one ReceivingTicketAdd with PO {effect.payload['customer_po']}"
        + (f" (codes {', '.join(map(str, codes))})" if codes else ""),
        row=session.get_one(ReturnRow, effect.return_pk),
    )


def _made(
    ctx: BrandContext, session: Session, batch: _Made, effect: EffectRow, ticket_id: str, how: str
) -> RmaRow:
    """The RMA exists: note its ticket, and go where Loop's state leads by now."""
    now, row, rma = ctx.now(), batch.row(effect), batch.rma(effect)
    rma.ticket_id, rma.confirmed_at = ticket_id, now
    effects.finish(session, effect, now, EffectState.DONE, how)
    row.announced_at = row.announced_at or now
    unmade = any(r.ticket_id is None for r in batch.known[row.id].rmas)
    if row.stage == Stage.SEEN and not unmade:
        enter(row, Stage.ANNOUNCED, now)
    flying = unmade and bool(returns.tickets_in_flight(session, [row.id]))
    follow(ctx, session, row, replace(batch.known[row.id], in_flight=flying))
    return rma


# -- lost answers -----------------------------------------------------------------------------


def _resolve_lost(ctx: BrandContext, result: Announced) -> None:
    """Find out by its PO whether a ticket whose answer was lost exists; only then add again."""
    with ctx.ledger.read() as session:
        lost = effects.in_doubt(session, ctx.brand, ["ticket_add"], PER_TICK)
    for batch in ctx.batches(lost):
        found = ctx.in_parallel(lambda e: _find(ctx, e), batch)
        ctx.boundary("ticket looked up")
        with ctx.ledger.write() as session:
            made = _Made.load(session, [effect.id for effect in batch])
            for lost_one, tickets in zip(batch, found, strict=True):
                effect = made.effects[lost_one.id]
                if isinstance(tickets, OutsideError):
                    _not_looked(ctx, session, effect, tickets, result)
                else:
                    _looked(ctx, session, made, effect, tickets, result)


def _find(ctx: BrandContext, effect: EffectRow) -> list[str] | OutsideError:
    try:
        return ctx.warehouse.find_rmas(str(effect.payload["customer_po"]))
    except Unauthorized:
        raise  # the brand's credentials, not this ticket
    except OutsideError as error:
        return error


def _not_looked(
    ctx: BrandContext, session: Session, effect: EffectRow, error: OutsideError, result: Announced
) -> None:
    """Looking failed: again at the next tick, unless REX11 will not be asked for this PO."""
    effect.state, effect.doubt_since = EffectState.DOUBT, effect.doubt_since or ctx.now()
    if not isinstance(error, Refused):
        return
    attention.raise_item(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="ticket_lookup",
        reason="whether REX11 made the RMA cannot be found out, for it refuses the look-up: "
        f"{error.message}; find PO {effect.payload['customer_po']} in REX11",
        row=session.get_one(ReturnRow, effect.return_pk),
    )
    result.attention += 1


def _looked(
    ctx: BrandContext,
    session: Session,
    batch: _Made,
    effect: EffectRow,
    tickets: list[str],
    result: Announced,
) -> None:
    row = batch.row(effect)
    po = effect.payload["customer_po"]
    attention.resolve_kind(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="ticket_lookup",
        subject=row.return_id,
        resolution="REX11 answers the look-up again",
    )
    if tickets:
        how = f"found by its PO {po}: ticket {tickets[0]}"
        rma = _made(ctx, session, batch, effect, tickets[0], how)
        rma.to_read = True  # its status may have changed before it was known
        result.found += 1
        if len(tickets) > 1:
            adopt.two_tickets(ctx, session, row, po, tickets[0], tickets[1:])
        return
    since = effect.doubt_since or ctx.now()
    effect.state, effect.doubt_since = EffectState.DOUBT, since
    if ctx.now() - since < ctx.settings.announce.lost_ticket_wait:
        return  # it may still be on its way into REX11: look again at the next tick
    effects.finish(
        session,
        effect,
        ctx.now(),
        EffectState.NOT_SENT,
        f"no ticket with PO {po} in REX11, {ctx.settings.announce.lost_ticket_wait} later",
    )
    state = LoopState(row.loop_state)
    if state in (LoopState.OPEN, LoopState.REVIEW):
        row.due_at = ctx.now()
        return
    # The return went another way meanwhile: the RMA that was never made is not needed.
    session.delete(batch.rma(effect))
    session.flush()
    follow(ctx, session, row, known_of(session, [row])[row.id])
