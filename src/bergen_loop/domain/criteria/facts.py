"""The facts of a case: what rules see, and what is kept to explain a decision.

A fact that nobody gave is left out, not null: naming it in a condition then is an error and so
a doubt (attention), unless the condition asks `has(...)` first. Money is in whole hundredths of
the currency's main unit (12.50 USD is 1250, 900 JPY is 90000): CEL has no decimals, and
integers compare and add exactly. An amount that is not a whole number of hundredths, or not
finite, is left out as well, and so is a text of more than `LONGEST` characters.

A unit's outcome `default` is shown as the return's outcome, which it stands for.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from bergen_loop.domain.comparison import SkuCount
from bergen_loop.domain.criteria.vocabulary import LONGEST, SettingValue
from bergen_loop.domain.decision import Case
from bergen_loop.domain.returns import Return, ReturnLine

Facts: TypeAlias = dict[str, Any]

_LARGEST = 2**53
"""Beyond it JSON readers lose digits."""
_DECIMALS = 12
"""Decimals an amount may be written with; no currency has as many."""
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


def facts_of(case: Case, settings: dict[str, SettingValue]) -> Facts:
    """All facts of a case; JSON-able. See `vocabulary` for the names."""
    by_line = {i: s for s in case.comparison.skus for i in s.line_item_ids}
    ret = case.return_
    return {
        "ret": _return(case.return_, case.now),
        "receipt": _receipt(case),
        "lines": [_line(x, ret.outcome_of(x), by_line.get(x.line_item_id)) for x in ret.lines],
        "settings": {name: setting_fact(value) for name, value in settings.items()},
    }


def setting_fact(value: SettingValue) -> int | str | list[str]:
    """A setting as conditions see it: a duration as its whole hours."""
    if isinstance(value, timedelta):
        return value // _HOUR
    return list(value) if isinstance(value, tuple) else value


def cents(amount: Decimal | None) -> int | None:
    """Whole hundredths, or None where the amount is missing or cannot be given exactly."""
    if amount is None or not amount.is_finite() or abs(amount) > _LARGEST // 100:
        return None
    if int(amount.as_tuple().exponent) < -_DECIMALS:
        return None
    numerator, denominator = amount.as_integer_ratio()
    whole, rest = divmod(numerator * 100, denominator)
    return None if rest else whole


def _return(ret: Return, now: datetime) -> Facts:
    t = ret.totals
    return _known(
        id=ret.id,
        state=str(ret.state),
        outcome=ret.outcome,
        order=ret.order_name or ret.order_number or ret.order_id,
        customer=ret.customer_email,
        country=ret.country_code,
        currency=ret.currency,
        method=ret.return_method,
        destination=ret.destination_id,
        label_status=ret.label.status,
        age_days=(now - ret.created_at) // _DAY,
        units=len(ret.lines),
        reasons=_all_known(line.reason for line in ret.lines),
        outcomes=_all_known(ret.outcome_of(line) for line in ret.lines),
        total_cents=cents(t.total),
        return_total_cents=cents(t.return_total),
        product_total_cents=cents(t.product_total),
        credit_total_cents=cents(t.credit_total),
        exchange_total_cents=cents(t.exchange_total),
        refund_cents=cents(t.refund),
        gift_card_cents=cents(t.gift_card),
        handling_fee_cents=cents(t.handling_fee),
        upsell_cents=cents(t.upsell),
    )


def _receipt(case: Case) -> Facts:
    comparison, receipts = case.comparison, case.receipts
    waited = max(case.now - case.first_received_at, timedelta(0))
    arrived = [r.arrived_at for r in receipts if r.arrived_at]
    finished = [r.added_to_inventory_at for r in receipts if r.added_to_inventory_at]
    return _known(
        expected=comparison.expected,
        counted=comparison.counted,
        damaged=comparison.damaged,
        short=comparison.short,
        extra=comparison.extra,
        wrong=comparison.wrong,
        complete=comparison.complete,
        skus=[_sku(s) for s in comparison.skus],
        unexpected=[_sku(s) for s in comparison.unexpected],
        unclear=list(comparison.unclear),
        tickets=_all_known(r.ticket_id for r in receipts),
        warehouses=_all_known(sorted({r.warehouse for r in receipts if r.warehouse})),
        open_tickets=case.open_tickets,
        waited_hours=waited // _HOUR,
        waited_days=waited // _DAY,
        first_received_at=iso(case.first_received_at),
        arrived_at=iso(min(arrived)) if arrived else None,
        finished_at=iso(max(finished)) if finished else None,
    )


def _sku(count: SkuCount) -> Facts:
    return _known(
        sku=count.sku,
        upc=count.upc,
        expected=count.expected,
        counted=count.counted,
        damaged=count.damaged,
        short=count.short,
        extra=count.extra,
    )


def _line(line: ReturnLine, outcome: str | None, count: SkuCount | None) -> Facts:
    return _known(
        id=line.line_item_id,
        sku=line.sku,
        upc=line.barcode,
        title=line.title,
        reason=line.reason,
        parent_reason=line.parent_reason,
        outcome=outcome,
        product_id=line.product_id,
        price_cents=cents(line.price),
        refund_cents=cents(line.refund),
        in_parcel=count is not None,
        expected=count and count.expected,
        counted=count and count.counted,
        damaged=count and count.damaged,
        short=count and count.short,
        extra=count and count.extra,
    )


def _known(**facts: object) -> Facts:
    """What is not known, or longer than conditions take, is left out."""
    return {
        name: value
        for name, value in facts.items()
        if value is not None and not (isinstance(value, str) and len(value) > LONGEST)
    }


def _all_known(values: Iterable[str | None]) -> list[str] | None:
    """The distinct values; None where one of them is missing, for then the list is not known."""
    seen: dict[str, None] = {}
    for value in values:
        if value is None or len(value) > LONGEST:
            return None
        seen[value] = None
    return list(seen)


def iso(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
