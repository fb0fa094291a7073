"""What Loop's and Bergen's states lead to: the moves of a return that no call of ours makes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bergen_loop.domain.announce import Skip
from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import SHOWN_CLOSED, STAY, LoopState, Stage, Standing, follow_loop
from bergen_loop.domain.rma import TicketStatus
from bergen_loop.domain.words import EffectKind, Need, What
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.codec import load_items
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.store import attention, effects, returns
from bergen_loop.ledger.store.effects import EffectState, Intent
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow, RmaRow
from bergen_loop.ledger.transaction import Transaction

UNHEARD = timedelta(days=5)
"""How long after its parcel was delivered a ticket is read by itself, and then again, where the
list of changes has not named it: by which date that goes is documented nowhere."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger has of a return beside its row."""

    rmas: Sequence[RmaRow]
    read: set[int]
    """The RMAs (keys) that have a receipt."""
    settlement: EffectRow | None
    in_flight: bool
    """Whether a ticket call has no outcome yet."""
    has_items: bool
    """Whether it is on the attention list."""


def known_of(session: Session, rows: Sequence[ReturnRow]) -> dict[int, Known]:
    """For many returns in a few questions, by key."""
    pks = [row.id for row in rows]
    rmas, settled = returns.rmas_of(session, pks), effects.settlements_of(session, pks)
    receipts = returns.receipts_known(session, [r.id for of in rmas.values() for r in of])
    read = {rma for rma, _ in receipts}
    unmade = [pk for pk, of in rmas.items() if any(r.ticket_id is None for r in of)]
    flying = effects.open_ticket_calls(session, unmade)
    items = attention.of_returns(session, pks)
    return {
        pk: Known(rmas.get(pk, []), read, settled.get(pk), pk in flying, pk in items) for pk in pks
    }


def units_of(rmas: Iterable[RmaRow]) -> set[str]:
    """The units that they announce."""
    return {unit for rma in rmas for item in load_items(rma.items) for unit, _ in item.pieces}


def cancelled_units(rmas: Sequence[RmaRow]) -> set[str]:
    """The units whose only tickets the warehouse has cancelled."""
    off = [rma for rma in rmas if rma.ticket_status == TicketStatus.CANCELLED]
    return units_of(off) - units_of(rma for rma in rmas if rma not in off) if off else set()


def follow(tx: Transaction, row: ReturnRow, known: Known, *, news: bool = True) -> None:
    """Go where Loop's state leads. What a person has left alone is not asked again, unless the
    state is `news`."""
    rmas, settled = known.rmas, known.settlement
    standing = Standing(
        stage=Stage(row.stage),
        has_rma=any(r.ticket_id for r in rmas),
        has_receipt=any(r.id in known.read for r in rmas),
        settled_by_us=settled.kind if settled and settled.state not in effects.SENDABLE else None,
        rma_in_flight=known.in_flight,
        rma_cancelled=bool(cancelled_units(rmas))
        or all(r.ticket_status == TicketStatus.CANCELLED for r in rmas if r.ticket_id),
    )
    move = follow_loop(standing, LoopState(row.loop_state))
    has_items = known.has_items or row.held  # held: one was raised in this very transaction
    if move.stage is not None and move.stage != row.stage:
        tx.move(row, move.stage, move.why, {"loop_state": row.loop_state})
        if has_items and move.stage in (Stage.CLOSING, Stage.COMPLETE, Stage.CANCELLED):
            tx.resolve_all(row, f"settled by itself: {move.why}")
    if (
        has_items
        and move == STAY
        and row.stage in SHOWN_CLOSED
        and row.loop_state == LoopState.CLOSED
    ):
        tx.resolve(Need.CONFLICT, row, "Loop shows it closed again")
    if has_items and row.stage == Stage.FLAGGED and row.loop_state == LoopState.REVIEW:
        tx.resolve(Need.CONFLICT, row, "Loop shows it in review again")
    if move.attention and (news or not attention.left_alone(tx.session, row, Need.CONFLICT)):
        tx.needs_person(Need.CONFLICT, move.attention, row)


