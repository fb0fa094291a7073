"""The attention list: what needs a person, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import NEEDS, Need, What
from bergen_loop.ledger.codec import sentence
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.store.statements import BRAND, VALUES, Lookup, chunks, rows_of
from bergen_loop.ledger.tables.core import AttentionRow, ReturnRow

SAME_AGAIN = timedelta(days=2)
"""So long after a retry is an item that comes again taken for what the retry found."""


class Ended(StrEnum):
    """In which way an item was resolved."""

    GONE = "gone"
    """Its cause has gone, or what was asked was answered elsewhere."""
    RETRIED = "retried"
    DECIDED = "decided"
    """A person decided about the return, or corrected its counts."""
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Matter:
    """What a person is needed for."""

    brand: str
    kind: Need
    reason: str
    about: ReturnRow | str = ""
    """A return (which it may hold, as its kind says), or something else of the brand."""
    tried: str = ""

    @property
    def row(self) -> ReturnRow | None:
        return self.about if isinstance(self.about, ReturnRow) else None

    @property
    def subject(self) -> str:
        return self.about.return_id if isinstance(self.about, ReturnRow) else self.about


@dataclass(frozen=True, slots=True)
class Resolution:
    """How an item came to its end."""

    who: str
    words: str
    ended: Ended = Ended.GONE


def raise_item(session: Session, now: datetime, matter: Matter) -> AttentionRow:
    """Open an item, or refresh the open one of the same kind and subject. One that a person has
    just retried is opened again: it is as old as it was.

    One of a kind that holds keeps every flow away from its return until a person resolves it.
    """
    row, subject = matter.row, matter.subject
    reason, tried = sentence(matter.reason), sentence(matter.tried)
    key = f"{matter.kind}:{subject}"
    existing = session.scalar(
        sa.select(AttentionRow).where(
            AttentionRow.brand == matter.brand, AttentionRow.open_key == key
        )
    )
    if row and matter.kind.holds:
        row.held = True
    if existing:
        if existing.reason != reason:
            existing.snoozed_until = None  # what somebody put off was something else
        existing.reason, existing.tried = reason, tried
        _is_about(existing, row)
        return existing
    item = again = _retried(session, now, matter)
    if item is not None:
        _open_again(item, key)
        item.reason, item.tried = reason, tried
        _is_about(item, row)
    else:
        item = AttentionRow(
            brand=matter.brand,
            return_pk=row.id if row else None,
            kind=matter.kind,
            subject=subject,
            open_key=key,
            reason=reason,
            tried=tried,
            blocking=matter.kind.holds,
            opened_at=now,
        )
        session.add(item)
    journal.record(
        session,
        now,
        journal.Entry(
            What.NEEDS_PERSON,
            reason if again is None else f"still: {reason}",
            brand=matter.brand,
            return_pk=row.id if row else None,
            data={"kind": matter.kind, "subject": subject, "tried": tried},
        ),
    )
    session.flush()
    return item


def _is_about(item: AttentionRow, row: ReturnRow | None) -> None:
    """An item that was opened before its return was in the ledger is that return's from now on:
    what holds it lets it go."""
    if row is not None and item.return_pk is None:
        item.return_pk = row.id


def _retried(session: Session, now: datetime, matter: Matter) -> AttentionRow | None:
    """The last item about this, if a person has just retried it."""
    query = sa.select(AttentionRow).where(
        AttentionRow.brand == matter.brand,
        AttentionRow.kind == matter.kind,
        AttentionRow.subject == matter.subject,
    )
    last = session.scalar(query.order_by(AttentionRow.id.desc()).limit(1))
    if last is None or last.ended != Ended.RETRIED or last.resolved_at is None:
        return None
    return last if now - last.resolved_at <= SAME_AGAIN else None


def _open_again(item: AttentionRow, key: str) -> None:
    item.resolved_at = item.resolved_by = item.resolution = None
    item.ended = item.ended_at_stage = item.snoozed_until = None
    item.open_key = key


def reopen(session: Session, item: AttentionRow) -> bool:
    """Put an item back on the list; it holds its return again. False where the same has been
    raised anew meanwhile."""
    key = f"{item.kind}:{item.subject}"
    query = sa.select(AttentionRow.id).where(
        AttentionRow.brand == item.brand, AttentionRow.open_key == key
    )
    if session.scalar(query) is not None:
        return False
    _open_again(item, key)
    if item.return_pk is not None and item.blocking:
        session.get_one(ReturnRow, item.return_pk).held = True
    session.flush()
    return True


def last_of_kind(session: Session, brand: str, kind: Need) -> AttentionRow | None:
    """The newest item of a kind that is about the brand as a whole."""
    query = sa.select(AttentionRow).where(
        AttentionRow.brand == brand, AttentionRow.kind == kind, AttentionRow.subject == ""
    )
    return session.scalar(query.order_by(AttentionRow.id.desc()).limit(1))


def awake(now: datetime) -> sa.ColumnElement[bool]:
    """The open items that nobody has put off: what waits for people, on every page."""
    put_off = AttentionRow.snoozed_until
    return sa.and_(AttentionRow.resolved_at.is_(None), sa.or_(put_off.is_(None), put_off <= now))


def open_of_kind(session: Session, kind: Need) -> list[tuple[str, str]]:
    """(brand, subject) of every open item of a kind."""
    query = sa.select(AttentionRow.brand, AttentionRow.subject).where(
        AttentionRow.kind == kind, AttentionRow.resolved_at.is_(None)
    )
    return [(brand, subject or "") for brand, subject in session.execute(query)]


def subjects_open(session: Session, brand: str, needs: Iterable[Need]) -> list[tuple[Need, str]]:
    """(kind, subject) of a brand's open items of these kinds."""
    query = sa.select(AttentionRow.kind, AttentionRow.subject).where(
        AttentionRow.brand == brand,
        AttentionRow.kind.in_(list(needs)),
        AttentionRow.resolved_at.is_(None),
    )
    return [(Need(kind), subject or "") for kind, subject in session.execute(query)]


