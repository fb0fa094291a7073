"""What people may do about a return, each journaled with who and why.

These only write the ledger; the brand's next tick acts. So they are safe at any moment, and on
any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bergen_loop.domain.decision import NOTE_LIMIT, Outcome
from bergen_loop.domain.returns import BY_HAND, OFF, Stage
from bergen_loop.domain.rma import TicketStatus
from bergen_loop.domain.words import OF_PRODUCTS, EffectKind, Need, Retry, What
from bergen_loop.ledger.codec import digest, load_return, storable
from bergen_loop.ledger.store import attention, effects, modes, products, returns, shipments
from bergen_loop.ledger.store.attention import Ended
from bergen_loop.ledger.store.effects import EffectState, Intent
from bergen_loop.ledger.tables.core import AttentionRow, DecisionRow, EffectRow, ReturnRow
from bergen_loop.ledger.transaction import Transaction


class NotPossible(Exception):
    """The action does not fit where the return stands; the message says why, for a person. `at` is
    the field of a form that it is about, if it is about one: `why` or `note`."""

    def __init__(self, message: str = "", at: str = "") -> None:
        super().__init__(message)
        self.at = at


SETTLES = (Need.REFUSED, Need.LOST_SETTLEMENT, Need.PROCESSING_FAILED)
"""A retry of these may end in a call that moves money: one at a time, at its own page."""


def _hold_still(tx: Transaction, row: ReturnRow) -> None:
    """Lock the return and see it as it is now: a tick may be deciding at this very moment."""
    tx.session.flush()
    tx.session.refresh(row, with_for_update=True)


def retry(tx: Transaction, item: AttentionRow, why: str) -> None:
    """Let the flows look at, or try, again what led to this item: what it depends on is read
    anew. Where it comes to the same, the item is back, as old as it is. Raises NotPossible."""
    _check_open(item)
    row = tx.session.get(ReturnRow, item.return_pk) if item.return_pk else None
    if row is not None:
        _hold_still(tx, row)
        _prepare_retry(tx, item, row)
    words = f"retry: {why}"
    attention.resolve(
        tx.session, tx.now, item, attention.Resolution(who=tx.who, words=words, ended=Ended.RETRIED)
    )
    item.tried_again_at, item.tried_again_by = tx.now, tx.who
    if row is None:
        _again_for_all(tx, item)
    returns.brand_row(tx.session, tx.brand).nudged_at = tx.now


def _check_open(item: AttentionRow) -> None:
    """Raises NotPossible, saying who was faster."""
    if item.resolved_at:
        raise NotPossible(
            f"it has been resolved already, by {item.resolved_by} at "
            f"{item.resolved_at:%Y-%m-%d %H:%M} UTC: "
            f"{item.resolution}"
        )


def _prepare_retry(tx: Transaction, item: AttentionRow, row: ReturnRow) -> None:
    need = Need(item.kind)
    if row.stage in OFF and (need in _MOVE or need.retry is Retry.JUDGE):
        _read_tickets_again(tx, row)  # it goes on from there if Loop opens it again
    elif need is Need.TICKET_CANCELLED:
        _announce_again(tx, row)
    elif need is Need.CONFLICT and row.stage == Stage.FLAGGED:
        raise NotPossible(
            "after a flag nothing is processed: decide the return in Loop, which resolves this "
            "item, or ignore it with a reason"
        )
    elif need is Need.NOTE_REFUSED:
        raise NotPossible("add the note in Loop by hand, then resolve this item with a reason")
    elif need is Need.NOT_CONFIRMED:
        row.stage = Stage.CONFIRMING  # looked at again; what Loop took is never sent again
    elif need in SETTLES:
        _settle_again(tx, row)
    elif need.retry is Retry.READ:
        _read_tickets_again(tx, row)
    elif need.retry is Retry.JUDGE:
        # Its tickets are read first: what waits is judged on nothing older.
        _read_tickets_again(tx, row)
        row.stage = Stage.WAITING
    elif need.retry is Retry.SEND:
        effects.try_now(tx.session, row.id)


_MOVE = (Need.TICKET_CANCELLED, Need.NOT_CONFIRMED)
"""Whose retry puts a return somewhere else, beside those that judge."""


def _again_for_all(tx: Transaction, item: AttentionRow) -> None:
    """An item about a product or destination: what waits for it is looked at again."""
    if item.kind == Need.CLOSE_REFUSED:
        returns.close_now(tx.session, tx.brand, tx.now)
    if item.kind in _OF_SHIPMENTS:
        shipments.again(tx.session, tx.now, tx.brand, Need(item.kind), item.subject or "")
    if item.kind in OF_PRODUCTS:
        products.forget(tx.session, tx.brand, item.subject or "")
        effect = effects.find(tx.session, tx.brand, f"product:{item.subject}")
        if effect is not None:
            effect.attempts, effect.try_at = 0, None
    if item.return_pk is None and item.kind in (*OF_PRODUCTS, Need.DESTINATION):
        returns.announce_now(tx.session, tx.brand, tx.now)


_OF_SHIPMENTS = (Need.SHIPMENT_COUNTS, Need.SHIPMENT_RMA, Need.SHIPMENT_UNREADABLE)


def _read_tickets_again(tx: Transaction, row: ReturnRow) -> None:
    for rma in returns.rmas_of(tx.session, [row.id]).get(row.id, []):
        rma.to_read, rma.read_due_at = rma.ticket_id is not None, None


def _announce_again(tx: Transaction, row: ReturnRow) -> None:
    """Units that another ticket announces are left to it."""
    rmas = returns.rmas_of(tx.session, [row.id]).get(row.id, [])
    if not any(r.ticket_status == TicketStatus.CANCELLED for r in rmas):
        raise NotPossible("none of the return's tickets is cancelled now")
    row.stage = Stage.SEEN


def _settle_again(tx: Transaction, row: ReturnRow) -> None:
    """A person wants a settling call that had no effect made again. What Loop has accepted is
    never sent again by anybody. What it refused may be sent at once, for each call goes out on
    lists read in the same tick. Else it is only looked at: it is sent anew if a fresh look shows
    the return open and untouched, after the same waits as the service keeps."""
    effect = effects.settlements_of(tx.session, [row.id]).get(row.id)
    if effect is None:
        raise NotPossible("there is no call to repeat")
    if row.loop_state != "open":
        raise NotPossible(f"Loop shows the return {row.loop_state}, not open")
    if effect.state == EffectState.REFUSED:
        why = f"{tx.who} wants it tried again; Loop had refused it"
        tx.outcome(effect, EffectState.NOT_SENT, why)
        effect.attempts = 0
        row.stage = Stage.SETTLING
    elif effect.state == EffectState.FAILED:
        _doubt_again(tx, effect)
        row.stage = Stage.SETTLING
    else:
        raise NotPossible(
            f"the {effect.kind} call is {effect.state}: what Loop took is never sent again; look "
            "at the return in Loop, and finish it there"
        )


def _doubt_again(tx: Transaction, effect: EffectRow) -> None:
    """Failed, by Loop's word or for want of an answer: to be looked for as any lost answer."""
    since = effect.doubt_since or effect.finished_at or tx.now
    tx.outcome(effect, EffectState.DOUBT, f"{tx.who} wants it looked at again")
    effect.doubt_since, effect.attempts = since, 1
    effect.payload = {**effect.payload, "asked_at": tx.now.isoformat()}


