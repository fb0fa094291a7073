"""What a brand's going live would lead to at once: for the person who is about to."""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.lifecycle import Stage
from bergen_loop.ledger.read import shadow
from bergen_loop.ledger.read.causes import Sum
from bergen_loop.ledger.read.shadow import Verdict
from bergen_loop.ledger.store import modes
from bergen_loop.ledger.store.chunks import chunks
from bergen_loop.ledger.tables.core import DecisionRow, ReturnRow

PAYS = (Outcome.PROCESS, Outcome.REMOVE_LINES)


@dataclass(slots=True)
class GoLive:
    """What waits. The decisions are those of shadow, or such as were not sent yet: each return is
    judged once more before anything is done."""

    paid: int = 0
    """Returns that would be processed."""
    worth: Sum = field(default_factory=Sum)
    """What these are worth in all, as Loop's totals say."""
    flagged: int = 0
    others: int = 0
    """Received, and to be judged, asked about or waited for."""
    compared: int = 0
    """Shadow decisions that could be compared with what people did in Loop ..."""
    alike: int = 0
    """... and those that agreed."""


def look(session: Session, brand: str) -> GoLive:
    """What the brand's going live would lead to now."""
    waiting = set(session.scalars(modes.waiting_for_live(brand).with_only_columns(ReturnRow.id)))
    stages = (Stage.RECEIVED, Stage.WAITING, Stage.SETTLING)
    query = sa.select(ReturnRow.id, ReturnRow.stage, ReturnRow.total, ReturnRow.currency)
    rows = session.execute(
        query.where(
            ReturnRow.brand == brand, ReturnRow.stage.in_(stages), ReturnRow.held.is_(False)
        )
    ).all()
    decided = _latest(session, [pk for pk, *_ in rows])
    report = shadow.report(session, brand)
    found = GoLive(alike=report.verdicts[Verdict.AGREE])
    found.compared = found.alike + report.verdicts[Verdict.DISAGREE]
    for pk, stage, total, currency in rows:
        outcome = decided.get(pk) if pk in waiting or stage == Stage.SETTLING else None
        if outcome in PAYS:
            found.paid += 1
            found.worth.add(total, currency)
        elif outcome == Outcome.FLAG:
            found.flagged += 1
        else:
            found.others += 1
    return found


def _latest(session: Session, pks: list[int]) -> dict[int, str]:
    """The outcome of each return's latest decision."""
    found: dict[int, str] = {}
    for chunk in chunks(pks):
        query = sa.select(DecisionRow.return_pk, DecisionRow.outcome)
        query = query.where(DecisionRow.return_pk.in_(chunk)).order_by(DecisionRow.id)
        found.update((pk, outcome) for pk, outcome in session.execute(query))
    return found
