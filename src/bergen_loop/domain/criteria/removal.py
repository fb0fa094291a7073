"""Which units `remove_lines` takes off a return: certain ones, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bergen_loop.domain.comparison import SkuCount
from bergen_loop.domain.criteria.model import Irregularity
from bergen_loop.domain.decision import Case
from bergen_loop.domain.returns import Return, ReturnLine

REFUND, CREDIT = "refund", "credit"
"""Loop removes lines only where the customer gets a refund or store credit for them. Other
words that may mean the same are not documented, so they are a doubt."""


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
        problem = _problem(case.return_, sku, units, number)
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


def _problem(ret: Return, sku: SkuCount, units: Sequence[ReturnLine], number: int) -> str | None:
    if len({u.line_item_id for u in units}) != sku.expected:
        return f"the units of SKU {sku.name} are not all on the return any more"
    if not all(a is None or a.is_finite() for u in units for a in _amounts(u)):
        return f"an amount of SKU {sku.name} is no number"
    if number < sku.expected:
        differ = _difference(ret, units)
        if differ:
            return f"the units of SKU {sku.name} differ in {differ}, so which one is unknown"
        if units[0].price is None or units[0].refund is None:
            return f"what the units of SKU {sku.name} cost is not known, so which one is unknown"
    return next((why for u in units[-number:] if (why := _not_removable(ret, sku, u))), None)


def _difference(ret: Return, units: Sequence[ReturnLine]) -> str | None:
    """In what moves money, or in what they are, the units are not all alike: then it matters which
    one is meant."""
    amounts = zip(*(_amounts(u) for u in units), strict=True)
    sides: dict[str, set[Any]] = {
        **dict(zip(("price", "discount", "tax", "refund"), map(set, amounts), strict=True)),
        "outcome": {_word(ret.outcome_of(u)) for u in units},
        "exchange": {_word(u.exchange_variant) for u in units},
        "variant": {u.variant_id for u in units},
    }
    return " and ".join(name for name, values in sides.items() if len(values) > 1) or None


def _amounts(unit: ReturnLine) -> tuple[Decimal | None, ...]:
    return unit.price, unit.discount, unit.tax, unit.refund


def _not_removable(ret: Return, sku: SkuCount, unit: ReturnLine) -> str | None:
    outcome = ret.outcome_of(unit)
    if _word(outcome) not in (REFUND, CREDIT):
        return f"SKU {sku.name} has outcome {outcome or 'unknown'}, not refund or credit"
    if _word(unit.exchange_variant):
        return f"SKU {sku.name} is exchanged for {unit.exchange_variant}"
    # Store credit need not be a refund; what is called a refund must be one.
    if _word(outcome) == REFUND and not (unit.refund and unit.refund > 0):
        amount = "unknown" if unit.refund is None else f"{unit.refund:f}"
        return f"SKU {sku.name} has outcome refund, and the amount of its refund is {amount}"
    return None


def _word(text: str | None) -> str:
    return (text or "").strip().casefold()
