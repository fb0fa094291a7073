"""Moment 3: an RMA in Bergen for every return whose parcel will come (I3: at most one each)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from bergen_loop.bergen.errors import (
    WarehouseError,
    WarehouseOutcomeUnknown,
    WarehouseRejected,
    WarehouseUnauthorized,
    WarehouseUnavailable,
    WarehouseUnreadable,
)
from bergen_loop.domain import announce as rules
from bergen_loop.domain.lifecycle import Stage, follow_loop
from bergen_loop.domain.returns import LoopState, Return
from bergen_loop.domain.rma import ProductImport, RmaRequest
from bergen_loop.ledger import attention, effects, returns
from bergen_loop.ledger.codec import dump_item, load_return
from bergen_loop.ledger.effects import EffectState
from bergen_loop.ledger.tables import EffectRow, ReturnRow, RmaRow
from bergen_loop.sync import products
from bergen_loop.sync.context import BrandContext
from bergen_loop.sync.intake import apply_move, enter, standing_of

PER_TICK = 400
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
    with ctx.ledger.read() as session:
        rows = returns.due(session, ctx.brand, [Stage.SEEN], ctx.now(), PER_TICK)
    ready = _with_known_products(ctx, rows, result)
    for batch in ctx.batches(ready):
        _create(ctx, batch, result)
    return result


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


def _create(ctx: BrandContext, batch: Sequence[ReturnRow], result: Announced) -> None:
    with ctx.acting() as session:
        work = [w for row in batch if (w := _intend(ctx, session, row.id))]
    ctx.boundary("ticket intended")
    outcomes = ctx.in_parallel(lambda w: _send(ctx, w[1]), work)
    ctx.boundary("ticket sent")
    with ctx.ledger.write() as session:
        for (effect_id, _), outcome in zip(work, outcomes, strict=True):
            _finish(ctx, session, effect_id, outcome, result)
    ctx.boundary("ticket recorded")


def _intend(ctx: BrandContext, session: Session, return_pk: int) -> tuple[int, RmaRequest] | None:
    """The RMA's row and intent, from the return as it is now; None if it is no longer due."""
    row = session.get_one(ReturnRow, return_pk)
    if row.stage != Stage.SEEN or row.held:
        return None
    if row.loop_state not in (LoopState.OPEN, LoopState.REVIEW):
        row.due_at = None  # nothing will come; it is due again if Loop opens it again
        return None
    return_ = load_return(row.content)
    rma, request = _rma(ctx, session, row, return_)
    try:
        effect = effects.intend(
            session,
            ctx.now(),
            brand=ctx.brand,
            key=f"ticket:{rma.customer_po}",
            kind="ticket_add",
            payload={"customer_po": rma.customer_po},
            return_pk=row.id,
        )
    except effects.AlreadyIntended:
        row.due_at = None  # its answer is being looked for; `_looked` makes it due again
        return None
    return effect.id, request


def _rma(
    ctx: BrandContext, session: Session, row: ReturnRow, return_: Return
) -> tuple[RmaRow, RmaRequest]:
    """The RMA to make: one that was never made, else a new one with a PO of its own."""
    existing = returns.rmas_of(session, [row.id]).get(row.id, [])
    unmade = next((r for r in existing if r.ticket_id is None), None)
    attempt = unmade.parcel if unmade else len(existing) + 1
    po = unmade.customer_po if unmade else rules.customer_po(return_, ctx.rules, attempt)
    request = rules.rma_request(return_, ctx.rules, po, ctx.now())
    rma = unmade or RmaRow(
        brand=ctx.brand, return_pk=row.id, parcel=attempt, customer_po=po, created_at=ctx.now()
    )
    rma.warehouse = request.warehouse
    rma.items = [dump_item(i) for i in request.items]
    rma.tracking_numbers = list(request.tracking_numbers)
    session.add(rma)
    session.flush()
    return rma, request


def _send(ctx: BrandContext, request: RmaRequest) -> str | WarehouseError:
    ctx.counts.add("rex11.ticket_add")
    try:
        return ctx.warehouse.create_rma(request)
    except WarehouseError as error:
        return error


def _finish(
    ctx: BrandContext,
    session: Session,
    effect_id: int,
    outcome: str | WarehouseError,
    result: Announced,
) -> None:
    effect = session.get_one(EffectRow, effect_id)
    if isinstance(outcome, str):
        _made(ctx, session, effect, outcome, f"REX11 made ticket {outcome}")
        result.created += 1
    elif isinstance(outcome, (WarehouseUnavailable, WarehouseUnauthorized)):
        effects.finish(session, effect, ctx.now(), EffectState.NOT_SENT, str(outcome))
        _later(ctx, session, effect)
    elif isinstance(outcome, (WarehouseOutcomeUnknown, WarehouseUnreadable)):
        effects.finish(session, effect, ctx.now(), EffectState.DOUBT, str(outcome))
    else:
        _refused(ctx, session, effect, outcome)
        result.attention += 1


