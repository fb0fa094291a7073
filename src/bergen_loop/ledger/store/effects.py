"""Intents and outcomes of calls that change something outside (I1, I3).

They are written by a transaction's verbs (`ledger.transaction`); what is asked about them is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from bergen_loop.domain.words import SETTLING, EffectKind, What
from bergen_loop.ledger.store.statements import (
    BRAND,
    MOST,
    NOW,
    VALUES,
    BrandLookup,
    Lookup,
    Worklist,
    told_of,
)
from bergen_loop.ledger.tables.core import BrandRow, EffectRow


class EffectState(StrEnum):
    """`intended` and `doubt` are open: their outcome is found by looking, not by repeating."""

    PLANNED = "planned"
    """Wanted, not intended yet: the next tick intends and sends it."""
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
UNDER_WAY = (*OPEN, EffectState.ACCEPTED)
"""What became of such a call is to be seen in the system it was made in."""
SENDABLE = (EffectState.PLANNED, EffectState.NOT_SENT)
"""May be intended: certainly without effect so far."""

EDITED_SINCE, UNANSWERED = "edited_since", "unanswered"
"""Of a call that pays, in its payload: its return was edited while it was under way; that it was
carried out is only taken from its return being closed."""

TOLD = {
    EffectState.DOUBT: What.CALL_DOUBT,
    EffectState.ACCEPTED: What.CALL_ACCEPTED,
    EffectState.DONE: What.CALL_DONE,
    EffectState.REFUSED: What.CALL_REFUSED,
    EffectState.NOT_SENT: What.CALL_NOT_SENT,
    EffectState.FAILED: What.CALL_FAILED,
}
"""The outcomes that are journaled, and as what."""


class AlreadyIntended(Exception):
    """This effect has been intended before; it must not be sent again."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A call that is to be made. `key` is unique per brand: it is what makes it happen once."""

    kind: EffectKind
    key: str
    return_pk: int | None = None
    payload: Mapping[str, Any] = field(default_factory=dict[str, Any])


def settling_key(return_id: str) -> str:
    """Process, flag and remove_lines of a return share it: one of them, once (I1)."""
    return f"settle:{return_id}"


def ticket_key(customer_po: str) -> str:
    """One ticket per PO (I3)."""
    return f"ticket:{customer_po}"


def find(session: Session, brand: str, key: str) -> EffectRow | None:
    """The effect of this key."""
    return session.scalar(
        sa.select(EffectRow).where(EffectRow.brand == brand, EffectRow.key == key)
    )


find_all: BrandLookup[str, EffectRow] = BrandLookup(
    sa.select(EffectRow.key, EffectRow).where(EffectRow.brand == BRAND, EffectRow.key.in_(VALUES))
)
"""The effects of these keys."""
by_pks: Lookup[int, EffectRow] = Lookup(
    sa.select(EffectRow.id, EffectRow).where(EffectRow.id.in_(VALUES))
)
"""Effects by key of their row."""

_IN_TURN = (
    sa.select(EffectRow)
    .where(EffectRow.brand == BRAND, EffectRow.kind.in_(VALUES))
    .order_by(EffectRow.id)
    .limit(MOST)
)
sendable: Worklist[EffectRow] = Worklist(
    _IN_TURN.where(
        EffectRow.state.in_(SENDABLE), sa.or_(EffectRow.try_at.is_(None), EffectRow.try_at <= NOW)
    )
)
"""Calls of these kinds that wait to be sent, and whose time has come."""
to_look_after: Worklist[EffectRow] = Worklist(
    _IN_TURN.where(EffectRow.state == EffectState.DONE, EffectRow.try_at <= NOW)
)
"""Calls that are done, and whose consequences are to be looked at by now (`try_at`)."""


def unfinished(session: Session, brand: str, kinds: Sequence[EffectKind]) -> set[tuple[str, str]]:
    """Kinds and states of the calls that have no outcome, or wait to be sent."""
    return set(told_of(session, _UNFINISHED, kinds, brand=brand))


