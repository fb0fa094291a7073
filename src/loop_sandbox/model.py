"""What exists in the sandbox: brands, products, returns as Loop has them, tickets as REX11 has.

Money is in whole cents. Loop's times are epoch seconds (UTC); REX11's are naive New Jersey
wall time, because that is all the warehouse's system knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from loop_sandbox.index import TimeIndex

OPEN, CLOSED, CANCELLED, EXPIRED, REVIEW = "open", "closed", "cancelled", "expired", "review"
STATES = (OPEN, CLOSED, CANCELLED, EXPIRED, REVIEW)

TICKET_STATUSES: dict[str, int] = {
    "Draft": 100,
    "PendingCSR": 150,
    "PendingPrinting": 200,
    "PrintedPendingCount": 250,
    "CountingInProgress": 300,
    "PendingPutaway": 400,
    "PutAwayInProgress": 500,
    "AddedToInventory": 600,
    "Cancelled": 700,
}
"""Only 100 and 600 are documented; the codes between are the sandbox's own."""

WAREHOUSES = tuple(
    f"BERGEN LOGISTICS {x}" for x in ("NJ", "WEST", "EU", "NJ2", "NJ3", "HK", "NJ3B", "CAN", "NL")
)
SHIPMENT_TYPES = ("NA", "GOH", "FLAT", "OPENTOHANG", "CASE")


@dataclass(frozen=True, slots=True)
class Product:
    """A variant of a brand's catalogue."""

    sku: str
    upc: str
    style: str
    color: str
    size: str
    title: str
    price: int
    product_id: int
    variant_id: int
    shop_barcode: str
    """What the shop (so Loop) has as barcode: the UPC, or nothing."""

    @property
    def name(self) -> str:
        """The title without the variant's color and size."""
        return self.title.rsplit(" - ", 1)[0]


@dataclass(slots=True)
class Line:
    """One returned unit."""

    id: int
    product: Product
    outcome: str
    reason: str
    parent_reason: str
    comment: str
    discount: int = 0
    tax: int = 0
    exchange_for: Product | None = None
    gradings: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def paid(self) -> int:
        return self.product.price - self.discount + self.tax


@dataclass(slots=True)
class Label:
    carrier: str
    service: str
    tracking_number: str
    status: str
    rate: int
    url: str
    updated_at: int
    lines: tuple[int, ...] | None = None
    """The lines that travel with it, of a return with two labels."""


