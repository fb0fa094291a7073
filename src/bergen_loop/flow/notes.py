"""Notes in Loop: why a return was flagged, what changed after it, what a person wrote."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bergen_loop.domain.decision import NOTE_LIMIT
from bergen_loop.domain.words import EffectKind, Need
from bergen_loop.flow.calls import Call, Undertaking, carry_out, had_no_effect
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import effects
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow
from bergen_loop.ledger.transaction import FencedTransaction, Transaction
from bergen_loop.outside.errors import Effect, OutsideError, Scope
from bergen_loop.outside.loop.models import same_note

PER_TICK = 400
TELL_AFTER = timedelta(hours=1)
"""How long the notes of a return may be answered by what is none."""


def send_due(ctx: BrandContext) -> None:
    """Send the notes that are planned, and those that certainly were not carried out."""
    with ctx.ledger.read() as session:
        due = effects.sendable(session, ctx.brand, [EffectKind.NOTE], ctx.now(), PER_TICK)
    carry_out(ctx, Notes(ctx), due)


class Notes(Undertaking[EffectRow, str, None]):
    """A note on a return."""

    name = "note"

    def intend(self, tx: FencedTransaction, items: Sequence[EffectRow]) -> list[Call[str]]:
        fresh = effects.by_pks(tx.session, [effect.id for effect in items])
        due = [e for e in fresh.values() if e.state in effects.SENDABLE]
        enough = self.ctx.settings.repeats.attempts
        due = [e for e in due if e.attempts < enough]
        tx.send_again(due)
        return [Call(str(e.payload["content"])[:NOTE_LIMIT], (e,)) for e in due]

    def send(self, call: Call[str]) -> None:
        self.ctx.counts.add("loop.note")
        self.ctx.loop.add_note(str(call.effects[0].payload["return_id"]), call.request)

    def taken(self, tx: Transaction, effect: EffectRow, answer: None) -> None:
        tx.outcome(effect, EffectState.DONE, "Loop took the note")

    def refused(self, tx: Transaction, effect: EffectRow, error: OutsideError) -> None:
        tx.outcome(effect, EffectState.REFUSED, str(error))
        tx.needs_person(
            Need.NOTE_REFUSED,
            f"Loop refused a note on the return: {error.message}",
            self.rows[effect.return_pk or 0],
            f"the note was: {effect.payload['content']}",
        )

    def put_off(self, tx: Transaction, effect: EffectRow) -> None:
        """The return itself goes on."""

    def lost(self, tx: Transaction, effect: EffectRow) -> None:
        """The return itself goes on."""


def find_lost(ctx: BrandContext) -> None:
    """Look among the return's notes for one whose answer was lost; else it is sent again."""
    kinds = [EffectKind.NOTE]
    with ctx.ledger.read() as session:
        if not effects.in_doubt(session, ctx.brand, kinds, 1):
            return
    with ctx.ledger.write() as session:
        effects.doubt_all(session, ctx.now(), ctx.brand, EffectKind.NOTE)
        lost = effects.in_doubt(session, ctx.brand, kinds, PER_TICK)
    for batch in ctx.batches(lost):
        found = ctx.in_parallel(lambda e: _is_there(ctx, e), batch)
        with ctx.write() as tx:
            fresh = effects.by_pks(tx.session, [effect.id for effect in batch])
            for effect, there in zip(batch, found, strict=True):
                if isinstance(there, OutsideError):
                    _cannot_see(tx, fresh[effect.id], there)
                elif there:
                    why = "found among the notes in Loop"
                    tx.outcome(fresh[effect.id], EffectState.DONE, why)
                else:
                    had_no_effect(ctx, tx, fresh[effect.id], "not among the notes in Loop")


def _cannot_see(tx: Transaction, effect: EffectRow, error: OutsideError) -> None:
    """The notes are looked for again, unless what comes in their place will never be notes."""
    since = effect.doubt_since or tx.now
    if error.effect is Effect.NOT_SENT or tx.now - since < TELL_AFTER:
        return
    why = f"whether our note is on the return cannot be seen: {error.message}"
    tx.outcome(effect, EffectState.FAILED, why)
    row = tx.session.get(ReturnRow, effect.return_pk)
    tx.needs_person(
        Need.NOTE_REFUSED,
        f"{why}. Look in Loop, and add it by hand where it is not there",
        row or effect.key,
        f"the note was: {effect.payload['content']}",
    )


def _is_there(ctx: BrandContext, effect: EffectRow) -> bool | OutsideError:
    ctx.counts.add("loop.notes")
    try:
        notes = ctx.loop.notes(str(effect.payload["return_id"]))
    except OutsideError as error:
        if error.scope is Scope.ACCESS:
            raise
        return error
    return any(same_note(note.content, str(effect.payload["content"])) for note in notes)
