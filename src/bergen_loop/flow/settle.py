"""Moment 5: judge the receipt, and process or flag the return in Loop.

Order of things, and why: a decision and the stage `settling` are committed first; then, per
small batch, the intents; then the calls; then the outcomes. Process, flag and remove_lines of
one return share one intent key, so a second settling call cannot be intended at all (I1).

Whatever settles goes out only on lists read in this very tick, and on receipts whose tickets are
final: what people and the warehouse did a moment ago counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bergen_loop.domain.announce import kept_units, physical_lines
from bergen_loop.domain.comparison import compare
from bergen_loop.domain.criteria import decide
from bergen_loop.domain.criteria.deciding import ASKS, UNCLEAR
from bergen_loop.domain.decision import NOTE_LIMIT, Case, Decision, Outcome
from bergen_loop.domain.pace import Turns, Worth
from bergen_loop.domain.returns import PROCESSING, TO_JUDGE, LoopState, Stage
from bergen_loop.domain.rma import Receipt, TicketStatus
from bergen_loop.domain.words import GRADING, SETTLING, EffectKind, Need, What
from bergen_loop.flow import adopt, calls, grading, intake
from bergen_loop.flow.calls import (
    Call,
    Undertaking,
    carry_out,
    garbled_once,
    had_no_effect,
    ready,
    seen_again,
)
from bergen_loop.flow.context import AHEAD, BrandContext
from bergen_loop.flow.transitions import accepted, all_cancelled, plan_notes, units_of
from bergen_loop.ledger.codec import digest, load_items, load_receipt, load_return
from bergen_loop.ledger.store import attention, cursors, effects, journal, modes, returns
from bergen_loop.ledger.store.effects import AlreadyIntended, EffectState, Intent, settling_key
from bergen_loop.ledger.store.statements import chunks
from bergen_loop.ledger.tables.core import DecisionRow, EffectRow, ReturnRow, RmaRow
from bergen_loop.ledger.transaction import FencedTransaction, Transaction
from bergen_loop.outside.errors import (
    Effect,
    NotFound,
    OutsideError,
    Refused,
    Scope,
    Unreadable,
)
from bergen_loop.outside.loop.models import same_note

PER_TICK = 300
"""A minute at Loop's limit. So long do new returns wait for their RMA in a backlog; the lists that
are read before money moves are read once for all of them."""
PER_WRITE = 50
"""Decisions in one transaction, so that others' turn comes."""
NOTES_PER_TICK = 400
NOTES_AGAIN, LOOK_FOR_NOTES = timedelta(hours=1), timedelta(days=7)
"""How often, and for how long, notes are looked for that a person has been told of."""
TELL_NOTES_AFTER = timedelta(hours=1)
"""How long the notes of a return may be answered by what is none."""


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
    todo = _to_do(ctx)
    if todo.lost:
        calls.lost_settlements(ctx)
        _find_lost_notes(ctx)
        todo = _to_do(ctx)
    if todo.due and intake.look_before_paying(ctx):
        if ctx.live:
            with ctx.write() as tx:
                modes.judge_anew(tx.session, tx.now, ctx.brand)
            _look_back(ctx)
        decided = _decide_due(ctx, result)
        if ctx.live:
            if ctx.settings.grading.enabled:
                grading.run(ctx)
            with ctx.ledger.read() as session:
                due = returns.due_pks(session, ctx.brand, [Stage.SETTLING], ctx.now(), PER_TICK)
            carry_out(ctx, Settlements(ctx, decided, result), due)
    if ctx.live and (todo.notes or todo.due):
        _send_notes(ctx)
    if ctx.live and todo.grades:
        grading.resume(ctx)
    if todo.unconfirmed:
        calls.unconfirmed(ctx)
    return result


@dataclass(frozen=True, slots=True)
class _ToDo:
    """What there is to settle: asked once, for most ticks find nothing."""

    lost: bool
    """Calls without an outcome."""
    due: bool
    unconfirmed: bool
    notes: bool
    """That wait to be sent."""
    grades: bool
    """That were not sent, or got no answer."""


