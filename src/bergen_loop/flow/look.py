"""Looking at single returns in Loop: calls whose answer was lost, or whose result does not show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.lifecycle import Stage
from bergen_loop.domain.returns import LoopState, Return
from bergen_loop.domain.words import SETTLING, Need
from bergen_loop.flow import intake
from bergen_loop.flow.calls import had_no_effect
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.codec import load_return
from bergen_loop.ledger.store import attention, effects, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import Effect, NotFound, OutsideError, Unreadable
from bergen_loop.outside.loop.models import ParsedReturn

PER_TICK = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What looking at a return showed: Loop's answer, or why it could not be seen."""

    answer: ParsedReturn | None = None
    problem: str | None = None
    """Set where a person has to look if it stays so; None with no answer: try again."""


def lost_settlements(ctx: BrandContext) -> None:
    """Resolve process, flag and remove_lines calls without an outcome.

    The pull before this step has settled those that Loop's list shows closed or in review;
    what is left here still looks open.
    """
    with ctx.ledger.read() as session:
        lost = effects.in_doubt(session, ctx.brand, SETTLING, PER_TICK)
    pairs = [(e.return_pk, str(e.payload["return_id"])) for e in lost if e.return_pk is not None]
    _look(ctx, pairs, _still_lost)


def unconfirmed(ctx: BrandContext) -> None:
    """Look at returns that Loop took for processing but has not shown closed in time."""
    with ctx.ledger.read() as session:
        due = returns.due_pks(session, ctx.brand, [Stage.CONFIRMING], ctx.now(), PER_TICK)
        rows = returns.by_pks(session, due)
    _look(ctx, [(row.id, row.return_id) for row in rows.values()], _still_unconfirmed)


def look_at(ctx: BrandContext, return_ids: Sequence[str]) -> None:
    """Take in what the details of these returns show; a few at a time. One that the ledger does
    not know yet is taken in as new."""
    wanted = list(dict.fromkeys(return_ids))[:PER_TICK]
    with ctx.ledger.read() as session:
        known = returns.by_ids(session, ctx.brand, wanted)
    _look(ctx, [(row.id, row.return_id) for row in known.values()], _taken_in)
    _read_each(ctx, [return_id for return_id in wanted if return_id not in known])


def not_understood(ctx: BrandContext) -> None:
    """Read by themselves the returns whose answer in a list nobody understood, and which no list
    may show again: what was wrong may be over without a change of theirs."""
    with ctx.ledger.read() as session:
        ids = attention.subjects(session, ctx.brand, Need.UNREADABLE, PER_TICK)
        known = returns.by_ids(session, ctx.brand, ids)
        # A doubt about what was understood is lifted by the list alone, which says the most.
        wanted = [i for i in ids if i not in known or not load_return(known[i].content).doubts]
    _read_each(ctx, wanted)


def _read_each(ctx: BrandContext, return_ids: Sequence[str]) -> None:
    """Take in what their details show, as if a list had shown it."""
    for batch in ctx.batches(return_ids):
        answers = ctx.in_parallel(lambda return_id: details(ctx, return_id), batch)
        intake.store(ctx, [a.answer for a in answers if a.answer is not None], intake.Pulled())


def _taken_in(ctx: BrandContext, tx: Transaction, row: ReturnRow, return_: Return) -> None:
    """Looking was all."""
    del ctx, tx, row, return_


def _look(
    ctx: BrandContext,
    pairs: Sequence[tuple[int, str]],
    still_open: Callable[[BrandContext, Transaction, ReturnRow, Return], None],
) -> None:
    for batch in ctx.batches(pairs):
        answers = ctx.in_parallel(lambda pair: details(ctx, pair[1]), batch)
        ctx.boundary("looked at returns")
        with ctx.write() as tx:
            rows = returns.by_pks(tx.session, [pk for pk, _ in batch])
            for (pk, _), seen in zip(batch, answers, strict=True):
                row = rows[pk]
                if seen.answer is None:
                    if seen.problem:
                        _cannot_see(ctx, tx, row, seen.problem)
                    continue
                tx.resolve(Need.CANNOT_SEE, row, "Loop shows the return again")
                return_ = take(ctx, tx, row, seen.answer)
                if row.loop_state not in (LoopState.CLOSED, LoopState.CANCELLED):
                    still_open(ctx, tx, row, return_)


