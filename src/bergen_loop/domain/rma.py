"""The RMA: the notice (ASN) to the warehouse of a parcel to come, in REX11 a receiving ticket; and
the item receipt, which is what the warehouse found in the parcel."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from string import Formatter

from bergen_loop.domain.codes import sent_code


class TicketStatus(StrEnum):
    """Where a ticket is in the warehouse. Key on the name; codes between are undocumented."""

    DRAFT = "Draft"
    PENDING_CSR = "PendingCSR"
    PENDING_PRINTING = "PendingPrinting"
    PRINTED_PENDING_COUNT = "PrintedPendingCount"
    COUNTING_IN_PROGRESS = "CountingInProgress"
    PENDING_PUTAWAY = "PendingPutaway"
    PUTAWAY_IN_PROGRESS = "PutAwayInProgress"
    ADDED_TO_INVENTORY = "AddedToInventory"
    CANCELLED = "Cancelled"

    @classmethod
    def read(cls, name: str | None) -> TicketStatus | None:
        """The status of this name, however it is spelled (`addedtoinventory`, `Added To
        Inventory`); None for one we do not know."""
        return _AS_WRITTEN.get(name or "") or _STATUSES.get(_letters(name or ""))

    @property
    def finished(self) -> bool:
        """True where the warehouse will not touch the ticket again."""
        return self in (TicketStatus.ADDED_TO_INVENTORY, TicketStatus.CANCELLED)


def normal_ticket_id(ticket_id: str) -> str:
    """A ticket id for comparing: REX11 lower-cases values at times. It is asked for as spelled."""
    return ticket_id.strip().casefold()


@lru_cache(1024)
def _letters(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


_AS_WRITTEN = {status.value: status for status in TicketStatus}
_STATUSES = {
    **{_letters(status.value): status for status in TicketStatus},
    "canceled": TicketStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class RmaItem:
    """Units of one product that are expected. Style, color and size are as the warehouse calls
    them. Amounts of money are in the shop's currency."""

    sku: str | None
    upc: str | None
    expected: int
    description: str | None = None
    style: str | None = None
    color: str | None = None
    size: str | None = None
    unit_cost: Decimal | None = None
    msrp: Decimal | None = None
    """The list price: what the shop sells it for."""
    reason_code: str | None = None
    comments: str | None = None
    pieces: tuple[tuple[str, int], ...] = ()
    """Line item ids of the units announced by it, each with how many pieces of it that unit
    takes: 1, unless it is a part of a kit. Not sent: the comparison goes by it."""
    sold: tuple[tuple[str, str | None, str | None], ...] = ()
    """Line item id, SKU and barcode of those units that the shop calls otherwise than this item,
    such as kits. Not sent: a unit that becomes another product later is not this item any more."""


@dataclass(frozen=True, slots=True)
class Supplier:
    """Who sends the goods, as the ticket's SupplierDetails wants it. REX11 has refused tickets
    over `country`; every one it is known to have taken has company name, state and country."""

    company_name: str | None = None
    address1: str | None = None
    address2: str | None = None
    city: str | None = None
    state: str | None = None
    zip: str | None = None
    country: str | None = None
    non_us_region: str | None = None
    phone: str | None = None
    fax: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class RmaRequest:
    """What is announced to the warehouse. `customer_po` is unique and chosen before the call."""

    customer_po: str
    warehouse: str
    """Warehouse name as REX11 spells it, such as `BERGEN LOGISTICS NJ`."""
    items: tuple[RmaItem, ...]
    created_on: date
    expected_on: date | None = None
    authorized_number: str | None = None
    memo: str | None = None
    carrier: str | None = None
    tracking_numbers: tuple[str, ...] = ()
    supplier: Supplier | None = None
    license_plate: str | None = None
    """What is scanned on the box itself."""


