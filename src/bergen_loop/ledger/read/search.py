"""Finding a return by what people have in hand: an order, an RMA, a parcel, a customer.

Exact first, whatever the case and the blanks in it; if nothing is exactly so, what begins with it.
Every field has an index for both, across all brands; which of them may be seen is checked on what
is found. If nothing begins so either, what has it somewhere: on SQLite by an index of trigrams
(`ledger.fragments`), on PostgreSQL among the newest returns, unless it has been given such indexes
(docs/operations.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger import fragments
from bergen_loop.ledger.folding import (
    begins,
    equals,
    folded,
    holds,
    holds_in_index,
    pattern,
    text_to_find,
)
from bergen_loop.ledger.fragments import searched_skus
from bergen_loop.ledger.read.listing import FIRST, ReturnFilter, Slice, return_rows
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.tables.core import LineRow, ReturnRow, RmaRow

LONGEST = 200
SHORTEST_PREFIX = 3
"""Characters: fewer would begin half of everything."""
PREFIX_LIMIT = 100
"""How many returns a prefix shows at most; who needs more writes more of it."""

NEWEST = 20_000
"""Among so many returns is it looked for within numbers, where no index serves that."""
TRIGRAMS = "ix_returns_fragments"
"""The index by which PostgreSQL is known to have been given all of trigrams."""

_FIELDS: tuple[tuple[Any, Any], ...] = (
    (ReturnRow.return_id, ReturnRow.id),
    (ReturnRow.order_name, ReturnRow.id),
    (ReturnRow.tracking_number, ReturnRow.id),
    (ReturnRow.customer_email, ReturnRow.id),
    (RmaRow.customer_po, RmaRow.return_pk),
    (RmaRow.ticket_id, RmaRow.return_pk),
    (LineRow.sku, LineRow.return_pk),
)
"""What is searched, and the return it leads to: Loop's id, order, tracking number, e-mail, RMA
(PO), ticket, SKU."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, the newest known first."""

    rows: list[ReturnRow]
    more: bool
    """For an exact search: there are more behind the last one's id."""
    exact: bool
    within: bool = False
    """Not what begins with it, but what has it somewhere."""
    newest: int | None = None
    """Of so many newest returns; None: of all."""


def find(
    session: Session,
    scope: Scope,
    text: str,
    wanted: ReturnFilter | None = None,
    *,
    part: Slice = FIRST,
) -> Found:
    """Returns known by `text`."""
    text = cleaned(text)
    if not text:
        return Found([], more=False, exact=True)
    wanted = wanted or ReturnFilter()
    limit, before = part.limit, part.behind
    pks = _exact(session, scope, text, wanted, Slice(limit + 1, before))
    if pks or before is not None:
        return Found(return_rows(session, pks[:limit]), more=len(pks) > limit, exact=True)
    if len(text) < SHORTEST_PREFIX:
        return Found([], more=False, exact=True)
    pks = _prefix(session, scope, text, wanted, PREFIX_LIMIT + 1)
    within = not pks
    if within:
        pks = _within(session, scope, text, wanted, PREFIX_LIMIT + 1)
    rows, more = return_rows(session, pks[:PREFIX_LIMIT]), len(pks) > PREFIX_LIMIT
    newest = NEWEST if within and not _all_looked_at(session) else None
    return Found(rows, more=more, exact=False, within=within and bool(rows), newest=newest)


def cleaned(text: str) -> str:
    """What is searched for: without blanks around it and what no database takes in a text."""
    kept = "".join(c for c in text if c.isprintable())
    return kept.encode("utf-8", "ignore").decode().strip()[:LONGEST]


def _spellings(column: Any, text: str) -> list[str]:
    """An order is `#1001` to the shop, and often 1001 to people; a tracking number is often copied
    with blanks in it."""
    spellings = [text]
    if column is ReturnRow.order_name:
        spellings.append(text[1:].strip() if text.startswith("#") else f"#{text}")
    return list(dict.fromkeys(t for s in spellings for t in (s, "".join(s.split())) if t))