def subjects(session: Session, brand: str, kind: Need, limit: int) -> list[str]:
    """What a brand's open items of a kind are about, the longest open first."""
    query = sa.select(AttentionRow.subject).where(
        AttentionRow.brand == brand,
        AttentionRow.kind == kind,
        AttentionRow.resolved_at.is_(None),
        AttentionRow.subject != "",
    )
    return [s for s in session.scalars(query.order_by(AttentionRow.id).limit(limit)) if s]


def opened(session: Session, brand: str, kind: Need) -> dict[str, datetime]:
    """Since when a brand's open items of a kind are open, by what they are about."""
    query = sa.select(AttentionRow.subject, AttentionRow.opened_at).where(
        AttentionRow.brand == brand,
        AttentionRow.kind == kind,
        AttentionRow.resolved_at.is_(None),
    )
    return {subject or "": at for subject, at in session.execute(query)}


def nameless(session: Session, brand: str, since: datetime) -> list[str]:
    """What a brand's open items about answers of Loop's are about that were raised since then, and
    nobody can tell whose they are."""
    query = sa.select(AttentionRow.subject).where(
        AttentionRow.brand == brand,
        AttentionRow.kind == Need.UNREADABLE,
        AttentionRow.resolved_at.is_(None),
        AttentionRow.return_pk.is_(None),
        AttentionRow.opened_at >= since,
    )
    return [s for s in session.scalars(query) if s and _A_DIGEST.fullmatch(s)]


_A_DIGEST = re.compile(r"(?=.*[a-f])[0-9a-f]{12}")


def resolve(session: Session, now: datetime, item: AttentionRow, how: Resolution) -> None:
    """Close an item; its return is released when nothing else holds it."""
    if item.resolved_at:
        return
    item.resolved_at, item.resolved_by, item.resolution = now, how.who, how.words
    item.open_key, item.ended = None, how.ended
    session.flush()
    journal.record(
        session,
        now,
        journal.Entry(
            What.RESOLVED,
            how.words,
            brand=item.brand,
            return_pk=item.return_pk,
            who=how.who,
            data={"kind": item.kind, "subject": item.subject, "reason": item.reason},
        ),
    )
    if item.return_pk is None:
        return
    still = session.scalar(
        sa.select(AttentionRow.id).where(
            AttentionRow.return_pk == item.return_pk,
            AttentionRow.resolved_at.is_(None),
            AttentionRow.blocking.is_(True),
        )
    )
    row = session.get_one(ReturnRow, item.return_pk)
    item.ended_at_stage = row.stage
    row.held = still is not None
    row.due_at = now


def retried(session: Session, now: datetime, item: AttentionRow, words: str) -> None:
    """Close an item whose cause is tried anew: where it comes to the same, it is back, as old as it
    is."""
    resolve(session, now, item, Resolution(journal.SERVICE, words, Ended.RETRIED))


