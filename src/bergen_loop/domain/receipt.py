"""The item receipt: what the warehouse found in the parcel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bergen_loop.domain.rma import TicketStatus


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """One item line of a ticket. A quantity is None where the warehouse gave none, or where
    what it gave is not a whole number; `problems` then says what stood there."""

    sku: str | None = None
    upc: str | None = None
    style: str | None = None
    color: str | None = None
    size: str | None = None
    expected: int | None = None
    actual: int | None = None
    damaged: int | None = None
    description: str | None = None
    comments: str | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BagCount:
    """Units of one product that were counted in one bag of a consolidated shipment: a part of
    what the ticket's lines have, not in addition to it."""

    bag: str
    sku: str | None
    upc: str | None
    counted: int
    damaged: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """A ticket read back. Times are UTC (REX11's warehouse-local ones converted)."""

    ticket_id: str
    status: TicketStatus | None
    status_name: str
    lines: tuple[ReceiptLine, ...]
    customer_po: str | None = None
    warehouse: str | None = None
    memo: str | None = None
    tracking_numbers: tuple[str, ...] = ()
    created_at: datetime | None = None
    arrived_at: datetime | None = None
    added_to_inventory_at: datetime | None = None
    problems: tuple[str, ...] = ()
    """What of the ticket could not be understood (bad dates and the like)."""
    bags: tuple[BagCount, ...] = ()
    """Where the warehouse counted bag by bag."""
