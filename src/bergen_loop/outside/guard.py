"""The warehouse as the flows see it after a restore: RMAs are looked for before they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bergen_loop.domain.receipt import Receipt
from bergen_loop.domain.rma import (
    CloseEvidence,
    Product,
    ProductImport,
    RmaRequest,
    TicketChange,
    TicketStatus,
    WarehouseProduct,
)
from bergen_loop.outside.warehouse.port import WarehousePort


@dataclass(slots=True)
class GuardedWarehouse(WarehousePort):
    """A warehouse in which no RMA is made a second time."""

    inner: WarehousePort
    look_first: bool = False
    """Look for an RMA by its PO before making it: the ledger was put back from a backup and may
    not know of it (I3)."""

    def create_rma(self, rma: RmaRequest) -> str:
        if self.look_first and (found := self.find_rmas(rma.customer_po)):
            return found[0]
        return self.inner.create_rma(rma)

    def products(self, upcs: Sequence[str]) -> dict[str, WarehouseProduct]:
        return self.inner.products(upcs)

    def product_import(self, upc: str) -> ProductImport:
        return self.inner.product_import(upc)

    def add_products(self, products: Sequence[Product]) -> None:
        self.inner.add_products(products)

    def find_rmas(self, customer_po: str) -> list[str]:
        return self.inner.find_rmas(customer_po)

    def changed_tickets(self, since: datetime, until: datetime) -> list[TicketChange]:
        return self.inner.changed_tickets(since, until)

    def receipt(self, ticket_id: str, customer_po: str | None = None) -> Receipt:
        return self.inner.receipt(ticket_id, customer_po)

    def close_rma(
        self, ticket_id: str, last_status: TicketStatus | None, observed_at: datetime | None
    ) -> CloseEvidence:
        return self.inner.close_rma(ticket_id, last_status, observed_at)
