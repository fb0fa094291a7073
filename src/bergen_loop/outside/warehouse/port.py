"""The port to a warehouse system. REX11 is one adapter; the flows know only this."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bergen_loop.domain.receipt import Receipt
from bergen_loop.domain.rma import (
    CloseEvidence,
    Product,
    ProductImport,
    RmaRequest,
    TicketChange,
    TicketStatus,
)


class WarehousePort(Protocol):
    """What the flows need of a warehouse. Errors: `bergen_loop.outside.errors`."""

    def find_products(self, upcs: Sequence[str]) -> set[str]:
        """Of these UPCs, those certainly known (in the caller's spelling). One call for many;
        a UPC missing from the answer is not proven unknown: ask `product_import`."""
        ...

    def product_import(self, upc: str) -> ProductImport:
        """Whether one product is known, on its way, unknown, or failed to import."""
        ...

    def add_products(self, products: Sequence[Product]) -> None:
        """Ask for products to be imported. Asynchronous: poll `product_import` after it."""
        ...

    def create_rma(self, rma: RmaRequest) -> str:
        """Create the RMA and return its ticket id. NOT idempotent: on
        OutcomeUnknown/Unreadable call `find_rmas` before trying again."""
        ...

    def find_rmas(self, customer_po: str) -> list[str]:
        """Ticket ids that carry this PO; empty when none."""
        ...

    def changed_tickets(self, since: datetime, until: datetime) -> list[TicketChange]:
        """Every ticket whose status changed in the window (UTC, aware)."""
        ...

    def receipt(self, ticket_id: str) -> Receipt:
        """Read a ticket with its counts. NotFound if there is none."""
        ...

    def close_rma(
        self, ticket_id: str, last_status: TicketStatus | None, observed_at: datetime | None
    ) -> CloseEvidence:
        """Close the RMA, or say by which evidence it is closed already.

        `last_status` is the status last seen in `changed_tickets`/`receipt`, at `observed_at`.
        """
        ...
