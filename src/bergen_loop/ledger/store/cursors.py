"""How far recurring reads have come, and since when something is so: named times of a brand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.store.statements import BRAND, VALUES, BrandLookup, insert
from bergen_loop.ledger.tables.core import CursorRow

FIRST_PULL = "loop.first_pull"
"""When this ledger first looked at the brand's returns."""
FORMER = "ledger.former"
"""Until when an earlier ledger of the brand, that was lost, may have worked."""


def get(session: Session, brand: str, name: str) -> datetime | None:
    """The time of this name; None: not set."""
    return get_all(session, brand, [name]).get(name)


def believed(marks: Mapping[str, datetime], latest: datetime) -> dict[str, datetime]:
    """Those that can be: how far a list was read does not lie ahead, unless by a clock that did."""
    return {name: at for name, at in marks.items() if at <= latest}


get_all: BrandLookup[str, datetime] = BrandLookup(
    sa.select(CursorRow.name, CursorRow.value).where(
        CursorRow.brand == BRAND, CursorRow.name.in_(VALUES)
    )
)
"""Those of these that are set."""


def all_of(session: Session, brand: str) -> dict[str, datetime]:
    """All that are set."""
    return dict(session.execute(_ALL, {"brand": brand}).all())


_ALL = sa.select(CursorRow.name, CursorRow.value).where(CursorRow.brand == BRAND)


def set(session: Session, brand: str, name: str, value: datetime) -> None:
    """Remember it."""
    new = insert(session, CursorRow).values(brand=brand, name=name, value=value)
    session.execute(
        new.on_conflict_do_update(
            index_elements=["brand", "name"], set_={"value": new.excluded.value}
        )
    )


def drop(session: Session, brand: str, name: str) -> None:
    """Forget it."""
    session.execute(sa.delete(CursorRow).where(CursorRow.brand == brand, CursorRow.name == name))


# -- a long pull -------------------------------------------------------------------------------

_PARTS = ("since", "until", "taken_up")
"""What is remembered of a walk beside its cursor. `until` is also when it was begun or taken up
again, `taken_up` where the cursor stood then."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """A pull that is under way. Times are UTC; `since` to `until` is what it covers."""

    walk: str
    """The cursor that it moves: what of Loop's lists it walks."""
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

    def as_json(self) -> dict[str, datetime | float | None]:
        """For programs: the times, the share, and the seconds left (null: not known yet)."""
        left = None if self.left is None else round(self.left.total_seconds(), 1)
        times = {"since": self.since, "until": self.until, "reached": self.reached}
        return {**times, "share": round(self.share, 4), "seconds_left": left}


def begin_pull(session: Session, brand: str, walk: str, since: datetime, now: datetime) -> None:
    """A pull that will take a while begins, or is taken up again, at `since`."""
    cursor = get(session, brand, walk)
    # Where nothing has been walked yet it begins anew. Else its pace is the cursor's, which is
    # past `since`, by the overlap of two pulls, before anything is walked again.
    first = _pull_marks(session, brand, walk).get(f"{walk}.since", since) if cursor else since
    values = (first, now, cursor or since)
    for part, value in zip(_PARTS, values, strict=True):
        set(session, brand, f"{walk}.{part}", value)


def mark_of_pull(walk: str) -> str:
    """The name of the time that is remembered while one has not come to its end."""
    return f"{walk}.{_PARTS[0]}"


def end_pull(session: Session, brand: str, walk: str) -> None:
    """It has come to its end."""
    for name in _pull_marks(session, brand, walk):
        drop(session, brand, name)


def progress(session: Session, brand: str, walk: str, now: datetime) -> Backfill | None:
    """How far the long pull under way has come; None where there is none."""
    marks = _pull_marks(session, brand, walk)
    if len(marks) < len(_PARTS):
        return None
    since, until, taken_up = (marks[f"{walk}.{part}"] for part in _PARTS)
    reached = get(session, brand, walk) or since
    pace = (reached - taken_up) / max(now - until, timedelta(seconds=1))
    left = max(until - reached, timedelta()) / pace if pace > 0 else None
    return Backfill(walk, since, until, reached, left)


def pulls_under_way(session: Session, brands: Sequence[str], now: datetime) -> dict[str, Backfill]:
    """The long pull of each of these brands that is in one. Where two walks have not come to
    their end, the one that was taken up last."""
    mark = f".{_PARTS[1]}"
    query = (
        sa.select(CursorRow.brand, CursorRow.name)
        .where(CursorRow.brand.in_(brands), CursorRow.name.endswith(mark, autoescape=True))
        .order_by(CursorRow.value)
    )
    found: dict[str, Backfill] = {}
    for brand, name in session.execute(query):
        one = progress(session, brand, name.removesuffix(mark), now)
        if one is not None:
            found[brand] = one
    return found


def _pull_marks(session: Session, brand: str, walk: str) -> dict[str, datetime]:
    return get_all(session, brand, [f"{walk}.{part}" for part in _PARTS])
