"""Harmless calls to REX11: the account, the list the sync lives on, the products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from bergen_loop.connect.check import Check, Status
from bergen_loop.connect.faults import rex11_fault
from bergen_loop.domain.announce import AnnounceRules, physical_lines, products
from bergen_loop.domain.returns import Return
from bergen_loop.domain.rma import Product, ProductImport
from bergen_loop.outside.errors import OutsideError
from bergen_loop.outside.warehouse.rex11 import Rex11Warehouse

ACCOUNT, STATUSES = "REX11 account", "REX11 tickets by date"
PRODUCTS = "Products known to REX11"
MAX_ASKED = 300
"""How many products that have no inventory line are asked for one by one."""
PARALLEL = 8


def check_account(warehouse: Rex11Warehouse) -> Check:
    """Get a token."""
    try:
        warehouse.authentication_token_get()
    except OutsideError as error:
        return rex11_fault(ACCOUNT, error)
    return Check(ACCOUNT, Status.OK, "it works: REX11 gives a token")


def check_statuses(warehouse: Rex11Warehouse, now: datetime) -> Check:
    """List the tickets that changed in the last day."""
    try:
        found = warehouse.changed_tickets(now - timedelta(days=1), now)
    except OutsideError as error:
        return rex11_fault(STATUSES, error)
    strange = sorted({c.status_name for c in found if c.status is None})
    if strange:
        return Check(
            STATUSES,
            Status.WARNING,
            f"{len(found)} ticket(s) in a day; unknown statuses: {', '.join(strange)}",
            "Ask Bergen's REX11 team what these statuses mean; tickets in them are left waiting",
        )
    return Check(STATUSES, Status.OK, f"it works: {len(found)} ticket(s) changed in the last day")


def check_products(
    warehouse: Rex11Warehouse, returns: Sequence[Return], rules: AnnounceRules, *, may_add: bool
) -> Check:
    """Which share of recent returns has only products that REX11 knows; lists the others."""
    if not returns:
        return Check(PRODUCTS, Status.UNKNOWN, "there are no recent returns to check")
    wanted = {r.id: products(r, rules) for r in returns}
    by_upc = {p.upc: p for of in wanted.values() for p in of}
    try:
        states = _states(warehouse, list(by_upc))
    except OutsideError as error:
        return rex11_fault(PRODUCTS, error)
    missing = {u: s for u, s in states.items() if s is not ProductImport.KNOWN}
    good = sum(not any(p.upc in missing for p in of) for of in wanted.values())
    text = (
        f"{good} of {len(returns)} recent returns ({good / len(returns):.0%}) have only products "
        "REX11 knows"
    )
    uses = Counter(p.upc for of in wanted.values() for p in of)
    details = [_line(by_upc[u], states.get(u), uses[u]) for u in missing]
    bare = sum(
        1 for r in returns for x in physical_lines(r, rules) if not (x.barcode or "").strip()
    )
    if bare:
        text += f"; {bare} unit(s) have no barcode in the shop, so REX11 cannot be asked for them"
    if len(by_upc) > len(states):
        text += f"; {len(by_upc) - len(states)} product(s) were not asked for"
    if not missing:
        return Check(PRODUCTS, Status.OK, text)
    ask = "Ask Bergen to import the products listed, or allow announce.add_products"
    if may_add:
        ask = "Nothing: announce.add_products is on, so they are added when they first come back"
    return Check(PRODUCTS, Status.WARNING, text, ask, tuple(details))


def _states(warehouse: Rex11Warehouse, upcs: Sequence[str]) -> dict[str, ProductImport]:
    """As the sync asks: inventory for all at once, import status for what is not in it."""
    known = set(warehouse.products(upcs)) if upcs else set[str]()
    rest = [u for u in upcs if u not in known][:MAX_ASKED]
    with ThreadPoolExecutor(PARALLEL) as pool:
        asked = list(pool.map(warehouse.product_import, rest))
    return {**dict.fromkeys(known, ProductImport.KNOWN), **dict(zip(rest, asked, strict=True))}


def _line(product: Product, state: ProductImport | None, uses: int) -> str:
    name = f"{product.sku or 'no SKU'} (UPC {product.upc}, {product.description or 'no title'})"
    return f"{name}: {state or 'unknown'}, in {uses} return(s)"
