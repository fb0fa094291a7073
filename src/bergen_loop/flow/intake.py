"""Moments 1 and 2: take in what Loop's list shows (`pull` walks it).

Webhooks only say "look now"; what a return is, is always read from Loop's API. So a webhook
that is forged, lost, late or repeated can do no more than cost a pull.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.announce import AnnounceRules, ready_at, why_not_announced
from bergen_loop.domain.lifecycle import Move, Stage, Standing, follow_loop
from bergen_loop.domain.returns import LoopState, Return
from bergen_loop.domain.rma import TicketStatus
from bergen_loop.flow import confirm
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.codec import digest, dump_return, load_return
from bergen_loop.ledger.store import attention, journal, returns
from bergen_loop.ledger.store.effects import OPEN, EffectState
from bergen_loop.ledger.tables.core import (
    EffectRow,
    ReceiptRow,
    ReturnRow,
    RmaRow,
    WebhookRow,
)
from bergen_loop.outside.loop.models import ParsedReturn


@dataclass(slots=True)
class Pulled:
    """What a pull brought."""

    pages: int = 0
    listed: int = 0
    changed: int = 0
    unreadable: int = 0
    gaps: list[str] = field(default_factory=list[str])
    """Windows that could not be walked to their end, and why."""
    backwards: list[str] = field(default_factory=list[str])
    """Returns listed in another state than the ledger's, but with an older time: a page behind
    the times, or a clock of Loop's that was put back. Looking at the return itself tells."""


def store(ctx: BrandContext, parsed: Sequence[ParsedReturn], result: Pulled) -> None:
    """Take a page of returns in: one transaction, only what changed is written."""
    good = {p.value.id: p.value for p in parsed if p.value is not None}
    bad = [p for p in parsed if p.problem is not None]
    doubtful = {p.return_id for p in bad}
    dumped = {i: dump_return(r) for i, r in good.items()}
    hashes = {i: digest(d) for i, d in dumped.items()}
    with ctx.ledger.read() as session:
        stored = returns.by_ids(session, ctx.brand, good)
    changed = [
        load_return(dumped[i])  # as it can be stored, the text the ledger will give back
        for i in good
        if i not in stored or stored[i].held or stored[i].content_hash != hashes[i]
    ]
    if not changed and not bad:
        return
    with ctx.ledger.write() as session:
        # Read again under the write lock: a person may have acted meanwhile.
        rows = returns.by_ids(session, ctx.brand, [r.id for r in changed])
        known = known_of(session, list(rows.values()))
        new = [r for r in changed if r.id not in rows]
        add_all(ctx, session, new, dumped, hashes)
        for return_ in changed:
            row = rows.get(return_.id)
            if row is None:
                continue
            if _backwards(row, return_):
                result.backwards.append(return_.id)
            content, hash_ = dumped[return_.id], hashes[return_.id]
            update(ctx, session, row, return_, content, hash_, known[row.id])
        _readable_again(ctx, session, [r.id for r in changed if r.id not in doubtful])
        for item in bad:
            _keep_unreadable(ctx, session, item)
    result.changed += len(changed)
    result.unreadable += len(bad)


def _readable_again(ctx: BrandContext, session: Session, return_ids: Sequence[str]) -> None:
    told = attention.subjects(session, ctx.brand, "unreadable")
    for return_id in told.intersection(return_ids):
        attention.resolve_kind(
            session,
            ctx.now(),
            brand=ctx.brand,
            kind="unreadable",
            subject=return_id,
            resolution="Loop's answer can be read again",
        )


