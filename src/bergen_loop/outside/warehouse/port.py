"""The port to a warehouse system. REX11 is one adapter; the flows know only this."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bergen_loop.domain.rma import (
    CloseEvidence,
    Product,
    ProductImport,
    Receipt,
    RmaRequest,
    TicketChange,
    TicketStatus,
    WarehouseProduct,
)


class WarehousePort(Protocol):
    """What the flows need of a warehouse. Errors: `bergen_loop.outside.errors`."""

    def products(self, upcs: Sequence[str]) -> dict[str, WarehouseProduct]:
        """Of these UPCs, those certainly known, by the caller's spelling (leading zeros of a GTIN
        and case do not count). One call for many; a UPC missing from the answer is not proven
        unknown: ask `product_import`."""
        ...

    def product_import(self, upc: str) -> ProductImport:
        """Whether one product is known, on its way, unknown, or failed to import. One whose
        import failed because it is there already is known."""
        ...

    def add_products(self, products: Sequence[Product]) -> None:
        """Ask for products to be imported. Asynchronous: poll `product_import` after it.
        InvalidRequest, before anything is sent, for one without what the warehouse demands."""
        ...

    def create_rma(self, rma: RmaRequest) -> str:
        """Create the RMA and return its ticket id. NOT idempotent: on
        OutcomeUnknown/Unreadable call `find_rmas` before trying again. InvalidRequest, before
        anything is sent, for what cannot be sent as it is; Refused names in `items` (from 0) the
        items the warehouse complains of."""
        ...

    def find_rmas(self, customer_po: str) -> list[str]:
        """Ticket ids that carry this PO; empty when none. The answer does not repeat the PO:
        reading a ticket with `receipt(ticket_id, customer_po)` confirms whose it is."""
        ...

    def changed_tickets(self, since: datetime, until: datetime) -> list[TicketChange]:
        """Every ticket whose status changed in the window (UTC, aware). Lines that cannot be
        read are among them, with their `problem`."""
        ...

    def receipt(self, ticket_id: str, customer_po: str | None = None) -> Receipt:
        """Read a ticket with its counts. NotFound if there is none. Unreadable, with the answer,
        for one that is about another ticket, or another PO than `customer_po` (where given)."""
        ...

    def close_rma(
        self, ticket_id: str, last_status: TicketStatus | None, observed_at: datetime | None
    ) -> CloseEvidence:
        """Close the RMA, or say by which evidence it is closed already.

        `last_status` is the status last seen in `changed_tickets`/`receipt`, at `observed_at`.
        """
        ...