def details(ctx: BrandContext, return_id: str) -> Seen:
    """Look at one return in Loop."""
    ctx.counts.add("loop.details")
    try:
        parsed = ctx.loop.details(return_id=return_id)
    except (NotFound, Unreadable) as error:
        return Seen(problem=str(error))
    except OutsideError as error:
        return Seen(problem=str(error) if error.effect is Effect.REFUSED else None)
    if parsed.value is None:
        return Seen(problem=parsed.problem or "not understood")
    return Seen(answer=parsed)


def take(ctx: BrandContext, tx: Transaction, row: ReturnRow, answer: ParsedReturn) -> Return:
    """Take a freshly read return in: the newest there is, whatever its time says."""
    return intake.update(ctx, tx, row, answer, newest=True)


def _cannot_see(ctx: BrandContext, tx: Transaction, row: ReturnRow, problem: str) -> None:
    """An answer may be garbled once; only where it stays so does a person have to look."""
    effect = effects.settlements_of(tx.session, [row.id]).get(row.id)
    since = (effect.finished_at or effect.intended_at) if effect else ctx.now()
    if ctx.now() - since < ctx.settings.settle.lost_answer_wait:
        return
    why = f"whether Loop carried out our call cannot be seen: {problem}. Look at the return in Loop"
    tx.needs_person(Need.CANNOT_SEE, why, row, "read the return's details")


def _still_lost(ctx: BrandContext, tx: Transaction, row: ReturnRow, return_: Return) -> None:
    effect = effects.settlements_of(tx.session, [row.id]).get(row.id)
    if effect is None or effect.state not in effects.OPEN:
        return
    wait = ctx.settings.settle.lost_answer_wait
    # The call may have gone out long after its intent (it waits for its turn under the limit of
    # calls); it certainly had by the time its answer was missed.
    since = effect.doubt_since or tx.now
    effect.state, effect.doubt_since = EffectState.DOUBT, since
    if return_.state is LoopState.REVIEW and effect.kind != Outcome.FLAG:
        if tx.now - since >= wait:
            _give_up(tx, effect, row, "Loop shows the return in review")
    elif effect.kind == Outcome.FLAG and return_.updated_at > _untouched_since(effect):
        _give_up(tx, effect, row, "the return has changed since: it may have been opened again")
    elif effect.kind == Outcome.FLAG:
        # A flag acts at once: what is open and untouched was not flagged.
        if had_no_effect(ctx, tx, effect, "Loop shows the return open, not in review"):
            row.due_at = effect.try_at
    elif tx.now - since < wait or _loop_is_behind(ctx, tx, since):
        return  # Loop processes asynchronously: it may still come
    elif effect.attempts >= 2:
        _give_up(tx, effect, row, f"the answers of {effect.attempts} calls were lost")
    elif return_.updated_at > _untouched_since(effect):
        _give_up(tx, effect, row, "the return has changed since, but is still open")
    else:
        why = f"Loop shows the return open and untouched {wait} after the call"
        tx.outcome(effect, EffectState.NOT_SENT, why)
        row.due_at = tx.now


def _untouched_since(effect: EffectRow) -> datetime:
    """A change after our call may be the call's own doing; where a person has looked at the
    return since and asked to go on, only a change after that counts."""
    asked = effect.payload.get("asked_at")
    return max(effect.intended_at, datetime.fromisoformat(asked)) if asked else effect.intended_at


def _loop_is_behind(ctx: BrandContext, tx: Transaction, since: datetime) -> bool:
    """A call that is older than `confirm_within` is for a person to look at by now, and shows
    nothing."""
    settings = ctx.settings.settle
    return effects.loop_is_behind(
        tx.session,
        ctx.brand,
        since,
        taken_after=tx.now - settings.confirm_within,
        done_after=tx.now - settings.lost_answer_wait,
    )


def _give_up(tx: Transaction, effect: EffectRow, row: ReturnRow, why: str) -> None:
    tx.outcome(effect, EffectState.FAILED, why)
    tx.needs_person(
        Need.LOST_SETTLEMENT,
        f"our {effect.kind} call got no answer and cannot be told to have happened: {why}. Look at "
        "the return in Loop, then retry or finish it there",
        row,
        f"{effect.attempts} call(s), then looked at the return until now",
    )


def _still_unconfirmed(ctx: BrandContext, tx: Transaction, row: ReturnRow, return_: Return) -> None:
    row.due_at = None
    if row.held:
        return  # what Loop shows has been told already, as a conflict
    tx.needs_person(
        Need.NOT_CONFIRMED,
        "Loop took our call, but still shows the return "
        f"{return_.state} {ctx.settings.settle.confirm_within} later; look at it in Loop, and "
        "finish it there: what Loop took is never sent again",
        row,
        "one call; waited; read the return's details",
    )
