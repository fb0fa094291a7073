"""Grades and dispositions for Loop, where the brand wants them: after the receipt, before the
return is processed or flagged.

Loop's documentation has no call that reads grades back, so a call whose answer was lost is
neither looked for nor repeated: a grade given twice would be worse than one that is missing.
Grading never holds up a refund: what Loop refuses is shown to people, and the return goes on.
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
from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import EffectKind, Need
from bergen_loop.flow.calls import Call, Undertaking, carry_out
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.facts import comparison_of
from bergen_loop.ledger.codec import load_receipt
from bergen_loop.ledger.store import effects, floor, returns
from bergen_loop.ledger.store.effects import AlreadyIntended, EffectState, Intent
from bergen_loop.ledger.tables.core import DecisionRow, EffectRow, ReturnRow
from bergen_loop.ledger.transaction import FencedTransaction, Transaction
from bergen_loop.outside.errors import OutsideError
from bergen_loop.outside.loop.requests import AssessItem, Condition, GradeItem
from bergen_loop.text import shortened

KINDS = (EffectKind.GRADE, EffectKind.ASSESS)
PER_CALL = 30
"""Loop takes at most so many items in a call."""
PER_TICK = 400
MOST_NOTE = 255
"""Characters: as many as a description may have; for a note Loop documents no limit."""
LOST = "its answer was lost; grades cannot be read back, so it is not repeated"

I = TypeVar("I")  # noqa: E741

Items = Sequence[GradeItem] | Sequence[AssessItem]
"""Of one return."""


def run(ctx: BrandContext) -> None:
    """Grade what is about to be settled."""
    with ctx.write() as tx:
        for effect in effects.in_doubt(tx.session, ctx.brand, KINDS, PER_TICK):
            tx.outcome(effect, EffectState.FAILED, LOST)
    with ctx.ledger.read() as session:
        rows = returns.due(session, ctx.brand, [Stage.SETTLING], ctx.now(), PER_TICK)
    for kind in KINDS:
        carry_out(ctx, Gradings(ctx, kind), rows)


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
            effect = self._intend(tx, one) if wanted else None
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

    def _intend(self, tx: FencedTransaction, found: Found) -> EffectRow | None:
        """The intent; None where these counts have been told to Loop already."""
        payload = {"return_id": found.return_id, "counts": found.by}
        key = f"{self.kind}:{found.return_id}:{found.by}"
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
        tx.outcome(effect, EffectState.FAILED, LOST)

    def divide(self, call: Call[Sequence[Items]]) -> list[Call[Sequence[Items]]]:
        """One return each, to find which of them Loop means."""
        if len(call.effects) < 2:
            return []
        return [Call([i], (e,)) for i, e in zip(call.request, call.effects, strict=True)]


class Gradings(_Telling[ReturnRow]):
    """Of returns that are about to be settled."""

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
                if row.stage == Stage.SETTLING
                and not row.held
                and (decision := decisions.get(row.id))
                and decision.receipt_ids
            ],
        )

    def _found(self, tx: Transaction, row: ReturnRow, decision: DecisionRow) -> Found:
        units = graded_units(comparison_of(self.ctx, tx.session, row))
        if decision.outcome == Outcome.REMOVE_LINES:
            units = tuple(u for u in units if u.line_item_id not in decision.line_item_ids)
        receipts = "-".join(str(i) for i in decision.receipt_ids)
        at, remarks = row.received_at or tx.now, _remarks(self.ctx, tx, row)
        return Found(row.id, row.return_id, receipts, units, at, remarks)


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
