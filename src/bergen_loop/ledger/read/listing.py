"""Lists that people page through: always by key, never by offset, always in an index's order.

A list over several brands or stages is asked for as one stream each and merged here: one query
with IN would have to sort all it finds before it could show the first page.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer

from bergen_loop.domain.returns import GOING_ON, STAGE_MOMENT, Moment, Stage
from bergen_loop.domain.words import What
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store.attention import Ended, awake
from bergen_loop.ledger.store.journal import SERVICE
from bergen_loop.ledger.store.statements import chunks
from bergen_loop.ledger.tables.core import (
    AttentionRow,
    JournalRow,
    ReturnRow,
    decided_time,
    held_only,
)

T = TypeVar("T")

ReturnKey = tuple[datetime, int]
"""Where a page of returns ends: (submitted_at, id)."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and whether there are more behind the last."""

    rows: list[T]
    more: bool


@dataclass(frozen=True, slots=True)
class Slice:
    """Which page of a list by id is asked for."""

    limit: int = 50
    behind: int | None = None
    """The id of the last row of the page before."""


FIRST = Slice()


@dataclass(frozen=True, slots=True)
class ReturnFilter:
    """What a list of returns is narrowed to."""

    stage: Stage | None = None
    moment: Moment | None = None
    """Where they stand now: the last moment reached by returns that go on, or are complete."""
    reached: Moment | None = None
    """Ordered and dated by when they reached this moment, instead of when they were submitted."""
    held: bool = False
    since: datetime | None = None
    until: datetime | None = None
    """From `since` on, before `until`."""

    @property
    def time(self) -> sa.ColumnElement[datetime]:
        """The time by which the list is ordered and dated."""
        return MOMENT_TIME[self.reached or Moment.SUBMITTED]

    def stages(self) -> list[Stage] | None:
        """The stages it allows; None: any."""
        if self.moment is None:
            return None if self.stage is None else [self.stage]
        return [s for s in STANDS_AT.get(self.moment, ()) if self.stage in (None, s)]


MOMENT_TIME: dict[Moment, Any] = {
    Moment.SUBMITTED: ReturnRow.submitted_at,
    Moment.SEEN: ReturnRow.seen_at,
    Moment.ANNOUNCED: ReturnRow.announced_at,
    Moment.RECEIVED: ReturnRow.received_at,
    Moment.DECIDED: decided_time(),
    Moment.RMA_CLOSED: ReturnRow.rma_closed_at,
    Moment.COMPLETE: ReturnRow.completed_at,
}
"""When a return reached each moment; every one has an index per brand."""


def _stands_at() -> dict[Moment, tuple[Stage, ...]]:
    standing = (*GOING_ON, Stage.COMPLETE)
    moments = {s: STAGE_MOMENT[s] for s in standing} | {Stage.SETTLING: Moment.DECIDED}
    return {m: found for m in Moment if (found := tuple(s for s in moments if moments[s] == m))}


STANDS_AT = _stands_at()
"""The stages in which a return stands at a moment. At some moments none ever stands."""


def returns(
    session: Session,
    scope: Scope,
    wanted: ReturnFilter,
    *,
    after: ReturnKey | None = None,
    limit: int = 50,
) -> Page[ReturnRow]:
    """The newest returns first, those behind `after`. Their `content` is not loaded.

    ValueError for `reached` without named brands: its indexes are per brand."""
    stages = wanted.stages()
    single = wanted.held or wanted.reached is not None
    if wanted.reached and scope.brands is None:
        raise ValueError("a list by moment is asked for brand by brand")
    keys = [
        key
        for brand in scope.streams()
        for stage in ([None] if single or stages is None else stages)
        for key in _return_keys(session, wanted, (brand, stage), after, limit + 1)
    ]
    keys.sort(reverse=True)
    rows = return_rows(session, [pk for _, pk in keys[:limit]])
    return Page(rows, len(keys) > limit)


def key_of(row: ReturnRow, wanted: ReturnFilter) -> ReturnKey:
    """Where a page ends whose last row is `row`."""
    times = {
        Moment.SUBMITTED: row.submitted_at,
        Moment.SEEN: row.seen_at,
        Moment.ANNOUNCED: row.announced_at,
        Moment.RECEIVED: row.received_at,
        Moment.DECIDED: row.decided_at or row.settled_at,
        Moment.RMA_CLOSED: row.rma_closed_at,
        Moment.COMPLETE: row.completed_at,
    }
    return (times[wanted.reached or Moment.SUBMITTED] or row.submitted_at, row.id)


