"""What statements have in common: those about many values are built once and asked in pieces; those
that insert what may be there already are said in either database's dialect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, TypeVarTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session

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


def insert(session: Session, table: type[DeclarativeBase]) -> sqlite.Insert | postgresql.Insert:
    """An insert that can be told what to do `on_conflict`."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    return dialect.insert(table)