def _later(ctx: BrandContext, session: Session, effect: EffectRow) -> None:
    if effect.return_pk is not None:
        row = session.get_one(ReturnRow, effect.return_pk)
        row.due_at = ctx.now() + timedelta(minutes=1)


def _refused(ctx: BrandContext, session: Session, effect: EffectRow, error: WarehouseError) -> None:
    # A refusal changed nothing, so after a person has seen to it the same PO may be used.
    effects.finish(session, effect, ctx.now(), EffectState.NOT_SENT, str(error))
    codes = error.codes if isinstance(error, WarehouseRejected) else ()
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


def _made(ctx: BrandContext, session: Session, effect: EffectRow, ticket_id: str, how: str) -> None:
    """The RMA exists: note its ticket, and go where Loop's state leads by now."""
    now = ctx.now()
    row = session.get_one(ReturnRow, effect.return_pk)
    rma = next(
        r
        for r in returns.rmas_of(session, [row.id])[row.id]
        if r.customer_po == effect.payload["customer_po"]
    )
    rma.ticket_id, rma.confirmed_at = ticket_id, now
    effects.finish(session, effect, now, EffectState.DONE, how)
    row.announced_at = row.announced_at or now
    if row.stage == Stage.SEEN:
        enter(row, Stage.ANNOUNCED, now)
    session.flush()
    apply_move(ctx, session, row, follow_loop(standing_of(session, row), LoopState(row.loop_state)))


# -- lost answers -----------------------------------------------------------------------------


def _resolve_lost(ctx: BrandContext, result: Announced) -> None:
    """Find out by its PO whether a ticket whose answer was lost exists; only then add again."""
    with ctx.ledger.read() as session:
        lost = effects.in_doubt(session, ctx.brand, ["ticket_add"], PER_TICK)
    for batch in ctx.batches(lost):
        found = ctx.in_parallel(lambda e: _find(ctx, e), batch)
        ctx.boundary("ticket looked up")
        with ctx.ledger.write() as session:
            for effect, tickets in zip(batch, found, strict=True):
                if isinstance(tickets, WarehouseError):
                    _not_looked(ctx, session, effect.id, tickets, result)
                else:
                    _looked(ctx, session, effect.id, tickets, result)


def _find(ctx: BrandContext, effect: EffectRow) -> list[str] | WarehouseError:
    try:
        return ctx.warehouse.find_rmas(str(effect.payload["customer_po"]))
    except WarehouseUnauthorized:
        raise  # the brand's credentials, not this ticket
    except WarehouseError as error:
        return error


def _not_looked(
    ctx: BrandContext, session: Session, effect_id: int, error: WarehouseError, result: Announced
) -> None:
    """Looking failed: again at the next tick, unless REX11 will not be asked for this PO."""
    effect = session.get_one(EffectRow, effect_id)
    effect.state, effect.doubt_since = EffectState.DOUBT, effect.doubt_since or ctx.now()
    if not isinstance(error, WarehouseRejected):
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
    ctx: BrandContext, session: Session, effect_id: int, tickets: list[str], result: Announced
) -> None:
    effect = session.get_one(EffectRow, effect_id)
    po = effect.payload["customer_po"]
    attention.resolve_kind(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="ticket_lookup",
        subject=session.get_one(ReturnRow, effect.return_pk).return_id,
        resolution="REX11 answers the look-up again",
    )
    if tickets:
        _made(ctx, session, effect, tickets[0], f"found by its PO {po}: ticket {tickets[0]}")
        result.found += 1
        if len(tickets) > 1:
            attention.raise_item(
                session,
                ctx.now(),
                brand=ctx.brand,
                kind="two_tickets",
                reason=f"REX11 has {len(tickets)} tickets with PO {po}: {', '.join(tickets)}; "
                f"we follow {tickets[0]}, ask Bergen to cancel the others",
                row=session.get_one(ReturnRow, effect.return_pk),
                blocking=False,
            )
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
    row = session.get_one(ReturnRow, effect.return_pk)
    state = LoopState(row.loop_state)
    if state in (LoopState.OPEN, LoopState.REVIEW):
        row.due_at = ctx.now()
        return
    # The return went another way meanwhile: the RMA that was never made is not needed.
    rma = next(r for r in returns.rmas_of(session, [row.id])[row.id] if r.customer_po == po)
    session.delete(rma)
    session.flush()
    apply_move(ctx, session, row, follow_loop(standing_of(session, row), state))
