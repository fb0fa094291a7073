"""Settling calls whose answer was lost, or whose result does not show: found out by looking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.lifecycle import Stage
from bergen_loop.domain.returns import LoopState, Return
from bergen_loop.flow import intake
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.codec import digest, dump_return
from bergen_loop.ledger.store import attention, effects, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow
from bergen_loop.outside.errors import NotFound, OutsideError, Unreadable

KINDS = (Outcome.PROCESS.value, Outcome.FLAG.value, Outcome.REMOVE_LINES.value)
PER_TICK = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What looking at a return showed: the return, or why it could not be seen."""

    return_: Return | None = None
    problem: str | None = None
    """Set where a person has to look if it stays so; None with no return: try again."""


def lost_settlements(ctx: BrandContext) -> None:
    """Resolve process, flag and remove_lines calls without an outcome.

    The pull before this step has settled those that Loop's list shows closed or in review;
    what is left here still looks open.
    """
    with ctx.ledger.read() as session:
        lost = effects.in_doubt(session, ctx.brand, KINDS, PER_TICK)
    pairs = [(e.return_pk, str(e.payload["return_id"])) for e in lost if e.return_pk is not None]
    _look(ctx, pairs, _still_lost)


def unconfirmed(ctx: BrandContext) -> None:
    """Look at returns that Loop took for processing but has not shown closed in time."""
    with ctx.ledger.read() as session:
        rows = returns.due(session, ctx.brand, [Stage.CONFIRMING], ctx.now(), PER_TICK)
    _look(ctx, [(row.id, row.return_id) for row in rows], _still_unconfirmed)


def look_at(ctx: BrandContext, return_ids: Sequence[str]) -> None:
    """Take in what the details of these returns show; a few at a time."""
    with ctx.ledger.read() as session:
        rows = returns.by_ids(session, ctx.brand, list(dict.fromkeys(return_ids))[:PER_TICK])
    pairs = [(row.id, row.return_id) for row in rows.values()]
    _look(ctx, pairs, lambda _ctx, _session, _row, _return: None)


def _look(
    ctx: BrandContext,
    pairs: list[tuple[int, str]],
    still_open: Callable[[BrandContext, Session, ReturnRow, Return], None],
) -> None:
    for batch in ctx.batches(pairs):
        answers = ctx.in_parallel(lambda pair: details(ctx, pair[1]), batch)
        ctx.boundary("looked at returns")
        with ctx.ledger.write() as session:
            for (pk, _), seen in zip(batch, answers, strict=True):
                row = session.get_one(ReturnRow, pk)
                if seen.return_ is None:
                    if seen.problem:
                        _cannot_see(ctx, session, row, seen.problem)
                    continue
                _seen_again(ctx, session, row)
                take(ctx, session, row, seen.return_)
                if row.loop_state not in (LoopState.CLOSED, LoopState.CANCELLED):
                    still_open(ctx, session, row, seen.return_)


def details(ctx: BrandContext, return_id: str) -> Seen:
    """Look at one return in Loop."""
    ctx.counts.add("loop.details")
    try:
        parsed = ctx.loop.details(return_id=return_id)
    except (NotFound, Unreadable) as error:
        return Seen(problem=str(error))
    except OutsideError:
        return Seen()
    if parsed.value is None:
        return Seen(problem=parsed.problem or "not understood")
    return Seen(return_=parsed.value)


def take(ctx: BrandContext, session: Session, row: ReturnRow, return_: Return) -> None:
    """Take a freshly read return in: the newest there is, whatever its time says."""
    content = dump_return(return_)
    intake.update(ctx, session, row, return_, content, digest(content), newest=True)


def _cannot_see(ctx: BrandContext, session: Session, row: ReturnRow, problem: str) -> None:
    """An answer may be garbled once; only where it stays so does a person have to look."""
    effect = returns.settlements_of(session, [row.id]).get(row.id)
    since = effect.finished_at or effect.intended_at if effect else ctx.now()
    if ctx.now() - since < ctx.settings.settle.lost_answer_wait:
        return
    attention.raise_item(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="cannot_see",
        reason=f"whether Loop carried out our call cannot be seen: {problem}",
        tried="read the return's details",
        row=row,
    )


