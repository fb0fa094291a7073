"""Which brands somebody may see. Every question people ask of the ledger takes one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


class OutOfScope(LookupError):
    """The brand is not among those that may be seen, or does not exist: no difference is made."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The brands that may be seen; None means every brand there is."""

    brands: frozenset[str] | None = frozenset()

    @classmethod
    def of(cls, brands: Iterable[str] | None) -> Scope:
        return cls(None if brands is None else frozenset(brands))

    def __contains__(self, brand: str | None) -> bool:
        """`None` stands for what belongs to no brand: only who sees everything sees that."""
        return self.brands is None or brand in self.brands

    def narrowed(self, brand: str | None) -> Scope:
        """This scope, or one brand of it. Raises OutOfScope."""
        if not brand:
            return self
        if brand not in self:
            raise OutOfScope(brand)
        return Scope(frozenset((brand,)))

    def among(self, brands: Iterable[str]) -> list[str]:
        """Those of `brands` that may be seen, in their order."""
        return [b for b in brands if b in self]

    def allows(self, column: Any) -> sa.ColumnElement[bool]:
        """The condition that a row's brand may be seen."""
        return sa.true() if self.brands is None else column.in_(sorted(self.brands))

    def streams(self) -> list[str | None]:
        """The brands to ask for one by one, each in the order of an index; [None]: all at once."""
        return [None] if self.brands is None else [*sorted(self.brands)]
