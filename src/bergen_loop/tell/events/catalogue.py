"""Which journal entries are moments of a return, and how they are told."""

from __future__ import annotations

from bergen_loop.config.operations import EventType
from bergen_loop.domain.lifecycle import Moment
from bergen_loop.ledger.tables.core import JournalRow

_EVENTS: dict[str, tuple[EventType, ...]] = {
    "seen": ("return.submitted", "return.seen"),
    "ticket_add: done": ("return.announced",),
    "received": ("return.received",),
    "closing": ("return.processed",),
    "flag: done": ("return.flagged",),
    "RMA closed": ("return.rma_closed",),
    "complete": ("return.complete",),
    "needs attention": ("return.attention",),
}

_ENDED_BEFORE = ("already ", "left alone")
"""How the `seen` entry of a return begins that is none of our business: it had ended before it
was first seen, or goes elsewhere."""

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
    if entry.brand is None:
        return ()
    if entry.what == "seen" and entry.why.startswith(_ENDED_BEFORE):
        return ()
    return _EVENTS.get(entry.what, ())
