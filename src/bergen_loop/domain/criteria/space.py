"""A bounded, deterministic set of receipts to try criteria on: every small way a parcel can
differ, crossed with the values that the conditions themselves compare with."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bergen_loop.domain.comparison import compare
from bergen_loop.domain.criteria.facts import setting_fact
from bergen_loop.domain.criteria.model import Criteria, Rule, Wait
from bergen_loop.domain.criteria.vocabulary import MONEY, SettingValue
from bergen_loop.domain.decision import Case
from bergen_loop.domain.returns import Label, LoopState, Return, ReturnLine, ReturnTotals
from bergen_loop.domain.rma import Receipt, ReceiptLine, TicketStatus

MAX_CONTEXTS = 240
"""Variations of everything that is not a count."""
MAX_FOR_RULE = 24
"""Of them, those that one rule's condition brings."""
MAX_VALUES = 6
"""Values tried for one fact."""

_RECEIVED = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_TEXTS: dict[str, tuple[str, ...]] = {
    **{
        name: (name,)
        for name in (
            *("country", "currency", "customer", "label_status", "method", "destination"),
            *("reason", "parent_reason", "sku", "title"),
        )
    },
    "outcome": ("outcome", "line_outcome"),
    "outcomes": ("line_outcome",),
    "reasons": ("reason",),
    "warehouses": ("warehouse",),
}
"""Which values of a `Context` stand behind a fact that is a text."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The counts of a parcel: (expected, counted, damaged) for each SKU, and units of a SKU
    that is not on the return."""

    skus: tuple[tuple[int, int, int], ...]
    foreign: int = 0
    foreign_damaged: int = 0


@dataclass(frozen=True, slots=True)
class Context:
    """All that is not a count. Money in hundredths."""

    open_tickets: int = 0
    waited: timedelta = timedelta(hours=1)
    age_days: int = 10
    money: int = 5000
    line_money: int = 2500
    country: str = "US"
    currency: str = "USD"
    outcome: str = "refund"
    line_outcome: str = "refund"
    customer: str = "customer@example.com"
    label_status: str = "delivered"
    method: str = "mail"
    destination: str = "1"
    warehouse: str = "BERGEN LOGISTICS NJ"
    reason: str = "Too small"
    parent_reason: str = "Size"
    sku: str = "A"
    title: str = "Shirt"


def receipt_space(criteria: Criteria) -> Iterator[Case]:
    """Open returns with receipts that are clear: the cases in which rules decide. All shapes
    with each wait and open ticket, the representative ones with everything else."""
    usual = Context()
    for context in _contexts(criteria):
        timing = replace(usual, waited=context.waited, open_tickets=context.open_tickets)
        for shape in shapes() if context == timing else REPRESENTATIVE:
            yield case_of(shape, context)


def shapes() -> Iterator[Shape]:
    """One SKU of one or two units, and two SKUs of one unit, with each way to differ."""
    for expected in (1, 2):
        for counted in range(expected + 2):
            for damaged in range(expected + 1):
                for foreign, foreign_damaged in ((0, 0), (1, 0), (1, 1)):
                    yield Shape(((expected, counted, damaged),), foreign, foreign_damaged)
    for pair in itertools.combinations_with_replacement(_UNIT_WAYS, 2):
        for foreign in (0, 1, 2):
            yield Shape(pair, foreign)


_UNIT_WAYS = ((1, 1, 0), (1, 0, 0), (1, 1, 1), (1, 2, 0), (1, 2, 1))

REPRESENTATIVE = (
    Shape(((1, 1, 0),)),
    Shape(((1, 1, 0), (1, 1, 0))),
    Shape(((2, 2, 0),)),
    Shape(((2, 1, 0),)),
    Shape(((2, 2, 1),)),
    Shape(((1, 0, 0),)),
    Shape(((1, 1, 0), (1, 0, 0))),
    Shape(((1, 2, 0),)),
    Shape(((1, 1, 0),), foreign=1),
    Shape(((1, 1, 0), (1, 0, 0)), foreign=1),
)


def case_of(shape: Shape, context: Context) -> Case:
    """A case as the flows would build one."""
    lines = tuple(_lines(shape, context))
    receipt = Receipt(
        ticket_id="WHRTN1",
        status=TicketStatus.ADDED_TO_INVENTORY,
        status_name="AddedToInventory",
        lines=tuple(_receipt_lines(shape, context)),
        warehouse=context.warehouse,
        arrived_at=_RECEIVED - timedelta(days=1),
        added_to_inventory_at=_RECEIVED,
    )
    now = _RECEIVED + context.waited
    return Case(
        return_=_return(lines, context, now),
        receipts=(receipt,),
        comparison=compare(lines, (receipt,)),
        now=now,
        first_received_at=_RECEIVED,
        open_tickets=context.open_tickets,
    )