@dataclass(frozen=True, slots=True)
class ByHand:
    """A person's decision: process, or flag with a note (else the reason is the note)."""

    outcome: Outcome
    why: str
    note: str | None = None


def decide(tx: Transaction, row: ReturnRow, wanted: ByHand) -> None:
    """Decide by hand: process, or flag with a note. Raises NotPossible."""
    outcome, why = wanted.outcome, wanted.why.strip()
    if outcome not in (Outcome.PROCESS, Outcome.FLAG):
        raise NotPossible("by hand a return can be processed or flagged")
    if not why:
        raise NotPossible("a decision by hand needs a reason", "why")
    _hold_still(tx, row)
    _check_decidable(tx, row)
    shown = load_return(row.content)
    text = (wanted.note or why).strip()
    if outcome is Outcome.FLAG and len(text) > NOTE_LIMIT:
        raise NotPossible(f"the note has {len(text)} characters; Loop takes {NOTE_LIMIT}")
    tx.session.add(
        DecisionRow(
            brand=row.brand,
            return_pk=row.id,
            decided_at=tx.now,
            outcome=outcome,
            rule="by hand",
            reason=why,
            note=text if outcome is Outcome.FLAG else None,
            wait_until=None,
            line_item_ids=[],
            criteria_version="by hand",
            config_version="by hand",
            # What the person saw: where it has changed by the time of the call, they are asked
            # again.
            facts={
                "units": sorted(x.line_item_id for x in shown.lines),
                "worth": digest(shown.worth_key()),
            },
            receipt_ids=returns.final_receipt_ids(tx.session, row.id),
            shadow=False,
            by=tx.who,
        )
    )
    tx.journal(What.DECIDED_BY_HAND, why, row, {"outcome": outcome.value})
    for item in attention.open_items(tx.session, return_pk=row.id):
        words = f"decided by hand: {outcome}"
        attention.resolve(
            tx.session,
            tx.now,
            item,
            attention.Resolution(who=tx.who, words=words, ended=Ended.DECIDED),
        )
    row.stage, row.due_at, row.decided_at = Stage.SETTLING, tx.now, tx.now


