"""How far a long pull of a brand's returns has come: the first one, or one after a long pause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from bergen_loop.ledger import returns


@dataclass(frozen=True, slots=True)
class Backfill:
    """A pull that is under way. Times are UTC; `since` to `until` is what it covers."""

    since: datetime
    until: datetime
    reached: datetime
    left: timedelta | None
    """Time left at the pace since it was begun or taken up again; None: not known yet."""

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        whole = (self.until - self.since).total_seconds()
        done = (self.reached - self.since).total_seconds()
        return min(1.0, max(0.0, done / whole)) if whole > 0 else 1.0


def begin(session: Session, brand: str, walk: str, since: datetime, now: datetime) -> None:
    """A pull that will take a while begins, or is taken up again at `since`."""
    marks = _marks(session, brand, walk)
    returns.set_cursor(session, brand, f"{walk}.since", marks.get(f"{walk}.since", since))
    returns.set_cursor(session, brand, f"{walk}.until", now)
    returns.set_cursor(session, brand, f"{walk}.taken_up_at", now)
    returns.set_cursor(session, brand, f"{walk}.taken_up", since)


def end(session: Session, brand: str, walk: str) -> None:
    """It has come to its end."""
    for name in _marks(session, brand, walk):
        returns.drop_cursor(session, brand, name)


def progress(session: Session, brand: str, walk: str, now: datetime) -> Backfill | None:
    """How far the long pull under way has come; None where there is none."""
    marks = _marks(session, brand, walk)
    if f"{walk}.since" not in marks:
        return None
    since, until = marks[f"{walk}.since"], marks[f"{walk}.until"]
    taken_up = marks[f"{walk}.taken_up"]
    reached = returns.cursor(session, brand, walk) or since
    pace = (reached - taken_up) / max(now - marks[f"{walk}.taken_up_at"], timedelta(seconds=1))
    return Backfill(since, until, reached, (until - reached) / pace if pace > 0 else None)


def _marks(session: Session, brand: str, walk: str) -> dict[str, datetime]:
    names = [f"{walk}.{part}" for part in ("since", "until", "taken_up_at", "taken_up")]
    return returns.cursors(session, brand, names)
