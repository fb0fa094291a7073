"""Whether a brand's decisions are acted on: live, shadow (only journaled) or paused; and while it
starts gradually, how much of them within an hour.

The configuration says how a brand starts; a command can set another mode, which then holds. What
was sent under a gradual start is known by its intents, which stand before the call: so a crash,
another worker or a lost answer leaves nothing out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.pace import HOUR, Pace, Turn, Turns, Worth
from bergen_loop.domain.returns import TO_JUDGE, LoopState, Stage
from bergen_loop.domain.words import PAYING, Need, What
from bergen_loop.ledger.store import attention, effects, journal, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import BrandRow, DecisionRow, EffectRow, JournalRow, ReturnRow
from bergen_loop.ledger.transaction import Transaction

LIVE, SHADOW, PAUSED = "live", "shadow", "paused"
MODES = (LIVE, SHADOW, PAUSED)
ASKED = "live once signed off"
"""What a configuration file means that says `live`, for a brand that has been in shadow."""
MEANING = {
    LIVE: "decisions are acted on in Loop from the next sync on; what was received meanwhile is "
    "judged anew",
    SHADOW: "RMAs are made and receipts judged, but nothing is done in Loop",
    PAUSED: "nothing is done for this brand until it is set live or shadow again",
}
"""What each mode leads to, for people."""


@dataclass(frozen=True, slots=True)
class SignOff:
    """What somebody has seen who lets a brand go live, and how it is to begin."""

    seen: Mapping[str, str]
    """The points of the checklist, by name, as they were told."""
    pace: Pace | None = None


def as_filed(mode: str) -> str:
    """A mode as a configuration file means it."""
    return ASKED if mode == LIVE else mode


def effective(row: BrandRow | None, configured: str) -> str:
    """The mode that holds: the one a command has set, else the configured one."""
    return after(row, row.mode if row else None, configured)


def after(row: BrandRow | None, mode: str | None, configured: str) -> str:
    """The mode that holds once a command has set this one (None: the configured one). A brand
    that its file calls live begins so; one that has judged in shadow, where returns may wait to be
    paid at once, stays there until somebody has signed its checklist, which sets the mode."""
    if mode or configured != ASKED:
        return mode or configured
    return SHADOW if row is not None and row.acted_mode == SHADOW else LIVE


def unsigned(row: BrandRow | None, configured: str) -> bool:
    """Whether the file says live, and the brand waits in shadow for somebody's signature."""
    by_file = configured == ASKED and not (row and row.mode)
    return by_file and effective(row, configured) == SHADOW


def how_to_sign(brand: str) -> str:
    """What somebody does about a brand that waits so."""
    return (
        f"sign its checklist: Go live on its page, or `bergen-loop brands mode {brand} live`; or "
        "let the file say shadow"
    )


def set_mode(
    tx: Transaction,
    mode: str | None,
    *,
    configured: str,
    why: str,
    signed: SignOff | None = None,
) -> tuple[str, str]:
    """Set a brand's mode (None: the configured one again); the mode before and after.

    The next tick takes it up. A tick that is acting right now is stopped before its next call
    when the brand leaves live, which also ends a gradual start. People go live by
    `people.golive`, which asks for `signed`. ValueError for an unknown mode or a blank reason.
    """
    if mode is not None and mode not in MODES:
        raise ValueError(f"{mode!r} is no mode: use one of {', '.join(MODES)}")
    if not why.strip():
        raise ValueError("a change of mode needs a reason")
    row = returns.brand_row(tx.session, tx.brand)
    before = effective(row, configured)
    row.mode, row.nudged_at = mode, tx.now
    after = effective(row, configured)
    if before == LIVE and after != LIVE:
        row.epoch += 1  # the fence: the tick that runs now can write no further intent
    if before != after:
        keep_pace(row, signed.pace if signed and after == LIVE else None)
    why = why.strip() + ("" if mode else " (as configured)")
    data: dict[str, Any] = {"before": before, "after": after, "set": mode}
    if signed is not None:
        data |= {"seen": dict(signed.seen), "pace": str(signed.pace) if signed.pace else None}
    tx.journal(What.MODE_SET, why, data=data)
    return before, after