def _to_do(ctx: BrandContext) -> _ToDo:
    if ctx.tick.calm:
        return _ToDo(lost=False, due=False, unconfirmed=False, notes=False, grades=False)
    with ctx.ledger.read() as session:
        stages = returns.stages_due(session, ctx.brand, ctx.now())
        calls = effects.unfinished(session, ctx.brand, (*SETTLING, *GRADING, EffectKind.NOTE))
        due = not stages.isdisjoint((*TO_JUDGE, Stage.SETTLING))
        due = due or (ctx.live and modes.judged_in_shadow(session, ctx.brand) > 0)
    return _ToDo(
        lost=any(s in effects.OPEN and k not in GRADING for k, s in calls),
        due=due,
        unconfirmed=Stage.CONFIRMING in stages,
        notes=any(k == EffectKind.NOTE and s in effects.SENDABLE for k, s in calls),
        grades=any(k in GRADING for k, _ in calls),
    )


# -- what a ledger that was put back does not know ---------------------------------------------


def _look_back(ctx: BrandContext) -> None:
    """What was counted before the ledger was put back from a backup may have been settled then:
    before it is judged, Loop is looked at for signs of that."""
    restored = ctx.tick.restored_at
    if restored is None:
        return
    stages = [*TO_JUDGE, Stage.SETTLING]
    with ctx.ledger.read() as session:
        due = returns.due_pks(session, ctx.brand, stages, ctx.now(), ALL)
    for pks in chunks(due, PER_WRITE):
        with ctx.ledger.read() as session:
            rows, readings = returns.by_pks(session, pks), returns.readings(session, pks)
            known = effects.settlements_of(session, pks)
        old = [
            row
            for row in rows.values()
            if _may_be_settled(row, readings[row.id], known.get(row.id), restored)
        ]
        for batch in ctx.batches(old):
            notes = ctx.in_parallel(lambda row: _notes_of_others(ctx, row), batch)
            with ctx.write() as tx:
                fresh = returns.by_pks(tx.session, [row.id for row in batch], lock=True)
                for old_row, found in zip(batch, notes, strict=True):
                    row = fresh[old_row.id]
                    if isinstance(found, OutsideError):
                        row.due_at = tx.now + ctx.settings.poll
                    else:
                        adopt.maybe_settled(ctx, tx, row, found)


ALL = 10**6


def _may_be_settled(
    row: ReturnRow, reading: returns.Reading, effect: EffectRow | None, restored: datetime
) -> bool:
    """Whether a ledger that was lost may have settled it: it was counted by then, and this one has
    made no call since."""
    if effect and (effect.state not in effects.SENDABLE or effect.intended_at > restored):
        return False
    counted = [adopt.counted_at(load_receipt(r.content)) for r in reading.receipts]
    times = [at or row.submitted_at for at in counted]
    return any(at <= restored + AHEAD for at in (*times, row.received_at) if at is not None)


def _notes_of_others(ctx: BrandContext, row: ReturnRow) -> int | OutsideError:
    """How many notes a return has in Loop that this ledger did not make."""
    with ctx.ledger.read() as session:
        ours = [
            str(e.payload["content"])
            for e in effects.of_return(session, row.id)
            if e.kind == EffectKind.NOTE
        ]
    ctx.counts.add("loop.notes")
    try:
        notes = ctx.loop.notes(row.return_id)
    except OutsideError as error:
        if error.scope is Scope.ACCESS:
            raise
        return error
    return sum(not any(same_note(n.content, own) for own in ours) for n in notes)


# -- deciding ---------------------------------------------------------------------------------


def _decide_due(ctx: BrandContext, result: Settled) -> set[int]:
    """Judge what is due; the returns (keys) that were."""
    decided: set[int] = set()
    while True:
        with ctx.write() as tx:
            rows = returns.due_locked(tx.session, ctx.brand, TO_JUDGE, tx.now, PER_WRITE)
            readings = returns.readings(tx.session, [row.id for row in rows])
            for row in rows:
                _decide(ctx, tx, row, readings[row.id], result)
        decided.update(row.id for row in rows)
        if len(rows) < PER_WRITE:
            return decided