def _check_decidable(tx: Transaction, row: ReturnRow) -> None:
    brand = returns.brand_row(tx.session, row.brand)
    mode = brand.mode or brand.acted_mode
    if mode not in (None, modes.LIVE):
        raise NotPossible(f"the brand is {mode}: nothing is acted on; decide it in Loop")
    if row.loop_state != "open":
        raise NotPossible(f"Loop shows the return {row.loop_state}, not open")
    if row.stage not in BY_HAND:
        raise NotPossible(f"the return is {row.stage.replace('_', ' ')}: nothing to decide now")
    effect = effects.settlements_of(tx.session, [row.id]).get(row.id)
    if effect is not None and effect.state not in effects.SENDABLE:
        raise NotPossible(f"it was settled before ({effect.kind}: {effect.state})")


def ignore(tx: Transaction, item: AttentionRow, why: str) -> None:
    """Take an item off the list for a reason. Its return is left to people: no flow takes it
    up by itself until something new happens to it. Raises NotPossible."""
    if not why.strip():
        raise NotPossible("ignoring an item needs a reason", "why")
    _check_open(item)
    words = f"ignored: {why.strip()}"
    attention.resolve(
        tx.session, tx.now, item, attention.Resolution(who=tx.who, words=words, ended=Ended.IGNORED)
    )
    if item.return_pk is not None:
        tx.session.get_one(ReturnRow, item.return_pk).due_at = None


def undo(tx: Transaction, item: AttentionRow, why: str) -> None:
    """Put an ignored item back on the list: it holds its return again, as old as it is. Raises
    NotPossible."""
    if item.resolved_at is None:
        raise NotPossible("it is on the list")
    if item.ended != Ended.IGNORED:
        raise NotPossible("only what was ignored can be put back: the rest has been acted on")
    row = tx.session.get(ReturnRow, item.return_pk) if item.return_pk else None
    if row is not None:
        _hold_still(tx, row)
        if row.stage != item.ended_at_stage:
            now = row.stage.replace("_", " ")
            raise NotPossible(f"the return has moved on meanwhile: it is {now}")
    if not attention.reopen(tx.session, item):
        raise NotPossible("the same is on the list again already")
    tx.journal(What.REOPENED, why.strip() or "taken back", row, {"item": item.id})


LONGEST_ASSIGNEE = 100
"""Characters of a name."""


def assign(tx: Transaction, item: AttentionRow, to: str | None, why: str = "") -> None:
    """Say who has taken an item on; None: nobody. Raises NotPossible."""
    _check_open(item)
    item.assignee = to = storable((to or "").strip())[:LONGEST_ASSIGNEE] or None
    _told(tx, item, What.ASSIGNED, (f"to {to}" if to else "to nobody", why))


LONGEST_SNOOZE = timedelta(days=31)


def snooze(
    tx: Transaction, item: AttentionRow, until: datetime | None, why: str = ""
) -> None:  # fmt: skip
    """Put an item off; None: no longer. It holds its return all the same, and is back as soon as
    something else is said of it. Raises NotPossible."""
    _check_open(item)
    if until is not None and not tx.now < until <= tx.now + LONGEST_SNOOZE:
        raise NotPossible(f"an item is put off for at most {LONGEST_SNOOZE.days} days")
    item.snoozed_until = until
    words = f"until {until:%Y-%m-%d %H:%M} UTC" if until else "no longer"
    _told(tx, item, What.SNOOZED, (words, why))


def _told(tx: Transaction, item: AttentionRow, what: What, words: tuple[str, str]) -> None:
    row = tx.session.get(ReturnRow, item.return_pk) if item.return_pk else None
    tx.journal(what, ": ".join(filter(None, words)), row, {"item": item.id, "kind": item.kind})


def resync(tx: Transaction, row: ReturnRow, why: str = "") -> None:
    """Have the tickets read again and the return looked at, at the next tick."""
    _hold_still(tx, row)
    _read_tickets_again(tx, row)
    if row.stage in (Stage.SEEN, Stage.RECEIVED, Stage.WAITING, Stage.CONFIRMING, Stage.CLOSING):
        row.due_at = tx.now
    returns.brand_row(tx.session, row.brand).nudged_at = tx.now
    tx.journal(What.RESYNC, why or "asked for by hand", row)


def add_note(tx: Transaction, row: ReturnRow, text: str, why: str = "") -> None:
    """Have a note added to the return in Loop; `why` is kept beside it. Raises NotPossible."""
    text = text.strip()
    if not 0 < len(text) <= NOTE_LIMIT:
        told = f"a note has 1 to {NOTE_LIMIT} characters; this one {len(text)}"
        raise NotPossible(told, "note")
    key = f"note:{row.return_id}:{digest([text, tx.now.isoformat()])[:12]}"
    payload = {"return_id": row.return_id, "content": text}
    tx.plan(Intent(EffectKind.NOTE, key, row.id, payload))
    tx.journal(What.NOTE, text, row, {"why": why} if why else None)
    returns.brand_row(tx.session, row.brand).nudged_at = tx.now