@dataclass(frozen=True, slots=True)
class TicketChange:
    """A line of the statuses-by-date answer. `status` is None for a name we do not know;
    `status_name` is the name as it came. Compare ids by `normal_ticket_id`."""

    ticket_id: str
    """Empty where the line names no ticket; `problem` then holds the line."""
    status: TicketStatus | None
    status_name: str
    status_code: str | None = None
    description: str | None = None
    problem: str | None = None
    """What of the line could not be read. The other lines of the list are not touched by it."""


@dataclass(frozen=True, slots=True)
class Product:
    """A product as the warehouse must know it before a ticket can name it. It takes one only
    with description, color, size and price."""

    upc: str
    sku: str | None = None
    style: str | None = None
    color: str | None = None
    size: str | None = None
    description: str | None = None
    price: Decimal | None = None
    country_of_origin: str | None = None
    customs_description: str | None = None
    harmonized_code: str | None = None


@dataclass(frozen=True, slots=True)
class WarehouseProduct:
    """What the warehouse itself calls a product; text as it came (REX11 lower-cases it).

    A field is None where the warehouse says nothing, or where its entries for this UPC differ.
    """

    upc: str
    sku: str | None = None
    style: str | None = None
    color: str | None = None
    size: str | None = None
    description: str | None = None
    price: Decimal | None = None
    on_hand: int | None = None
    """Units in all of its warehouses together."""


class ProductImport(StrEnum):
    """Whether the warehouse knows a product. Imports are asynchronous there."""

    KNOWN = "known"
    PENDING = "pending"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CloseEvidence:
    """Why an RMA counts as closed (or not yet) in the warehouse."""

    closed: bool
    evidence: str
    """A sentence for the timeline: which observation, of when."""
    observed_at: datetime | None = None


# -- its PO: what it is found by when the answer that made it was lost (I3) -----------------------

MOST_ATTEMPTS = 99
"""RMAs of one return, for which its PO must have room."""
_LONGEST = ("9" * 20, "#" + "9" * 11)
"""A return id and an order name that every PO must have room for."""
_GONE = "\x00"
"""Stands for a name that is not there; no name holds it."""


def filled_po(template: str, return_id: str, order_name: str | None) -> str:
    """The template in words: one line, without the blanks, dashes and brackets that a missing
    name would leave behind."""
    text = template.format(return_id=return_id, order_name=sent_code(order_name) or _GONE)
    text = re.sub(rf"[(\[{{]\s*{_GONE}\s*[)\]}}]", _GONE, text)
    text = re.sub(rf"^{_GONE}[\s_/.:#|,-]*|[\s_/.:#|,-]*{_GONE}", "", text)
    return sent_code(text) or ""


def numbered_po(po: str, attempt: int) -> str:
    """The PO of the n-th RMA of a return."""
    return po if attempt == 1 else f"{po}-{attempt}"


def template_fault(template: str, length: int) -> str | None:
    """Why a PO template cannot be used; None: it can."""
    try:
        fields = [f for f in Formatter().parse(template) if f[1] is not None]
        if not {f[1:] for f in fields} <= {("return_id", "", None), ("order_name", "", None)}:
            raise ValueError
        used = [name for _, name, _, _ in fields]
        size = len(numbered_po(filled_po(template, *_LONGEST), MOST_ATTEMPTS))
    except (KeyError, IndexError, ValueError):
        return "may hold {return_id} and {order_name} only"
    if used.count("return_id") != 1 or used.count("order_name") > 1:
        return "must hold {return_id} once: each return needs a PO of its own"
    if len(used) == 2 and not re.search(r"}[^{}]*[^{}0-9A-Za-z][^{}]*{", template):
        return (
            "needs a blank or a sign between {return_id} and {order_name}, or two returns could "
            "get the same PO"
        )
    if size > length:
        return (
            f"makes POs of up to {size} characters (a return id of {len(_LONGEST[0])}, an order "
            f"name of {len(_LONGEST[1])}), more than po_length ({length})"
        )
    return None


# -- the item receipt: what the warehouse found in the parcel ----------------------------------

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
