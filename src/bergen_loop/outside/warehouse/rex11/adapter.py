"""REX11 as the warehouse of the flows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import httpx2
import structlog

from bergen_loop.domain.comparison import normal_code
from bergen_loop.domain.receipt import Receipt
from bergen_loop.domain.rma import (
    CloseEvidence,
    Product,
    ProductImport,
    RmaRequest,
    TicketChange,
    TicketStatus,
)
from bergen_loop.outside.errors import Refused
from bergen_loop.outside.warehouse.port import WarehousePort
from bergen_loop.outside.warehouse.rex11.call import CallRecord
from bergen_loop.outside.warehouse.rex11.client import Rex11Client
from bergen_loop.outside.warehouse.rex11.close import CloseStrategy, ConfirmFinished
from bergen_loop.outside.warehouse.rex11.config import Rex11Config

log: structlog.stdlib.BoundLogger = structlog.get_logger("bergen_loop.rex11")


class Rex11Warehouse(WarehousePort):
    """`WarehousePort` for one brand's REX11 account. Thread-safe; `close` it when done."""

    def __init__(
        self,
        brand: str,
        config: Rex11Config,
        *,
        close_strategy: CloseStrategy | None = None,
        transport: httpx2.BaseTransport | None = None,
        on_call: Callable[[CallRecord], None] | None = None,
    ) -> None:
        self.brand = brand
        self.client = Rex11Client(brand, config, transport=transport, on_call=on_call)
        self._batch = config.inventory_batch
        self._date_type = config.statuses_date_type
        self._strategy: CloseStrategy = close_strategy or ConfirmFinished()

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def find_products(self, upcs: Sequence[str]) -> set[str]:
        """Those with an inventory line, case and outer blanks aside; batches of the config's
        size. A batch REX11 refuses proves nothing about its UPCs, so none of it is returned."""
        wanted = list(dict.fromkeys(upc for upc in upcs if normal_code(upc)))
        known: set[str | None] = set()
        for start in range(0, len(wanted), self._batch):
            known |= self._known_codes(wanted[start : start + self._batch])
        return {upc for upc in wanted if normal_code(upc) in known}

    def product_import(self, upc: str) -> ProductImport:
        """By GetStyleMasterProductAddStatus."""
        return self.client.get_style_master_product_add_status(upc)

    def add_products(self, products: Sequence[Product]) -> None:
        """By StyleMasterProductAdd; nothing is sent for no products."""
        if products:
            self.client.style_master_product_add(products)

    def create_rma(self, rma: RmaRequest) -> str:
        """By ReceivingTicketAdd."""
        return self.client.receiving_ticket_add(rma)

    def find_rmas(self, customer_po: str) -> list[str]:
        """By GetReceivingTicketsByPO."""
        return self.client.get_receiving_tickets_by_po(customer_po)

    def changed_tickets(self, since: datetime, until: datetime) -> list[TicketChange]:
        """By GetReceivingStatusesByDate, or ...Configurable where a date type is configured.
        The window is rounded outwards to whole minutes (or days) of warehouse time."""
        if self._date_type is None:
            return self.client.get_receiving_statuses_by_date(since, until)
        return self.client.get_receiving_statuses_by_date_configurable(
            since, until, self._date_type
        )

    def receipt(self, ticket_id: str) -> Receipt:
        """By GetReceivingTicketObjectByTicketNo."""
        return self.client.get_receiving_ticket_object_by_ticket_no(ticket_id)

    def close_rma(
        self, ticket_id: str, last_status: TicketStatus | None, observed_at: datetime | None
    ) -> CloseEvidence:
        """By the configured strategy, since REX11 has no call that closes a ticket."""
        return self._strategy.close(self.brand, ticket_id, last_status, observed_at)

    def _known_codes(self, upcs: Sequence[str]) -> set[str | None]:
        try:
            found = self.client.get_inventory_by_upcs(upcs)
        except Refused as error:
            log.warning("rex11.inventory_refused", brand=self.brand, problem=str(error))
            return set()
        return {normal_code(item.upc) for item in found}