def _backwards(row: ReturnRow, return_: Return) -> bool:
    return return_.updated_at < row.loop_updated_at and return_.state != row.loop_state


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger has of a return beside its row."""

    rmas: Sequence[RmaRow]
    receipts: Mapping[int, ReceiptRow]
    """By RMA."""
    settlement: EffectRow | None
    in_flight: bool
    """Whether a ticket call has no outcome yet."""
    has_items: bool
    """Whether it is on the attention list."""


def known_of(session: Session, rows: Sequence[ReturnRow]) -> dict[int, Known]:
    """For many returns in a few questions, by key."""
    pks = [row.id for row in rows]
    rmas, settled = returns.rmas_of(session, pks), returns.settlements_of(session, pks)
    read = returns.latest_receipts(session, [r.id for of in rmas.values() for r in of])
    flying = returns.tickets_in_flight(session, [pk for pk, of in rmas.items() if _unmade(of)])
    items = attention.returns_with_items(session, pks)
    return {
        pk: Known(rmas.get(pk, []), read, settled.get(pk), pk in flying, pk in items) for pk in pks
    }


def _unmade(rmas: Sequence[RmaRow]) -> bool:
    return any(r.ticket_id is None for r in rmas)


def standing(row: ReturnRow, known: Known) -> Standing:
    """What `follow_loop` goes by."""
    rmas, settled = known.rmas, known.settlement
    return Standing(
        stage=Stage(row.stage),
        has_rma=any(r.ticket_id for r in rmas),
        has_receipt=any(r.id in known.receipts for r in rmas),
        settled_by_us=settled.kind if settled and settled.state != EffectState.NOT_SENT else None,
        rma_in_flight=known.in_flight,
        rma_cancelled=all(r.ticket_status == TicketStatus.CANCELLED for r in rmas if r.ticket_id),
    )


def follow(ctx: BrandContext, session: Session, row: ReturnRow, known: Known) -> None:
    """Go where Loop's state leads."""
    move = follow_loop(standing(row, known), LoopState(row.loop_state))
    # Held: one was raised in this very transaction.
    apply_move(ctx, session, row, move, has_items=known.has_items or row.held)


def add(
    ctx: BrandContext, session: Session, return_: Return, content: dict[str, Any], hash_: str
) -> ReturnRow:
    """A return that the ledger does not know yet."""
    [row] = add_all(ctx, session, [return_], {return_.id: content}, {return_.id: hash_})
    return row


def add_all(
    ctx: BrandContext,
    session: Session,
    new: Sequence[Return],
    contents: Mapping[str, dict[str, Any]],
    hashes: Mapping[str, str],
) -> list[ReturnRow]:
    """Returns that the ledger does not know yet; a first pull brings very many."""
    now, rules = ctx.now(), ctx.rules
    rows: list[ReturnRow] = []
    why: list[str] = []
    for return_ in new:
        row, reason = _new_row(ctx.brand, rules, return_, now)
        _fill(row, return_, contents[return_.id], hashes[return_.id])
        rows.append(row)
        why.append(reason)
    session.add_all(rows)
    session.flush()
    for row, return_, reason in zip(rows, new, why, strict=True):
        returns.add_lines(session, row.id, return_)
        journal.record(session, now, "seen", reason, brand=ctx.brand, return_pk=row.id)
    session.flush()
    return rows


def _new_row(
    brand: str, rules: AnnounceRules, return_: Return, now: datetime
) -> tuple[ReturnRow, str]:
    """Its row, and why it stands where it does."""
    stage, why = _first_stage(rules, return_)
    row = ReturnRow(
        brand=brand,
        return_id=return_.id,
        stage=stage,
        held=False,
        seen_at=now,
        submitted_at=return_.created_at,
        due_at=max(now, ready_at(return_, rules)) if stage is Stage.SEEN else None,
        completed_at=now if stage is Stage.COMPLETE else None,
    )
    return row, why


def _first_stage(rules: AnnounceRules, return_: Return) -> tuple[Stage, str]:
    skip = why_not_announced(return_, rules)
    if skip and not skip.no_parcel:
        return Stage.IGNORED, f"left alone: {skip.reason}"
    if return_.state is LoopState.CLOSED:
        return Stage.COMPLETE, "already closed in Loop when first seen"
    if return_.state is LoopState.CANCELLED:
        return Stage.CANCELLED, "already cancelled in Loop when first seen"
    if return_.state is LoopState.EXPIRED:
        return Stage.EXPIRED, "already expired in Loop when first seen"
    if skip:
        return Stage.NO_PARCEL, f"no RMA: {skip.reason}"
    return Stage.SEEN, f"submitted in Loop at {return_.created_at:%Y-%m-%d %H:%M} UTC"


