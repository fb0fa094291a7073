"""Notes for Loop: templates with a fixed set of names in braces, never over `NOTE_LIMIT`.

`{problems}` is replaced by a list such as "SKU A: 1 of 2 damaged; SKU B: 1 missing". A note that
gets too long loses whole entries of its lists, with "+N more" in their place.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from bergen_loop.domain.comparison import Comparison, SkuCount
from bergen_loop.domain.decision import NOTE_LIMIT, Case

Value: TypeAlias = str | tuple[str, ...]

VARIABLES = frozenset(
    {
        *("problems", "skus", "expected", "counted", "damaged", "short", "extra", "wrong"),
        *("order", "return_id", "tickets", "warehouse", "total", "refund", "waited_days"),
        *("rule", "reason", "open_tickets"),
    }
)
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_CODE_LIMIT = 40
"""Characters of a SKU in a note; longer ones are cut, so that one entry cannot fill a note."""


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


def render(template: str, values: dict[str, Value], limit: int = NOTE_LIMIT) -> str:
    """Fill a template. Always one line without control characters, at most `limit` long."""
    longest = max((len(v) for v in values.values() if isinstance(v, tuple)), default=0)
    longest = min(longest, limit // 2)  # more entries cannot fit
    text = ""
    for shown in range(longest, -1, -1):
        text = plain(_fill(template, values, shown))
        if len(text) <= limit:
            return text
    return text[: limit - 1].rstrip() + "…"


def plain(text: str) -> str:
    """One line: control, format and unpaired surrogate characters out, blanks collapsed."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    kept = (" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join("".join(kept).split())


def note_values(case: Case, rule: str, reason: str) -> dict[str, Value]:
    """The values of all `VARIABLES` for a case."""
    c, ret = case.comparison, case.return_
    return {
        "problems": tuple(problems(c)) or "no differences",
        "skus": tuple(_code(s) for s in c.skus) or "none",
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


def problems(comparison: Comparison) -> Iterator[str]:
    """Every difference of a receipt, one entry for each SKU."""
    for sku in comparison.skus:
        parts = list(_sku_problems(sku))
        if parts:
            yield f"SKU {_code(sku)}: {', '.join(parts)}"
    for sku in comparison.unexpected:
        damaged = f", {sku.damaged} damaged" if sku.damaged else ""
        yield f"SKU {_code(sku)}: {max(sku.counted, sku.damaged)} not on the return{damaged}"


def problem_text(comparison: Comparison, limit: int = 400) -> str:
    """`problems` in one sentence, cut like a note."""
    return render(
        "{problems}", {"problems": tuple(problems(comparison)) or "no differences"}, limit
    )


def _sku_problems(sku: SkuCount) -> Iterator[str]:
    of = f" of {sku.expected}"
    if sku.damaged:
        yield f"{sku.damaged}{of} damaged"
    if sku.short:
        yield f"{sku.short}{'' if sku.damaged else of} missing"
    if sku.extra:
        yield f"{sku.extra} more than the {sku.expected} expected"


def _code(sku: SkuCount) -> str:
    code = plain(sku.name)
    return code if len(code) <= _CODE_LIMIT else code[: _CODE_LIMIT - 1] + "…"


def _money(amount: Decimal | None, currency: str | None) -> str:
    return "unknown" if amount is None else f"{amount} {currency or ''}".strip()


def _fill(template: str, values: dict[str, Value], shown: int) -> str:
    def part(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        value = values[match[1]]
        return value if isinstance(value, str) else _join(value, shown)

    return _PART.sub(part, template)


def _join(entries: Sequence[str], shown: int) -> str:
    kept, left = entries[:shown], len(entries) - shown
    text = "; ".join(kept)
    return text if left <= 0 else f"{text}; +{left} more" if kept else f"{len(entries)} in all"
