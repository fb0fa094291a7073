"""Cases for the tests of receipt criteria."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bergen_loop.domain.comparison import compare
from bergen_loop.domain.decision import Case
from bergen_loop.domain.returns import Label, LoopState, Return, ReturnLine, ReturnTotals
from bergen_loop.domain.rma import Receipt, ReceiptLine, TicketStatus

RECEIVED = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CREATED = datetime(2026, 2, 20, 9, 30, tzinfo=UTC)
NJ = "BERGEN LOGISTICS NJ"


def unit(
    number: int,
    sku: str | None,
    *,
    outcome: str | None = "refund",
    price: str | None = "25.00",
    **more: Any,
) -> ReturnLine:
    money = None if price is None else Decimal(price)
    return ReturnLine(
        str(number), sku=sku, outcome=outcome, price=money, refund=money, reason="Too small", **more
    )


def got(sku: str, actual: int | None, damaged: int | None = 0, **more: Any) -> ReceiptLine:
    return ReceiptLine(sku=sku, actual=actual, damaged=damaged, **more)


def ticket(*lines: ReceiptLine, number: int = 1, **more: Any) -> Receipt:
    fields: dict[str, Any] = {
        "status": TicketStatus.ADDED_TO_INVENTORY,
        "status_name": "AddedToInventory",
        "warehouse": NJ,
        "arrived_at": RECEIVED - timedelta(days=1),
        "added_to_inventory_at": RECEIVED,
    }
    return Receipt(ticket_id=f"WHRTN{number}", lines=lines, **(fields | more))


def case(
    units: list[ReturnLine],
    *receipts: Receipt,
    waited: timedelta = timedelta(hours=1),
    open_tickets: int = 0,
    totals: ReturnTotals | None = None,
    **return_fields: Any,
) -> Case:
    fields: dict[str, Any] = {
        "state": LoopState.OPEN,
        "outcome": "refund",
        "order_name": "#1001",
        "customer_email": "customer@example.com",
        "country_code": "US",
        "currency": "USD",
        "label": Label(status="delivered"),
    }
    return_ = Return(
        id="1001",
        created_at=CREATED,
        updated_at=CREATED,
        lines=tuple(units),
        totals=totals or ReturnTotals(return_total=Decimal("50.00"), refund=Decimal("50.00")),
        **(fields | return_fields),
    )
    return Case(
        return_=return_,
        receipts=receipts,
        comparison=compare(units, receipts),
        now=RECEIVED + waited,
        first_received_at=RECEIVED,
        open_tickets=open_tickets,
    )


PAIR = [unit(1, "A"), unit(2, "B")]
TWINS = [unit(1, "A"), unit(2, "A")]
