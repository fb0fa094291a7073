"""REX11's inventory lines as products of the warehouse. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

from bergen_loop.domain.codes import normal_code, normal_upc
from bergen_loop.domain.rma import WarehouseProduct
from bergen_loop.outside.warehouse.rex11.quantities import read_quantity
from bergen_loop.outside.warehouse.rex11.responses import InventoryItem

_GTIN_SIZES = (8, 12, 13, 14)


def spellings(upc: str) -> list[str]:
    """The UPC as it is, without leading zeros, and filled up to each length of a GTIN: shops and
    warehouses differ in the zeros they keep. Codes too short or long for one have one spelling."""
    given = upc.strip()
    bare = given.lstrip("0")
    if not (given.isascii() and given.isdigit() and 8 <= len(given) <= 14 and bare):
        return [given]
    filled = [bare.zfill(size) for size in _GTIN_SIZES if size >= len(bare)]
    return list(dict.fromkeys([given, bare, *filled]))


def as_product(upc: str, lines: Sequence[InventoryItem]) -> WarehouseProduct | None:
    """What the lines of this UPC (one for each warehouse) say of it together; None if there are
    none. Lines spelled exactly alike come before those that differ in leading zeros."""
    exact = [x for x in lines if normal_code(x.upc) == normal_code(upc)]
    mine = exact or [x for x in lines if x.upc and normal_upc(x.upc) == normal_upc(upc)]
    if not mine:
        return None
    return WarehouseProduct(
        upc=mine[0].upc or upc,
        sku=_agreed(mine, lambda x: x.sku),
        style=_agreed(mine, lambda x: x.style),
        color=_agreed(mine, lambda x: x.color),
        size=_agreed(mine, lambda x: x.size),
        description=_agreed(mine, lambda x: x.description),
        price=_price(_agreed(mine, lambda x: x.price)),
        on_hand=_on_hand(mine),
    )


def _agreed(
    lines: Sequence[InventoryItem], field: Callable[[InventoryItem], str | None]
) -> str | None:
    """The value of the lines that have one; None where they differ."""
    values = [value for x in lines if (value := field(x))]
    return values[0] if len({normal_code(value) for value in values}) == 1 else None


def _price(text: str | None) -> Decimal | None:
    try:
        price = Decimal(text or "")
    except InvalidOperation:
        return None
    return price if price.is_finite() and price >= 0 else None


def _on_hand(lines: Sequence[InventoryItem]) -> int | None:
    units = [read_quantity(x.actual_quantity, "ActualQuantity")[0] for x in lines]
    return None if None in units else sum(u for u in units if u)