@dataclass(slots=True)
class Effects:
    """What was done to a return through the API: what tests and benches count."""

    process_accepted: int = 0
    money_moved: int = 0
    process_failed: int = 0
    refused: int = 0
    flags: int = 0
    closes: int = 0
    cancels: int = 0
    removed_lines: int = 0
    moved_after_flag: bool = False
    accepted_after_flag: bool = False
    processed_by_loop: int = 0
    """Closed with its outcomes by the shop's own settings, without any call."""

    def any(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


@dataclass(slots=True)
class LoopReturn:
    """A return as Loop keeps it."""

    id: str
    brand: str
    state: str
    created_at: int
    updated_at: int
    order_id: int
    order_name: str
    order_number: int
    customer: str
    customer_name: str
    country: str
    country_code: str
    lines: list[Line]
    currency: str = "USD"
    handling_fee: int = 0
    edited_at: int | None = None
    closed_at: int | None = None
    label: Label | None = None
    second_label: Label | None = None
    restocked: bool = False
    return_method: Any = None
    package_reference: str | None = None
    destination_id: int | None = None
    notes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    processing: int = 0
    """Queued processings that have not ended."""
    effects: Effects = field(default_factory=Effects)

    def labels(self) -> list[Label]:
        return [x for x in (self.label, self.second_label) if x]

    def label_of(self, line: Line) -> Label | None:
        """The label of the parcel that a line is in."""
        second = self.second_label
        return second if second and second.lines and line.id in second.lines else self.label


@dataclass(slots=True)
class TicketItem:
    """One item of a ticket. Quantities counted are text, since the warehouse's can be garbled."""

    values: dict[str, str]
    """Element name to value as sent (Sku, Style, Color, UPC, Size, UnitCost, Comments, ...)."""
    expected: int
    actual: str = "0"
    damaged: str = "0"


@dataclass(frozen=True, slots=True)
class TicketState:
    """What a ticket was from `at` (epoch seconds) on, until it was the next."""

    at: float
    status: str
    units: tuple[tuple[str, str, int], ...]
    """UPC, Sku and number counted of each item; what is not a number counts as none."""
    damaged: int


@dataclass(slots=True)
class Ticket:
    """A receiving ticket."""

    id: str
    brand: str
    status: str
    created: datetime
    changed: datetime
    fields: dict[str, str]
    """Plain elements as sent: Warehouse, Memo, AuthorizedNumber, CustomerPO, Carrier, ..."""
    items: list[TicketItem]
    shipment_types: list[str] = field(default_factory=list[str])
    tracking_numbers: list[str] = field(default_factory=list[str])
    supplier: dict[str, str] | None = None
    arrived: datetime | None = None
    added: datetime | None = None
    made_at: float = 0.0
    """Epoch seconds, for what depends on a ticket's age."""
    corrections: list[str] = field(default_factory=list[str])
    """What was corrected after it was finished, in words."""
    states: list[TicketState] = field(default_factory=list[TicketState])
    """What it was, oldest first."""
    return_id: str | None = None
    """The Loop return it is for, as far as its fields tell."""
    parcel: str | None = None
    """The kind of parcel that came, or was decided to come."""

    @property
    def po(self) -> str:
        return self.fields.get("CustomerPO", "")

    def remember(self, at: float) -> None:
        """Write down what it is now."""
        units = tuple(
            (x.values.get("UPC", ""), x.values.get("Sku", ""), _number(x.actual))
            for x in self.items
        )
        damaged = sum(_number(x.damaged) for x in self.items)
        self.states.append(TicketState(at, self.status, units, damaged))


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


@dataclass(slots=True)
class RexProduct:
    """A product as REX11 knows it; before `ready_at` (epoch seconds) its import is pending."""

    product_id: str
    values: dict[str, str]
    ready_at: float = 0.0
    added_again: bool = False
    """Whether its add was repeated when it was there already."""


@dataclass(slots=True)
class Webhook:
    id: int
    topic: str
    trigger: str
    url: str
    status: str
    failures: int = 0
    """Consecutive deliveries that were not answered 2xx."""


@dataclass(slots=True)
class HappyUnit:
    """One unit of a consolidated shipment: what Happy Returns says of it, and what is true."""

    return_id: str
    line_id: int
    product: Product
    bags: list[str]
    """As listed: of a split return, the unit is in one of them."""
    box: str
    """As listed."""
    fate: str = "here"
    """here, damaged, missing, or late: with a later shipment."""
    really_in: str = ""
    """The box it is really in, where that is another one."""


@dataclass(slots=True)
class Shipment:
    """A consolidated Happy Returns shipment on its way to the warehouse."""

    loop_id: int
    happy_id: str
    returns: list[str]
    box: str
    tracking_number: str
    created_at: int
    boxes: list[str] = field(default_factory=list[str])
    units: list[HappyUnit] = field(default_factory=list[HappyUnit])
    late: list[HappyUnit] = field(default_factory=list[HappyUnit])
    """Of earlier shipments, that travel with this one and are listed with theirs."""
    arrived: bool = False


@dataclass(slots=True)
class Brand:
    """A brand with both its accounts and everything in them."""

    slug: str
    name: str
    prefix: str
    shop_id: int
    loop_key: str
    webhook_secret: str
    web_address: str
    user_name: str
    password: str
    warehouse: str
    catalogue: list[Product]
    returns: dict[str, LoopReturn] = field(default_factory=dict[str, LoopReturn])
    by_created: TimeIndex = field(default_factory=TimeIndex)
    by_updated: TimeIndex = field(default_factory=TimeIndex)
    lines: dict[int, tuple[str, Line]] = field(default_factory=dict[int, tuple[str, Line]])
    orders: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    rex_products: dict[str, RexProduct] = field(default_factory=dict[str, RexProduct])
    tickets: dict[str, Ticket] = field(default_factory=dict[str, Ticket])
    tickets_by_po: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    by_changed: TimeIndex = field(default_factory=TimeIndex)
    hooks: dict[int, Webhook] = field(default_factory=dict[int, Webhook])
    shipments: list[Shipment] = field(default_factory=list[Shipment])
    made: int = 0
    """Returns made so far; numbers the next one."""
