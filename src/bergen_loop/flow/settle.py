"""Moment 5: judge the receipt, and process or flag the return in Loop.

Order of things, and why: a decision and the stage `settling` are committed first; then, per
small batch, the intents; then the calls; then the outcomes. Process, flag and remove_lines of
one return share one intent key, so a second settling call cannot be intended at all (I1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from bergen_loop.domain.announce import physical_lines
from bergen_loop.domain.comparison import compare
from bergen_loop.domain.criteria import decide
from bergen_loop.domain.decision import Case, Decision, Outcome
from bergen_loop.domain.lifecycle import Stage
from bergen_loop.domain.returns import LoopState
from bergen_loop.domain.rma import TicketStatus
from bergen_loop.flow import grading, notes, pull, verify
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.intake import enter
from bergen_loop.ledger.codec import load_receipt, load_return
from bergen_loop.ledger.store import attention, effects, journal, modes, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import DecisionRow, EffectRow, ReceiptRow, ReturnRow, RmaRow
from bergen_loop.outside.errors import (
    OutcomeUnknown,
    OutsideError,
    RateLimited,
    Refused,
    Unauthorized,
    Unavailable,
    Unreadable,
)

PER_TICK = 150
"""Half a minute at Loop's limit: so long do new returns wait for their RMA in a backlog."""
PER_WRITE = 50
"""Decisions in one transaction, so that others' turn comes."""


@dataclass(slots=True)
class Settled:
    """What a settle step did."""

    decided: int = 0
    processed: int = 0
    flagged: int = 0
    waiting: int = 0
    attention: int = 0


def run(ctx: BrandContext) -> Settled:
    """Look for lost answers, judge new receipts, carry the decisions out."""
    result = Settled()
    verify.lost_settlements(ctx)
    notes.resolve_lost(ctx)
    if not _fresh(ctx):
        return result
    if _anything_due(ctx) and not _settle_due(ctx, result):
        return result
    if ctx.live:
        notes.send_due(ctx)
    verify.unconfirmed(ctx)
    return result


def _settle_due(ctx: BrandContext, result: Settled) -> bool:
    """Judge and carry out; False where it cannot be seen what people have done in Loop."""
    if not pull.look_aside(ctx):
        return False
    if ctx.live:
        with ctx.ledger.write() as session:
            modes.judge_anew(session, ctx.now(), ctx.brand)
    decided = _decide_due(ctx, result)
    if ctx.live:
        grading.run(ctx)
        _carry_out(ctx, decided, result)
    return True


def _fresh(ctx: BrandContext) -> bool:
    """Nothing is decided on a stale picture of Loop."""
    with ctx.ledger.read() as session:
        pulled = returns.brand_row(session, ctx.brand).last_pull_at
    return pulled is not None and ctx.now() - pulled <= ctx.settings.settle.fresh_within


def _anything_due(ctx: BrandContext) -> bool:
    stages = [Stage.RECEIVED, Stage.WAITING, Stage.SETTLING]
    with ctx.ledger.read() as session:
        due = bool(returns.due(session, ctx.brand, stages, ctx.now(), 1))
        return due or (ctx.live and modes.judged_in_shadow(session, ctx.brand) > 0)


# -- deciding ---------------------------------------------------------------------------------


def _decide_due(ctx: BrandContext, result: Settled) -> set[int]:
    """Judge what is due; the returns (keys) that were."""
    decided: set[int] = set()
    while True:
        with ctx.ledger.write() as session:
            rows = returns.due(
                session, ctx.brand, [Stage.RECEIVED, Stage.WAITING], ctx.now(), PER_WRITE, lock=True
            )
            read = _readings(session, rows)
            for row in rows:
                _decide(ctx, session, row, read[row.id], result)
        decided.update(row.id for row in rows)
        if len(rows) < PER_WRITE:
            return decided


@dataclass(frozen=True, slots=True)
class _Reading:
    """A return's RMAs and the newest receipt of each that has one."""

    rmas: Sequence[RmaRow]
    receipts: Sequence[ReceiptRow]


def _readings(session: Session, rows: Sequence[ReturnRow]) -> dict[int, _Reading]:
    rmas = returns.rmas_of(session, [row.id for row in rows])
    newest = returns.latest_receipts(session, [rma.id for of in rmas.values() for rma in of])
    return {
        row.id: _Reading(
            rmas.get(row.id, []),
            sorted(
                (newest[rma.id] for rma in rmas.get(row.id, []) if rma.id in newest),
                key=lambda receipt: receipt.id,
            ),
        )
        for row in rows
    }


def _decide(
    ctx: BrandContext, session: Session, row: ReturnRow, read: _Reading, result: Settled
) -> None:
    try:
        decision, receipt_ids = _judge(ctx, row, read)
    except Exception as error:  # a poison return must not stop its brand
        attention.raise_item(
            session,
            ctx.now(),
            brand=ctx.brand,
            kind="internal",
            reason=f"judging its receipt failed inside bergen-loop: {error!r}",
            row=row,
        )
        result.attention += 1
        return
    _keep(ctx, session, row, decision, receipt_ids)
    result.decided += 1
    _enter_decided(ctx, session, row, decision, result)