def accepted(
    ctx: BrandContext, tx: Transaction, effect: EffectRow, row: ReturnRow, how: str
) -> None:
    """The settling call is known to have been taken: go on from there. After a flag its reason is
    to be told (`plan_notes_of_flags`)."""
    if effect.kind == Outcome.FLAG:
        tx.outcome(effect, EffectState.DONE, how)
        # A flag acts at once, and Loop's list of those in review may be read much later.
        row.loop_state = LoopState.REVIEW
        tx.enter(row, Stage.FLAGGED)
        return
    tx.outcome(effect, EffectState.ACCEPTED, how)
    row.stage, row.due_at = Stage.CONFIRMING, tx.now + ctx.settings.settle.confirm_within


def all_cancelled(tx: Transaction, row: ReturnRow, tickets: str) -> None:
    """Nothing is awaited any more: a person says whether anything is to be."""
    why = (
        f"the warehouse cancelled {tickets}, but the return is still open in Loop: retry makes a "
        "new RMA, or close the return in Loop by hand"
    )
    tx.needs_person(Need.TICKET_CANCELLED, why, row)


def nothing_comes(tx: Transaction, row: ReturnRow, skip: Skip) -> None:
    """It is in no need of an RMA any more, before it has had one."""
    row.stage, row.due_at = Stage.NO_PARCEL if skip.no_parcel else Stage.IGNORED, None
    tx.journal(What.RECONSIDERED, skip.reason, row)


def look_later(tx: Transaction, rmas: Sequence[RmaRow]) -> None:
    """The carrier has delivered it: where the list of changes does not name the ticket for long,
    the ticket itself is read."""
    for rma in rmas:
        if rma.ticket_id and rma.read_status is None and not rma.to_read:
            rma.to_read, rma.read_due_at = True, tx.now + UNHEARD


def settlement_shown(tx: Transaction, row: ReturnRow, effect: EffectRow | None) -> None:
    """Give a return's settling call the outcome that Loop's state proves, if it has none yet
    (I4)."""
    if effect is None or effect.state not in effects.UNDER_WAY:
        return
    answered = effect.state == EffectState.ACCEPTED
    state = LoopState(row.loop_state)
    if effect.kind == Outcome.FLAG:
        if state is LoopState.REVIEW:
            tx.outcome(effect, EffectState.DONE, "Loop shows the return in review")
            plan_notes_of_flags(tx, [row])
        elif state in (LoopState.CLOSED, LoopState.CANCELLED):
            tx.outcome(effect, EffectState.FAILED, f"Loop shows the return {state} instead")
            # The flag may have been taken and then decided by a person: its reason is told.
            plan_notes_of_flags(tx, [row])
    elif state is LoopState.CLOSED:
        if not answered:
            effect.payload = {**effect.payload, effects.UNANSWERED: True}
        tx.outcome(effect, EffectState.DONE, "Loop shows the return closed")
    elif state is LoopState.CANCELLED:
        tx.outcome(effect, EffectState.FAILED, "Loop shows the return cancelled instead")


def plan_notes_of_flags(tx: Transaction, rows: Sequence[ReturnRow]) -> None:
    """The reasons of flags that Loop has taken are told there."""
    decisions = returns.latest_decisions(tx.session, [row.id for row in rows])
    told = [(row, decisions[row.id]) for row in rows if row.id in decisions]
    plan_notes(tx, [(row, str(of.id), of.note) for row, of in told if of.note])


def plan_note(tx: Transaction, row: ReturnRow, name: str, content: str) -> None:
    """Have a note made."""
    plan_notes(tx, [(row, name, content)])


def plan_notes(tx: Transaction, notes: Sequence[tuple[ReturnRow, str, str]]) -> None:
    """Have notes made, each with its return and name; one of the same name is made once per
    return, and one that says what the last one said is not made at all."""
    last = effects.latest_notes(tx.session, [row.id for row, _, _ in notes])
    tx.plan_all(
        [
            Intent(
                EffectKind.NOTE,
                f"note:{row.return_id}:{name}",
                row.id,
                {"return_id": row.return_id, "content": content},
            )
            for row, name, content in notes
            if last.get(row.id) != content
        ]
    )