def _decide(
    ctx: BrandContext, tx: Transaction, row: ReturnRow, reading: returns.Reading, result: Settled
) -> None:
    if not reading.receipts:
        why = "none of its tickets is finished now"
        tx.move(row, Stage.ANNOUNCED, why)
        states = {rma.ticket_status for rma in reading.rmas}
        # What came, or did not, of a share is its shipment's to tell.
        shared = any(rma.shipment_pk for rma in reading.rmas)
        if states == {TicketStatus.CANCELLED} and not shared:
            all_cancelled(tx, row, "its ticket")
            result.attention += 1
        return
    if not _known_now(ctx, row, reading):
        # Units may have been found since, or damage: what cannot be looked at waits on.
        row.due_at = tx.now + ctx.settings.poll
        result.waiting += 1
        return
    try:
        decision = judge(ctx, row, reading)
    except Exception as error:  # a poison return must not stop its brand
        why = f"judging its receipt failed inside bergen-loop: {error!r}"
        tx.needs_person(Need.INTERNAL, why, row)
        result.attention += 1
        return
    _keep(ctx, tx, row, decision, reading.receipt_ids)
    result.decided += 1
    _enter_decided(ctx, tx, row, decision, result)


def _known_now(ctx: BrandContext, row: ReturnRow, reading: returns.Reading) -> bool:
    """Whether what was counted may be acted on: REX11 has said since this tick began which tickets
    moved, and the receipts were read in it; where no wait is to end, lately is enough."""
    ends_wait = row.stage == Stage.WAITING
    if not (ctx.tick.statuses_seen or (ctx.tick.backlog and not ends_wait)):
        return False
    lately = ctx.now() - ctx.settings.settle.fresh_within
    counted = {r.rma_pk for r in reading.receipts} - ctx.tick.tickets_read
    return not any(
        ends_wait
        or (rma.to_read and not _put_off(ctx, rma))
        or rma.status_seen_at is None
        or rma.status_seen_at <= lately
        for rma in reading.rmas
        if rma.id in counted
    )


def _put_off(ctx: BrandContext, rma: RmaRow) -> bool:
    """Whether a ticket that was read well is only to be read again later."""
    due = rma.read_due_at
    return rma.unread_since is None and due is not None and due > ctx.now()


def judge(ctx: BrandContext, row: ReturnRow, reading: returns.Reading) -> Decision:
    """The decision the criteria come to for a return as the ledger has it."""
    return_ = load_return(row.content)
    if return_.doubts:
        why = f"what Loop shows of it cannot be relied on: {'; '.join(return_.doubts)}"
        return Decision(Outcome.ATTENTION, "doubt", why)
    receipts = tuple(load_receipt(r.content) for r in reading.receipts)
    comparison = compare(
        physical_lines(return_, ctx.rules),
        receipts,
        [load_items(rma.items) for rma in reading.rmas],
        ctx.rules.kits,
        ctx.rules.remarks,
    )
    case = Case(
        return_=return_,
        receipts=receipts,
        comparison=comparison,
        now=ctx.now(),
        first_received_at=row.received_at or ctx.now(),
        open_tickets=_awaited(
            reading, receipts, whole=comparison.complete, kept=kept_units(return_, ctx.rules)
        ),
    )
    return decide(ctx.criteria, case)