def describe(case: Case) -> str:
    """A case of the space in words, for the example of a warning."""
    skus = [
        f"{s.name}: expected {s.expected}, counted {s.counted}, damaged {s.damaged}"
        for s in case.comparison.skus
    ]
    skus += [
        f"{s.name} (not on the return): counted {s.counted}, damaged {s.damaged}"
        for s in case.comparison.unexpected
    ]
    ret, line = case.return_, case.return_.lines[0]
    hours = (case.now - case.first_received_at) // timedelta(hours=1)
    return (
        f"{'; '.join(skus)}. Return of {ret.totals.return_total} {ret.currency} from "
        f"{ret.country_code}, outcome {line.outcome}, reason {line.reason}; "
        f"{case.open_tickets} open tickets; {hours} hours after the first receipt"
    )


def _lines(shape: Shape, context: Context) -> Iterator[ReturnLine]:
    number = itertools.count(1)
    for index, (expected, _, _) in enumerate(shape.skus):
        for _unit in range(expected):
            yield ReturnLine(
                line_item_id=str(next(number)),
                sku=_sku(index, context),
                title=context.title,
                price=_money(context.line_money),
                refund=_money(context.line_money),
                outcome=context.line_outcome,
                reason=context.reason,
                parent_reason=context.parent_reason,
                product_id=f"p{index}",
            )


def _receipt_lines(shape: Shape, context: Context) -> Iterator[ReceiptLine]:
    for index, (expected, counted, damaged) in enumerate(shape.skus):
        yield ReceiptLine(
            sku=_sku(index, context), expected=expected, actual=counted, damaged=damaged
        )
    if shape.foreign:
        yield ReceiptLine(sku="OTHER-1", actual=shape.foreign, damaged=shape.foreign_damaged)


def _sku(index: int, context: Context) -> str:
    return context.sku if index == 0 else f"{context.sku}-2"


def _return(lines: tuple[ReturnLine, ...], context: Context, now: datetime) -> Return:
    money = _money(context.money)
    created = now - timedelta(days=context.age_days)
    return Return(
        id="1001",
        state=LoopState.OPEN,
        created_at=created,
        updated_at=created,
        outcome=context.outcome,
        order_name="#1001",
        customer_email=context.customer,
        country_code=context.country,
        currency=context.currency,
        totals=ReturnTotals(money, money, money, money, money, money, money, money, money),
        lines=lines,
        label=Label(status=context.label_status),
        destination_id=context.destination,
        return_method=context.method,
    )


def _money(hundredths: int) -> Decimal:
    return Decimal(hundredths).scaleb(-2)


def _contexts(criteria: Criteria) -> list[Context]:
    """Waits and open tickets first, then for each rule the values that its condition names:
    each alone and all together, as far as the bounds allow."""
    timing = _product(
        {
            "waited": _first(r.then.for_ for r in criteria.rules if isinstance(r.then, Wait)),
            "open_tickets": [1] if _names(criteria.rules) & {"open_tickets"} else [],
        }
    )
    by_rule = (_product(_values(rule, criteria.settings)) for rule in criteria.rules)
    seen = dict.fromkeys(
        replace(Context(), **changes) for changes in itertools.chain([{}], timing, *by_rule)
    )
    return list(seen)[:MAX_CONTEXTS]


def _product(values: dict[str, list[Any]]) -> list[dict[str, Any]]:
    values = {name: found for name, found in values.items() if found}
    singles = [{name: v} for name, vs in values.items() for v in vs]
    together = (dict(zip(values, vs, strict=True)) for vs in itertools.product(*values.values()))
    return list(itertools.islice(itertools.chain(singles, together), MAX_FOR_RULE))


def _names(rules: Iterable[Rule]) -> set[str]:
    return {name for rule in rules for name in rule.when.names}


def _values(rule: Rule, settings: dict[str, SettingValue]) -> dict[str, list[Any]]:
    """What to try for each field of `Context` that the rule's condition looks at."""
    names = _names([rule])
    numbers, texts = _constants(rule, settings if "settings" in names else {})
    # Just above a constant, just below it, and at it.
    around = [m for n in numbers for m in (n + 1, n - 1, n) if m >= 0]
    waits = [timedelta(hours=n) for n in around if n < 10_000 and "waited_hours" in names]
    waits += [timedelta(days=n) for n in around if n < 1000 and "waited_days" in names]
    money = _first([*(n for n in around if n > 10), 0])
    values: dict[str, list[Any]] = {
        "waited": _first(waits),
        "open_tickets": [1] if "open_tickets" in names else [],
        "age_days": _first(n for n in around if n < 3650 and "age_days" in names),
        "money": money if names & set(MONEY) else [],
        "line_money": money if names & {"price_cents", "refund_cents"} else [],
    }
    for fact in (f for f in _TEXTS if f in names):
        for name in _TEXTS[fact]:
            values[name] = _first([*texts, "exchange"] if "outcome" in name else texts)
    return values


def _first(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))[:MAX_VALUES]


def _constants(rule: Rule, settings: dict[str, SettingValue]) -> tuple[list[int], list[str]]:
    """The numbers and texts that the condition compares with, the greatest number first."""
    numbers = [c for c in rule.when.constants if isinstance(c, int)]
    texts = [c for c in rule.when.constants if isinstance(c, str)]
    for value in settings.values():
        fact = setting_fact(value)
        if isinstance(fact, int):
            numbers.append(fact)
        else:
            texts.extend([fact] if isinstance(fact, str) else fact)
    return sorted(set(numbers), reverse=True), [t for t in texts if t]