_UNFINISHED = (
    sa.select(EffectRow.kind, EffectRow.state)
    .where(
        EffectRow.brand == BRAND,
        EffectRow.kind.in_(VALUES),
        EffectRow.state.in_((*OPEN, *SENDABLE)),
    )
    .distinct()
)


def doubt_all(session: Session, now: datetime, brand: str, kind: EffectKind) -> None:
    """Put every open intent of an earlier tick in doubt, whether or not it can be looked at now:
    what is intended would else be sent."""
    session.execute(
        sa.update(EffectRow)
        .where(
            EffectRow.brand == brand,
            EffectRow.kind == kind,
            EffectRow.state == EffectState.INTENDED,
        )
        .values(state=EffectState.DOUBT, doubt_since=now)
    )


def doubt_longer(
    session: Session, now: datetime, brand: str, kinds: Sequence[EffectKind], by: timedelta
) -> None:
    """What is in doubt is looked for so much longer before it counts as without effect."""
    query = sa.select(EffectRow).where(
        EffectRow.brand == brand,
        EffectRow.kind.in_(kinds),
        EffectRow.state == EffectState.DOUBT,
        EffectRow.doubt_since.is_not(None),
    )
    for effect in session.scalars(query):
        effect.doubt_since = min(now, (effect.doubt_since or now) + by)


def loop_is_behind(
    session: Session, brand: str, since: datetime, *, taken_after: datetime, done_after: datetime
) -> bool:
    """Whether process calls of before `since` are not carried out yet (taken by Loop after
    `taken_after`), or only just were (after `done_after`): then one whose answer was missed at
    `since` may be waiting behind them.

    A call that a later one has overtaken shows nothing about a queue: Loop has lost it, or a
    person holds it up."""
    paying = (EffectKind.PROCESS, EffectKind.REMOVE_LINES)
    later = aliased(EffectRow)
    overtaken = (
        sa.select(later.id)
        .where(
            later.brand == brand,
            later.kind.in_(paying),
            later.state == EffectState.DONE,
            later.intended_at > EffectRow.intended_at,
        )
        .exists()
    )
    waiting = sa.and_(
        EffectRow.state == EffectState.ACCEPTED,
        EffectRow.finished_at > taken_after,
        sa.not_(overtaken),
    )
    just_done = sa.and_(
        EffectRow.state == EffectState.DONE,
        EffectRow.finished_at > done_after,
        sa.not_(overtaken),
    )
    query = sa.select(EffectRow.id).where(
        EffectRow.brand == brand,
        EffectRow.kind.in_(paying),
        EffectRow.intended_at <= since,
        sa.or_(waiting, just_done),
    )
    return session.scalar(query.limit(1)) is not None


def settled_elsewhere(
    session: Session, brand: str, return_ids: Sequence[str]
) -> dict[str, EffectRow]:
    """Settling calls (by their keys) that were made for these returns while their brand had another
    name here: ids of Loop's are the same in all shops."""
    others = sa.select(BrandRow.brand).where(BrandRow.brand != brand)
    query = sa.select(EffectRow).where(
        EffectRow.brand.in_(others),
        EffectRow.key.in_([settling_key(i) for i in return_ids]),
        EffectRow.state.not_in((*SENDABLE, EffectState.REFUSED)),
    )
    return {effect.key: effect for effect in session.scalars(query.order_by(EffectRow.id))}


NEWEST = 100
"""Calls that tell whether their kind gets through: no more of a long history are asked for."""


FAILING = "failing_since"
"""In an effect's payload: when it was first made without effect."""
ANSWERED = "answered"
"""In an effect's payload: the call was answered, in words that say that it had no effect."""
KEPT = (FAILING, ANSWERED)
"""What of an effect's payload is kept when the call is made again."""