def judge(ctx: BrandContext, session: Session, row: ReturnRow) -> tuple[Decision, list[int]]:
    """The decision the criteria come to for a return as the ledger has it, and its receipts."""
    return _judge(ctx, row, _readings(session, [row])[row.id])


def _judge(ctx: BrandContext, row: ReturnRow, reading: _Reading) -> tuple[Decision, list[int]]:
    return_ = load_return(row.content)
    receipts = tuple(load_receipt(r.content) for r in reading.receipts)
    read = {r.rma_pk for r in reading.receipts}
    case = Case(
        return_=return_,
        receipts=receipts,
        comparison=compare(physical_lines(return_, ctx.rules), receipts),
        now=ctx.now(),
        first_received_at=row.received_at or ctx.now(),
        open_tickets=sum(
            1
            for r in reading.rmas
            if r.id not in read and r.ticket_id and r.ticket_status != TicketStatus.CANCELLED
        ),
    )
    return decide(ctx.criteria, case), [r.id for r in reading.receipts]


def _keep(
    ctx: BrandContext, session: Session, row: ReturnRow, decision: Decision, receipt_ids: list[int]
) -> None:
    now = ctx.now()
    session.add(
        DecisionRow(
            brand=ctx.brand,
            return_pk=row.id,
            decided_at=now,
            outcome=decision.outcome,
            rule=decision.rule,
            reason=decision.reason,
            note=decision.note,
            wait_until=decision.wait_until,
            line_item_ids=list(decision.line_item_ids),
            criteria_version=decision.criteria_version,
            config_version=ctx.config_version,
            facts=decision.facts,
            receipt_ids=receipt_ids,
            shadow=not ctx.live,
            by=journal.SERVICE,
        )
    )
    journal.record(
        session,
        now,
        f"decided: {decision.outcome}" + ("" if ctx.live else " (shadow: not acted on)"),
        decision.reason,
        brand=ctx.brand,
        return_pk=row.id,
        data={
            "rule": decision.rule,
            "criteria": decision.criteria_version,
            "receipts": receipt_ids,
        },
    )


def _enter_decided(
    ctx: BrandContext, session: Session, row: ReturnRow, decision: Decision, result: Settled
) -> None:
    now = ctx.now()
    if decision.outcome is Outcome.WAIT:
        row.stage, row.due_at = Stage.WAITING, decision.wait_until or now
        result.waiting += 1
    elif not ctx.live:
        row.due_at = None  # people act in Loop; a new receipt or edit is judged again
    elif decision.outcome is Outcome.ATTENTION:
        row.due_at = None
        attention.raise_item(
            session,
            now,
            brand=ctx.brand,
            kind="decide_by_hand",
            reason=decision.reason,
            row=row,
        )
        result.attention += 1
    else:
        row.stage, row.due_at, row.decided_at = Stage.SETTLING, now, now


# -- carrying out -----------------------------------------------------------------------------


def _carry_out(ctx: BrandContext, decided: set[int], result: Settled) -> None:
    with ctx.ledger.read() as session:
        rows = returns.due(session, ctx.brand, [Stage.SETTLING], ctx.now(), PER_TICK)
    for batch in ctx.batches(rows):
        with ctx.acting() as session:
            work = _intend_all(ctx, session, [row.id for row in batch], decided)
        ctx.boundary("settlement intended")
        answers = ctx.in_parallel(lambda effect: _send(ctx, effect), work)
        ctx.boundary("settlement sent")
        with ctx.ledger.write() as session:
            fresh = effects.by_pks(session, [effect.id for effect in work])
            of = returns.by_pks(session, [e.return_pk for e in work if e.return_pk is not None])
            for sent, answer in zip(work, answers, strict=True):
                effect = fresh[sent.id]
                _finish(ctx, session, effect, of[effect.return_pk or 0], answer, result)
        ctx.boundary("settlement recorded")
        notes.send_due(ctx)


def _intend_all(
    ctx: BrandContext, session: Session, pks: Sequence[int], decided: set[int]
) -> list[EffectRow]:
    """The intents of these returns' decisions, where they have not moved on meanwhile."""
    rows = returns.by_pks(session, pks, lock=True)
    decisions = returns.latest_decisions(session, pks)
    known = effects.find_all(session, ctx.brand, [_key(row) for row in rows.values()])
    intents = [
        intent
        for pk in pks
        if (intent := _intend(ctx, session, rows[pk], decisions.get(pk), known, decided))
    ]
    session.flush()
    return intents


def _key(row: ReturnRow) -> str:
    """Process, flag and remove_lines of a return share it: one of them, once."""
    return f"settle:{row.return_id}"


