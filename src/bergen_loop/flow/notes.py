"""The note that documents a flag in Loop."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.decision import NOTE_LIMIT
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import attention, effects, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow
from bergen_loop.outside.errors import (
    OutcomeUnknown,
    OutsideError,
    RateLimited,
    Unauthorized,
    Unavailable,
    Unreadable,
)

KIND = "note"
PER_TICK = 400


def plan(ctx: BrandContext, session: Session, flag: EffectRow, row: ReturnRow) -> None:
    """Intend the note of a flag that Loop has taken."""
    decision = returns.latest_decision(session, row.id)
    if decision is None or not decision.note:
        return
    intend(ctx, session, row, f"{decision.id}", decision.note)


def intend(ctx: BrandContext, session: Session, row: ReturnRow, name: str, content: str) -> None:
    """Intend a note; one of the same `name` is made once per return."""
    key = f"note:{row.return_id}:{name}"
    if effects.find(session, ctx.brand, key) is None:
        effects.intend(
            session,
            ctx.now(),
            brand=ctx.brand,
            key=key,
            kind=KIND,
            payload={"return_id": row.return_id, "content": content[:NOTE_LIMIT]},
            return_pk=row.id,
        )


def send_due(ctx: BrandContext) -> None:
    """Send notes that are intended, and those that certainly were not carried out."""
    with ctx.ledger.read() as session:
        if not _due(ctx, session, 1):
            return
    with ctx.acting() as session:
        due = _due(ctx, session, PER_TICK)
        for effect in due:
            effect.state = EffectState.INTENDED
    _send(ctx, due)


def _due(ctx: BrandContext, session: Session, limit: int) -> list[EffectRow]:
    query = sa.select(EffectRow).where(
        EffectRow.brand == ctx.brand,
        EffectRow.kind == KIND,
        EffectRow.state.in_((EffectState.INTENDED, EffectState.NOT_SENT)),
    )
    return list(session.scalars(query.order_by(EffectRow.id).limit(limit)))


def _send(ctx: BrandContext, due: list[EffectRow]) -> None:
    for batch in ctx.batches(due):
        ctx.boundary("note intended")
        answers = ctx.in_parallel(lambda e: _add(ctx, e), batch)
        ctx.boundary("note sent")
        with ctx.ledger.write() as session:
            fresh = effects.by_pks(session, [effect.id for effect in batch])
            for effect, answer in zip(batch, answers, strict=True):
                _finish(ctx, session, fresh[effect.id], answer)
        ctx.boundary("note recorded")


def _add(ctx: BrandContext, effect: EffectRow) -> OutsideError | None:
    ctx.counts.add("loop.note")
    try:
        ctx.loop.add_note(str(effect.payload["return_id"]), str(effect.payload["content"]))
    except OutsideError as error:
        return error
    return None


def _finish(
    ctx: BrandContext, session: Session, effect: EffectRow, answer: OutsideError | None
) -> None:
    now = ctx.now()
    if answer is None:
        effects.finish(session, effect, now, EffectState.DONE, "Loop took the note")
    elif isinstance(answer, (OutcomeUnknown, Unreadable)):
        effects.finish(session, effect, now, EffectState.DOUBT, str(answer))
    elif isinstance(answer, (Unavailable, RateLimited, Unauthorized)):
        effects.finish(session, effect, now, EffectState.NOT_SENT, str(answer))
    else:
        effects.finish(session, effect, now, EffectState.REFUSED, str(answer))
        attention.raise_item(
            session,
            now,
            brand=ctx.brand,
            kind="note_refused",
            reason=f"the return is flagged, but Loop refused its note: {answer.message}",
            tried=f"the note was: {effect.payload['content']}",
            row=session.get_one(ReturnRow, effect.return_pk),
            blocking=False,
        )


def resolve_lost(ctx: BrandContext) -> None:
    """Look among the return's notes for one whose answer was lost; else it is sent again.

    Every intent of an earlier tick is put in doubt first, whether or not its return can be
    looked at now: `send_due` sends what is intended.
    """
    with ctx.ledger.read() as session:
        if not effects.in_doubt(session, ctx.brand, [KIND], 1):
            return
    with ctx.ledger.write() as session:
        session.execute(
            sa.update(EffectRow)
            .where(
                EffectRow.brand == ctx.brand,
                EffectRow.kind == KIND,
                EffectRow.state == EffectState.INTENDED,
            )
            .values(state=EffectState.DOUBT, doubt_since=ctx.now())
        )
        lost = effects.in_doubt(session, ctx.brand, [KIND], PER_TICK)
    for batch in ctx.batches(lost):
        found = ctx.in_parallel(lambda e: _is_there(ctx, e), batch)
        with ctx.ledger.write() as session:
            for effect, there in zip(batch, found, strict=True):
                fresh = session.get_one(EffectRow, effect.id)
                if there:
                    effects.finish(
                        session, fresh, ctx.now(), EffectState.DONE, "found among the notes in Loop"
                    )
                elif there is False:
                    fresh.state = EffectState.NOT_SENT


def _is_there(ctx: BrandContext, effect: EffectRow) -> bool | None:
    ctx.counts.add("loop.notes")
    try:
        notes = ctx.loop.notes(str(effect.payload["return_id"]))
    except OutsideError:
        return None
    return any(note.content == effect.payload["content"] for note in notes)
