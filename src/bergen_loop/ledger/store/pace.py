"""A gradual start as the ledger keeps it: the limit, what counts against it, who waits for it.

What was sent is known by its intents, which stand before the call: so a crash, another worker or
a lost answer leaves nothing out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.lifecycle import Stage
from bergen_loop.domain.pace import HOUR, Pace, Turn, Turns, Worth
from bergen_loop.domain.words import EffectKind, What
from bergen_loop.ledger.store import effects, journal, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import BrandRow, DecisionRow, EffectRow, JournalRow, ReturnRow
from bergen_loop.ledger.transaction import Transaction

PAYING = (EffectKind.PROCESS, EffectKind.REMOVE_LINES)
PAYS = (Outcome.PROCESS, Outcome.REMOVE_LINES)
_WITHOUT_EFFECT = (*effects.SENDABLE, EffectState.REFUSED)


def of(row: BrandRow | None, now: datetime) -> Pace | None:
    """The gradual start that holds now."""
    if row is None or row.pace_until is None or row.pace_until <= now:
        return None
    amount = Decimal(row.pace_amount) if row.pace_amount else None
    return Pace(row.pace_until, row.pace_returns, amount)


def keep(row: BrandRow, pace: Pace | None) -> None:
    """Have this one hold, or none."""
    row.pace_until = pace.until if pace else None
    row.pace_returns = pace.returns if pace else None
    row.pace_amount = str(pace.amount) if pace and pace.amount is not None else None


def turns(session: Session, brand: str, now: datetime) -> Turns | None:
    """Who has been paid within the last hour, and who waits; None without a gradual start."""
    pace = of(returns.known_brand(session, brand), now)
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


def waiting(session: Session, brand: str, now: datetime) -> Sequence[ReturnRow]:
    """Returns that are to be paid and wait for their turn, the next one first."""
    rows = session.scalars(_waiting(brand, now).order_by(ReturnRow.due_at, ReturnRow.id)).all()
    decided = returns.latest_decisions(session, [row.id for row in rows])
    return [r for r in rows if r.id in decided and _pays(decided[r.id])]


def _pays(decision: DecisionRow) -> bool:
    return decision.outcome in PAYS


def turn_of(session: Session, row: ReturnRow, now: datetime) -> DecisionRow | None:
    """What was decided about a return that waits for its turn; None where it does not."""
    waits = row.stage == Stage.SETTLING and not row.held and row.due_at and row.due_at > now
    if not waits or of(returns.known_brand(session, row.brand), now) is None:
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