def got_through(session: Session, effect: EffectRow) -> bool:
    """Whether another call of an effect's kind was carried out since it was first made in vain:
    then what keeps it is not what all of them meet."""
    since = datetime.fromisoformat(effect.payload.get(FAILING, effect.intended_at.isoformat()))
    newest = (
        sa.select(EffectRow.finished_at)
        .where(
            EffectRow.brand == effect.brand,
            EffectRow.kind == effect.kind,
            EffectRow.state == EffectState.DONE,
        )
        .order_by(EffectRow.id.desc())
        .limit(NEWEST)
    )
    return any(at is not None and at >= since for at in session.scalars(newest))


def still_tried(session: Session, brand: str, kind: EffectKind, since: datetime) -> bool:
    """Whether calls of a kind have no outcome, or were to be made again since then."""
    query = sa.select(EffectRow.id).where(
        EffectRow.brand == brand,
        EffectRow.kind == kind,
        sa.or_(
            EffectRow.state.in_(OPEN),
            sa.and_(EffectRow.state.in_(SENDABLE), EffectRow.try_at >= since),
        ),
    )
    return session.scalar(query.limit(1)) is not None


settlements_of: Lookup[int, EffectRow] = Lookup(
    sa.select(EffectRow.return_pk, EffectRow).where(
        EffectRow.return_pk.in_(VALUES), EffectRow.kind.in_(SETTLING)
    )
)
"""The settling effect (process, flag, remove_lines) of each return that has one."""

_TICKET_CALLS = sa.select(EffectRow.return_pk, EffectRow.id).where(
    EffectRow.return_pk.in_(VALUES), EffectRow.kind == EffectKind.TICKET
)
ticket_calls: Lookup[int, int] = Lookup(_TICKET_CALLS)
"""Of these returns, those for which this ledger has intended a ticket call before."""
open_ticket_calls: Lookup[int, int] = Lookup(_TICKET_CALLS.where(EffectRow.state.in_(OPEN)))
"""Of these returns, those with a ticket call whose outcome is unknown."""
sent_ticket_calls: Lookup[str, int] = Lookup(
    sa.select(EffectRow.key, EffectRow.return_pk).where(
        EffectRow.return_pk.in_(VALUES),
        EffectRow.kind == EffectKind.TICKET,
        EffectRow.state.not_in(SENDABLE),
    )
)
"""The keys of these returns' ticket calls that were made, or may have been."""


def in_doubt(
    session: Session, brand: str, kinds: Sequence[EffectKind], limit: int
) -> list[EffectRow]:
    """Effects whose outcome is unknown. A brand is synced by one tick at a time, so at its
    start every open intent is one whose answer was lost."""
    return list(session.scalars(_IN_DOUBT, {"brand": brand, "values": kinds, "most": limit}))


_IN_DOUBT = _IN_TURN.where(EffectRow.state.in_(OPEN))


def latest_notes(session: Session, return_pks: Sequence[int]) -> dict[int, str | None]:
    """What the newest note of each return that has one says."""
    notes = told_of(session, _NOTES, return_pks)
    return {pk: payload.get("content") for pk, payload in notes if pk is not None}


_NOTES = (
    sa.select(EffectRow.return_pk, EffectRow.payload)
    .where(EffectRow.return_pk.in_(VALUES), EffectRow.kind == EffectKind.NOTE)
    .order_by(EffectRow.id)
)


def try_now(session: Session, return_pk: int) -> None:
    """What of a return's certainly had no effect may be tried as often as at first."""
    for effect in of_return(session, return_pk):
        if effect.state in SENDABLE:
            effect.attempts, effect.try_at = 0, None


def of_return(session: Session, return_pk: int) -> list[EffectRow]:
    """All effects of a return, in order."""
    return list(
        session.scalars(
            sa.select(EffectRow).where(EffectRow.return_pk == return_pk).order_by(EffectRow.id)
        )
    )