def _seen_again(ctx: BrandContext, session: Session, row: ReturnRow) -> None:
    attention.resolve_kind(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="cannot_see",
        subject=row.return_id,
        resolution="Loop shows the return again",
    )


def _still_lost(ctx: BrandContext, session: Session, row: ReturnRow, return_: Return) -> None:
    effect = returns.settlements_of(session, [row.id]).get(row.id)
    if effect is None or effect.state not in effects.OPEN:
        return
    now, wait = ctx.now(), ctx.settings.settle.lost_answer_wait
    # The call may have gone out long after its intent (it waits for its turn under the limit of
    # calls); it certainly had by the time its answer was missed.
    since = effect.doubt_since or now
    effect.state, effect.doubt_since = EffectState.DOUBT, since
    if return_.state is LoopState.REVIEW and effect.kind != Outcome.FLAG:
        if now - since >= wait:
            _give_up(ctx, session, effect, row, "Loop shows the return in review")
    elif effect.kind == Outcome.FLAG:
        # A flag acts at once and twice is the same as once: what is open now was not flagged.
        _not_happened(ctx, session, effect, row, "Loop shows the return open, not in review")
    elif now - since < wait or _loop_is_behind(ctx, session, since):
        return  # Loop processes asynchronously: it may still come
    elif effect.attempts >= 2:
        _give_up(ctx, session, effect, row, f"the answers of {effect.attempts} calls were lost")
    elif return_.updated_at > effect.intended_at:
        _give_up(ctx, session, effect, row, "the return has changed since, but is still open")
    else:
        _not_happened(
            ctx,
            session,
            effect,
            row,
            f"Loop shows the return open and untouched {wait} after the call",
        )


def _loop_is_behind(ctx: BrandContext, session: Session, since: datetime) -> bool:
    """Whether calls of before this one was missed are not carried out yet, or only just: then
    this one may be waiting behind them. One that is older than `confirm_within` is for a person
    to look at by now, and shows nothing."""
    now, settings = ctx.now(), ctx.settings.settle
    waiting = sa.and_(
        EffectRow.state == EffectState.ACCEPTED,
        EffectRow.finished_at > now - settings.confirm_within,
    )
    just_done = sa.and_(
        EffectRow.state == EffectState.DONE,
        EffectRow.finished_at > now - settings.lost_answer_wait,
    )
    query = sa.select(EffectRow.id).where(
        EffectRow.brand == ctx.brand,
        EffectRow.kind.in_((Outcome.PROCESS, Outcome.REMOVE_LINES)),
        EffectRow.intended_at <= since,
        sa.or_(waiting, just_done),
    )
    return session.scalar(query.limit(1)) is not None


def _not_happened(
    ctx: BrandContext, session: Session, effect: EffectRow, row: ReturnRow, why: str
) -> None:
    effects.finish(session, effect, ctx.now(), EffectState.NOT_SENT, why)
    row.due_at = ctx.now()


def _give_up(
    ctx: BrandContext, session: Session, effect: EffectRow, row: ReturnRow, why: str
) -> None:
    effects.finish(session, effect, ctx.now(), EffectState.FAILED, why)
    attention.raise_item(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="lost_settlement",
        reason=f"our {effect.kind} call got no answer and cannot be told to have happened: {why}",
        tried=f"{effect.attempts} call(s), then looked at the return until now",
        row=row,
    )


def _still_unconfirmed(
    ctx: BrandContext, session: Session, row: ReturnRow, return_: Return
) -> None:
    row.due_at = None
    if row.held:
        return  # what Loop shows has been told already, as a conflict
    attention.raise_item(
        session,
        ctx.now(),
        brand=ctx.brand,
        kind="not_confirmed",
        reason="Loop took our call, but still shows the return "
        f"{return_.state} {ctx.settings.settle.confirm_within} later; look at it in Loop",
        tried="one call; waited; read the return's details",
        row=row,
    )
