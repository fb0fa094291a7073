"""What people look at: counts per brand, lists, and the timeline of one return."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.announce import AnnounceRules, physical_lines
from bergen_loop.domain.comparison import Comparison, compare
from bergen_loop.domain.decision import SETTLING_OUTCOMES, Outcome
from bergen_loop.domain.returns import STAGE_MOMENT, LoopState, Moment, Stage
from bergen_loop.domain.rma import Receipt
from bergen_loop.domain.words import EffectKind, Need, What
from bergen_loop.ledger.codec import Document, load_items, load_receipt, load_return
from bergen_loop.ledger.read import search
from bergen_loop.ledger.read import why as reasons
from bergen_loop.ledger.read.carried import Carried, carrying
from bergen_loop.ledger.read.why import Asked, Call, Facts, Left, Ticket, Verdict, Why
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import attention, effects, journal, modes, returns
from bergen_loop.ledger.store.effects import EffectState
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
    title: str
    """What it is called; of the fifth, which it was."""


@dataclass(frozen=True, slots=True)
class BrandFacts:
    """What a view needs to know of the return's brand: how people call it, how it announces its
    parcels, and its mode."""

    name: str
    rules: AnnounceRules | None = None
    mode: str = "live"


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
    compared: Comparison
    """What was expected against what came, reckoned as a decision reckons it."""
    ignored: AttentionRow | None
    """The item with which a person has left the return alone."""
    brand: BrandFacts
    carried: list[Carried]
    """The consolidated shipments it comes in."""
    turn: datetime | None
    """When its turn comes in a gradual start, if it waits for that."""
    moments: list[MomentView] = field(default_factory=list[MomentView])

    @property
    def newest(self) -> list[ReceiptRow]:
        """The newest receipt of each RMA."""
        return list({r.rma_pk: r for r in self.receipts}.values())

    @property
    def facts(self) -> Facts:
        """What its sentence is made of."""
        return _facts(self)

    def why(self, zone: tzinfo = UTC) -> Why:
        """Why it stands where it stands, and what comes next."""
        return reasons.why(self.facts, zone)

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
    """Returns that are exactly `text` by anything `ledger.search` knows, the newest first."""
    found = search.find(session, Scope.of([brand] if brand else None), text)
    if not found.exact:
        return []
    whole = sa.select(ReturnRow).where(ReturnRow.id.in_([row.id for row in found.rows]))
    session.scalars(whole.execution_options(populate_existing=True)).all()  # with their content
    return found.rows


def return_view(
    session: Session, row: ReturnRow, brand: BrandFacts | None = None
) -> ReturnView:  # fmt: skip
    """Everything about one return. Without its `brand`'s settings every unit counts as one that
    comes, and kits are not known."""
    brand = brand or BrandFacts(row.brand)
    if "content" in sa.inspect(row).unloaded:  # of a list: it came without it
        session.refresh(row, ["content"])
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
        compared=_compared(row, rmas, receipts, brand.rules),
        ignored=attention.ignored(session, [row]).get(row.id),
        brand=brand,
        carried=carrying(session, row.brand, row.return_id),
        turn=row.due_at if modes.turn_of(session, row, datetime.now(UTC)) else None,
    )
    view.moments = _moments(view)
    return view


def _compared(
    row: ReturnRow, rmas: list[RmaRow], receipts: list[ReceiptRow], rules: AnnounceRules | None
) -> Comparison:
    return_ = load_return(row.content)
    lines = physical_lines(return_, rules) if rules else return_.lines
    newest = {r.rma_pk: r for r in receipts}
    counted = [load_receipt(r.content) for r in newest.values()]
    announced = [load_items(r.items) for r in rmas]
    kits, remarks = (rules.kits, rules.remarks) if rules else (None, None)
    return compare(lines, counted, announced, kits, remarks)


def _facts(view: ReturnView) -> Facts:
    row, settlement = view.row, _settlement(view)
    holds = [i for i in view.attention if i.blocking]
    return Facts(
        stage=Stage(row.stage),
        brand=view.brand.name,
        mode=view.brand.mode,
        submitted_at=row.submitted_at,
        announced_at=row.announced_at,
        received_at=row.received_at,
        settled_at=row.settled_at,
        completed_at=row.completed_at,
        due_at=row.due_at,
        label_status=load_return(row.content).label.status,
        tickets=tuple(
            Ticket(r.ticket_id or r.customer_po, r.ticket_status, r.status_seen_at)
            for r in view.rmas
        ),
        counted=view.compared.in_words if view.receipts else "",
        verdict=_verdict(view.decision) if view.decision else None,
        called=EffectKind(settlement.kind) if settlement else None,
        call=_CALLS[EffectState(settlement.state)] if settlement else None,
        try_at=settlement.try_at if settlement else None,
        open_in_loop=row.loop_state == LoopState.OPEN,
        asked=tuple(Asked(_need(i), i.reason, i.opened_at, i.assignee) for i in holds),
        left=_left(view.ignored) if view.ignored else None,
        turn=view.turn,
        waits_for=next((e.why for e in reversed(view.journal) if e.happened == What.WAITS), ""),
        order=row.order_name,
        refund=row.outcome == "refund",
    )


_CALLS = {
    EffectState.PLANNED: Call.TO_SEND,
    EffectState.NOT_SENT: Call.TO_SEND,
    EffectState.INTENDED: Call.LOST,
    EffectState.DOUBT: Call.LOST,
    EffectState.ACCEPTED: Call.TAKEN,
    EffectState.DONE: Call.DONE,
    EffectState.REFUSED: Call.FAILED,
    EffectState.FAILED: Call.FAILED,
}


def _settlement(view: ReturnView) -> EffectRow | None:
    key = effects.settling_key(view.row.return_id)
    return next((e for e in view.effects if e.key == key), None)


def _verdict(decision: DecisionRow) -> Verdict:
    by = decision.by if decision.by != journal.SERVICE else None
    outcome = Outcome(decision.outcome)
    return Verdict(outcome, decision.rule, by, decision.shadow, decision.wait_until)


def _need(item: AttentionRow) -> Need:
    return _NEEDS.get(item.kind, Need.INTERNAL)


_NEEDS = {need.value: need for need in Need}
"""A later release may know others."""


def _left(item: AttentionRow) -> Left:
    why = (item.resolution or "").removeprefix("ignored: ")
    return Left(item.resolved_by or "?", item.resolved_at or item.opened_at, why)


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
            decision.reason if decision and decision.outcome in SETTLING_OUTCOMES else "",
        ),
        Moment.RMA_CLOSED: (row.rma_closed_at, evidence or _closing(row)),
        Moment.COMPLETE: (row.completed_at, _standing(view)),
        **_together(view),
    }
    titles = {m: m.title for m in Moment}
    if texts[Moment.DECIDED][0]:
        titles[Moment.DECIDED] = reasons.settled(view.facts)
    return [MomentView(moment, *texts[moment], titles[moment]) for moment in Moment]


def _together(view: ReturnView) -> dict[Moment, tuple[datetime | None, str]]:
    """Of a return that comes in consolidated shipments: it is announced, received and finished in
    Bergen with them."""
    if not view.carried or any(r.shipment_pk is None for r in view.rmas):
        return {}
    names = "; ".join(
        f"{c.tickets or 'RMA asked for'}, of {c.shipment.happy_id}" for c in view.carried
    )
    told = "; ".join(f"{c.words} ({c.shipment.happy_id})" for c in view.carried)
    made = [c.announced_at for c in view.carried]
    came = [c.shipment.arrived_at if c.counted else None for c in view.carried]
    row = view.row
    return {
        Moment.ANNOUNCED: (row.announced_at or max((t for t in made if t), default=None), names),
        Moment.RECEIVED: (
            row.received_at or (max(t for t in came if t) if all(came) else None),
            told,
        ),
        Moment.RMA_CLOSED: (
            row.rma_closed_at or (max(t for t in came if t) if all(came) else None),
            "finished with its shipment" if all(came) else "",
        ),
    }


def _no_rma(row: ReturnRow) -> str:
    return {
        Stage.NO_PARCEL: "nothing is sent back: no RMA",
        Stage.SEEN: "not yet",
    }.get(Stage(row.stage), "")


def _closing(row: ReturnRow) -> str:
    return "closing" if row.stage == Stage.CLOSING else ""


def _receipts(view: ReturnView) -> str:
    return "; ".join(_told(r, load_receipt(r.content)) for r in view.newest)


def _told(row: ReceiptRow, receipt: Receipt) -> str:
    return receipt.counts + (f" (corrected by {row.by})" if row.corrects else "")


def _standing(view: ReturnView) -> str:
    row = view.row
    if view.attention:
        return "needs attention"
    if view.ignored:
        return f"left to people by {view.ignored.resolved_by}"
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
        "why": why_as_json(view),
        "moments": [
            {
                "moment": m.moment,
                "title": m.moment.title,
                "told": m.title,
                "at": m.at,
                "text": m.text,
            }
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


def why_as_json(view: ReturnView, zone: tzinfo = UTC) -> dict[str, Any]:
    """Why a return stands where it stands, as plain data."""
    why = view.why(zone)
    return {
        "sentence": why.sentence(zone),
        "what": why.what,
        "who": why.who.value,
        "next": why.next,
        "until": why.until,
        "reply": reasons.reply(view.facts, zone),
    }


def plain(row: Base, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """A table row as a dict of its columns; documents in it are plain data."""
    columns = (column.key for column in row.__table__.columns)
    values = {name: getattr(row, name) for name in columns if name not in leave_out}
    return {name: x.data if isinstance(x, Document) else x for name, x in values.items()}