def _fill(row: ReturnRow, return_: Return, content: dict[str, Any], hash_: str) -> None:
    row.loop_state = return_.state
    row.order_name = return_.order_name
    row.customer_email = return_.customer_email
    row.tracking_number = return_.label.tracking_number
    row.outcome = return_.outcome
    row.currency = return_.currency
    row.total = str(return_.totals.total) if return_.totals.total is not None else None
    row.content, row.content_hash = content, hash_
    row.loop_updated_at = return_.updated_at


def update(
    ctx: BrandContext,
    session: Session,
    row: ReturnRow,
    return_: Return,
    content: dict[str, Any],
    hash_: str,
    known: Known | None = None,
    *,
    newest: bool = False,
) -> None:
    """Take in a newer picture of a known return, and what follows from it. `newest`: it has
    just been read by itself, so that it is newer even if Loop's clock has gone back."""
    if return_.updated_at < row.loop_updated_at and not newest:
        return  # an older picture from an earlier page: what we have is newer
    known = known or known_of(session, [row])[row.id]
    before = load_return(row.content)
    _fill(row, return_, content, hash_)
    if before.lines_key() != return_.lines_key():
        _edited(ctx, session, row, before, return_)
    if before.label != return_.label:
        _label_moved(ctx, session, row, before, return_)
    follow(ctx, session, row, known)
    confirm.by_state(ctx, session, row, known.settlement)
    if row.stage in (Stage.SEEN, Stage.NO_PARCEL):
        _reconsider(ctx, session, row, return_)


def _edited(
    ctx: BrandContext, session: Session, row: ReturnRow, before: Return, after: Return
) -> None:
    returns.replace_lines(session, row.id, after)
    journal.record(
        session,
        ctx.now(),
        "edited in Loop",
        f"its units changed from {len(before.lines)} to {len(after.lines)}; "
        "the receipt is judged by the new ones",
        brand=ctx.brand,
        return_pk=row.id,
        data={
            "before": [x.line_item_id for x in before.lines],
            "after": [x.line_item_id for x in after.lines],
        },
    )
    if row.stage in (Stage.WAITING, Stage.RECEIVED):
        row.stage, row.due_at = Stage.RECEIVED, ctx.now()


def _label_moved(
    ctx: BrandContext, session: Session, row: ReturnRow, before: Return, after: Return
) -> None:
    tracking = after.label.tracking_number
    if tracking == before.label.tracking_number:
        return
    late = row.stage == Stage.ANNOUNCED
    why = f"tracking number {tracking}"
    if late:
        why += "; its ticket exists already and REX11 has no call to change it"
    journal.record(session, ctx.now(), "label", why, brand=ctx.brand, return_pk=row.id)


def _reconsider(ctx: BrandContext, session: Session, row: ReturnRow, return_: Return) -> None:
    """Before there is an RMA, an edit or a label decides anew whether and when to make one."""
    if return_.state not in (LoopState.OPEN, LoopState.REVIEW):
        return
    skip = why_not_announced(return_, ctx.rules)
    stage = Stage.NO_PARCEL if skip and skip.no_parcel else Stage.SEEN
    if stage is Stage.SEEN:
        ready = max(ctx.now(), ready_at(return_, ctx.rules))
        row.due_at = min(row.due_at, ready) if row.due_at else ready
    if stage != row.stage:
        row.stage = stage
        why = skip.reason if skip else "there is something to send back now"
        journal.record(session, ctx.now(), "reconsidered", why, brand=ctx.brand, return_pk=row.id)