def take_effect(session: Session, now: datetime, row: BrandRow, configured: str) -> str:
    """At the start of a tick: the mode it has to work in, after carrying out a change of it.

    No longer live: what was decided but not yet sent to Loop is judged anew, in shadow. Live:
    `judge_anew`, once it is known what people have done in Loop.
    """
    mode, before = effective(row, configured), row.acted_mode
    if mode == PAUSED:
        return mode  # a paused brand has no tick that could carry anything out
    row.acted_mode = mode
    if mode == SHADOW or before != mode:
        _ask(session, now, row, configured)
    if mode != LIVE and before == LIVE:
        _take_back(session, now, row.brand)
    return mode


def _ask(session: Session, now: datetime, row: BrandRow, configured: str) -> None:
    """Have somebody sign for a brand that its file calls live; no longer where that has passed."""
    if not unsigned(row, configured):
        words = "it is live" if row.acted_mode == LIVE else "it is not to be live"
        about = [(Need.GO_LIVE, "")]
        attention.resolve_kinds(session, now, brand=row.brand, about=about, resolution=words)
        return
    last = attention.last_of_kind(session, row.brand, Need.GO_LIVE)
    if last is not None and last.ended == attention.Ended.IGNORED:
        return  # a person has said that it is to stay so
    attention.raise_item(
        session,
        now,
        attention.Matter(
            brand=row.brand,
            kind=Need.GO_LIVE,
            reason="the configuration file says live now; what was judged in shadow would be paid "
            "at once, so the brand stays there until somebody has signed its checklist",
        ),
    )


def judged_in_shadow(session: Session, brand: str) -> int:
    """How many returns wait for the brand to go live: received, open, judged in shadow only."""
    waiting = waiting_for_live(brand).subquery()
    return session.scalar(sa.select(sa.func.count()).select_from(waiting)) or 0


def waiting_for_live(brand: str) -> sa.Select[ReturnRow]:
    """Not those that people have flagged in Loop: they decide there."""
    return sa.select(ReturnRow).where(ReturnRow.brand == brand, *WAITS_FOR_LIVE)


_SHADOW = (
    sa.select(DecisionRow.shadow)
    .where(DecisionRow.return_pk == ReturnRow.id)
    .order_by(DecisionRow.id.desc())
    .limit(1)
    .scalar_subquery()
)
WAITS_FOR_LIVE = (
    ReturnRow.stage.in_(TO_JUDGE),
    ReturnRow.held.is_(False),
    ReturnRow.due_at.is_(None),
    ReturnRow.loop_state == LoopState.OPEN,
    _SHADOW.is_(True),
)
"""What such a return is known by."""


def judge_anew(session: Session, now: datetime, brand: str) -> None:
    """A live brand: what was judged in shadow and is still open is judged anew. Looked for at
    every tick, since a return that people have flagged can be opened again."""
    waiting = list(session.scalars(waiting_for_live(brand)))
    for return_row in waiting:
        return_row.due_at = now
    if waiting:
        why = f"{len(waiting)} return(s) that were judged in shadow are judged anew"
        journal.record(session, now, journal.Entry(What.MODE_LIVE, why, brand=brand))


def _take_back(session: Session, now: datetime, brand: str) -> None:
    rows = list(
        session.scalars(
            sa.select(ReturnRow).where(ReturnRow.brand == brand, ReturnRow.stage == Stage.SETTLING)
        )
    )
    settled = effects.settlements_of(session, [row.id for row in rows])
    for row in rows:
        effect, decision = settled.get(row.id), returns.latest_decision(session, row.id)
        sent = effect is not None and effect.state not in effects.SENDABLE
        if sent or decision is None or decision.by != journal.SERVICE:
            continue  # its answer is awaited, or a person has decided it
        row.stage, row.due_at, row.decided_at = Stage.RECEIVED, now, None
        why = f"the brand is no longer live; '{decision.outcome}' was decided, but not sent to Loop"
        journal.record(
            session, now, journal.Entry(What.TAKEN_BACK, why, brand=brand, return_pk=row.id)
        )


