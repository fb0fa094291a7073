"""Long lists of values in pieces that one statement takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

IN_CHUNK = 500
"""How many values one IN list takes: SQLite limits the variables of a statement."""


def chunks(values: Iterable[T], size: int = IN_CHUNK) -> Iterator[Sequence[T]]:
    """`values` in pieces of at most `size`."""
    whole = list(values)
    return (whole[start : start + size] for start in range(0, len(whole), size))
