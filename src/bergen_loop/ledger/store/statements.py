"""What statements have in common: those about many values are built once and asked in pieces; those
that insert what may be there already are said in either database's dialect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar, TypeVarTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session

K = TypeVar("K")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

IN_CHUNK = 500
"""How many values one IN list takes: SQLite limits the variables of a statement."""
VALUES: sa.BindParameter[Any] = sa.bindparam("values", expanding=True)
"""The values of such a statement: `column.in_(VALUES)`."""
BRAND: sa.BindParameter[str] = sa.bindparam("brand")
NOW: sa.BindParameter[Any] = sa.bindparam("now")
MOST: sa.BindParameter[int] = sa.bindparam("most", type_=sa.Integer())


def chunks(values: Iterable[T], size: int = IN_CHUNK) -> Iterator[Sequence[T]]:
    """`values` in pieces of at most `size`."""
    whole = list(values)
    return (whole[start : start + size] for start in range(0, len(whole), size))


def rows_of(
    session: Session, statement: sa.Select[T], values: Iterable[object], **others: object
) -> Iterator[T]:
    """What a statement that selects one thing says of the values; `others` are its further
    parameters."""
    for chunk in chunks(values):
        yield from session.scalars(statement, {"values": chunk, **others})


def told_of(
    session: Session, statement: sa.Select[*Ts], values: Iterable[object], **others: object
) -> Iterator[tuple[*Ts]]:
    """The same for one that selects several columns."""
    for chunk in chunks(values):
        yield from session.execute(statement, {"values": chunk, **others})


# -- inserting what may be there already -------------------------------------------------------


class Lookup(Generic[K, T]):
    """A question about many values: its statement selects pairs, of a key and of what is said of
    it. Where a key comes several times, the last one counts."""

    def __init__(self, statement: sa.Select[Any, Any]) -> None:
        """`statement` has VALUES as its only parameter."""
        self._statement = statement

    def __call__(self, session: Session, values: Iterable[object]) -> dict[K, T]:
        """What is said of these, by key."""
        return dict(told_of(session, self._statement, values))


class BrandLookup(Generic[K, T]):
    """The same of a brand: its statement has BRAND as well."""

    def __init__(self, statement: sa.Select[Any, Any]) -> None:
        self._statement = statement

    def __call__(self, session: Session, brand: str, values: Iterable[object]) -> dict[K, T]:
        """What is said of these, by key."""
        return dict(told_of(session, self._statement, values, brand=brand))


class Worklist(Generic[T]):
    """What is to be done next for a brand: its statement has BRAND, VALUES, NOW and MOST."""

    def __init__(self, statement: sa.Select[Any]) -> None:
        self._statement = statement

    def __call__(
        self, session: Session, brand: str, of: Sequence[object], now: datetime, most: int
    ) -> list[T]:
        """At most so many of these (stages, kinds of calls), in turn."""
        values = {"brand": brand, "values": of, "now": now, "most": most}
        return list(session.scalars(self._statement, values))


def insert(session: Session, table: type[DeclarativeBase]) -> sqlite.Insert | postgresql.Insert:
    """An insert that can be told what to do `on_conflict`."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    return dialect.insert(table)
