"""The one way to make a call that changes something outside: intent, call, outcome.

Per small batch: the intents are committed under the fence of the brand's lock; the calls go out in
parallel; the outcomes are written. So a crash at any point leaves nothing sent without an intent,
and what is intended without an outcome is found out by looking, never by repeating.

What becomes of a call is the error's own word (`effect`, `scope`): not sent is tried again after a
growing pause, a doubt is looked into by its flow, a refusal goes to a person. Nothing is repeated
without end: after `repeats.attempts` calls that may have arrived and had no effect, a person is
told. Where no call of that kind gets through, that is told once for all of them, and each goes on
by itself, for a week at most. Trouble of the whole system or of the brand's access is no attempt of
any single call: the breaker holds all of them up, and tells.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import LoopState, Return, Stage
from bergen_loop.domain.words import GRADING, PAYING, SETTLING, EffectKind, Need
from bergen_loop.flow import intake
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.transitions import plan_notes_of_flags
from bergen_loop.ledger.codec import load_return
from bergen_loop.ledger.store import attention, effects, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow
from bergen_loop.ledger.transaction import FencedTransaction, Transaction
from bergen_loop.outside.errors import Effect, NotFound, OutsideError, Scope, Unreadable
from bergen_loop.outside.loop.models import ParsedReturn

TOO_MANY = 429
GOES_ON = frozenset(
    (EffectKind.FLAG, EffectKind.NOTE, EffectKind.TICKET, EffectKind.SHIPMENT_TICKET)
)
"""Calls that are looked for before they are made again, and move no money: one may go on by itself
when its system is well again."""
GOES_ON_FOR = 168
"""How many times more: an hour apart (`repeats.longest_pause`) that is a week."""
I = TypeVar("I")  # noqa: E741
R = TypeVar("R")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """One call that is intended, and the effects it carries out (several where one call takes
    several)."""

    request: R
    effects: tuple[EffectRow, ...]


class Undertaking(ABC, Generic[I, R, A]):
    """One kind of call. `I` is what calls are made for, `R` what is sent, `A` the answer."""

    name: str
    """Of its boundaries: `settlement intended`, `settlement sent`, `settlement recorded`."""

    rows: Mapping[int, ReturnRow]
    """The returns of the effects whose outcomes are written down, by key."""

    def __init__(self, ctx: BrandContext) -> None:
        self.ctx = ctx
        self.rows = {}

    @abstractmethod
    def intend(self, tx: FencedTransaction, items: Sequence[I]) -> list[Call[R]]:
        """The intents of a batch, for what is still to be done, and what to send."""

    @abstractmethod
    def send(self, call: Call[R]) -> A:
        """Make the call. Raises OutsideError."""

    def load(self, tx: Transaction, of: Sequence[EffectRow]) -> None:
        """Ask the ledger for what the outcomes of a batch need, once. `of`: its effects."""
        del tx, of

    @abstractmethod
    def taken(self, tx: Transaction, effect: EffectRow, answer: A) -> None:
        """What follows from success."""

    @abstractmethod
    def refused(self, tx: Transaction, effect: EffectRow, error: OutsideError) -> None:
        """What follows from a refusal, which changed nothing."""

    def put_off(self, tx: Transaction, effect: EffectRow) -> None:
        """It was not sent: nothing before `effect.try_at`."""
        if effect.return_pk is not None:
            self.rows[effect.return_pk].due_at = effect.try_at

    def lost(self, tx: Transaction, effect: EffectRow) -> None:
        """Its outcome is in doubt: nothing is due until it has been looked into."""
        if effect.return_pk is not None:
            self.rows[effect.return_pk].due_at = None

    def recorded(self, tx: Transaction) -> None:
        """What follows from the outcomes of a batch together."""

    def divide(self, call: Call[R]) -> list[Call[R]]:
        """A refused call in smaller ones, to find which part was meant; empty: it is one."""
        del call
        return []


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[R, A]):
    call: Call[R]
    answer: A | None = None
    error: OutsideError | None = None
    is_refusal: bool = False


def carry_out(ctx: BrandContext, work: Undertaking[I, R, A], items: Sequence[I]) -> None:
    """Make the calls for these, batch by batch."""
    for batch in ctx.batches(items):
        with ctx.acting() as tx:
            calls = work.intend(tx, batch)
        ctx.boundary(f"{work.name} intended")
        if calls:
            _send(ctx, work, calls)


def _send(ctx: BrandContext, work: Undertaking[I, R, A], calls: Sequence[Call[R]]) -> None:
    outcomes = ctx.in_parallel(lambda call: _attempt(work, call), calls)
    ctx.boundary(f"{work.name} sent")
    divided = {id(o.call): work.divide(o.call) for o in outcomes if o.is_refusal}
    final = [o for o in outcomes if not divided.get(id(o.call))]
    with ctx.write() as tx:
        of = [effect for o in final for effect in o.call.effects]
        tx.session.add_all(of)  # as they were intended: nobody else has a say in them meanwhile
        work.rows = returns.by_pks(tx.session, [e.return_pk for e in of if e.return_pk])
        work.load(tx, of)
        for outcome in final:
            for effect in outcome.call.effects:
                _record(ctx, work, tx, effect, outcome)
        work.recorded(tx)
        ctx.log_calls(tx)  # not at the tick's end only: it may not come to that
    ctx.boundary(f"{work.name} recorded")
    for parts in divided.values():
        if parts:
            _send(ctx, work, parts)


def _attempt(work: Undertaking[I, R, A], call: Call[R]) -> _Outcome[R, A]:
    try:
        return _Outcome(call, answer=work.send(call))
    except OutsideError as error:
        return _Outcome(call, None, error, error.effect is Effect.REFUSED)


def _record(
    ctx: BrandContext,
    work: Undertaking[I, R, A],
    tx: Transaction,
    effect: EffectRow,
    outcome: _Outcome[R, A],
) -> None:
    error = outcome.error
    if error is None:
        ctx.tick.calls[effect.kind] = None
        work.taken(tx, effect, outcome.answer)  # pyright: ignore[reportArgumentType]
    elif outcome.is_refusal:
        work.refused(tx, effect, error)
    elif error.effect is Effect.DOUBT:
        tx.outcome(effect, EffectState.DOUBT, str(error))
        work.lost(tx, effect)
    else:
        if error.status == TOO_MANY:
            ctx.tick.calls.setdefault(effect.kind, str(error))
        if error.scope is not Scope.CALL:
            effect.attempts = max(0, effect.attempts - 1)
        if had_no_effect(ctx, tx, effect, str(error)):
            asked = timedelta(seconds=error.retry_after or 0)
            wait = tx.now + min(asked, ctx.settings.repeats.longest_pause)
            held = ctx.breakers.of(error.system.casefold()).held_until(error.call)
            effect.try_at = max(filter(None, (effect.try_at, wait, held)))
            work.put_off(tx, effect)


def had_no_effect(ctx: BrandContext, tx: Transaction, effect: EffectRow, why: str) -> bool:
    """The call is known to have had no effect: it may be made again after a pause that grows, as
    long as it has not been tried too often; else a person is told. Whether it may."""
    repeats, last_words = ctx.settings.repeats, effect.outcome
    tx.outcome(effect, EffectState.NOT_SENT, why)
    effect.try_at = pause_until(ctx, effect.attempts, tx.now)
    if effect.attempts <= 1:
        effect.payload = {**effect.payload, effects.FAILING: effect.intended_at.isoformat()}
    if effect.attempts < repeats.attempts:
        return True
    kind = EffectKind(effect.kind)
    may_go_on = kind in GOES_ON and effect.attempts < repeats.attempts + GOES_ON_FOR
    if may_go_on and not effects.got_through(tx.session, effect):
        ctx.tick.calls.setdefault(kind, last_words or why)
        return True
    row = tx.session.get(ReturnRow, effect.return_pk) if effect.return_pk else None
    tx.needs_person(
        Need.GRADING_REFUSED if kind in GRADING else Need.NO_SUCCESS,
        f"{kind.words} has been tried {effect.attempts} times without success: {why}",
        row or effect.key,
        f"{effect.attempts} calls since {effect.intended_at:%Y-%m-%d %H:%M} UTC, with growing "
        "pauses; none of them had an effect",
    )
    return False


def is_late(ctx: BrandContext, effect: EffectRow) -> bool:
    """Whether a call was made so often before that it is looked for once more right before it is
    made again: what was not there then may show by now."""
    return effect.attempts > ctx.settings.repeats.attempts


def pause_until(ctx: BrandContext, attempts: int, now: datetime) -> datetime:
    """When a call that failed so often may be made again."""
    repeats = ctx.settings.repeats
    doubled = repeats.first_pause * 2 ** min(max(attempts - 1, 0), 20)
    return now + min(repeats.longest_pause, doubled)


def ready(effect: EffectRow | None, now: datetime) -> bool:
    """Whether the pause of a call that failed before is over."""
    return effect is None or effect.try_at is None or effect.try_at <= now


# -- looking at single returns: calls whose answer was lost, or whose result does not show -----

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


def not_seen(ctx: BrandContext) -> None:
    """Look for the returns that Loop had no more when they were to be settled, shown closed, or
    looked at for what became of a call: one that is there again is told no more, and judged, or
    told as it stands."""
    with ctx.ledger.read() as session:
        ids = attention.subjects(session, ctx.brand, Need.CANNOT_SEE, PER_TICK)
        known = returns.by_ids(session, ctx.brand, ids)
    gone = [(r.id, r.return_id) for r in known.values()]
    _look(ctx, gone, _there_again)


def _there_again(ctx: BrandContext, tx: Transaction, row: ReturnRow, return_: Return) -> None:
    if row.stage == Stage.RECEIVED:
        tx.enter(row, Stage.RECEIVED)
    elif row.stage == Stage.CONFIRMING:
        _still_unconfirmed(ctx, tx, row, return_)


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
            settlements = effects.settlements_of(tx.session, list(rows))
            for (pk, _), seen in zip(batch, answers, strict=True):
                row, effect = rows[pk], settlements.get(pk)
                if seen.answer is None:
                    if seen.problem and effect is not None and effect.state in effects.UNDER_WAY:
                        _cannot_see(ctx, tx, effect, row, seen.problem)
                    continue
                tx.resolve(Need.CANNOT_SEE, row, "Loop shows the return again")
                doubtful = seen.answer.problem or seen.answer.refunded
                if effect is not None and not doubtful:
                    seen_again(effect)
                return_ = take(ctx, tx, row, seen.answer)
                if seen.answer.refunded:  # our call may be half done
                    paid = f"refunds are listed ({', '.join(seen.answer.refunded[:3])})"
                    return_ = replace(return_, doubts=(*return_.doubts, paid))
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


def _cannot_see(
    ctx: BrandContext, tx: Transaction, effect: EffectRow, row: ReturnRow, problem: str
) -> None:
    """An answer may be garbled once; only where it stays so does a person have to look."""
    if garbled_once(effect):
        return
    since = effect.finished_at or effect.intended_at
    if ctx.now() - since < ctx.settings.settle.lost_answer_wait:
        return
    why = f"whether Loop carried out our call cannot be seen: {problem}. Look at the return in Loop"
    tx.needs_person(Need.CANNOT_SEE, why, row, "read the return's details")


_GARBLED = "garbled"


def garbled_once(effect: EffectRow) -> bool:
    """Note that what became of a call could not be seen, for Loop's answer was not understood;
    whether that is so for the first time in a row."""
    first = not effect.payload.get(_GARBLED)
    if first:
        effect.payload = {**effect.payload, _GARBLED: True}
    return first


def seen_again(effect: EffectRow) -> None:
    """Loop's answer about a call was understood."""
    if _GARBLED in effect.payload:
        effect.payload = {k: v for k, v in effect.payload.items() if k != _GARBLED}