# -- a gradual start: the limit, what counts against it, who waits for it ----------------------

PAYS = (Outcome.PROCESS, Outcome.REMOVE_LINES)
_WITHOUT_EFFECT = (*effects.SENDABLE, EffectState.REFUSED)


def pace_of(row: BrandRow | None, now: datetime) -> Pace | None:
    """The gradual start that holds now."""
    if row is None or row.pace_until is None or row.pace_until <= now:
        return None
    amount = Decimal(row.pace_amount) if row.pace_amount else None
    return Pace(row.pace_until, row.pace_returns, amount)


def keep_pace(row: BrandRow, pace: Pace | None) -> None:
    """Have this one hold, or none."""
    row.pace_until = pace.until if pace else None
    row.pace_returns = pace.returns if pace else None
    row.pace_amount = str(pace.amount) if pace and pace.amount is not None else None


def turns(session: Session, brand: str, now: datetime) -> Turns | None:
    """Who has been paid within the last hour, and who waits; None without a gradual start."""
    pace = pace_of(returns.known_brand(session, brand), now)
    if pace is None:
        return None
    paid = (
        sa.select(EffectRow.intended_at, ReturnRow.total, ReturnRow.currency)
        .join(ReturnRow, ReturnRow.id == EffectRow.return_pk)
        .where(
            EffectRow.brand == brand,
            EffectRow.kind.in_(PAYING),
            EffectRow.state.not_in(_WITHOUT_EFFECT),
            EffectRow.intended_at > now - HOUR,
        )
    )
    queued = _waiting(brand, now).with_only_columns(
        ReturnRow.due_at, ReturnRow.total, ReturnRow.currency
    )
    return Turns(pace, _turns(session.execute(paid)), _turns(session.execute(queued)))


def _turns(rows: Iterable[Any]) -> list[Turn]:
    return [(row[0], Worth.of(row[1], row[2])) for row in rows]


def _waiting(brand: str, now: datetime) -> sa.Select[ReturnRow]:
    """Decided, and not to be sent before a time that is still to come."""
    return sa.select(ReturnRow).where(
        ReturnRow.brand == brand,
        ReturnRow.stage == Stage.SETTLING,
        ReturnRow.held.is_(False),
        ReturnRow.due_at > now,
    )


def waiting_for_turn(session: Session, brand: str, now: datetime) -> Sequence[ReturnRow]:
    """Returns that are to be paid and wait for their turn, the next one first."""
    rows = session.scalars(_waiting(brand, now).order_by(ReturnRow.due_at, ReturnRow.id)).all()
    decided = returns.latest_decisions(session, [row.id for row in rows])
    return [r for r in rows if r.id in decided and _pays(decided[r.id])]


def _pays(decision: DecisionRow) -> bool:
    return decision.outcome in PAYS


def turn_of(session: Session, row: ReturnRow, now: datetime) -> DecisionRow | None:
    """What was decided about a return that waits for its turn; None where it does not."""
    waits = row.stage == Stage.SETTLING and not row.held and row.due_at and row.due_at > now
    if not waits or pace_of(returns.known_brand(session, row.brand), now) is None:
        return None
    decision = returns.latest_decision(session, row.id)
    if decision is None or not _pays(decision) or decision.by != journal.SERVICE:
        return None
    effect = effects.settlements_of(session, [row.id]).get(row.id)
    return decision if effect is None or effect.state in effects.SENDABLE else None


def released(session: Session, return_pk: int, decision: DecisionRow) -> bool:
    """Whether a person has let it go before its turn. That holds for what was decided then, not
    for what is decided anew."""
    query = sa.select(JournalRow.data).where(
        JournalRow.return_pk == return_pk, JournalRow.happened == What.RELEASED
    )
    return any(data.get("decision") == decision.id for data in session.scalars(query))


def let_go(tx: Transaction) -> None:
    """The limit is another one, or none: whoever waits is looked at anew."""
    for row in tx.session.scalars(_waiting(tx.brand, tx.now)):
        row.due_at = tx.now
