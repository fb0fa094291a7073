"""What is refused before it is sent: requests that REX11 could take for something else, and those
it is known to refuse. InvalidRequest lists everything that is wrong, by product."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

from bergen_loop.domain.rma import Product, RmaItem, RmaRequest, Supplier
from bergen_loop.outside.errors import InvalidRequest
from bergen_loop.outside.warehouse.rex11.call import Call
from bergen_loop.outside.warehouse.rex11.soap import clean

LONGEST = 500
"""Characters of a code. How many REX11 keeps is not documented; what is over this is no code but a
text gone astray."""
MOST_UNITS = 2**31 - 1
MOST_MONEY = Decimal(10) ** 12

_REWRITTEN = re.compile(r"[0-9]+(?:[.,][0-9]+[eE][+-]?|[eE][+-])[0-9]+|[0-9]{6,}[.,]0+")
"""What spreadsheets make of long numbers: `8.85E+11`, `885909950805.0`."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_rma(rma: RmaRequest, call: Call) -> None:
    """InvalidRequest for an RMA that cannot be sent as it is."""
    problems: list[str] = []
    if not rma.customer_po.strip():
        problems.append("it has no CustomerPO, without which a lost answer cannot be resolved")
    elif doubt := code_doubt(rma.customer_po):
        problems.append(f"its CustomerPO {rma.customer_po[:40]!r} {doubt}")
    if not clean(rma.warehouse).strip():
        problems.append("it names no warehouse")
    if not rma.items:
        problems.append("it has no items")
    for number, item in enumerate(rma.items, start=1):
        where = _name(number, "item", item)
        problems.extend(f"{where} {p}" for p in _item_problems(item))
    if rma.supplier:
        problems.extend(_supplier_problems(rma.supplier))
    _refuse("RMA", problems, call)


def check_products(products: Sequence[Product], call: Call) -> None:
    """InvalidRequest for products that cannot be sent as they are, or that lack what REX11
    demands of a product: description, color, size and price."""
    problems: list[str] = [] if products else ["there are none"]
    for number, product in enumerate(products, start=1):
        where = _name(number, "product", product)
        problems.extend(f"{where} {p}" for p in _product_problems(product))
    _refuse("products", problems, call)


def check_code(name: str, code: str, call: Call) -> None:
    """InvalidRequest for a code (PO, ticket id, UPC) that would be sent as another one."""
    if not code.strip() or code.strip() != code:
        _refuse(name, [f"it is {code[:40]!r}: empty, or with outer blanks"], call)
    elif doubt := code_doubt(code):
        _refuse(name, [f"{code[:40]!r} {doubt}"], call)


def check_upc(upc: str, call: Call) -> None:
    """The same, and for a number that a spreadsheet rewrote."""
    if doubt := upc_doubt(upc):
        _refuse("UPC", [f"{upc[:40]!r} {doubt}"], call)


def code_doubt(code: str | None) -> str | None:
    """Why this code cannot be sent faithfully; outer blanks aside, which are not sent."""
    inner = (code or "").strip()
    if _CONTROL.search(inner):
        return "holds a control character"
    if clean(inner) != inner:
        return "holds a character XML cannot carry"
    if len(inner) > LONGEST:
        return f"has {len(inner)} characters, over {LONGEST}"
    return None


def upc_doubt(upc: str | None) -> str | None:
    """The same for a UPC, which must not be a number that a spreadsheet rewrote either."""
    if _REWRITTEN.fullmatch((upc or "").strip()):
        return "is a number in a form spreadsheets write, which has lost digits of the barcode"
    return code_doubt(upc)


def _item_problems(item: RmaItem) -> list[str]:
    problems = _code_problems(item)
    if not any((code or "").strip() for code in (item.sku, item.upc, item.style)):
        problems.append("has neither SKU nor UPC nor Style")
    if not 1 <= item.expected <= MOST_UNITS:
        problems.append(f"expects {item.expected} units")
    for name, amount in (("unit cost", item.unit_cost), ("MSRP", item.msrp)):
        if _no_amount(amount):
            problems.append(f"has the {name} {amount}")
    return problems


def _product_problems(product: Product) -> list[str]:
    problems = _code_problems(product)
    if not product.upc.strip():
        problems.append("has no UPC")
    missing = [
        name
        for name, value in (
            ("description", product.description),
            ("color", product.color),
            ("size", product.size),
        )
        if not clean(value or "").strip()
    ]
    missing += ["price"] if product.price is None else []
    if missing:
        problems.append(f"lacks {_listed(missing)}, without which REX11 takes no product")
    if _no_amount(product.price):
        problems.append(f"has the price {product.price}")
    return problems


def _code_problems(of: RmaItem | Product) -> list[str]:
    named = (
        ("UPC", of.upc, upc_doubt),
        ("SKU", of.sku, code_doubt),
        ("style", of.style, code_doubt),
        ("color", of.color, code_doubt),
        ("size", of.size, code_doubt),
    )
    return [
        f"has the {name} {(value or '')[:40]!r}, which {doubt}"
        for name, value, doubt_of in named
        if (doubt := doubt_of(value))
    ]


def _supplier_problems(supplier: Supplier) -> list[str]:
    missing = [
        name
        for name, values in (
            ("company name", (supplier.company_name,)),
            ("state", (supplier.state, supplier.non_us_region)),
            ("country", (supplier.country,)),
        )
        if not any(clean(value or "").strip() for value in values)
    ]
    return [f"its supplier has no {_listed(missing)}"] if missing else []


def _name(number: int, noun: str, of: RmaItem | Product) -> str:
    """`item 2 (SKU ABC-1, Dress)`: so that people find it in the shop."""
    known = [f"SKU {of.sku}" if of.sku else "", of.description or ""]
    words = ", ".join(clean(w)[:60] for w in known if w.strip())
    return f"{noun} {number}" + (f" ({words})" if words else "")


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _no_amount(amount: Decimal | None) -> bool:
    return amount is not None and not (amount.is_finite() and 0 <= amount <= MOST_MONEY)


def _refuse(what: str, problems: Sequence[str], call: Call) -> None:
    if problems:
        message = f"not sent, the {what} cannot be right: {'; '.join(problems)}"
        raise call.error(InvalidRequest, message)
