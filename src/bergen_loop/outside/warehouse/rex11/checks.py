"""What is refused before it is sent: requests that REX11 could take for something else."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from bergen_loop.domain.rma import Product, RmaItem, RmaRequest
from bergen_loop.outside.errors import Refused
from bergen_loop.outside.warehouse.rex11.call import Call
from bergen_loop.outside.warehouse.rex11.soap import clean


def check_rma(rma: RmaRequest, warehouses: Sequence[str], call: Call) -> None:
    """Refused, listing everything that is wrong with the RMA."""
    problems: list[str] = []
    if not rma.customer_po.strip():
        problems.append("it has no CustomerPO, without which a lost answer cannot be resolved")
    elif _altered(rma.customer_po):
        problems.append("its CustomerPO has outer blanks or characters XML cannot carry")
    if rma.warehouse not in warehouses:
        problems.append(f"warehouse {rma.warehouse!r} is none of {', '.join(warehouses)}")
    if not rma.items:
        problems.append("it has no items")
    for number, item in enumerate(rma.items, start=1):
        problems.extend(f"item {number} {p}" for p in _item_problems(item))
    _refuse("RMA", problems, call)


def check_products(products: Sequence[Product], call: Call) -> None:
    """Refused, listing everything that is wrong with the products."""
    problems: list[str] = [] if products else ["there are none"]
    for number, product in enumerate(products, start=1):
        if not product.upc.strip() or _altered(product.upc):
            problems.append(f"product {number} has the UPC {product.upc!r}")
        if _no_amount(product.price):
            problems.append(f"product {number} has the price {product.price}")
    _refuse("products", problems, call)


def check_code(name: str, code: str, call: Call) -> None:
    """Refused for a code (PO, ticket id, UPC) that would be sent as another one."""
    if not code.strip() or _altered(code):
        _refuse(name, [f"it is {code!r}: blank, with outer blanks, or no valid XML text"], call)


def _item_problems(item: RmaItem) -> list[str]:
    problems: list[str] = []
    if not (item.sku or item.upc):
        problems.append("has neither SKU nor UPC")
    if item.expected < 1:
        problems.append(f"expects {item.expected} units")
    if _no_amount(item.unit_cost):
        problems.append(f"has the unit cost {item.unit_cost}")
    return problems


def _altered(code: str) -> bool:
    return clean(code).strip() != code


def _no_amount(amount: Decimal | None) -> bool:
    return amount is not None and not (amount.is_finite() and amount >= 0)


def _refuse(what: str, problems: Sequence[str], call: Call) -> None:
    if problems:
        message = f"not sent, the {what} cannot be right: {'; '.join(problems)}"
        raise call.error(Refused, message)
