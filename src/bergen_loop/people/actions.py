"""What people may do about a return, each journaled with who and why.

These only write the ledger; the brand's next tick acts. So they are safe at any moment, and on
any machine.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.decision import NOTE_LIMIT, Outcome
from bergen_loop.domain.lifecycle import Stage
from bergen_loop.domain.rma import TicketStatus
from bergen_loop.ledger.codec import digest
from bergen_loop.ledger.store import attention, effects, journal, modes, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import AttentionRow, DecisionRow, ReturnRow


class NotPossible(Exception):
    """The action does not fit where the return stands; the message says why, for a person."""


def _hold_still(session: Session, row: ReturnRow) -> None:
    """Lock the return and see it as it is now: a tick may be deciding at this very moment."""
    session.flush()
    session.refresh(row, with_for_update=True)


def retry(session: Session, now: datetime, item: AttentionRow, *, who: str, why: str) -> None:
    """Let the flows try again what led to this item. Raises NotPossible."""
    if item.resolved_at:
        raise NotPossible("this item has been resolved already")
    row = session.get(ReturnRow, item.return_pk) if item.return_pk else None
    if row is not None:
        _hold_still(session, row)
        _prepare_retry(session, now, item, row, who)
    attention.resolve(session, now, item, who=who, resolution=f"retry: {why}")


def _prepare_retry(
    session: Session, now: datetime, item: AttentionRow, row: ReturnRow, who: str
) -> None:
    if item.kind == "receipt_unreadable":
        for rma in returns.rmas_of(session, [row.id]).get(row.id, []):
            rma.to_read = rma.ticket_id is not None
    elif item.kind == "ticket_cancelled":
        _announce_again(session, row)
    elif item.kind == "decide_by_hand":
        row.stage = Stage.RECEIVED
    elif item.kind in ("refused", "lost_settlement", "processing_failed", "not_confirmed"):
        _settle_again(session, now, row, who)
    elif item.kind == "conflict" and row.stage == Stage.FLAGGED:
        raise NotPossible(
            "after a flag nothing is processed: decide the return in Loop, which resolves this "
            "item, or ignore it with a reason"
        )
    elif item.kind == "note_refused":
        raise NotPossible("add the note in Loop by hand, then resolve this item with a reason")


def _announce_again(session: Session, row: ReturnRow) -> None:
    rmas = returns.rmas_of(session, [row.id]).get(row.id, [])
    if any(r.ticket_status != TicketStatus.CANCELLED for r in rmas if r.ticket_id):
        raise NotPossible("the return has another ticket that is not cancelled")
    row.stage = Stage.SEEN


def _settle_again(session: Session, now: datetime, row: ReturnRow, who: str) -> None:
    """A person has looked in Loop and says that the call did not take effect."""
    effect = returns.settlements_of(session, [row.id]).get(row.id)
    if effect is None:
        raise NotPossible("there is no call to repeat")
    if row.loop_state != "open":
        raise NotPossible(f"Loop shows the return {row.loop_state}, not open")
    if effect.state not in (EffectState.REFUSED, EffectState.FAILED, EffectState.ACCEPTED):
        raise NotPossible(f"the {effect.kind} call is {effect.state}: its answer is awaited")
    effects.finish(
        session, effect, now, EffectState.NOT_SENT, f"{who} says it did not take effect in Loop"
    )
    row.stage = Stage.SETTLING


def decide(
    session: Session,
    now: datetime,
    row: ReturnRow,
    outcome: Outcome,
    *,
    who: str,
    why: str,
    note: str | None = None,
) -> None:
    """Decide by hand: process, or flag with a note. Raises NotPossible."""
    if outcome not in (Outcome.PROCESS, Outcome.FLAG):
        raise NotPossible("by hand a return can be processed or flagged")
    if not why.strip():
        raise NotPossible("a decision by hand needs a reason")
    _hold_still(session, row)
    brand = returns.brand_row(session, row.brand)
    mode = brand.mode or brand.acted_mode
    if mode not in (None, modes.LIVE):
        raise NotPossible(f"the brand is {mode}: nothing is acted on; decide it in Loop")
    if row.loop_state != "open":
        raise NotPossible(f"Loop shows the return {row.loop_state}, not open")
    if row.stage not in (Stage.RECEIVED, Stage.WAITING, Stage.ANNOUNCED):
        raise NotPossible(f"the return is {row.stage.replace('_', ' ')}: nothing to decide now")
    effect = returns.settlements_of(session, [row.id]).get(row.id)
    if effect is not None and effect.state != EffectState.NOT_SENT:
        raise NotPossible(f"it was settled before ({effect.kind}: {effect.state})")
    text = (note or why).strip()
    if outcome is Outcome.FLAG and len(text) > NOTE_LIMIT:
        raise NotPossible(f"the note has {len(text)} characters; Loop takes {NOTE_LIMIT}")
    session.add(
        DecisionRow(
            brand=row.brand,
            return_pk=row.id,
            decided_at=now,
            outcome=outcome,
            rule="by hand",
            reason=why.strip(),
            note=text if outcome is Outcome.FLAG else None,
            wait_until=None,
            line_item_ids=[],
            criteria_version="by hand",
            config_version="by hand",
            facts={},
            receipt_ids=[],
            shadow=False,
            by=who,
        )
    )
    journal.record(
        session,
        now,
        f"decided by hand: {outcome}",
        why.strip(),
        brand=row.brand,
        return_pk=row.id,
        who=who,
    )
    for item in attention.open_items(session, return_pk=row.id):
        attention.resolve(session, now, item, who=who, resolution=f"decided by hand: {outcome}")
    row.stage, row.due_at, row.decided_at = Stage.SETTLING, now, now


def ignore(session: Session, now: datetime, item: AttentionRow, *, who: str, why: str) -> None:
    """Take an item off the list for a reason. Its return is left to people: no flow takes it
    up by itself until something new happens to it. Raises NotPossible."""
    if not why.strip():
        raise NotPossible("ignoring an item needs a reason")
    if item.resolved_at:
        raise NotPossible("this item has been resolved already")
    attention.resolve(session, now, item, who=who, resolution=f"ignored: {why.strip()}")
    if item.return_pk is not None:
        session.get_one(ReturnRow, item.return_pk).due_at = None


def resync(session: Session, now: datetime, row: ReturnRow, *, who: str) -> None:
    """Have the tickets read again and the return looked at, at the next tick."""
    _hold_still(session, row)
    for rma in returns.rmas_of(session, [row.id]).get(row.id, []):
        rma.to_read = rma.ticket_id is not None
    if row.stage in (Stage.SEEN, Stage.RECEIVED, Stage.WAITING, Stage.CONFIRMING, Stage.CLOSING):
        row.due_at = now
    returns.brand_row(session, row.brand).nudged_at = now
    journal.record(
        session, now, "resync", "asked for by hand", brand=row.brand, return_pk=row.id, who=who
    )


def add_note(session: Session, now: datetime, row: ReturnRow, text: str, *, who: str) -> None:
    """Have a note added to the return in Loop. Raises NotPossible."""
    text = text.strip()
    if not 0 < len(text) <= NOTE_LIMIT:
        raise NotPossible(f"a note has 1 to {NOTE_LIMIT} characters; this one {len(text)}")
    key = f"note:{row.return_id}:{digest([text, now.isoformat()])[:12]}"
    effects.intend(
        session,
        now,
        brand=row.brand,
        key=key,
        kind="note",
        payload={"return_id": row.return_id, "content": text},
        return_pk=row.id,
    )
    journal.record(session, now, "note", text, brand=row.brand, return_pk=row.id, who=who)
    returns.brand_row(session, row.brand).nudged_at = now


def find_item(session: Session, item_id: int) -> AttentionRow | None:
    """An item of the attention list."""
    return session.scalar(sa.select(AttentionRow).where(AttentionRow.id == item_id))