def _awaited(
    reading: returns.Reading, receipts: Sequence[Receipt], *, whole: bool, kept: Collection[str]
) -> int:
    """How many of its tickets are not finished. Where every unit that was announced was counted and
    is good, nothing is due on one that has had no parcel: two labels' goods came in one box. An
    edit since does not make it so: what is left may be in the parcel that has not come. Nor is
    anything due on one of which the customer keeps all units."""
    counted = {r.rma_pk for r in reading.receipts}
    alive = [r for r in reading.rmas if r.ticket_id and r.ticket_status != TicketStatus.CANCELLED]
    announced = _announced_once(alive)
    came = sum(line.actual or 0 for receipt in receipts for line in receipt.lines)
    whole = whole and came >= announced
    return sum(
        1
        for r in alive
        if r.id not in counted
        and not (
            r.ticket_status in (None, TicketStatus.DRAFT)
            and (whole or ((units := units_of([r])) and units <= set(kept)))
        )
    )


def _announced_once(rmas: Sequence[RmaRow]) -> int:
    """How many pieces RMAs announced: a unit of two of them (the first was cancelled, and taken up
    again) comes once."""
    pieces: dict[tuple[str, str], int] = {}
    unnamed = 0
    for rma in rmas:
        for item in load_items(rma.items):
            unnamed += 0 if item.pieces else item.expected
            for unit, number in item.pieces:
                pieces[unit, str(item.upc or item.sku or item.style)] = number
    return unnamed + sum(pieces.values())


