"""A ledger put back from a backup is told so: what was done since the backup is not in it.

What follows from it is in `flow.tick`: RMAs are looked for before they are made (I3), and nothing
is settled until Loop must have carried out what it had taken from us before (I1).
"""

from __future__ import annotations

from datetime import datetime

from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.store import cursors, journal, restores


def mark(session: Session, now: datetime, *, who: str, source: str) -> list[str]:
    """Tell a restored ledger that it was restored; its brands."""
    brands = restores.mark(session, now)
    for brand in brands:
        cursors.set(session, brand, cursors.FIRST_PULL, now)
        cursors.set(session, brand, cursors.FORMER, now)
    why = f"put back from {source}; RMAs are looked for before they are made"
    journal.record(session, now, journal.Entry(What.LEDGER_RESTORED, why, brand=None, who=who))
    return brands
