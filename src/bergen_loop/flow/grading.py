"""Grades and dispositions for Loop, where the brand wants them: after the receipt, before the
return is processed or flagged.

Grading never holds up a refund: what Loop refuses is shown to people, and the return goes on. What
was not sent is sent later, also after the return was settled. A call whose answer was lost is
looked for on the units, as Loop's details show them; it is made once more where they stay without,
and then a person is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from bergen_loop.config.grading import ConditionSettings, GradingSettings
from bergen_loop.domain.codes import normal_code, normal_upc
from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.grading import GradedUnit, UnitCondition, graded_units
from bergen_loop.domain.returns import OFF, SETTLED, Stage
from bergen_loop.domain.words import GRADING, EffectKind, Need
from bergen_loop.flow.calls import (
    Call,
    Seen,
    Undertaking,
    carry_out,
    details,
    had_no_effect,
    ready,
)
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.facts import comparison_of
from bergen_loop.ledger.codec import load_receipt
from bergen_loop.ledger.store import effects, floor, returns
from bergen_loop.ledger.store.effects import AlreadyIntended, EffectState, Intent
from bergen_loop.ledger.tables.core import DecisionRow, EffectRow, ReturnRow
from bergen_loop.ledger.transaction import FencedTransaction, Transaction
from bergen_loop.outside.errors import OutsideError
from bergen_loop.outside.loop.grades import grades
from bergen_loop.outside.loop.models import ParsedReturn
from bergen_loop.outside.loop.requests import AssessItem, Condition, GradeItem
from bergen_loop.text import shortened

PER_CALL = 30
"""Loop takes at most so many items in a call."""
PER_TICK = 400
MOST_NOTE = 255
"""Characters: as many as a description may have; for a note Loop documents no limit."""
TRIES = 2
"""Calls whose answers were lost, before a person is told."""

I = TypeVar("I")  # noqa: E741

Items = Sequence[GradeItem] | Sequence[AssessItem]
"""Of one return."""


def run(ctx: BrandContext) -> None:
    """Grade what is about to be settled."""
    with ctx.ledger.read() as session:
        rows = returns.due(session, ctx.brand, [Stage.SETTLING], ctx.now(), PER_TICK)
    for kind in GRADING:
        carry_out(ctx, Gradings(ctx, kind), rows)


def resume(ctx: BrandContext) -> None:
    """Find out what became of calls without an answer, and make those that had no effect, though
    their returns are settled by now."""
    _look_for_lost(ctx)
    with ctx.write() as tx:
        due = effects.sendable(tx.session, ctx.brand, GRADING, tx.now, PER_TICK)
        rows = returns.by_pks(tx.session, [e.return_pk for e in due if e.return_pk])
        decisions = returns.latest_decisions(tx.session, list(rows))
        for effect in due:
            if why := _needless(ctx, rows.get(effect.return_pk or 0), effect, decisions):
                _give_up(tx, effect, rows.get(effect.return_pk or 0), why)
    for kind in GRADING:
        carry_out(ctx, Gradings(ctx, kind), [r for r in rows.values() if r.stage in SETTLED])


def _needless(
    ctx: BrandContext,
    row: ReturnRow | None,
    effect: EffectRow,
    decisions: Mapping[int, DecisionRow],
) -> str | None:
    """Why a call that was not made is not to be made any more; None: it is."""
    if row is None or not ctx.settings.grading.enabled:
        return "grades are not told any more"
    if row.stage in OFF:
        return f"Loop shows the return {row.loop_state}"
    decision = decisions.get(row.id)
    if decision is None:
        return NOT_AGAIN
    if _counts(decision) != effect.payload.get("counts"):
        return "the units were counted again since"
    return None


NOT_AGAIN = "Loop did not take it when their shipment was counted"


def _give_up(tx: Transaction, effect: EffectRow, row: ReturnRow | None, why: str) -> None:
    tx.outcome(effect, EffectState.FAILED, why)
    if row is not None and why == NOT_AGAIN:
        _tell(tx, effect, row, why)


def _tell(tx: Transaction, effect: EffectRow, row: ReturnRow, why: str) -> None:
    told = EffectKind(effect.kind).words
    tx.needs_person(
        Need.GRADING_REFUSED,
        f"{told} of this return are not in Loop: {why}. Grade the units in Loop by hand; it is "
        "settled all the same",
        row,
    )


def _look_for_lost(ctx: BrandContext) -> None:
    with ctx.write() as tx:
        for kind in GRADING:
            effects.doubt_all(tx.session, tx.now, ctx.brand, kind)
        lost = effects.in_doubt(tx.session, ctx.brand, GRADING, PER_TICK)
        due = [e for e in lost if ready(e, tx.now)]
    for batch in ctx.batches(due):
        seen = ctx.in_parallel(lambda e: details(ctx, str(e.payload["return_id"])), batch)
        with ctx.write() as tx:
            fresh = effects.by_pks(tx.session, [e.id for e in batch])
            rows = returns.by_pks(tx.session, [e.return_pk for e in batch if e.return_pk])
            for one, answer in zip(batch, seen, strict=True):
                _looked(ctx, tx, fresh[one.id], rows.get(one.return_pk or 0), answer)


def _looked(
    ctx: BrandContext, tx: Transaction, effect: EffectRow, row: ReturnRow | None, seen: Seen
) -> None:
    since = effect.doubt_since = effect.doubt_since or tx.now
    until = since + ctx.settings.settle.lost_answer_wait
    if seen.answer is not None and _are_there(effect, seen.answer):
        tx.outcome(effect, EffectState.DONE, "Loop shows it on the units")
    elif tx.now < until:
        effect.try_at = until  # Loop may still be at it
    elif seen.answer is None and seen.problem is None:
        effect.try_at = tx.now + ctx.settings.poll
    elif seen.answer is not None and effect.attempts < TRIES:
        had_no_effect(ctx, tx, effect, "its answer was lost, and Loop shows nothing of it")
        effect.try_at = None
    elif row is not None:
        why = seen.problem or "its answer was lost, and Loop shows nothing of it"
        tx.outcome(effect, EffectState.FAILED, why)
        _tell(tx, effect, row, why)


def _are_there(effect: EffectRow, shown: ParsedReturn) -> bool:
    """Whether the units are graded, or disposed of, as they were to be. What Loop does not show any
    more was taken off the return."""
    told: Mapping[str, str] = effect.payload.get("lines") or {}
    left = {x.line_item_id for x in shown.value.lines} if shown.value else set[str]()
    wanted = {(i, what) for i, what in told.items() if i in left}
    found = {
        (g.line_item_id, g.category if effect.kind == EffectKind.GRADE else g.disposition)
        for g in grades(shown.raw)
    }
    return bool(wanted) and wanted <= found


def _counts(decision: DecisionRow) -> str:
    """By what the counts are known that a decision was made on."""
    return "-".join(str(i) for i in decision.receipt_ids)


@dataclass(slots=True)
class Remarks:
    """What the warehouse said and showed of damaged units, by their codes."""

    notes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    images: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def of(self, unit: GradedUnit, kind: Mapping[str, list[str]]) -> list[str]:
        if unit.condition is not UnitCondition.DAMAGED:
            return []
        return list(dict.fromkeys(one for code in unit.codes for one in kind.get(code, ())))


@dataclass(frozen=True, slots=True)
class Found:
    """What the warehouse found of a return. `by` names the counts: each is told once."""

    return_pk: int
    return_id: str
    by: str
    units: tuple[GradedUnit, ...]
    at: datetime
    remarks: Remarks = field(default_factory=Remarks)


class _Telling(Undertaking[I, Sequence[Items], None]):
    """Grades or dispositions, of several returns a call."""

    def __init__(self, ctx: BrandContext, kind: EffectKind) -> None:
        super().__init__(ctx)
        self.kind = kind
        self.name = kind.value

    def _calls(self, tx: FencedTransaction, found: Iterable[Found]) -> list[Call[Sequence[Items]]]:
        """Returns put together so that one call has as many units as Loop takes."""
        groups: list[list[tuple[Items, EffectRow]]] = []
        units = PER_CALL
        for one in found:
            wanted = self._items(one)
            effect = self._intend(tx, one, wanted) if wanted else None
            if effect is None:
                continue
            if units + len(wanted) > PER_CALL:
                groups.append([])
                units = 0
            groups[-1].append((wanted, effect))
            units += len(wanted)
        return [Call([i for i, _ in g], tuple(e for _, e in g)) for g in groups]

    def _items(self, found: Found) -> Items:
        settings = self.ctx.settings.grading
        if self.kind is EffectKind.GRADE:
            return [g for u in found.units if (g := _grade(settings, u, found.at, found.remarks))]
        return [a for u in found.units if (a := _assess(settings, u, found.at))]

    def _intend(self, tx: FencedTransaction, found: Found, wanted: Items) -> EffectRow | None:
        """The intent; None where these counts have been told to Loop already, or not yet again."""
        lines = {
            i.line_item_id: i.condition.title if isinstance(i, GradeItem) else i.outcome.value
            for i in wanted
        }
        payload = {"return_id": found.return_id, "counts": found.by, "lines": lines}
        key = f"{self.kind}:{found.return_id}:{found.by}"
        before = effects.find(tx.session, tx.brand, key)
        if before is not None and not ready(before, tx.now):
            return None
        try:
            return tx.intend(Intent(self.kind, key, found.return_pk, payload))
        except AlreadyIntended:
            return None

    def send(self, call: Call[Sequence[Items]]) -> None:
        self.ctx.counts.add(f"loop.{self.kind}")
        if self.kind is EffectKind.GRADE:
            grades = [i for of in call.request for i in of if isinstance(i, GradeItem)]
            self.ctx.loop.grade(grades)
        else:
            assessments = [i for of in call.request for i in of if isinstance(i, AssessItem)]
            self.ctx.loop.assess(assessments)

    def taken(self, tx: Transaction, effect: EffectRow, answer: None) -> None:
        tx.outcome(effect, EffectState.DONE, "Loop took it")

    def refused(self, tx: Transaction, effect: EffectRow, error: OutsideError) -> None:
        tx.outcome(effect, EffectState.REFUSED, str(error))
        tx.needs_person(
            Need.GRADING_REFUSED,
            f"Loop refused the {effect.kind} call of this return: {error.message}; "
            "it is settled all the same",
            self.rows[effect.return_pk or 0],
        )

    def put_off(self, tx: Transaction, effect: EffectRow) -> None:
        """The return is settled all the same."""

    def lost(self, tx: Transaction, effect: EffectRow) -> None:
        """It is looked for in Loop; the return is settled all the same."""
        effect.doubt_since = tx.now

    def divide(self, call: Call[Sequence[Items]]) -> list[Call[Sequence[Items]]]:
        """One return each, to find which of them Loop means."""
        if len(call.effects) < 2:
            return []
        return [Call([i], (e,)) for i, e in zip(call.request, call.effects, strict=True)]


class Gradings(_Telling[ReturnRow]):
    """Of returns that are about to be settled, or were before they could be graded."""

    def intend(
        self, tx: FencedTransaction, items: Sequence[ReturnRow]
    ) -> list[Call[Sequence[Items]]]:
        """For those that are still to be settled, on the receipts that were decided on."""
        rows = returns.by_pks(tx.session, [row.id for row in items], lock=True)
        decisions = returns.latest_decisions(tx.session, list(rows))
        return self._calls(
            tx,
            [
                self._found(tx, row, decision)
                for row in rows.values()
                if (row.stage in SETTLED or (row.stage == Stage.SETTLING and not row.held))
                and (decision := decisions.get(row.id))
                and decision.receipt_ids
            ],
        )

    def _found(self, tx: Transaction, row: ReturnRow, decision: DecisionRow) -> Found:
        units = graded_units(comparison_of(self.ctx, tx.session, row))
        if decision.outcome == Outcome.REMOVE_LINES:
            units = tuple(u for u in units if u.line_item_id not in decision.line_item_ids)
        at, remarks = row.received_at or tx.now, _remarks(self.ctx, tx, row)
        return Found(row.id, row.return_id, _counts(decision), units, at, remarks)


class FoundGradings(_Telling[Found]):
    """Of returns that Loop has settled before their goods came."""

    def intend(self, tx: FencedTransaction, items: Sequence[Found]) -> list[Call[Sequence[Items]]]:
        """What was found, as it is given."""
        return self._calls(tx, items)


def _wanted(settings: GradingSettings, unit: GradedUnit) -> ConditionSettings | None:
    return {"good": settings.good, "damaged": settings.damaged, "missing": settings.missing}[
        unit.condition
    ]


def _remarks(ctx: BrandContext, tx: Transaction, row: ReturnRow) -> Remarks:
    found = Remarks()
    rmas, receipts = returns.readings(tx.session, [row.id])[row.id]
    for receipt in receipts:
        for line in load_receipt(receipt.content).lines:
            for code in (normal_code(line.sku), normal_upc(line.upc)):
                if code and line.comments and line.damaged:
                    found.notes.setdefault(code, []).append(line.comments)
    at = ctx.settings.grading.photos_at
    if at and ctx.settings.warehouse == "embedded":
        given = floor.give(tx.session, ctx.brand, [rma.customer_po for rma in rmas])
        for code, addresses in given.items():
            images = [f"{at.rstrip('/')}/photos/{address}" for address in addresses]
            for normal in {normal_code(code), normal_upc(code)} - {None, ""}:
                found.images.setdefault(str(normal), []).extend(images)
    return found


def _grade(
    settings: GradingSettings, unit: GradedUnit, at: datetime, remarks: Remarks
) -> GradeItem | None:
    wanted = _wanted(settings, unit)
    if wanted is None or wanted.title is None:
        return None
    condition = Condition(
        subject=settings.subject,
        title=wanted.title,
        grade=wanted.grade,
        category_name=wanted.category_name,
        category_parent=wanted.category_parent,
    )
    return GradeItem(
        line_item_id=unit.line_item_id,
        condition=condition,
        description=unit.description,
        return_processor=settings.processor,
        note=shortened("; ".join(remarks.of(unit, remarks.notes)), MOST_NOTE) or None,
        images=tuple(remarks.of(unit, remarks.images)),
        inspected_at=at,
    )


def _assess(settings: GradingSettings, unit: GradedUnit, at: datetime) -> AssessItem | None:
    wanted = _wanted(settings, unit)
    if wanted is None or wanted.disposition is None:
        return None
    return AssessItem(
        line_item_id=unit.line_item_id,
        outcome=wanted.disposition,
        return_processor=settings.processor,
        note=unit.description,
        inspected_at=at,
    )
