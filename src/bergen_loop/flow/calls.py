"""The one way to make a call that changes something outside: intent, call, outcome.

Per small batch: the intents are committed under the fence of the brand's lock; the calls go out in
parallel; the outcomes are written. So a crash at any point leaves nothing sent without an intent,
and what is intended without an outcome is found out by looking, never by repeating.

What becomes of a call is the error's own word (`effect`, `scope`): not sent is tried again after a
growing pause, a doubt is looked into by its flow, a refusal goes to a person. Nothing is repeated
without end: after `repeats.attempts` calls that may have arrived and had no effect, a person is
told. Trouble of the whole system or of the brand's access is no attempt of any single call: the
breaker holds all of them up, and tells.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from bergen_loop.domain.words import EffectKind, Need
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow
from bergen_loop.ledger.transaction import FencedTransaction, Transaction
from bergen_loop.outside.errors import Effect, OutsideError, Scope

TOO_MANY = 429
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
    repeats = ctx.settings.repeats
    tx.outcome(effect, EffectState.NOT_SENT, why)
    effect.try_at = pause_until(ctx, effect.attempts, tx.now)
    if effect.attempts < repeats.attempts:
        return True
    kind = EffectKind(effect.kind)
    row = tx.session.get(ReturnRow, effect.return_pk) if effect.return_pk else None
    tx.needs_person(
        Need.NO_SUCCESS,
        f"{kind.words} has been tried {effect.attempts} times without success: {why}",
        row or effect.key,
        f"{effect.attempts} calls since {effect.intended_at:%Y-%m-%d %H:%M} UTC, with growing "
        "pauses; none of them had an effect",
    )
    return False


def pause_until(ctx: BrandContext, attempts: int, now: datetime) -> datetime:
    """When a call that failed so often may be made again."""
    repeats = ctx.settings.repeats
    doubled = repeats.first_pause * 2 ** min(max(attempts - 1, 0), 20)
    return now + min(repeats.longest_pause, doubled)


def ready(effect: EffectRow | None, now: datetime) -> bool:
    """Whether the pause of a call that failed before is over."""
    return effect is None or effect.try_at is None or effect.try_at <= now