# -- what is asked ----------------------------------------------------------------------------
#
# A search asks two dozen questions at once. Composing them takes longer than answering, so they are
# composed once for a shape (how many spellings each field is looked for by, what may be seen and is
# wanted), and given the texts.

Shape = tuple[int, ...]
_KEPT = 64
"""Shapes: a statement takes some hundred kilobytes."""


def _exact(
    session: Session, scope: Scope, text: str, wanted: ReturnFilter, part: Slice
) -> list[int]:
    shape, values = _spelled(text)
    query = _exactly(shape, _Narrow(scope, wanted, part.limit), part.behind is not None)
    return _newest(session, query, values | {"behind": part.behind}, part.limit)


def _prefix(
    session: Session, scope: Scope, text: str, wanted: ReturnFilter, limit: int
) -> list[int]:
    shape, values = _spelled(text)
    return _newest(session, _beginning(shape, _Narrow(scope, wanted, limit)), values, limit)


def _within(
    session: Session, scope: Scope, text: str, wanted: ReturnFilter, limit: int
) -> list[int]:
    """Those that have it in one of their numbers."""
    by, values = _By.TRIGRAMS, dict[str, Any]()
    if session.get_bind().dialect.name != "sqlite":
        by = _By.INDEXES
        if not _all_looked_at(session):
            by = _By.NEWEST
            newest = session.scalar(sa.select(sa.func.max(ReturnRow.id))) or 0
            values["newest"] = newest - NEWEST
    spellings = list(dict.fromkeys((text, "".join(text.split()))))
    shortest = min(map(len, spellings))
    if by is _By.TRIGRAMS and (shortest < fragments.SHORTEST or not fragments.complete(session)):
        by = _By.READING_THROUGH
    for n, spelling in enumerate(spellings):
        values[f"pattern_{n}"] = pattern(spelling)
        values[f"trigrams_{n}"] = fragments.trigrams(spelling)
    query = _holding(by, len(spellings), _Narrow(scope, wanted, limit))
    return _newest(session, query, values, limit)


def _spelled(text: str) -> tuple[Shape, dict[str, Any]]:
    """How many spellings each field is looked for by, and they, by name."""
    spellings = [_spellings(column, text) for column, _ in _FIELDS]
    values = {f"text_{f}_{n}": s for f, each in enumerate(spellings) for n, s in enumerate(each)}
    return tuple(map(len, spellings)), values


def _newest(
    session: Session, query: sa.Executable, values: dict[str, Any], limit: int
) -> list[int]:
    return sorted(set(session.scalars(query, values)), reverse=True)[:limit]


@dataclass(frozen=True, slots=True)
class _Narrow:
    """What may be seen of what is found, and is wanted."""

    scope: Scope
    wanted: ReturnFilter
    limit: int


@lru_cache(_KEPT)
def _exactly(shape: Shape, narrow: _Narrow, behind: bool) -> sa.Executable:
    queries: list[sa.Select[Any]] = []
    for column, pk, text in _named(shape):
        query = sa.select(pk).where(equals(column, text))
        if behind:
            query = query.where(pk < sa.bindparam("behind", type_=sa.Integer()))
        query = _narrowed(query, pk, narrow).order_by(pk.desc()).distinct()
        queries.append(query.limit(narrow.limit))
    return _at_once(queries)


@lru_cache(_KEPT)
def _beginning(shape: Shape, narrow: _Narrow) -> sa.Executable:
    queries = [
        _narrowed(sa.select(pk).where(begins(column, text)), pk, narrow).limit(narrow.limit)
        for column, pk, text in _named(shape)
    ]
    return _at_once(queries)


def _named(shape: Shape) -> Iterator[tuple[Any, Any, sa.BindParameter[str]]]:
    for field, ((column, pk), spellings) in enumerate(zip(_FIELDS, shape, strict=True)):
        for n in range(spellings):
            yield column, pk, text_to_find(f"text_{field}_{n}")