def _return_keys(
    session: Session,
    wanted: ReturnFilter,
    stream: tuple[str | None, Stage | None],
    after: ReturnKey | None,
    limit: int,
) -> list[ReturnKey]:
    """Of one stream: a brand and a stage, None being any."""
    brand, stage = stream
    at, pk, stages = wanted.time, ReturnRow.id, wanted.stages()
    query = sa.select(at, pk).order_by(at.desc(), pk.desc()).limit(limit)
    if brand is not None:
        query = query.where(ReturnRow.brand == brand)
    if stage is not None:
        query = query.where(ReturnRow.stage == stage)
    elif stages is not None:
        query = query.where(ReturnRow.stage.in_(stages))
    if wanted.held:
        query = query.where(held_only())
    if wanted.reached:
        query = query.where(at.is_not(None))
    if wanted.since:
        query = query.where(at >= wanted.since)
    if wanted.until:
        query = query.where(at < wanted.until)
    if after:
        query = query.where(sa.tuple_(at, pk) < after)
    return [(a, b) for a, b in session.execute(query)]


def return_rows(session: Session, pks: Sequence[int]) -> list[ReturnRow]:
    """These returns in this order, without their `content`."""
    found: dict[int, ReturnRow] = {}
    for chunk in chunks(pks):
        rows = session.scalars(
            sa.select(ReturnRow)
            .where(ReturnRow.id.in_(chunk))
            .options(defer(ReturnRow.content, raiseload=True))
        )
        found.update((row.id, row) for row in rows)
    return [found[pk] for pk in pks if pk in found]


def one_return(
    session: Session, scope: Scope, brand: str, return_id: str, *, lock: bool = False
) -> ReturnRow | None:
    """A return of a brand in scope; `lock` keeps others from changing it until the end of the
    transaction."""
    if not (brand.isprintable() and return_id.isprintable()):
        return None  # no database takes a NUL in a text
    query = sa.select(ReturnRow).where(
        ReturnRow.brand == brand, ReturnRow.return_id == return_id, scope.allows(ReturnRow.brand)
    )
    return session.scalar(query.with_for_update() if lock else query)


# -- attention ----------------------------------------------------------------------------------


def attention(
    session: Session,
    scope: Scope,
    *,
    kind: str | None = None,
    now: datetime | None = None,
    part: Slice = FIRST,
) -> Page[AttentionRow]:
    """Open items, the longest open first; with `now` without those that somebody has put off."""

    def stream(brand: str | None) -> list[AttentionRow]:
        query = sa.select(AttentionRow).where(AttentionRow.resolved_at.is_(None))
        if brand is not None:
            query = query.where(AttentionRow.brand == brand)
        if kind:
            query = query.where(AttentionRow.kind == kind)
        if now is not None:
            query = query.where(awake(now))
        if part.behind is not None:
            query = query.where(AttentionRow.id > part.behind)
        return list(session.scalars(query.order_by(AttentionRow.id).limit(part.limit + 1)))

    return _merged([stream(b) for b in scope.streams()], lambda row: row.id, part.limit)


def attention_items(session: Session, scope: Scope, ids: Sequence[int]) -> list[AttentionRow]:
    """These items, as far as they are in scope, oldest first; resolved ones too."""
    found: list[AttentionRow] = []
    for chunk in chunks(sorted(set(ids))):
        query = sa.select(AttentionRow).where(
            AttentionRow.id.in_(chunk), scope.allows(AttentionRow.brand)
        )
        found += session.scalars(query.order_by(AttentionRow.id))
    return found


def attention_item_to_change(session: Session, scope: Scope, number: int) -> AttentionRow | None:
    """An item in scope, that nobody else changes until the end of the transaction; nor the
    return it holds."""
    query = sa.select(AttentionRow).where(
        AttentionRow.id == number, scope.allows(AttentionRow.brand)
    )
    pk = session.scalar(query.with_only_columns(AttentionRow.return_pk))
    if pk is not None:
        session.execute(sa.select(ReturnRow.id).where(ReturnRow.id == pk).with_for_update())
    return session.scalar(query.with_for_update())


def attention_count(session: Session, scope: Scope, now: datetime, most: int = 1000) -> int:
    """How many items wait for people; counted to `most` only. The one number that every page
    shows."""
    some = (
        sa.select(AttentionRow.id)
        .where(awake(now), scope.allows(AttentionRow.brand))
        .limit(most)
        .subquery()
    )
    return session.scalar(sa.select(sa.func.count()).select_from(some)) or 0


