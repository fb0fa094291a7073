"""What people look at: counts per brand, lists, and the timeline of one return."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.lifecycle import STAGE_MOMENT, Moment, Stage
from bergen_loop.ledger.codec import Document
from bergen_loop.ledger.read import search
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import attention, effects, journal, returns
from bergen_loop.ledger.tables.core import (
    AttentionRow,
    Base,
    DecisionRow,
    EffectRow,
    JournalRow,
    LineRow,
    ReceiptRow,
    ReturnRow,
    RmaRow,
)


@dataclass(slots=True)
class MomentView:
    """One of the seven moments of a return."""

    moment: Moment
    at: datetime | None
    text: str


@dataclass(slots=True)
class ReturnView:
    """Everything about one return."""

    row: ReturnRow
    lines: list[LineRow]
    rmas: list[RmaRow]
    receipts: list[ReceiptRow]
    decisions: list[DecisionRow]
    effects: list[EffectRow]
    attention: list[AttentionRow]
    journal: list[JournalRow]
    moments: list[MomentView] = field(default_factory=list[MomentView])

    @property
    def decision(self) -> DecisionRow | None:
        return self.decisions[-1] if self.decisions else None


def stage_counts(session: Session, brand: str | None = None) -> dict[str, dict[str, int]]:
    """Number of returns by brand and stage."""
    query = sa.select(ReturnRow.brand, ReturnRow.stage, sa.func.count()).group_by(
        ReturnRow.brand, ReturnRow.stage
    )
    if brand:
        query = query.where(ReturnRow.brand == brand)
    counts: dict[str, dict[str, int]] = {}
    for name, stage, number in session.execute(query):
        counts.setdefault(name, {})[stage] = number
    return counts


def find_return(session: Session, text: str, brand: str | None = None) -> list[ReturnRow]:
    """Returns that are exactly `text` by anything `ledger.search` knows, the newest first. Their
    `content` is not loaded."""
    found = search.find(session, Scope.of([brand] if brand else None), text)
    return found.rows if found.exact else []


def return_view(session: Session, row: ReturnRow) -> ReturnView:
    """Everything about one return."""
    rmas = returns.rmas_of(session, [row.id]).get(row.id, [])
    receipts = list(
        session.scalars(
            sa.select(ReceiptRow)
            .where(ReceiptRow.rma_pk.in_([r.id for r in rmas]))
            .order_by(ReceiptRow.id)
        )
    )
    view = ReturnView(
        row=row,
        lines=list(
            session.scalars(
                sa.select(LineRow).where(LineRow.return_pk == row.id).order_by(LineRow.line_item_id)
            )
        ),
        rmas=rmas,
        receipts=receipts,
        decisions=list(
            session.scalars(
                sa.select(DecisionRow)
                .where(DecisionRow.return_pk == row.id)
                .order_by(DecisionRow.id)
            )
        ),
        effects=effects.of_return(session, row.id),
        attention=attention.open_items(session, return_pk=row.id),
        journal=journal.entries(session, row.id),
    )
    view.moments = _moments(view)
    return view


def _moments(view: ReturnView) -> list[MomentView]:
    row, decision = view.row, view.decision
    tickets = ", ".join(r.ticket_id or f"{r.customer_po} (asked for)" for r in view.rmas)
    evidence = "; ".join(r.close_evidence for r in view.rmas if r.close_evidence)
    texts: dict[Moment, tuple[datetime | None, str]] = {
        Moment.SUBMITTED: (row.submitted_at, f"order {row.order_name or '?'}"),
        Moment.SEEN: (row.seen_at, f"in Loop now: {row.loop_state}"),
        Moment.ANNOUNCED: (row.announced_at, tickets or _no_rma(row)),
        Moment.RECEIVED: (row.received_at, _receipts(view)),
        Moment.DECIDED: (
            row.decided_at or (row.settled_at if row.stage != Stage.COMPLETE or tickets else None),
            decision.reason if decision else "",
        ),
        Moment.RMA_CLOSED: (row.rma_closed_at, evidence or _closing(row)),
        Moment.COMPLETE: (row.completed_at, _standing(view)),
    }
    return [MomentView(moment, *texts[moment]) for moment in Moment]


def _no_rma(row: ReturnRow) -> str:
    return {
        Stage.NO_PARCEL: "nothing is sent back: no RMA",
        Stage.SEEN: "not yet",
    }.get(Stage(row.stage), "")


def _closing(row: ReturnRow) -> str:
    return "closing" if row.stage == Stage.CLOSING else ""


def _receipts(view: ReturnView) -> str:
    lines: list[Any] = [x for r in view.receipts[-1:] for x in r.content.get("lines", [])]
    if not lines:
        return ""
    counted = sum(x.get("actual") or 0 for x in lines)
    damaged = sum(x.get("damaged") or 0 for x in lines)
    return f"{counted} counted, {damaged} damaged"


def _standing(view: ReturnView) -> str:
    row = view.row
    if view.attention:
        return f"needs attention: {view.attention[0].reason}"
    return "" if row.stage == Stage.COMPLETE else f"now: {row.stage.replace('_', ' ')}"


def moment_of(row: ReturnRow) -> Moment:
    """The last of the seven moments a return has reached."""
    if row.completed_at:
        return Moment.COMPLETE
    reached = STAGE_MOMENT[Stage(row.stage)]
    for moment, at in (
        (Moment.RMA_CLOSED, row.rma_closed_at),
        (Moment.DECIDED, row.settled_at or row.decided_at),
        (Moment.RECEIVED, row.received_at),
        (Moment.ANNOUNCED, row.announced_at),
    ):
        if at:
            return max(moment, reached)
    return reached


def as_json(view: ReturnView) -> dict[str, Any]:
    """A return view as plain data."""
    return {
        "brand": view.row.brand,
        "return": plain(view.row, leave_out=("content", "content_hash")),
        "moments": [
            {"moment": m.moment, "title": m.moment.title, "at": m.at, "text": m.text}
            for m in view.moments
        ],
        "lines": [plain(x) for x in view.lines],
        "rmas": [plain(x) for x in view.rmas],
        "receipts": [plain(x) for x in view.receipts],
        "decisions": [plain(x) for x in view.decisions],
        "effects": [plain(x) for x in view.effects],
        "attention": [plain(x) for x in view.attention],
        "journal": [plain(x) for x in view.journal],
    }


def plain(row: Base, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """A table row as a dict of its columns; documents in it are plain data."""
    columns = (column.key for column in row.__table__.columns)
    values = {name: getattr(row, name) for name in columns if name not in leave_out}
    return {name: x.data if isinstance(x, Document) else x for name, x in values.items()}
