"""From a receipt to the condition of each unit, for Loop's grading and dispositions.

The warehouse counts per SKU, Loop grades per unit. Which of several like units was the damaged
one is not known, and does not matter: the units of one SKU are the same product.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bergen_loop.domain.comparison import Comparison, SkuCount


class UnitCondition(StrEnum):
    """What the warehouse found of a unit."""

    GOOD = "good"
    DAMAGED = "damaged"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class GradedUnit:
    """One unit of the return and its condition."""

    line_item_id: str
    condition: UnitCondition
    description: str
    """For people, at most 255 characters."""
    codes: tuple[str, ...] = ()
    """Under which it, or a kit's parts, are known, in their normal forms."""


def graded_units(comparison: Comparison) -> tuple[GradedUnit, ...]:
    """The condition of every expected unit; nothing at all where anything is unclear."""
    if comparison.unclear:
        return ()
    return tuple(unit for sku in comparison.skus for unit in _units(sku))


def _units(sku: SkuCount) -> Iterable[GradedUnit]:
    missing = sku.short
    damaged = min(sku.damaged, sku.expected - missing)
    words = f"{sku.name}: {sku.counted} of {sku.expected} counted, {sku.damaged} damaged"
    for index, line_item_id in enumerate(sku.line_item_ids):
        if index < damaged:
            condition = UnitCondition.DAMAGED
        elif index >= sku.expected - missing:
            condition = UnitCondition.MISSING
        else:
            condition = UnitCondition.GOOD
        yield GradedUnit(line_item_id, condition, words[:255], sku.codes)
