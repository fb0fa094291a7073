"""REX11 as the warehouse of the flows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

import structlog

from bergen_loop.domain.codes import normal_code, normal_upc
from bergen_loop.domain.rma import (
    CloseEvidence,
    Product,
    ProductImport,
    TicketChange,
    TicketStatus,
    WarehouseProduct,
)
from bergen_loop.outside.errors import OutsideError, Refused, Scope
from bergen_loop.outside.http import Around
from bergen_loop.outside.warehouse.rex11.client import Rex11Client
from bergen_loop.outside.warehouse.rex11.close import CloseStrategy, ConfirmFinished
from bergen_loop.outside.warehouse.rex11.config import Rex11Config
from bergen_loop.outside.warehouse.rex11.requests import upc_doubt
from bergen_loop.outside.warehouse.rex11.responses import InventoryItem, read_quantity

_GTIN_SIZES = (8, 12, 13, 14)
_TRIED, _MOST_PARTS = 4, 24
"""Parts of a batch of codes that are asked for before it is taken for a matter of the service, and
at most."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("bergen_loop.rex11")


class Rex11Warehouse(Rex11Client):
    """`WarehousePort` for one brand's REX11 account. Thread-safe."""

    create_rma = Rex11Client.receiving_ticket_add
    find_rmas = Rex11Client.get_receiving_tickets_by_po
    receipt = Rex11Client.get_receiving_ticket_object_by_ticket_no

    def __init__(
        self,
        brand: str,
        config: Rex11Config,
        around: Around | None = None,
        *,
        close_strategy: CloseStrategy | None = None,
    ) -> None:
        super().__init__(brand, config, around)
        self._strategy: CloseStrategy = close_strategy or ConfirmFinished()

    def products(self, upcs: Sequence[str]) -> dict[str, WarehouseProduct]:
        """Those with an inventory line, by GetInventoryByUPCs in batches of the config's size.
        A GTIN is asked for in every number of leading zeros it may have there. A batch REX11
        refuses proves nothing about its UPCs, so none of it is returned."""
        wanted = [u for u in dict.fromkeys(upcs) if normal_upc(u) and not upc_doubt(u)]
        found: dict[str, WarehouseProduct] = {}
        for start in range(0, len(wanted), self.config.inventory_batch):
            batch = wanted[start : start + self.config.inventory_batch]
            lines = self._lines(batch)
            for upc in batch:
                if product := as_product(upc, lines):
                    found[upc] = product
        return found

    def product_import(self, upc: str) -> ProductImport:
        """By GetStyleMasterProductAddStatus. An import that failed may have failed because the
        product is there (REX11 says so in words), so then the inventory is asked. A GTIN that is
        not known as it is spelled is asked for with other leading zeros."""
        state = self.get_style_master_product_add_status(upc)
        if state is ProductImport.UNKNOWN:
            others = map(self.get_style_master_product_add_status, spellings(upc)[1:])
            state = next((s for s in others if s is not ProductImport.UNKNOWN), state)
        if state is ProductImport.FAILED and self.products([upc]):
            return ProductImport.KNOWN
        return state

    def add_products(self, products: Sequence[Product]) -> None:
        """By StyleMasterProductAdd; nothing is sent for no products."""
        if products:
            self.style_master_product_add(products)

    def changed_tickets(self, since: datetime, until: datetime) -> list[TicketChange]:
        """By GetReceivingStatusesByDate, or ...Configurable where a date type is configured.
        The window is rounded outwards to whole minutes (or days) of warehouse time."""
        date_type = self.config.statuses_date_type
        if date_type is None:
            return self.get_receiving_statuses_by_date(since, until)
        return self.get_receiving_statuses_by_date_configurable(since, until, date_type)

    def close_rma(
        self, ticket_id: str, last_status: TicketStatus | None, observed_at: datetime | None
    ) -> CloseEvidence:
        """By the configured strategy, since REX11 has no call that closes a ticket."""
        return self._strategy.close(self.brand, ticket_id, last_status, observed_at)

    def _lines(self, batch: Sequence[str]) -> list[InventoryItem]:
        """The inventory of a batch. Where a code in it brings about a fault, or an answer without
        sense, it is found by halves, and the others are known; where no part gets an answer, it
        is no matter of codes: raises OutsideError."""
        parts, lines, asked = [batch], list[InventoryItem](), 0
        answered, failed = False, None
        while parts and asked < _MOST_PARTS:
            part, asked = parts.pop(), asked + 1
            try:
                lines += self._inventory(part)
                answered = True
            except OutsideError as error:
                failed = error
                if error.scope is not Scope.CALL or (asked == _TRIED and not answered):
                    raise
                if len(part) > 1:
                    parts += [part[: len(part) // 2], part[len(part) // 2 :]]
        if failed is not None and not answered:
            raise failed
        return lines

    def _inventory(self, upcs: Sequence[str]) -> list[InventoryItem]:
        """Asked for in every spelling; where REX11 refuses that, as the shop spells them."""
        stripped = [upc.strip() for upc in upcs]
        every = list(dict.fromkeys(s for upc in upcs for s in spellings(upc)))
        for asked in (every, stripped) if every != stripped else (every,):
            try:
                return self.get_inventory_by_upcs(asked)
            except Refused as error:
                log.warning("rex11.inventory_refused", brand=self.brand, problem=str(error))
        return []


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
    units = [read_quantity(x.actual_quantity, "ActualQuantity")[0] for x in mine]
    return WarehouseProduct(
        upc=mine[0].upc or upc,
        sku=_agreed(mine, lambda x: x.sku),
        style=_agreed(mine, lambda x: x.style),
        color=_agreed(mine, lambda x: x.color),
        size=_agreed(mine, lambda x: x.size),
        description=_agreed(mine, lambda x: x.description),
        price=_price(_agreed(mine, lambda x: x.price)),
        on_hand=None if None in units else sum(u for u in units if u),
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