def _intend(
    ctx: BrandContext,
    session: Session,
    row: ReturnRow,
    decision: DecisionRow | None,
    known: Mapping[str, EffectRow],
    decided: set[int],
) -> EffectRow | None:
    if row.stage != Stage.SETTLING or row.held or decision is None or decision.shadow:
        return None
    if row.loop_state != LoopState.OPEN or (
        row.id not in decided and _outdated(ctx, session, row, decision)
    ):
        enter(row, Stage.RECEIVED, ctx.now())  # to be judged again as it is now
        return None
    try:
        return effects.intend(
            session,
            ctx.now(),
            brand=ctx.brand,
            key=_key(row),
            kind=decision.outcome,
            payload={
                "return_id": row.return_id,
                "decision": decision.id,
                "line_item_ids": decision.line_item_ids,
            },
            return_pk=row.id,
            known=known,
        )
    except effects.AlreadyIntended as error:
        row.due_at = None
        existing = known.get(_key(row))
        if existing and existing.state in effects.OPEN:
            return None  # its answer is being looked for
        attention.raise_item(
            session,
            ctx.now(),
            brand=ctx.brand,
            kind="already_settled",
            reason=f"it was settled before and is never settled twice: {error}",
            row=row,
        )
        return None


def _outdated(ctx: BrandContext, session: Session, row: ReturnRow, decision: DecisionRow) -> bool:
    """Whether an earlier tick's decision, not carried out yet, would be another one now: the
    return may have been edited since, or counted again. A person's decision stands."""
    if decision.by != journal.SERVICE:
        return False
    try:
        now, receipt_ids = judge(ctx, session, row)
    except Exception:
        return True  # `_decide` will tell a person
    return (now.outcome, list(now.line_item_ids), receipt_ids) != (
        decision.outcome,
        decision.line_item_ids,
        decision.receipt_ids,
    )


def _send(ctx: BrandContext, effect: EffectRow) -> OutsideError | None:
    return_id = str(effect.payload["return_id"])
    ctx.counts.add(f"loop.{effect.kind}")
    try:
        if effect.kind == Outcome.PROCESS:
            ctx.loop.process(return_id)
        elif effect.kind == Outcome.FLAG:
            ctx.loop.flag(return_id)
        else:
            ctx.loop.remove_lines(return_id, [str(i) for i in effect.payload["line_item_ids"]])
    except OutsideError as error:
        return error
    return None


def _finish(
    ctx: BrandContext,
    session: Session,
    effect: EffectRow,
    row: ReturnRow,
    answer: OutsideError | None,
    result: Settled,
) -> None:
    now = ctx.now()
    if answer is None:
        accepted(ctx, session, effect, row, "Loop took the call")
        if effect.kind == Outcome.FLAG:
            result.flagged += 1
        else:
            result.processed += 1
    elif isinstance(answer, (Unavailable, RateLimited, Unauthorized)):
        effects.finish(session, effect, now, EffectState.NOT_SENT, str(answer))
        row.due_at = now  # certainly not carried out: at the next tick again
    elif isinstance(answer, (OutcomeUnknown, Unreadable)):
        effects.finish(session, effect, now, EffectState.DOUBT, str(answer))
        row.due_at = None
    elif effect.kind == Outcome.FLAG and _refused_as(answer, LoopState.REVIEW):
        # What a flag is for holds already: by an earlier call of ours, or by someone else's.
        accepted(ctx, session, effect, row, f"in review already: {answer.message}")
        result.flagged += 1
    elif _refused_as(answer, LoopState.CLOSED):
        # Someone else closed it, or an earlier call of ours did: Loop's list will show it.
        effects.finish(session, effect, now, EffectState.REFUSED, str(answer))
        row.stage, row.due_at = Stage.CONFIRMING, now
    else:
        effects.finish(session, effect, now, EffectState.REFUSED, str(answer))
        attention.raise_item(
            session,
            now,
            brand=ctx.brand,
            kind="refused",
            reason=f"Loop refused to {effect.kind.replace('_', ' ')} the return: {answer.message}",
            tried=f"one {effect.kind} call",
            row=row,
        )
        result.attention += 1


def _refused_as(answer: OutsideError, state: LoopState) -> bool:
    return isinstance(answer, Refused) and answer.state == state


def accepted(
    ctx: BrandContext, session: Session, effect: EffectRow, row: ReturnRow, how: str
) -> None:
    """The settling call is known to have been taken: go on from there."""
    now = ctx.now()
    if effect.kind == Outcome.FLAG:
        effects.finish(session, effect, now, EffectState.DONE, how)
        enter(row, Stage.FLAGGED, now)
        notes.plan(ctx, session, effect, row)
        return
    effects.finish(session, effect, now, EffectState.ACCEPTED, how)
    row.stage, row.due_at = Stage.CONFIRMING, now + ctx.settings.settle.confirm_within
