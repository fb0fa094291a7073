"""The one way to write: a transaction of one brand, with verbs.

Only the fenced kind can intend a call that changes something outside, and only who holds the
brand's lock gets one: so what nobody may send twice cannot be sent by somebody who has lost the
lock, nor by a person at a page (they plan, and the next tick intends).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import Need, What
from bergen_loop.ledger import locks
from bergen_loop.ledger.codec import digest, sentence
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention, effects, journal
from bergen_loop.ledger.store.effects import EffectState, Intent
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow


class Transaction:
    """Writes of one brand at one moment, in one database transaction. `session` is for the
    questions of `ledger.store`."""

    def __init__(
        self, session: Session, brand: str, now: datetime, who: str = journal.SERVICE
    ) -> None:
        self.session = session
        self.brand = brand
        self.now = now
        self.who = who

    def journal(
        self,
        what: What,
        why: str,
        row: ReturnRow | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Append what happened, to a return or to the brand as a whole."""
        pk = row.id if row else None
        entry = journal.Entry(what, why, self.brand, pk, self.who, data or {})
        journal.record(self.session, self.now, entry)

    def needs_person(
        self, need: Need, reason: str, about: ReturnRow | str, tried: str = ""
    ) -> None:
        """Open an item of the attention list about a return (which it then may hold, as its kind
        says) or about something else of the brand; or refresh the open one."""
        matter = attention.Matter(self.brand, need, reason, about, tried)
        attention.raise_item(self.session, self.now, matter)

    def resolve(self, need: Need, about: ReturnRow | str, why: str) -> None:
        """Close the open item of this kind, if there is one: its cause has gone."""
        self.resolve_each([(need, about)], why)

    def resolve_each(self, about: Iterable[tuple[Need, ReturnRow | str]], why: str) -> None:
        """The same for what a batch is about, in one question."""
        attention.resolve_kinds(
            self.session,
            self.now,
            brand=self.brand,
            about=[(n, a if isinstance(a, str) else a.return_id) for n, a in about],
            resolution=why,
        )

    def resolve_all(self, row: ReturnRow, why: str) -> None:
        """Close every item of a return, where what was asked has been answered elsewhere."""
        attention.resolve_all(self.session, self.now, row, resolution=why)

    def plan(self, intent: Intent) -> EffectRow | None:
        """Have a call made by the next tick; None where one of this key is known already."""
        return next(iter(self.plan_all([intent])), None)

    def plan_all(self, intents: Sequence[Intent]) -> list[EffectRow]:
        """The same for several calls, each of which may be left out."""
        if not intents:
            return []
        known = effects.find_all(self.session, self.brand, [intent.key for intent in intents])
        by_key = {intent.key: intent for intent in intents}
        new = [
            self._effect(intent, EffectState.PLANNED, attempts=0)
            for key, intent in by_key.items()
            if key not in known
        ]
        self.session.flush()
        return new

    def _effect(self, intent: Intent, state: EffectState, attempts: int) -> EffectRow:
        effect = EffectRow(
            brand=self.brand,
            key=intent.key,
            kind=intent.kind,
            state=state,
            attempts=attempts,
            payload=dict(intent.payload),
            intended_at=self.now,
            return_pk=intent.return_pk,
        )
        self.session.add(effect)
        return effect

    def outcome(self, effect: EffectRow, state: EffectState, why: str) -> None:
        """What became of a call that was intended, journaled."""
        effect.state, effect.outcome = state, sentence(why)
        if state is EffectState.DOUBT:
            effect.doubt_since = effect.doubt_since or self.now
        else:
            effect.finished_at = self.now
        call = {"kind": effect.kind, "key": effect.key, "attempt": effect.attempts}
        entry = journal.Entry(
            effects.TOLD[state],
            why,
            effect.brand,
            effect.return_pk,
            data={**call, **effect.payload},
        )
        journal.record(self.session, self.now, entry)

    def enter(self, row: ReturnRow, stage: Stage) -> None:
        """Put a return into a stage, with the times of its moments; nothing is journaled."""
        row.stage = stage
        row.due_at = self.now if stage in (Stage.SEEN, Stage.RECEIVED, Stage.CLOSING) else None
        if stage in (Stage.CLOSING, Stage.FLAGGED):
            row.settled_at = row.settled_at or self.now
        if stage is Stage.COMPLETE:
            row.completed_at = self.now

    def move(
        self, row: ReturnRow, stage: Stage, why: str, data: Mapping[str, Any] | None = None
    ) -> None:
        """Put a return into a stage, and journal why."""
        what = _OF_STAGE.get(stage, What.MOVED)
        moved = {"from": row.stage, "to": stage.value, **(data or {})}
        self.journal(what, why, row, moved)
        self.enter(row, stage)

    def keep_raw(self, source: str, body: str, problem: str, return_id: str | None = None) -> bool:
        """Keep a payload that could not be taken in; False where the same one is kept already."""
        payload = journal.Payload(self.brand, source, digest(body), body, problem, return_id)
        return journal.keep_raw(self.session, self.now, payload)


_OF_STAGE = {Stage.CLOSING: What.CLOSING, Stage.COMPLETE: What.COMPLETE}


class FencedTransaction(Transaction):
    """A transaction of who holds the brand's lock: refused when another has taken over."""

    def intend(self, intent: Intent, known: Mapping[str, EffectRow] | None = None) -> EffectRow:
        """Write down that a call is about to be made. The unique key refuses a second one, unless
        the first certainly was not carried out: AlreadyIntended.

        `known`: the effects with such keys, where several are intended together; they are then
        flushed by the caller."""
        effect = (
            effects.find(self.session, self.brand, intent.key)
            if known is None
            else known.get(intent.key)
        )
        if effect is None:
            effect = self._effect(intent, EffectState.INTENDED, attempts=1)
        elif effect.state in effects.SENDABLE:
            kept = {k: v for k, v in effect.payload.items() if k in effects.KEPT}
            effect.kind, effect.payload = intent.kind, {**intent.payload, **kept}
            self._again(effect)
        else:
            raise effects.AlreadyIntended(
                f"{intent.key} of brand {self.brand} is {effect.state} as {effect.kind}"
            )
        if known is None:
            self.session.flush()
        return effect

    def send_again(self, effects_: Sequence[EffectRow]) -> None:
        """Intend calls that were planned, or certainly had no effect."""
        for effect in effects_:
            if effect.state not in effects.SENDABLE:
                raise effects.AlreadyIntended(f"{effect.key} is {effect.state}")
            self._again(effect)

    def _again(self, effect: EffectRow) -> None:
        effect.state, effect.attempts = EffectState.INTENDED, effect.attempts + 1
        effect.intended_at, effect.doubt_since, effect.try_at = self.now, None, None
        effect.finished_at, effect.outcome = None, None


@contextmanager
def transaction(
    ledger: Ledger, brand: str, now: datetime, who: str = journal.SERVICE
) -> Generator[Transaction]:
    """A transaction that writes: committed at the end, rolled back on an error."""
    with ledger.write() as session:
        yield Transaction(session, brand, now, who)


@contextmanager
def fenced(
    ledger: Ledger, brand: str, now: datetime, epoch: int | None
) -> Generator[FencedTransaction]:
    """A transaction that may intend. Raises LockLost unless `epoch` is still the brand's."""
    with ledger.write() as session:
        locks.fence(session, brand, epoch)
        yield FencedTransaction(session, brand, now)
