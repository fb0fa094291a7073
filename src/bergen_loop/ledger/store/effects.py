"""Intents and outcomes of calls that change something outside (I1, I3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.store import journal
from bergen_loop.ledger.tables.core import EffectRow


class EffectState(StrEnum):
    """`intended` and `doubt` are open: their outcome is found by looking, not by repeating."""

    INTENDED = "intended"
    DOUBT = "doubt"
    ACCEPTED = "accepted"
    """The system took it; its result shows later."""
    DONE = "done"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    """Certainly not carried out (no connection, 429): may be intended again."""
    FAILED = "failed"


OPEN = (EffectState.INTENDED, EffectState.DOUBT)


class AlreadyIntended(Exception):
    """This effect has been intended before; it must not be sent again."""


def intend(
    session: Session,
    now: datetime,
    *,
    brand: str,
    key: str,
    kind: str,
    payload: Mapping[str, Any],
    return_pk: int | None,
    known: Mapping[str, EffectRow] | None = None,
) -> EffectRow:
    """Write the intent. The unique key refuses a second one, unless the first certainly was
    not carried out. Raises AlreadyIntended.

    `known`: the effects with such keys, where several are intended together; they are then
    flushed by the caller."""
    effect = find(session, brand, key) if known is None else known.get(key)
    if effect is None:
        effect = EffectRow(
            brand=brand,
            key=key,
            kind=kind,
            state=EffectState.INTENDED,
            attempts=1,
            payload=dict(payload),
            intended_at=now,
            return_pk=return_pk,
        )
        session.add(effect)
    elif effect.state == EffectState.NOT_SENT:
        _again(effect, now, kind, payload)
    else:
        raise AlreadyIntended(f"{key} of brand {brand} is {effect.state} as {effect.kind}")
    if known is None:
        session.flush()
    return effect


def repeat(session: Session, effect: EffectRow, now: datetime, why: str, who: str) -> None:
    """Intend an effect once more, after looking has shown that it did not happen."""
    _again(effect, now, effect.kind, effect.payload)
    journal.record(
        session,
        now,
        f"{effect.kind}: sent again",
        why,
        brand=effect.brand,
        return_pk=effect.return_pk,
        who=who,
        data={"attempt": effect.attempts},
    )


def _again(effect: EffectRow, now: datetime, kind: str, payload: Mapping[str, Any]) -> None:
    effect.kind, effect.payload = kind, dict(payload)
    effect.state, effect.attempts = EffectState.INTENDED, effect.attempts + 1
    effect.intended_at, effect.doubt_since = now, None
    effect.finished_at, effect.outcome = None, None


def finish(
    session: Session, effect: EffectRow, now: datetime, state: EffectState, outcome: str
) -> None:
    """Write the outcome, and journal it."""
    effect.state, effect.outcome = state, outcome
    if state is EffectState.DOUBT:
        effect.doubt_since = effect.doubt_since or now
    else:
        effect.finished_at = now
    journal.record(
        session,
        now,
        f"{effect.kind}: {state.value.replace('_', ' ')}",
        outcome,
        brand=effect.brand,
        return_pk=effect.return_pk,
        data={"key": effect.key, "attempt": effect.attempts, **effect.payload},
    )


def find(session: Session, brand: str, key: str) -> EffectRow | None:
    """The effect of this key."""
    return session.scalar(
        sa.select(EffectRow).where(EffectRow.brand == brand, EffectRow.key == key)
    )


def find_all(session: Session, brand: str, keys: Sequence[str]) -> dict[str, EffectRow]:
    """The effects of these keys."""
    query = sa.select(EffectRow).where(EffectRow.brand == brand, EffectRow.key.in_(keys))
    return {effect.key: effect for effect in session.scalars(query)}


def by_pks(session: Session, pks: Sequence[int]) -> dict[int, EffectRow]:
    """Effects by key of their row."""
    query = sa.select(EffectRow).where(EffectRow.id.in_(pks))
    return {effect.id: effect for effect in session.scalars(query)}


def in_doubt(session: Session, brand: str, kinds: Sequence[str], limit: int) -> list[EffectRow]:
    """Effects whose outcome is unknown. A brand is synced by one tick at a time, so at its
    start every open intent is one whose answer was lost."""
    return list(
        session.scalars(
            sa.select(EffectRow)
            .where(EffectRow.brand == brand, EffectRow.kind.in_(kinds), EffectRow.state.in_(OPEN))
            .order_by(EffectRow.id)
            .limit(limit)
        )
    )


def of_return(session: Session, return_pk: int) -> list[EffectRow]:
    """All effects of a return, in order."""
    return list(
        session.scalars(
            sa.select(EffectRow).where(EffectRow.return_pk == return_pk).order_by(EffectRow.id)
        )
    )
