"""The item receipt: what the warehouse found in the parcel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bergen_loop.domain.rma import TicketStatus

COUNTED, DAMAGED = "ActualQuantity", "DamagedQuantity"
"""How a ticket calls them; a problem with one begins with its name."""


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

    def told(self, quantity: str) -> str | None:
        """What `problems` says of a quantity, by its name in the ticket: of an unknown one, what
        stood there."""
        return next((p for p in self.problems if p.startswith(quantity)), None)


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

    @property
    def final(self) -> bool:
        """Whether the counts are final. A ticket that was read for another reason, such as a
        resync, may be a Draft still; what a status means that we do not know, a person finds
        out."""
        return self.status is TicketStatus.ADDED_TO_INVENTORY

    @property
    def counts(self) -> str:
        """`2 counted, 1 damaged`; what is not known is `?`, never 0: `2 + ? counted, ? damaged`."""
        counted = total(line.actual for line in self.lines)
        return f"{counted} counted, {total(line.damaged for line in self.lines)} damaged"


def total(quantities: Iterable[int | None]) -> str:
    """A sum for people: `3`, `2 + ?` where some are not known, `?` where nothing is."""
    found = list(quantities)
    known = sum(q for q in found if q is not None)
    if None not in found:
        return str(known)
    return f"{known} + ?" if known else "?"