def _keep(
    ctx: BrandContext, tx: Transaction, row: ReturnRow, decision: Decision, receipt_ids: list[int]
) -> None:
    tx.session.add(
        DecisionRow(
            brand=ctx.brand,
            return_pk=row.id,
            decided_at=tx.now,
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
    tx.journal(
        What.DECIDED,
        decision.reason + ("" if ctx.live else " (shadow: not acted on)"),
        row,
        {
            "outcome": decision.outcome.value,
            "shadow": not ctx.live,
            "rule": decision.rule,
            "criteria": decision.criteria_version,
            "receipts": receipt_ids,
        },
    )


def _enter_decided(
    ctx: BrandContext, tx: Transaction, row: ReturnRow, decision: Decision, result: Settled
) -> None:
    if decision.outcome is Outcome.WAIT:
        row.stage, row.due_at = Stage.WAITING, decision.wait_until or tx.now
        result.waiting += 1
    elif not ctx.live:
        # People act in Loop; a new receipt, an edit, or going live has it judged again.
        row.stage, row.due_at = Stage.RECEIVED, None
    elif decision.outcome is Outcome.ATTENTION:
        row.due_at = None
        why = decision.reason.removeprefix(ASKS)
        if decision.rule == UNCLEAR:
            why += " Ask Bergen what came, then retry, correct the counts, or decide by hand"
        tx.needs_person(Need.DECIDE_BY_HAND, why, row)
        result.attention += 1
    else:
        row.stage, row.due_at, row.decided_at = Stage.SETTLING, tx.now, tx.now


# -- carrying out -----------------------------------------------------------------------------


class Settlements(Undertaking[int, DecisionRow, None]):
    """Process, flag or remove_lines: one of them, once per return (by key)."""

    name = "settlement"

    def __init__(self, ctx: BrandContext, decided: set[int], result: Settled) -> None:
        super().__init__(ctx)
        self.decided = decided
        """Returns (keys) judged in this tick: their decisions need no second look."""
        self.result = result
        self.flagged: list[ReturnRow] = []
        """Of the batch: their reasons are to be told."""
        self._decisions: Mapping[int, DecisionRow] = {}
        self._turns: Turns | None = None
        """Under a gradual start, whose turn it is: asked once, for nobody else can intend anything
        while this tick holds the brand."""
        self._turns_known = False

    def intend(self, tx: FencedTransaction, items: Sequence[int]) -> list[Call[DecisionRow]]:
        """The intents of these returns' decisions, where they have not moved on meanwhile."""
        rows = returns.by_pks(tx.session, items, lock=True)
        decisions = self._decisions = returns.latest_decisions(tx.session, list(rows))
        keys = [settling_key(row.return_id) for row in rows.values()]
        known = effects.find_all(tx.session, tx.brand, keys)
        former = effects.settled_elsewhere(
            tx.session, tx.brand, [row.return_id for row in rows.values()]
        )
        # What was decided in this very tick, and is open now, needs no second look.
        old = [
            row.id
            for row in rows.values()
            if row.loop_state != LoopState.OPEN
            or row.id not in self.decided
            or not self._decided_lately(row)
        ]
        readings = returns.readings(tx.session, old)
        if not self._turns_known:
            self._turns, self._turns_known = modes.turns(tx.session, tx.brand, tx.now), True
        turns = self._turns
        calls: list[Call[DecisionRow]] = []
        for row in rows.values():
            decision = decisions.get(row.id)
            if row.stage != Stage.SETTLING or row.held:
                continue
            if decision is None or decision.shadow or decision.outcome not in SETTLING:
                # Its call is of a ledger that was lost, or was wanted again by a person, and what
                # was decided since is no decision to settle.
                tx.enter(row, Stage.RECEIVED)
                continue
            before = known.get(settling_key(row.return_id))
            elsewhere = former.get(settling_key(row.return_id)) if before is None else None
            if elsewhere is not None:
                _settled_elsewhere(tx, row, elsewhere)
                self.result.attention += 1
                continue
            if before is not None and not ready(before, tx.now):
                row.due_at = before.try_at
                continue
            if turns and self._waits(tx, turns, row, decision):
                continue
            reading = readings.get(row.id)
            if reading is not None and not self._fresh(row, reading):
                row.due_at = tx.now + self.ctx.settings.poll
            elif (reading is None or self._stands(tx, row, decision, reading)) and (
                effect := self._intend(tx, row, decision, before)
            ):
                calls.append(Call(decision, (effect,)))
                if turns and decision.outcome in modes.PAYS:
                    turns.take(tx.now, Worth.of(row.total, row.currency))
        tx.session.flush()
        return calls

    def _waits(
        self, tx: FencedTransaction, turns: Turns, row: ReturnRow, decision: DecisionRow
    ) -> bool:
        """Whether it has to wait for its turn. What a person has decided, or let go before its
        turn, goes out at once, and is counted."""
        if decision.outcome not in modes.PAYS or decision.by != journal.SERVICE:
            return False
        worth = Worth.of(row.total, row.currency)
        if turns.room(tx.now, worth) or modes.released(tx.session, row.id, decision):
            return False
        row.due_at = turns.wait(tx.now, worth)
        why = f"waits for its turn in the gradual start: {turns.pace}"
        if not journal.told(tx.session, row.id, What.WAITS, why):
            tx.journal(What.WAITS, why, row)
        return True

    def _decided_lately(self, row: ReturnRow) -> bool:
        late = self.ctx.now() - self.ctx.settings.settle.fresh_within
        return row.decided_at is not None and row.decided_at > late

    def _fresh(self, row: ReturnRow, reading: returns.Reading) -> bool:
        """Whether what it was decided on is known to be so: decided lately, or just read again."""
        return self._decided_lately(row) or _known_now(self.ctx, row, reading)

    def _stands(
        self, tx: Transaction, row: ReturnRow, decision: DecisionRow, reading: returns.Reading
    ) -> bool:
        """Whether a decision would be the same now: the return may have been edited since, a
        ticket opened or counted again."""
        if row.loop_state == LoopState.OPEN and row.id in self.decided:
            return True
        if decision.by != journal.SERVICE:
            return self._person_stands(tx, row, decision, reading)
        if row.loop_state == LoopState.OPEN and self._same(row, decision, reading):
            return True
        tx.enter(row, Stage.RECEIVED)  # to be judged again as it is now
        return False

    def _same(self, row: ReturnRow, decision: DecisionRow, reading: returns.Reading) -> bool:
        if not reading.receipts:
            return False
        try:
            now = judge(self.ctx, row, reading)
        except Exception:
            return False  # `_decide` will tell a person
        return (now.outcome, list(now.line_item_ids), reading.receipt_ids) == (
            decision.outcome,
            decision.line_item_ids,
            decision.receipt_ids,
        )

    def _person_stands(
        self, tx: Transaction, row: ReturnRow, decision: DecisionRow, reading: returns.Reading
    ) -> bool:
        """A person's decision stands as long as what they saw does; else they are asked again."""
        shown = load_return(row.content)
        units, worth = sorted(x.line_item_id for x in shown.lines), digest(shown.worth_key())
        seen = decision.facts.get("units", units), decision.facts.get("worth", worth)
        problem = (
            f"Loop shows the return {row.loop_state} by now"
            if row.loop_state != LoopState.OPEN
            else "the warehouse's counts have changed since"
            if decision.receipt_ids != reading.receipt_ids
            else "the return has been edited since"
            if seen != (units, worth)
            else None
        )
        if problem is None:
            return True
        tx.enter(row, Stage.RECEIVED if reading.receipts else Stage.ANNOUNCED)
        row.due_at = None
        why = f"{decision.by} decided to {decision.outcome} it, but {problem}: decide again"
        tx.needs_person(Need.DECIDE_BY_HAND, why, row)
        self.result.attention += 1
        return False

    def _intend(
        self,
        tx: FencedTransaction,
        row: ReturnRow,
        decision: DecisionRow,
        before: EffectRow | None,
    ) -> EffectRow | None:
        key = settling_key(row.return_id)
        assumed = before is not None and before.payload.get("decision") is None
        if assumed and decision.by == journal.SERVICE and _left_as_it_is(tx, row):
            return None
        payload = {
            "return_id": row.return_id,
            "decision": decision.id,
            "line_item_ids": decision.line_item_ids,
        }
        intent = Intent(EffectKind(decision.outcome), key, row.id, payload)
        try:
            return tx.intend(intent, {key: before} if before is not None else {})
        except AlreadyIntended as error:
            row.due_at = None
            if before is not None and before.state not in effects.OPEN:
                why = f"it was settled before and is never settled twice: {error}"
                tx.needs_person(Need.ALREADY_SETTLED, why, row)
            return None  # else its answer is being looked for

    def send(self, call: Call[DecisionRow]) -> None:
        return_id = str(call.effects[0].payload["return_id"])
        self.ctx.counts.add(f"loop.{call.request.outcome}")
        if call.request.outcome == Outcome.PROCESS:
            self.ctx.loop.process(return_id)
        elif call.request.outcome == Outcome.FLAG:
            self.ctx.loop.flag(return_id)
        else:
            self.ctx.loop.remove_lines(return_id, [str(i) for i in call.request.line_item_ids])

    def taken(
        self, tx: Transaction, effect: EffectRow, answer: None, how: str = "Loop took the call"
    ) -> None:
        row = self.rows[effect.return_pk or 0]
        accepted(self.ctx, tx, effect, row, how)
        if effect.kind == Outcome.FLAG:
            self.flagged.append(row)
            self.result.flagged += 1
        else:
            self.result.processed += 1

    def recorded(self, tx: Transaction) -> None:
        reasons = [(row, self._decisions[row.id]) for row in self.flagged]
        plan_notes(tx, [(row, str(of.id), of.note) for row, of in reasons if of.note])
        self.flagged = []

    def refused(self, tx: Transaction, effect: EffectRow, error: OutsideError) -> None:
        row = self.rows[effect.return_pk or 0]
        state = error.state if isinstance(error, Refused) else None
        if effect.kind == Outcome.FLAG and state == LoopState.REVIEW:
            # What a flag is for holds already: by an earlier call of ours, or by someone else's.
            self.taken(tx, effect, None, f"in review already: {error.message}")
            return
        if effect.kind != Outcome.FLAG and state == PROCESSING:
            accepted(self.ctx, tx, effect, row, f"a call is at work: {error.message}")
            self.result.processed += 1
            return
        if isinstance(error, NotFound) and effect.attempts < self.ctx.settings.repeats.attempts:
            tx.outcome(effect, EffectState.NOT_SENT, str(error))
            row.stage, row.due_at = Stage.RECEIVED, None
            words = error.message.rstrip(".")
            why = f"Loop does not have the return any more: {words}. Look for it in Loop"
            tx.needs_person(Need.CANNOT_SEE, why, row, "looked for again every hour")
            self.result.attention += 1
            return
        tx.outcome(effect, EffectState.REFUSED, str(error))
        if state == LoopState.CLOSED:
            # Someone else closed it, or an earlier call of ours did: Loop's list will show it.
            row.stage, row.due_at = Stage.CONFIRMING, tx.now
            return
        call = effect.kind.replace("_", " ")
        words = error.message.rstrip(".")
        why = f"Loop refused to {call} the return: {words}. Look at it in Loop"
        tx.needs_person(Need.REFUSED, why, row, f"one {effect.kind} call")
        self.result.attention += 1


def _settled_elsewhere(tx: Transaction, row: ReturnRow, effect: EffectRow) -> None:
    row.due_at = None
    tx.needs_person(
        Need.ALREADY_SETTLED,
        f"it was settled as a return of brand {effect.brand} ({effect.kind}: {effect.state}), and "
        "is never settled twice. Look at it in Loop, and finish it there",
        row,
    )


def _left_as_it_is(tx: Transaction, row: ReturnRow) -> bool:
    """Where a person has left alone what may have been settled by a ledger that was lost, and it
    was judged for something new since, they are asked again."""
    if not attention.left_alone(tx.session, row, Need.UNKNOWN_PAST):
        return False
    tx.enter(row, Stage.RECEIVED)
    row.due_at = None
    why = (
        "it may have been settled before this ledger knew it, and was left alone; something has "
        "changed since. Look in Loop; retry lets the criteria judge it"
    )
    tx.needs_person(Need.UNKNOWN_PAST, why, row)
    return True


# -- notes in Loop: why it was flagged, what changed after it, what a person wrote ---------------


def _send_notes(ctx: BrandContext) -> None:
    """Send the notes that are planned, and those that certainly were not carried out."""
    with ctx.ledger.read() as session:
        due = effects.sendable(session, ctx.brand, [EffectKind.NOTE], ctx.now(), NOTES_PER_TICK)
    carry_out(ctx, Notes(ctx), due)


class Notes(Undertaking[EffectRow, str, None]):
    """A note on a return."""

    name = "note"
    of_before: Collection[int | None] = ()
    """Returns (keys) on which an earlier ledger that was lost may have made this note."""

    def intend(self, tx: FencedTransaction, items: Sequence[EffectRow]) -> list[Call[str]]:
        fresh = effects.by_pks(tx.session, [effect.id for effect in items])
        due = [e for e in fresh.values() if e.state in effects.SENDABLE]
        enough = self.ctx.settings.repeats.attempts + calls.GOES_ON_FOR
        due = [e for e in due if e.attempts < enough]
        tx.send_again(due)
        former = self.ctx.marks(cursors.FORMER).get(cursors.FORMER)
        if former is not None and tx.now - former < adopt.LOOK_FIRST:
            rows = returns.by_pks(tx.session, [e.return_pk for e in due if e.return_pk])
            self.of_before = {pk for pk, row in rows.items() if row.submitted_at <= former}
        return [Call(str(e.payload["content"])[:NOTE_LIMIT], (e,)) for e in due]

    def send(self, call: Call[str]) -> None:
        effect = call.effects[0]
        if calls.is_late(self.ctx, effect) or effect.return_pk in self.of_before:
            there = _is_there(self.ctx, effect)
            if isinstance(there, OutsideError):
                raise there
            if there:
                return
        self.ctx.counts.add("loop.note")
        self.ctx.loop.add_note(str(call.effects[0].payload["return_id"]), call.request)

    def taken(self, tx: Transaction, effect: EffectRow, answer: None) -> None:
        tx.outcome(effect, EffectState.DONE, "Loop took the note")

    def refused(self, tx: Transaction, effect: EffectRow, error: OutsideError) -> None:
        tx.outcome(effect, EffectState.REFUSED, str(error))
        tx.needs_person(
            Need.NOTE_REFUSED,
            f"Loop refused a note on the return: {error.message}",
            self.rows[effect.return_pk or 0],
            f"the note was: {effect.payload['content']}",
        )

    def put_off(self, tx: Transaction, effect: EffectRow) -> None:
        """The return itself goes on."""

    def lost(self, tx: Transaction, effect: EffectRow) -> None:
        """The return itself goes on."""


def _find_lost_notes(ctx: BrandContext) -> None:
    """Look among the return's notes for one whose answer was lost; else it is sent again."""
    kinds = [EffectKind.NOTE]
    with ctx.ledger.read() as session:
        if not effects.in_doubt(session, ctx.brand, kinds, 1):
            return
    with ctx.write() as tx:
        effects.doubt_all(tx.session, tx.now, ctx.brand, EffectKind.NOTE)
        lost = effects.in_doubt(tx.session, ctx.brand, kinds, NOTES_PER_TICK)
    for batch in ctx.batches([effect for effect in lost if ready(effect, ctx.now())]):
        found = ctx.in_parallel(lambda e: _is_there(ctx, e), batch)
        with ctx.write() as tx:
            fresh = effects.by_pks(tx.session, [effect.id for effect in batch])
            for effect, there in zip(batch, found, strict=True):
                if isinstance(there, OutsideError):
                    _cannot_see_note(tx, fresh[effect.id], there)
                    continue
                seen_again(fresh[effect.id])
                _notes_seen(tx, fresh[effect.id])
                if there:
                    why = "found among the notes in Loop"
                    tx.outcome(fresh[effect.id], EffectState.DONE, why)
                else:
                    had_no_effect(ctx, tx, fresh[effect.id], "not among the notes in Loop")


def _cannot_see_note(tx: Transaction, effect: EffectRow, error: OutsideError) -> None:
    """The notes are looked for again, unless what comes in their place will never be notes."""
    since = effect.doubt_since or tx.now
    if error.effect is Effect.NOT_SENT or garbled_once(effect):
        return
    if tx.now - since < TELL_NOTES_AFTER:
        return
    why = f"whether our note is on the return cannot be seen: {error.message}"
    if tx.now - since < LOOK_FOR_NOTES:
        effect.try_at = tx.now + NOTES_AGAIN
        effect.payload = {**effect.payload, _TOLD: True}
    else:
        tx.outcome(effect, EffectState.FAILED, why)
    row = tx.session.get(ReturnRow, effect.return_pk)
    tx.needs_person(
        Need.NOTE_REFUSED,
        f"{why}. Look in Loop, and add it by hand where it is not there",
        row or effect.key,
        f"the note was: {effect.payload['content']}",
    )


_TOLD = "told"
"""In a note's payload: a person has been told that its return's notes cannot be seen."""


def _notes_seen(tx: Transaction, effect: EffectRow) -> None:
    if not effect.payload.get(_TOLD):
        return
    effect.payload = {k: v for k, v in effect.payload.items() if k != _TOLD}
    effect.try_at = None
    if row := tx.session.get(ReturnRow, effect.return_pk):
        tx.resolve(Need.NOTE_REFUSED, row, "Loop shows the return's notes again")


def _is_there(ctx: BrandContext, effect: EffectRow) -> bool | OutsideError:
    ctx.counts.add("loop.notes")
    try:
        notes = ctx.loop.notes(str(effect.payload["return_id"]))
    except OutsideError as error:
        if error.scope is Scope.ACCESS:
            raise
        return error
    if any(same_note(note.content, str(effect.payload["content"])) for note in notes):
        return True
    if any(not note.content for note in notes):
        subject = str(effect.payload["return_id"])
        about = {"system": "Loop", "brand": ctx.brand, "call": "notes", "subject": subject}
        return Unreadable("a note came without its text, which may be ours", **about)
    return False