def apply_move(
    ctx: BrandContext, session: Session, row: ReturnRow, move: Move, *, has_items: bool = True
) -> None:
    """Carry out what a state of Loop's leads to. `has_items` False: it is known that the return
    is not on the attention list."""
    now = ctx.now()
    if move.stage is not None and move.stage != row.stage:
        journal.record(
            session,
            now,
            move.stage.value,
            move.why,
            brand=ctx.brand,
            return_pk=row.id,
            data={"from": row.stage, "loop_state": row.loop_state},
        )
        enter(row, move.stage, now)
        if has_items and move.stage in (Stage.CLOSING, Stage.COMPLETE, Stage.CANCELLED):
            attention.resolve_all(session, now, row, resolution=f"settled by itself: {move.why}")
    if move.attention:
        attention.raise_item(
            session, now, brand=ctx.brand, kind="conflict", reason=move.attention, row=row
        )


def enter(row: ReturnRow, stage: Stage, now: datetime) -> None:
    """Put a return into a stage, with the times of its moments."""
    row.stage = stage
    row.due_at = now if stage in (Stage.SEEN, Stage.RECEIVED, Stage.CLOSING) else None
    if stage in (Stage.CLOSING, Stage.FLAGGED):
        row.settled_at = row.settled_at or now
    if stage is Stage.COMPLETE:
        row.completed_at = now


def _keep_unreadable(ctx: BrandContext, session: Session, item: ParsedReturn) -> None:
    problem = item.problem or "not understood"
    body = json.dumps(item.raw, ensure_ascii=False, default=str)
    new = journal.keep_raw(
        session,
        ctx.now(),
        brand=ctx.brand,
        source="loop.list",
        digest=digest(body),
        body=body,
        problem=problem,
        return_id=item.return_id,
    )
    if not new:
        return  # the very same payload is on the list, or a person has dealt with it
    row = returns.by_id(session, ctx.brand, item.return_id) if item.return_id else None
    attention.raise_item(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="unreadable",
        reason=f"Loop's answer about this return could not be understood: {problem}",
        tried="the payload is kept as it came; the next pull reads it again",
        row=row,
        subject=item.return_id or digest(body)[:12],
    )


def take_webhooks(ctx: BrandContext, limit: int = 1000) -> int:
    """Act on what deliveries say beyond "look now": a failed processing. Returns their number."""
    with ctx.ledger.read() as session:
        if not _webhooks(ctx, session, 1):
            return 0
    with ctx.ledger.write() as session:
        todo = _webhooks(ctx, session, limit)
        for hook in todo:
            if hook.trigger == "return.processing.failed" and hook.return_id:
                _processing_failed(ctx, session, hook)
            # The body holds a customer's address and has done its duty.
            hook.handled_at, hook.body = ctx.now(), ""
    return len(todo)


def _webhooks(ctx: BrandContext, session: Session, limit: int) -> list[WebhookRow]:
    query = sa.select(WebhookRow).where(
        WebhookRow.brand == ctx.brand, WebhookRow.handled_at.is_(None)
    )
    return list(session.scalars(query.order_by(WebhookRow.id).limit(limit)))


def _processing_failed(ctx: BrandContext, session: Session, hook: WebhookRow) -> None:
    row = returns.by_id(session, ctx.brand, hook.return_id or "")
    if row is None or row.stage not in (Stage.SETTLING, Stage.CONFIRMING):
        return
    try:
        message = str(json.loads(hook.body).get("message") or "no reason given")
    except (ValueError, AttributeError):
        message = "no reason given"
    effect = returns.settlements_of(session, [row.id]).get(row.id)
    if effect and effect.state in (*OPEN, EffectState.ACCEPTED):
        effect.state, effect.outcome = EffectState.FAILED, f"Loop: {message}"
        effect.finished_at = ctx.now()
    attention.raise_item(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="processing_failed",
        reason=f"Loop could not process the return: {message}",
        tried="one process call, which Loop had accepted; it is not repeated by itself",
        row=row,
    )
