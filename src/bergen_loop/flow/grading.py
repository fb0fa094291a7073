"""Grades and dispositions for Loop, where the brand wants them: after the receipt, before the
return is processed or flagged.

Loop's documentation has no call that reads grades back, so a call whose answer was lost is
neither looked for nor repeated: a grade given twice would be worse than one that is missing.
Grading never holds up a refund: what Loop refuses is shown to people, and the return goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from bergen_loop.config.grading import ConditionSettings
from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.grading import GradedUnit, graded_units
from bergen_loop.domain.lifecycle import Stage
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.facts import comparison_of
from bergen_loop.ledger.store import attention, effects, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import DecisionRow, EffectRow, ReturnRow
from bergen_loop.outside.errors import (
    OutcomeUnknown,
    OutsideError,
    RateLimited,
    Unauthorized,
    Unavailable,
    Unreadable,
)
from bergen_loop.outside.loop.requests import AssessItem, Condition, GradeItem

KINDS = ("grade", "assess")
PER_CALL = 30
"""Loop takes at most so many items in a call."""
PER_TICK = 400


@dataclass(frozen=True, slots=True)
class _Work:
    """What one return has to be told to Loop, and the intents of it."""

    return_pk: int
    grades: tuple[GradeItem, ...]
    assessments: tuple[AssessItem, ...]
    effect_ids: dict[str, int]

    def items(self, kind: str) -> tuple[GradeItem, ...] | tuple[AssessItem, ...]:
        return self.grades if kind == "grade" else self.assessments


def run(ctx: BrandContext) -> int:
    """Grade what is about to be settled; the number of returns graded."""
    if not ctx.settings.grading.enabled:
        return 0
    _give_up_lost(ctx)
    with ctx.ledger.read() as session:
        rows = returns.due(session, ctx.brand, [Stage.SETTLING], ctx.now(), PER_TICK)
    graded = 0
    for batch in _batches(ctx, rows):
        for kind in KINDS:
            _send(ctx, kind, [w for w in batch if w.items(kind) and kind in w.effect_ids])
        graded += len(batch)
    return graded


def _give_up_lost(ctx: BrandContext) -> None:
    with ctx.ledger.write() as session:
        for effect in effects.in_doubt(session, ctx.brand, KINDS, PER_TICK):
            why = "its answer was lost; grades cannot be read back, so it is not repeated"
            effects.finish(session, effect, ctx.now(), EffectState.FAILED, why)


def _batches(ctx: BrandContext, rows: Sequence[ReturnRow]) -> list[list[_Work]]:
    """Returns put together so that one call has as many units as Loop takes."""
    batches: list[list[_Work]] = []
    units = PER_CALL
    for row in rows:
        with ctx.acting() as session:
            work = _work(ctx, session, row.id)
        if work is None:
            continue
        size = max(len(work.grades), len(work.assessments))
        if units + size > PER_CALL:
            batches.append([])
            units = 0
        batches[-1].append(work)
        units += size
    return batches


def _work(ctx: BrandContext, session: Session, return_pk: int) -> _Work | None:
    row = session.get_one(ReturnRow, return_pk)
    decision = returns.latest_decision(session, return_pk)
    if row.stage != Stage.SETTLING or row.held or decision is None or not decision.receipt_ids:
        return None
    units = graded_units(comparison_of(ctx, session, row))
    if decision.outcome == Outcome.REMOVE_LINES:
        units = tuple(u for u in units if u.line_item_id not in decision.line_item_ids)
    at = row.received_at or ctx.now()
    grades = tuple(g for u in units if (g := _grade(ctx, u, at)))
    assessments = tuple(a for u in units if (a := _assess(ctx, u, at)))
    wanted = {"grade": bool(grades), "assess": bool(assessments)}
    ids = {
        kind: effect.id
        for kind in KINDS
        if wanted[kind] and (effect := _intend(ctx, session, row, decision, kind))
    }
    return _Work(row.id, grades, assessments, ids) if ids else None


def _intend(
    ctx: BrandContext, session: Session, row: ReturnRow, decision: DecisionRow, kind: str
) -> EffectRow | None:
    """The intent; None where this receipt has been told to Loop already."""
    receipts = "-".join(str(i) for i in decision.receipt_ids)
    try:
        return effects.intend(
            session,
            ctx.now(),
            brand=ctx.brand,
            key=f"{kind}:{row.return_id}:{receipts}",
            kind=kind,
            payload={"return_id": row.return_id, "receipts": decision.receipt_ids},
            return_pk=row.id,
        )
    except effects.AlreadyIntended:
        return None


def _settings(ctx: BrandContext, unit: GradedUnit) -> ConditionSettings | None:
    grading = ctx.settings.grading
    return {"good": grading.good, "damaged": grading.damaged, "missing": grading.missing}[
        unit.condition
    ]


def _grade(ctx: BrandContext, unit: GradedUnit, at: datetime) -> GradeItem | None:
    wanted = _settings(ctx, unit)
    if wanted is None or wanted.title is None:
        return None
    condition = Condition(
        subject=ctx.settings.grading.subject,
        title=wanted.title,
        grade=wanted.grade,
        category_name=wanted.category_name,
        category_parent=wanted.category_parent,
    )
    return GradeItem(
        line_item_id=unit.line_item_id,
        condition=condition,
        description=unit.description,
        return_processor=ctx.settings.grading.processor,
        inspected_at=at,
    )


def _assess(ctx: BrandContext, unit: GradedUnit, at: datetime) -> AssessItem | None:
    wanted = _settings(ctx, unit)
    if wanted is None or wanted.disposition is None:
        return None
    return AssessItem(
        line_item_id=unit.line_item_id,
        outcome=wanted.disposition,
        return_processor=ctx.settings.grading.processor,
        note=unit.description,
        inspected_at=at,
    )


def _send(ctx: BrandContext, kind: str, work: Sequence[_Work]) -> None:
    """One call for several returns; if Loop refuses it, one each, to find which it means."""
    if not work:
        return
    ctx.boundary(f"{kind} intended")
    answer = _call(ctx, kind, work)
    ctx.boundary(f"{kind} sent")
    if answer is not None and len(work) > 1 and _is_refusal(answer):
        for one in work:
            _send(ctx, kind, [one])
        return
    with ctx.ledger.write() as session:
        for one in work:
            _finish(ctx, session, session.get_one(EffectRow, one.effect_ids[kind]), answer)


def _call(ctx: BrandContext, kind: str, work: Sequence[_Work]) -> OutsideError | None:
    ctx.counts.add(f"loop.{kind}")
    try:
        if kind == "grade":
            ctx.loop.grade([g for w in work for g in w.grades])
        else:
            ctx.loop.assess([a for w in work for a in w.assessments])
    except OutsideError as error:
        return error
    return None


def _is_refusal(error: OutsideError) -> bool:
    passing = (Unavailable, RateLimited, OutcomeUnknown, Unreadable)
    return not isinstance(error, passing) and error.status not in (401,)


def _finish(
    ctx: BrandContext, session: Session, effect: EffectRow, answer: OutsideError | None
) -> None:
    now = ctx.now()
    if answer is None:
        effects.finish(session, effect, now, EffectState.DONE, "Loop took it")
    elif isinstance(answer, (Unavailable, RateLimited)) or (
        isinstance(answer, Unauthorized) and answer.status == 401
    ):
        effects.finish(session, effect, now, EffectState.NOT_SENT, str(answer))
    elif isinstance(answer, (OutcomeUnknown, Unreadable)):
        why = f"its answer was lost, and it is not repeated: {answer}"
        effects.finish(session, effect, now, EffectState.FAILED, why)
    else:
        effects.finish(session, effect, now, EffectState.REFUSED, str(answer))
        attention.raise_item(
            session,
            now,
            brand=ctx.brand,
            kind="grading_refused",
            reason=f"Loop refused the {effect.kind} call of this return: {answer.message}; "
            "it is settled all the same",
            row=session.get_one(ReturnRow, effect.return_pk),
            blocking=False,
        )
