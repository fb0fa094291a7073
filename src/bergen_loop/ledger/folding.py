"""Text as it is searched: without case, and in byte order, so that an index serves a prefix."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

_LAST = "\U0010ffff"
"""Sorts behind every character that a text may hold."""


class folded(FunctionElement[str]):  # noqa: N801 - reads like the SQL function it is
    """`lower(column)`; on PostgreSQL in the "C" collation, whose order is that of the bytes."""

    inherit_cache = True
    type = sa.String()
    name = "folded"


@compiles(folded)
def _plain(element: folded, compiler: Any, **kw: Any) -> str:  # pyright: ignore[reportUnusedFunction]
    return f"lower({compiler.process(element.clauses, **kw)})"


@compiles(folded, "postgresql")
def _postgres(element: folded, compiler: Any, **kw: Any) -> str:  # pyright: ignore[reportUnusedFunction]
    return f'(lower({compiler.process(element.clauses, **kw)}) COLLATE "C")'


def equals(column: Any, text: str) -> sa.ColumnElement[bool]:
    """The column is `text`, whatever the case."""
    return folded(column) == sa.func.lower(text)


def begins(column: Any, text: str) -> sa.ColumnElement[bool]:
    """The column begins with `text`, whatever the case."""
    low = sa.func.lower(text)
    return sa.and_(folded(column) >= low, folded(column) < low.concat(_LAST))