class _By(Enum):
    """What parts of numbers are looked for by."""

    TRIGRAMS = auto()
    """The index on SQLite."""
    READING_THROUGH = auto()
    """The other indexes on SQLite, all of them."""
    INDEXES = auto()
    """Those that PostgreSQL has been given."""
    NEWEST = auto()
    """PostgreSQL without them: the newest returns."""


@lru_cache(_KEPT)
def _holding(by: _By, spellings: int, narrow: _Narrow) -> sa.Executable:
    queries: list[sa.Select[Any]] = []
    for n in range(spellings):
        for query, pk in _held(by, text_to_find(f"pattern_{n}"), text_to_find(f"trigrams_{n}")):
            query = _narrowed(query, pk, narrow)
            if by is _By.NEWEST:
                query = query.where(pk > sa.bindparam("newest", type_=sa.Integer()))
            queries.append(query.distinct().limit(narrow.limit))
    return _at_once(queries)


def _held(
    by: _By, pattern: sa.BindParameter[str], trigrams: sa.BindParameter[str]
) -> Iterator[tuple[sa.Select[Any], Any]]:
    """Queries for what has a text somewhere, and the return each leads to."""
    if by is not _By.TRIGRAMS:
        for column, pk in _FIELDS:
            if by is _By.READING_THROUGH:
                yield sa.select(pk).where(holds_in_index(column, pattern)), pk
            else:
                yield sa.select(pk).where(holds(column, pattern)).order_by(pk.desc()), pk
        return
    for kept, key, pk in (
        (fragments.RETURNS, ReturnRow.id, ReturnRow.id),
        (fragments.RMAS, RmaRow.id, RmaRow.return_pk),
    ):
        mine = [holds(c, pattern) for c, _ in _FIELDS if c.class_ is key.class_]
        yield kept.candidates(sa.select(pk), key, trigrams).where(sa.or_(*mine)), pk
    sku, pk = searched_skus.c.sku, LineRow.return_pk
    skus = fragments.SKUS.candidates(sa.select(pk), searched_skus.c.id, trigrams)
    yield skus.join(LineRow, folded(LineRow.sku) == folded(sku)).where(holds(sku, pattern)), pk


def _at_once(queries: Sequence[sa.Select[Any]]) -> sa.Executable:
    """What any of them finds: each has an index of its own."""
    return sa.union_all(*(sa.select(query.subquery().c[0]) for query in queries))


def _all_looked_at(session: Session) -> bool:
    """Whether parts are looked for in all returns."""
    if session.get_bind().dialect.name == "sqlite":
        return True
    return session.scalar(sa.select(sa.func.to_regclass(TRIGRAMS))) is not None


def _narrowed(query: sa.Select[Any], pk: Any, narrow: _Narrow) -> sa.Select[Any]:
    """What is found, as far as it may be seen and is wanted: conditions that are checked, and
    never searched by. By their own indexes they would find a large part of all returns."""
    conditions: list[sa.ColumnElement[bool]] = []
    scope, wanted = narrow.scope, narrow.wanted
    if scope.brands is not None:
        conditions.append(scope.allows(_checked(ReturnRow.brand)))
    stages = wanted.stages()
    if stages is not None:
        conditions.append(_checked(ReturnRow.stage).in_(stages))
    if wanted.held:
        conditions.append(_checked(ReturnRow.held).is_(True))
    if wanted.since:
        conditions.append(_checked(ReturnRow.submitted_at) >= wanted.since)
    if wanted.until:
        conditions.append(_checked(ReturnRow.submitted_at) < wanted.until)
    if not conditions:
        return query
    if pk is not ReturnRow.id:
        query = query.join(ReturnRow, ReturnRow.id == pk)
    return query.where(*conditions)


def _checked(column: Any) -> sa.ColumnElement[Any]:
    """The column, in a form that no index has."""
    return sa.func.coalesce(column, column)
