"""`WarehousePort` over the ledger's own tickets, for a warehouse without REX11."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bergen_loop.domain.codes import normal_code
from bergen_loop.domain.rma import (
    CloseEvidence,
    Product,
    ProductImport,
    Receipt,
    ReceiptLine,
    RmaRequest,
    TicketChange,
    TicketStatus,
    WarehouseProduct,
)
from bergen_loop.ledger.database import Clash, Ledger
from bergen_loop.ledger.store import floor
from bergen_loop.ledger.tables.floor import FloorItemRow, FloorTicketRow
from bergen_loop.outside.errors import NotFound, Unreadable
from bergen_loop.outside.warehouse.port import WarehousePort


def _utc_now() -> datetime:
    return datetime.now(UTC)


class EmbeddedWarehouse(WarehousePort):
    """One brand's tickets. Thread-safe."""

    def __init__(
        self, brand: str, ledger: Ledger, *, now: Callable[[], datetime] = _utc_now
    ) -> None:
        self.brand, self.now = brand, now
        self._ledger = ledger

    def products(self, upcs: Sequence[str]) -> dict[str, WarehouseProduct]:
        """All of them, by their UPC alone: this warehouse keeps no catalogue."""
        return {upc: WarehouseProduct(upc) for upc in upcs}

    def product_import(self, upc: str) -> ProductImport:
        """Known, always."""
        return ProductImport.KNOWN

    def add_products(self, products: Sequence[Product]) -> None:
        """Nothing is to be done."""

    def create_rma(self, rma: RmaRequest) -> str:
        """The ticket of this PO, made if there is none: asked twice, there is still one."""
        try:
            with self._ledger.write() as session:
                row = floor.by_po(session, self.brand, rma.customer_po)
                return (row or floor.add(session, self.brand, rma, self.now())).ticket_id
        except Clash:
            # Another process made it between our look and our writing.
            return self.find_rmas(rma.customer_po)[0]

    def find_rmas(self, customer_po: str) -> list[str]:
        """The ticket of this PO, if there is one."""
        with self._ledger.read() as session:
            row = floor.by_po(session, self.brand, customer_po)
        return [row.ticket_id] if row else []

    def changed_tickets(self, since: datetime, until: datetime) -> list[TicketChange]:
        """Tickets whose status changed in the window."""
        with self._ledger.read() as session:
            rows = floor.changed(session, self.brand, since, until)
        return [TicketChange(r.ticket_id, TicketStatus(r.status), r.status) for r in rows]

    def receipt(self, ticket_id: str, customer_po: str | None = None) -> Receipt:
        """What was counted so far. Its tickets are this ledger's own, so one with another PO is
        told as REX11's would be."""
        with self._ledger.read() as session:
            row = floor.by_ticket(session, self.brand, ticket_id)
            if row is None:
                raise NotFound("there is no such ticket", **self._where(ticket_id))
            if customer_po and normal_code(row.customer_po) != normal_code(customer_po):
                message = f"the ticket is of PO {row.customer_po}, not {customer_po}"
                raise Unreadable(message, **self._where(ticket_id))
            receipt = _receipt(row, floor.items_of(session, row.id))
            return replace(receipt, bags=tuple(floor.bag_counts(session, row.id)))

    def close_rma(
        self, ticket_id: str, last_status: TicketStatus | None, observed_at: datetime | None
    ) -> CloseEvidence:
        """Closed once the floor has finished it. A ticket whose parcel never came is closed
        here, since nobody waits for it any more."""
        with self._ledger.write() as session:
            row = floor.by_ticket(session, self.brand, ticket_id)
            if row is None:
                return CloseEvidence(False, f"there is no ticket {ticket_id}", None)
            if row.status == TicketStatus.DRAFT:
                row.status, row.status_at = TicketStatus.CANCELLED, self.now()
                return CloseEvidence(
                    True, f"ticket {ticket_id} was closed: its parcel is not awaited", row.status_at
                )
            when = f"{row.status_at:%Y-%m-%d %H:%M} UTC"
            if TicketStatus(row.status).finished:
                return CloseEvidence(
                    True, f"the floor finished ticket {ticket_id} at {when}", row.status_at
                )
            return CloseEvidence(
                False, f"ticket {ticket_id} is being counted since {when}", row.status_at
            )

    def _where(self, ticket_id: str) -> dict[str, Any]:
        return {
            "system": "the floor",
            "brand": self.brand,
            "call": "receipt",
            "subject": ticket_id,
        }


def _receipt(row: FloorTicketRow, items: Sequence[FloorItemRow]) -> Receipt:
    return Receipt(
        ticket_id=row.ticket_id,
        status=TicketStatus(row.status),
        status_name=row.status,
        lines=tuple(
            ReceiptLine(
                sku=item.sku,
                upc=item.upc,
                expected=item.expected,
                actual=item.actual,
                damaged=item.damaged,
                description=item.description,
                comments=item.comments,
            )
            for item in items
        ),
        customer_po=row.customer_po,
        warehouse=row.warehouse,
        memo=row.memo,
        tracking_numbers=tuple(row.tracking_numbers),
        created_at=row.created_at,
        arrived_at=row.arrived_at,
        added_to_inventory_at=row.finished_at,
    )