def attention_kinds(session: Session, scope: Scope, now: datetime) -> dict[str, int]:
    """The kinds of the items that wait for people, with how many there are of each."""
    query = (
        sa.select(AttentionRow.kind, sa.func.count())
        .where(awake(now), scope.allows(AttentionRow.brand))
        .group_by(AttentionRow.kind)
    )
    return dict(session.execute(query).all())


def attention_ended(
    session: Session,
    scope: Scope,
    *,
    ignored: bool,
    after: tuple[datetime, int] | None = None,
    limit: int = 50,
) -> Page[AttentionRow]:
    """Resolved items, the last first, those behind `after`: the ignored ones, or all others."""
    at, pk = AttentionRow.resolved_at, AttentionRow.id

    def stream(brand: str | None) -> list[AttentionRow]:
        query = sa.select(AttentionRow).where(at.is_not(None), _ignored() if ignored else _others())
        if brand is not None:
            query = query.where(AttentionRow.brand == brand)
        if after is not None:
            query = query.where(sa.tuple_(at, pk) < after)
        return list(session.scalars(query.order_by(at.desc(), pk.desc()).limit(limit + 1)))

    def last_first(row: AttentionRow) -> tuple[float, int]:
        return (-row.resolved_at.timestamp() if row.resolved_at else 0.0, -row.id)

    return _merged([stream(b) for b in scope.streams()], last_first, limit)


def _ignored() -> sa.ColumnElement[bool]:
    """Written out, not bound: only so does the partial index fit."""
    return AttentionRow.ended == sa.literal_column(f"'{Ended.IGNORED}'")


def _others() -> sa.ColumnElement[bool]:
    return sa.or_(AttentionRow.ended.is_(None), AttentionRow.ended != Ended.IGNORED)


# -- what people did ----------------------------------------------------------------------------


def audit(
    session: Session,
    scope: Scope,
    *,
    who: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Page[JournalRow]:
    """What people did, newest first. Entries of no brand (accounts) are for who sees all."""

    def stream(brand: str | None) -> list[JournalRow]:
        query = sa.select(JournalRow).where(JournalRow.who != _service())
        if brand is not None:
            query = query.where(JournalRow.brand == brand)
        if who:
            query = query.where(JournalRow.who == who)
        if before is not None:
            query = query.where(JournalRow.id < before)
        return list(session.scalars(query.order_by(JournalRow.id.desc()).limit(limit + 1)))

    return _merged([stream(b) for b in scope.streams()], lambda row: -row.id, limit)


def last_mode(session: Session, brand: str) -> JournalRow | None:
    """How a brand came by the mode that somebody has set."""
    query = sa.select(JournalRow).where(
        JournalRow.brand == brand,
        JournalRow.return_pk.is_(None),
        JournalRow.happened == What.MODE_SET.value,
    )
    return session.scalar(query.order_by(JournalRow.id.desc()).limit(1))


def brand_history(
    session: Session, scope: Scope, brand: str, limit: int = 30
) -> list[JournalRow]:  # fmt: skip
    """What happened to a brand as a whole, newest first; who took lists of it with them is in
    the audit only."""
    query = (
        sa.select(JournalRow)
        .where(
            JournalRow.brand == brand,
            JournalRow.return_pk.is_(None),
            JournalRow.happened.is_distinct_from(What.EXPORTED.value),
            scope.allows(JournalRow.brand),
        )
        .order_by(JournalRow.id.desc())
        .limit(limit)
    )
    return list(session.scalars(query))


def return_names(session: Session, pks: Sequence[int]) -> dict[int, tuple[str, str | None]]:
    """(Loop's id, order name) of these returns."""
    found: dict[int, tuple[str, str | None]] = {}
    for chunk in chunks(sorted(set(pks))):
        query = sa.select(ReturnRow.id, ReturnRow.return_id, ReturnRow.order_name)
        for pk, return_id, order in session.execute(query.where(ReturnRow.id.in_(chunk))):
            found[pk] = (return_id, order)
    return found


def walk(page: Callable[[T | None], Page[T]]) -> Iterator[T]:
    """Every row of a list: `page` gives the rows behind one (None: the first)."""
    last: T | None = None
    while True:
        found = page(last)
        yield from found.rows
        if not found.more or not found.rows:
            return
        last = found.rows[-1]


def _merged(streams: list[list[T]], key: Callable[[T], Any], limit: int) -> Page[T]:
    rows = list(heapq.merge(*streams, key=key))
    return Page(rows[:limit], len(rows) > limit)


def _service() -> sa.ColumnElement[str]:
    """Written out, not bound: only so does the partial index fit."""
    return sa.literal_column(f"'{SERVICE}'")