def resolve_kinds(
    session: Session,
    now: datetime,
    *,
    brand: str,
    about: Iterable[tuple[Need, str]],
    resolution: str,
) -> None:
    """Close the open items of these kinds and subjects, where their cause has gone by itself;
    asked for together, for few of many have one."""
    keys = dict.fromkeys(f"{kind}:{subject}" for kind, subject in about)
    for item in list(rows_of(session, _OPEN, keys, brand=brand)):
        resolve(session, now, item, Resolution(journal.SERVICE, resolution))


_OPEN = (
    sa.select(AttentionRow)
    .where(AttentionRow.brand == BRAND, AttentionRow.open_key.in_(VALUES))
    .order_by(AttentionRow.id)
)


of_returns: Lookup[int, int] = Lookup(
    sa.select(AttentionRow.return_pk, AttentionRow.id).where(
        AttentionRow.return_pk.in_(VALUES), AttentionRow.resolved_at.is_(None)
    )
)
"""Of these returns, those with an open item (keys of both)."""


def resolve_all(session: Session, now: datetime, row: ReturnRow, *, resolution: str) -> None:
    """Close every open item of a return, where what was asked has been answered elsewhere; a
    ticket too many in REX11 stays one, whatever becomes of the return."""
    due_at = row.due_at
    for item in open_items(session, return_pk=row.id):
        words = NEEDS.get(Need(item.kind))
        if words is None or not words.outlives_return:
            resolve(session, now, item, Resolution(journal.SERVICE, resolution))
    row.due_at = due_at


def is_open(session: Session, row: ReturnRow, kind: Need) -> bool:
    """Whether an item of this kind about a return is on the list."""
    return any(item.kind == kind for item in open_items(session, return_pk=row.id))


def is_asked(session: Session, row: ReturnRow, kind: Need) -> bool:
    """The same, or whether a person has just retried it."""
    return is_open(session, row, kind) or _ended(session, row, kind) == Ended.RETRIED


def was_asked(session: Session, row: ReturnRow, kind: Need) -> bool:
    """Whether there is, or was, an item of this kind about a return."""
    of = sa.select(AttentionRow.id).where(
        AttentionRow.return_pk == row.id, AttentionRow.kind == kind
    )
    return session.scalar(of.limit(1)) is not None


def left_alone(session: Session, row: ReturnRow, kind: Need) -> bool:
    """Whether a person has ignored the last item of this kind about a return."""
    return _ended(session, row, kind) == Ended.IGNORED


def _ended(session: Session, row: ReturnRow, kind: Need) -> str | None:
    of = sa.select(AttentionRow.ended).where(
        AttentionRow.return_pk == row.id, AttentionRow.kind == kind
    )
    return session.scalar(of.order_by(AttentionRow.id.desc()).limit(1))


def ended(session: Session, brand: str, kind: Need, subject: str) -> str | None:
    """How the last item of this kind about a subject has ended; None: it is open, or not by a
    person, or there was none."""
    of = sa.select(AttentionRow.ended).where(
        AttentionRow.brand == brand, AttentionRow.kind == kind, AttentionRow.subject == subject
    )
    return session.scalar(of.order_by(AttentionRow.id.desc()).limit(1))


def ignored(session: Session, rows: Iterable[ReturnRow]) -> dict[int, AttentionRow]:
    """Of these returns, those that a person has left alone, with the item: until something new
    happens to one, nothing acts by itself."""
    still = {r.id: r for r in rows if not (r.held or r.due_at or Stage(r.stage).terminal)}
    found: dict[int, AttentionRow] = {}
    for chunk in chunks(sorted(still)):
        query = sa.select(AttentionRow).where(
            AttentionRow.return_pk.in_(chunk),
            AttentionRow.resolved_at.is_not(None),
            AttentionRow.blocking.is_(True),
        )
        for item in session.scalars(query.order_by(AttentionRow.resolved_at, AttentionRow.id)):
            if item.return_pk is not None:
                found[item.return_pk] = item
    return {
        pk: item
        for pk, item in found.items()
        if item.ended == Ended.IGNORED and item.ended_at_stage == still[pk].stage
    }


def open_items(
    session: Session, brand: str | None = None, return_pk: int | None = None
) -> list[AttentionRow]:
    """Open items, oldest first."""
    query = sa.select(AttentionRow).where(AttentionRow.resolved_at.is_(None))
    if brand:
        query = query.where(AttentionRow.brand == brand)
    if return_pk is not None:
        query = query.where(AttentionRow.return_pk == return_pk)
    return list(session.scalars(query.order_by(AttentionRow.opened_at, AttentionRow.id)))
