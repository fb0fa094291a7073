"""Notes for Loop: templates with a fixed set of names in braces, never over `NOTE_LIMIT`.

`{problems}` is replaced by a list such as "SKU A: 1 of 2 damaged; SKU B: 1 missing". Nothing is cut
while there is room; then long names lose their middle, then lists lose whole entries, with
"+N more" in their place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from bergen_loop.domain.comparison import Comparison, SkuCount
from bergen_loop.domain.criteria.names import names_of, plain
from bergen_loop.domain.decision import NOTE_LIMIT, Case

Value: TypeAlias = str | tuple[str, ...]
Values: TypeAlias = Callable[[int | None], dict[str, Value]]
"""The values of a template's names; asked with the most characters of a product's name, or None
for all of them."""

VARIABLES = frozenset(
    {
        *("problems", "skus", "expected", "counted", "damaged", "short", "extra", "wrong"),
        *("order", "return_id", "tickets", "warehouse", "total", "refund", "waited_days"),
        *("rule", "reason", "open_tickets"),
    }
)
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME_LIMITS = (80, 40)
"""Characters of a product's name, where a note gets too long: one must not fill it alone."""


@dataclass(frozen=True, slots=True)
class TemplateFault:
    """What is wrong with a template, at a character offset from 0."""

    message: str
    offset: int


def template_faults(template: str) -> list[TemplateFault]:
    """Every mistake of a note template."""
    faults: list[TemplateFault] = []
    for match in _PART.finditer(template):
        if match[0] in ("{{", "}}"):
            continue
        if match[1] is None:
            faults.append(TemplateFault(f"a single {match[0]}", match.start()))
        elif match[1] not in VARIABLES:
            faults.append(TemplateFault(f"there is no note variable {match[0]}", match.start()))
    return faults


def render(template: str, values: Values, limit: int = NOTE_LIMIT) -> str:
    """Fill a template. Always one line without control characters, at most `limit` long. What
    does not fit loses first the middle of long names, then whole entries of its lists."""
    text = plain(_fill(template, values(None), None))
    if len(text) <= limit:
        return text
    tables = [values(cut) for cut in (None, *_NAME_LIMITS)]
    longest = max((len(v) for v in tables[0].values() if isinstance(v, tuple)), default=0)
    for shown in range(min(longest, limit // 2), -1, -1):  # more entries cannot fit
        for table in tables:
            text = plain(_fill(template, table, shown))
            if len(text) <= limit:
                return text
    return text[: limit - 1].rstrip() + "…"


def note_values(case: Case, rule: str, reason: str) -> Values:
    """The values of all `VARIABLES` for a case."""
    c, ret = case.comparison, case.return_
    table: dict[str, Value] = {
        "expected": str(c.expected),
        "counted": str(c.counted),
        "damaged": str(c.damaged),
        "short": str(c.short),
        "extra": str(c.extra),
        "wrong": str(c.wrong),
        "order": ret.order_name or ret.order_number or ret.order_id or "unknown",
        "return_id": ret.id,
        "tickets": tuple(r.ticket_id for r in case.receipts) or "none",
        "warehouse": tuple(sorted({r.warehouse for r in case.receipts if r.warehouse}))
        or "unknown",
        "total": _money(ret.totals.return_total, ret.currency),
        "refund": _money(ret.totals.refund, ret.currency),
        "waited_days": str(max(0, (case.now - case.first_received_at).days)),
        "open_tickets": str(case.open_tickets),
        "rule": rule,
        "reason": reason,
    }

    def values(limit: int | None) -> dict[str, Value]:
        names = _names(c, limit)
        return table | {
            "problems": tuple(_problems(c, names)) or _all_there(c),
            "skus": tuple(names[: len(c.skus)]) or "none",
        }

    return values


def problem_text(comparison: Comparison, limit: int = 400) -> str:
    """Every difference of a receipt, one entry for each product, cut like a note."""

    def values(cut: int | None) -> dict[str, Value]:
        found = tuple(_problems(comparison, _names(comparison, cut)))
        return {"problems": found or _all_there(comparison)}

    return render("{problems}", values, limit)


def _all_there(comparison: Comparison) -> str:
    number = comparison.expected
    return f"all {number} units are there" if number > 1 else "its unit is there"


def _names(comparison: Comparison, limit: int | None) -> list[str]:
    """Of the products of the return, then of the others: all told apart from each other."""
    return names_of((*comparison.skus, *comparison.unexpected), limit)


def _problems(comparison: Comparison, names: Sequence[str]) -> Iterator[str]:
    for sku, name in zip(comparison.skus, names, strict=False):
        parts = list(_sku_problems(sku))
        of_kit = f" (its parts: {', '.join(sku.parts)})" if sku.parts else ""
        if parts:
            yield f"SKU {name}: {', '.join(parts)}{of_kit}"
    for sku, name in zip(comparison.unexpected, names[len(comparison.skus) :], strict=True):
        damaged = f", {sku.damaged} damaged" if sku.damaged else ""
        yield f"SKU {name}: {max(sku.counted, sku.damaged)} not on the return{damaged}"
    yield from comparison.hints


def _sku_problems(sku: SkuCount) -> Iterator[str]:
    of = f" of {sku.expected}"
    if sku.damaged:
        yield f"{sku.damaged}{of} damaged"
    if sku.short:
        yield f"{sku.short}{'' if sku.damaged else of} missing"
    if sku.extra:
        yield f"{sku.extra} more than the {sku.expected} expected"


def _money(amount: Decimal | None, currency: str | None) -> str:
    return "unknown" if amount is None else f"{amount} {currency or ''}".strip()


def _fill(template: str, values: dict[str, Value], shown: int | None) -> str:
    """`shown`: entries of each list; None for all of them."""

    def part(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        value = values[match[1]]
        return value if isinstance(value, str) else _join(value, shown)

    return _PART.sub(part, template)


def _join(entries: Sequence[str], shown: int | None) -> str:
    kept = entries[:shown]
    left = len(entries) - len(kept)
    text = "; ".join(kept)
    return text if left <= 0 else f"{text}; +{left} more" if kept else f"{len(entries)} in all"
