"""How often something may be tried: counted before it is tried, so that no number of tries at
once is more than the limit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.store.statements import insert
from bergen_loop.ledger.tables.access import TriesRow

KEPT = timedelta(days=1)
"""After so long a count is certainly over."""
_SWEPT = 1000


@dataclass(frozen=True, slots=True)
class Limit:
    """`tries` of a subject within a span that begins with the first of them."""

    subject: str
    tries: int
    within: timedelta
    shared: bool = False
    """Others count on it too: a good try takes back itself alone."""

    @property
    def key(self) -> str:
        """What is kept of the subject."""
        return hashlib.sha256(self.subject.encode(errors="replace")).hexdigest()


@dataclass(frozen=True, slots=True)
class Over:
    """A limit has been reached."""

    limit: Limit
    excess: int
    """Tries beyond it, this one counted."""
    wait: timedelta
    """Until the span ends."""


def reserve(session: Session, now: datetime, limits: Iterable[Limit]) -> Over | None:
    """Count a try against the limits, in their order, up to the first that is reached.

    Give them in the order of their kinds, the same everywhere: two transactions then never wait
    for each other in a circle."""
    for limit in limits:
        over = TriesRow.since <= now - limit.within
        statement = (
            insert(session, TriesRow)
            .values(subject=limit.key, tries=1, since=now)
            .on_conflict_do_update(
                index_elements=["subject"],
                set_={
                    "tries": sa.case((over, 1), else_=TriesRow.tries + 1),
                    "since": sa.case((over, now), else_=TriesRow.since),
                },
            )
            .returning(TriesRow.tries, TriesRow.since)
        )
        tries, since = session.execute(statement).one()
        if tries > limit.tries:
            return Over(limit, tries - limit.tries, since + limit.within - now)
    return None


def give_back(session: Session, limits: Iterable[Limit]) -> None:
    """The try was none."""
    for limit in limits:
        session.execute(
            sa.update(TriesRow)
            .where(TriesRow.subject == limit.key, TriesRow.tries > 0)
            .values(tries=TriesRow.tries - 1)
        )


def settle(session: Session, limits: Iterable[Limit]) -> None:
    """The try was a good one: what came before it is forgotten, except where others count."""
    for limit in limits:
        if limit.shared:
            give_back(session, [limit])
        else:
            session.execute(sa.delete(TriesRow).where(TriesRow.subject == limit.key))


def sweep(session: Session, now: datetime) -> None:
    """Remove counts that are over; those that somebody is counting on are left for next time."""
    old = sa.select(TriesRow.subject).where(TriesRow.since <= now - KEPT).limit(_SWEPT)
    session.execute(
        sa.delete(TriesRow).where(TriesRow.subject.in_(old.with_for_update(skip_locked=True)))
    )