def _still_lost(ctx: BrandContext, tx: Transaction, row: ReturnRow, return_: Return) -> None:
    effect = effects.settlements_of(tx.session, [row.id]).get(row.id)
    if effect is None or effect.state not in effects.OPEN:
        return
    wait = ctx.settings.settle.lost_answer_wait
    # The call may have gone out long after its intent (it waits for its turn under the limit of
    # calls); it certainly had by the time its answer was missed.
    since = effect.doubt_since or tx.now
    effect.state, effect.doubt_since = EffectState.DOUBT, since
    if return_.doubts and effect.kind in PAYING:
        # The list, which says less of what was paid, may show nothing of it.
        if not garbled_once(effect):
            _give_up(tx, effect, row, f"what Loop shows is in doubt: {'; '.join(return_.doubts)}")
    elif return_.state is LoopState.REVIEW and effect.kind != Outcome.FLAG:
        if tx.now - since >= wait:
            _give_up(tx, effect, row, "Loop shows the return in review")
    elif effect.kind == Outcome.FLAG and return_.updated_at >= _untouched_since(effect):
        _give_up(tx, effect, row, "the return has changed since: it may have been opened again")
    elif effect.kind == Outcome.FLAG:
        # A flag acts at once: what is open and untouched was not flagged.
        if had_no_effect(ctx, tx, effect, "Loop shows the return open, not in review"):
            row.due_at = effect.try_at
    elif tx.now - since < wait or _loop_is_behind(ctx, tx, since):
        return  # Loop processes asynchronously: it may still come
    elif effect.attempts >= 2:
        _give_up(tx, effect, row, f"the answers of {effect.attempts} calls were lost")
    elif return_.updated_at >= _untouched_since(effect):
        _give_up(tx, effect, row, "the return has changed since, but is still open")
    else:
        why = f"Loop shows the return open and untouched {wait} after the call"
        tx.outcome(effect, EffectState.NOT_SENT, why)
        if not attention.left_alone(tx.session, row, Need.UNKNOWN_PAST):
            row.due_at = tx.now


def _untouched_since(effect: EffectRow) -> datetime:
    """A change after our call, in the second of its intent too, may be the call's own doing; where
    a person has looked at the return since and asked to go on, only a change after that counts."""
    asked = effect.payload.get("asked_at")
    since = effect.intended_at.replace(microsecond=0)  # Loop's times are whole seconds
    return max(since, datetime.fromisoformat(asked) + timedelta(seconds=1)) if asked else since


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
    if effect.kind == Outcome.FLAG:
        plan_notes_of_flags(tx, [row])  # it may have been taken: its reason is told


def _still_unconfirmed(ctx: BrandContext, tx: Transaction, row: ReturnRow, return_: Return) -> None:
    row.due_at = None
    if attention.is_open(tx.session, row, Need.CONFLICT):
        return  # what Loop shows has been told already
    tx.needs_person(
        Need.NOT_CONFIRMED,
        "Loop took our call, but still shows the return "
        f"{return_.state} {ctx.settings.settle.confirm_within} later; look at it in Loop, and "
        "finish it there: what Loop took is never sent again",
        row,
        "one call; waited; read the return's details",
    )
