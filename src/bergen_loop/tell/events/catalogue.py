"""Which journal entries are moments of a return, and how they are told."""

from __future__ import annotations

from bergen_loop.config.operations import EventType
from bergen_loop.domain.returns import Moment
from bergen_loop.domain.words import EffectKind, What
from bergen_loop.ledger.tables.core import JournalRow

_EVENTS: dict[str, tuple[EventType, ...]] = {
    What.SEEN: ("return.submitted", "return.seen"),
    What.RECEIVED: ("return.received",),
    What.CLOSING: ("return.processed",),
    What.RMA_CLOSED: ("return.rma_closed",),
    What.COMPLETE: ("return.complete",),
    What.NEEDS_PERSON: ("return.attention",),
    What.SHIPMENT_DONE: ("shipment.counted",),
    What.CLAIM_OPENED: ("claim.opened",),
    What.CLAIM_CHANGED: ("claim.changed",),
    What.CLAIM_WITHDRAWN: ("claim.withdrawn",),
}
_CALLS: dict[str, tuple[EventType, ...]] = {
    EffectKind.TICKET: ("return.announced",),
    EffectKind.FLAG: ("return.flagged",),
}
"""Calls that are a moment once they are done."""

MOMENTS: dict[EventType, Moment] = {
    "return.submitted": Moment.SUBMITTED,
    "return.seen": Moment.SEEN,
    "return.announced": Moment.ANNOUNCED,
    "return.received": Moment.RECEIVED,
    "return.processed": Moment.DECIDED,
    "return.flagged": Moment.DECIDED,
    "return.rma_closed": Moment.RMA_CLOSED,
    "return.complete": Moment.COMPLETE,
}


def events_of(entry: JournalRow) -> tuple[EventType, ...]:
    """The events an entry stands for."""
    if entry.brand is None or entry.happened is None:
        return ()
    if entry.happened == What.CALL_DONE:
        return _CALLS.get(str(entry.data.get("kind")), ())
    return _EVENTS.get(entry.happened, ())
