"""Which units `remove_lines` takes off a return: certain ones, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bergen_loop.domain.comparison import SkuCount
from bergen_loop.domain.criteria.model import Irregularity
from bergen_loop.domain.decision import Case
from bergen_loop.domain.returns import ReturnLine

REMOVABLE = frozenset({"refund", "credit"})
"""Loop removes lines only where the customer gets a refund or store credit for them."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Units to take off: their ids, and how many by index in `comparison.skus`."""

    line_item_ids: tuple[str, ...]
    by_sku: dict[int, int]


def plan_removal(case: Case, select: frozenset[Irregularity]) -> Removal | str:
    """The units to take off, or in words why that cannot be said for certain."""
    lines = {line.line_item_id: line for line in case.return_.lines}
    ids: list[str] = []
    by_sku: dict[int, int] = {}
    for index, sku in enumerate(case.comparison.skus):
        number = _units(sku, select)
        if not number:
            continue
        units = [lines[i] for i in sku.line_item_ids if i in lines]
        problem = _problem(sku, units, number)
        if problem:
            return problem
        by_sku[index] = number
        ids.extend(unit.line_item_id for unit in units[-number:])
    if not ids:
        return f"there is no {' or '.join(sorted(select))} unit to remove"
    if len(ids) >= case.comparison.expected:
        return "no unit that came would be left on the return"
    return Removal(tuple(ids), by_sku)


def _units(sku: SkuCount, select: frozenset[Irregularity]) -> int:
    number = sku.damaged if Irregularity.DAMAGED in select else 0
    number += sku.short if Irregularity.SHORT in select else 0
    return min(number, sku.expected)


def _problem(sku: SkuCount, units: Sequence[ReturnLine], number: int) -> str | None:
    if len({u.line_item_id for u in units}) != sku.expected:
        return f"the units of SKU {sku.name} are not all on the return any more"
    if number < sku.expected and not _alike(units):
        return f"the units of SKU {sku.name} differ in price or outcome, so which one is unknown"
    kept = next((u for u in units[-number:] if (u.outcome or "").casefold() not in REMOVABLE), None)
    if kept:
        return f"SKU {sku.name} has outcome {kept.outcome or 'unknown'}, not refund or credit"
    return None


def _alike(units: Sequence[ReturnLine]) -> bool:
    """True where it makes no difference to the money which of the units is meant."""
    first = units[0]
    return first.price is not None and all(
        (u.price, u.refund, u.outcome) == (first.price, first.refund, first.outcome) for u in units
    )
