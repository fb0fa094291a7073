"""How the demonstration ended, by the ledger and by the sandbox's own log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import AttentionRow, DecisionRow, ReturnRow, RmaRow
from demo.world import SandboxControl

LONG = timedelta(minutes=10)
ALL_SEVEN = "all seven moments"
BESIDES = {"returns", ALL_SEVEN}
"""What is counted beside the ends: each return has one end, and they add up to all returns."""
ACTIVE = (Stage.SEEN, Stage.SETTLING, Stage.CONFIRMING, Stage.CLOSING, Stage.WAITING)


@dataclass(slots=True)
class Results:
    """Counts per brand, and what the sandbox's log says against us (nothing, one hopes)."""

    brands: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    flag_reasons: Counter[str] = field(default_factory=Counter[str])
    attention_reasons: Counter[str] = field(default_factory=Counter[str])
    kinds: Counter[str] = field(default_factory=Counter[str])
    violations: list[str] = field(default_factory=list[str])
    unaccounted: list[str] = field(default_factory=list[str])
    flagged: str = ""
    """Brand and id of a return that was flagged, as in an address."""
    first: datetime | None = None
    """When the first return was through all seven moments."""

    def as_json(self) -> dict[str, Any]:
        """Plain data; the same whatever was killed in between."""
        return {
            "brands": {b: dict(sorted(c.items())) for b, c in sorted(self.brands.items())},
            "flag_reasons": dict(sorted(self.flag_reasons.items())),
            "attention": dict(sorted(self.attention_reasons.items())),
            "parcels": dict(sorted(self.kinds.items())),
            "violations": self.violations,
            "unaccounted": self.unaccounted,
        }


def collect(ledger: Ledger, sandbox: SandboxControl) -> Results:
    """The results as they stand."""
    results = Results()
    effects = sandbox.effects()
    with ledger.read() as session:
        rows = list(session.scalars(sa.select(ReturnRow)))
        for row in rows:
            counts = results.brands.setdefault(row.brand, Counter())
            counts["returns"] += 1
            counts[_end(session, row)] += 1
            if row.completed_at and row.announced_at and row.received_at and row.rma_closed_at:
                counts[ALL_SEVEN] += 1
                results.first = min(results.first or row.completed_at, row.completed_at)
        _reasons(session, results)
    known = {row.return_id for row in rows}
    results.unaccounted = sorted(set(effects["returns"]) - known)
    results.violations = [str(v) for v in effects["violations"]] + [
        f"return {i} has RMAs {', '.join(e['tickets'])} for {e['labels']} labels"
        for i, e in effects["returns"].items()
        if len(e["tickets"]) > max(1, e["labels"])
    ]
    results.kinds = Counter(
        kind for e in effects["returns"].values() for kind in e["parcels"].values() if kind
    )
    return results


def _end(session: Session, row: ReturnRow) -> str:
    if row.held:
        return "attention"
    if row.stage == Stage.SEEN and row.due_at and row.due_at > datetime.now(UTC) + LONG:
        return "waits for a product"
    if row.stage == Stage.COMPLETE:
        return "complete" if row.announced_at else "closed without parcel"
    if row.stage == Stage.RECEIVED:
        return "decided in shadow"
    return row.stage.replace("_", " ")


def _reasons(session: Session, results: Results) -> None:
    newest = sa.select(sa.func.max(DecisionRow.id)).group_by(DecisionRow.return_pk)
    flagged = session.execute(
        sa.select(DecisionRow.rule, ReturnRow.brand, ReturnRow.return_id)
        .join(ReturnRow, ReturnRow.id == DecisionRow.return_pk)
        .where(DecisionRow.id.in_(newest), ReturnRow.stage == Stage.FLAGGED)
        .order_by(ReturnRow.id)
    )
    for rule, brand, return_id in flagged:
        results.flag_reasons[rule] += 1
        results.flagged = results.flagged or f"{brand}/{return_id}"
    held = session.execute(
        sa.select(AttentionRow.kind, sa.func.count())
        .where(AttentionRow.resolved_at.is_(None))
        .group_by(AttentionRow.kind)
    ).tuples()
    results.attention_reasons.update(dict(held.all()))


def _waits_for_a_product(now: datetime) -> sa.ColumnElement[bool]:
    """Looked at again much later: what is wrong with a product is told once for all its returns."""
    later = sa.func.coalesce(ReturnRow.due_at, now) > now + LONG
    return sa.and_(ReturnRow.stage == Stage.SEEN, later)


def still_moving(ledger: Ledger, sandbox: SandboxControl, shadow: str) -> int:
    """Returns that have something to happen to them yet without anybody's doing."""
    parcels = {
        ticket: kind
        for e in sandbox.effects()["returns"].values()
        for ticket, kind in e["parcels"].items()
    }
    with ledger.read() as session:
        active = session.scalar(
            sa.select(sa.func.count())
            .select_from(ReturnRow)
            .where(
                ReturnRow.held.is_(False),
                ReturnRow.stage.in_(ACTIVE),
                sa.not_(_waits_for_a_product(datetime.now(UTC))),
            )
        )
        received = session.scalar(
            sa.select(sa.func.count())
            .select_from(ReturnRow)
            .where(
                ReturnRow.held.is_(False),
                ReturnRow.stage == Stage.RECEIVED,
                ReturnRow.brand != shadow,
            )
        )
        announced = session.scalars(
            sa.select(RmaRow.ticket_id)
            .join(ReturnRow, ReturnRow.id == RmaRow.return_pk)
            .where(ReturnRow.stage == Stage.ANNOUNCED)
        )
        coming = sum(1 for t in announced if t and parcels.get(t) != "never")
    return (active or 0) + (received or 0) + coming
