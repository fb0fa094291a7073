"""A customer's return, as Loop shows it, in this project's own terms."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from bergen_loop.domain.codes import normal_word, tracking_numbers


class LoopState(StrEnum):
    """The five states Loop gives a return; `review` is what a flag leads to."""

    OPEN = "open"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REVIEW = "review"


PROCESSING_FAILED = "return.processing.failed"
"""What Loop's webhook is triggered by that tells what no list shows."""
PROCESSING = "processing"
"""What Loop calls a return, where it refuses a call since another one is at work on it."""
DEFAULT_OUTCOME = "default"
"""Of a unit: the whole return's outcome is its own."""


@dataclass(frozen=True, slots=True)
class Label:
    """The shipping label of a return. It often comes later than the return itself."""

    carrier: str | None = None
    tracking_number: str | None = None
    status: str | None = None
    """new, pre_transit, in_transit, out_for_delivery, delivered, pending, error or failure;
    others pass through. None where Loop says none, or `N/A`."""
    url: str | None = None
    updated_at: datetime | None = None
    line_item_ids: tuple[str, ...] = ()
    """Which units travel with it, where Loop says so (`labels[]`)."""


@dataclass(frozen=True, slots=True)
class ReturnLine:
    """One unit a customer sends back (Loop lists each unit as a line of its own)."""

    line_item_id: str
    sku: str | None = None
    barcode: str | None = None
    """The UPC/EAN, as the shop has it."""
    title: str | None = None
    variant_title: str | None = None
    """`Small / Navy`: the shop's option values, in the shop's order."""
    price: Decimal | None = None
    discount: Decimal | None = None
    tax: Decimal | None = None
    refund: Decimal | None = None
    exchange_variant: str | None = None
    """What it is exchanged for; None: nothing."""
    outcome: str | None = None
    """What the customer gets for this unit: refund, credit, exchange, gift, keep, donate ..., or
    `DEFAULT_OUTCOME`; see `Return.outcome_of`."""
    reason: str | None = None
    parent_reason: str | None = None
    comment: str | None = None
    product_id: str | None = None
    variant_id: str | None = None
    provider_line_item_id: str | None = None
    returned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReturnTotals:
    """Money of a return, in `Return.currency`. None means Loop did not say."""

    total: Decimal | None = None
    return_total: Decimal | None = None
    product_total: Decimal | None = None
    credit_total: Decimal | None = None
    exchange_total: Decimal | None = None
    refund: Decimal | None = None
    gift_card: Decimal | None = None
    handling_fee: Decimal | None = None
    upsell: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Return:
    """A return as last seen in Loop. All times are UTC."""

    id: str
    state: LoopState
    created_at: datetime
    updated_at: datetime
    edited_at: datetime | None = None
    outcome: str | None = None
    order_id: str | None = None
    order_name: str | None = None
    order_number: str | None = None
    customer_email: str | None = None
    country_code: str | None = None
    currency: str | None = None
    totals: ReturnTotals = field(default_factory=ReturnTotals)
    lines: tuple[ReturnLine, ...] = ()
    label: Label = field(default_factory=Label)
    """The first label, or the one Loop shows at the return itself."""
    labels: tuple[Label, ...] = ()
    """All labels, where Loop shows them (`labels[]`)."""
    destination_id: str | None = None
    return_method: str | None = None
    """Who carries it (`provider`); Loop gives a string, an object or null: this is its name."""
    method_type: str | None = None
    """How it is handed over (mail, dropoff, in_store ...); Loop has no list of these values."""
    doubts: tuple[str, ...] = ()
    """What of Loop's answer could not be relied on, in words: while there are any, nothing is
    announced or paid on it."""
    package_reference: str | None = None
    status_page_url: str | None = None

    def outcome_of(self, line: ReturnLine) -> str | None:
        """What the customer gets for a unit: its own outcome, else the whole return's."""
        own = line.outcome
        return self.outcome if own and own.strip().casefold() == DEFAULT_OUTCOME else own

    def is_box_free(self, methods: frozenset[str]) -> bool:
        """Whether it was handed over at a return bar: its goods come in a consolidated shipment.
        `methods`: normal words for who carries such returns. A bag's barcode tells it too, where
        nothing is said of the method, unless the return has a label: then a parcel comes."""
        if self.return_method:
            return normal_word(self.return_method) in methods
        labels = (self.label, *self.labels)
        labelled = any(tracking_numbers(label.tracking_number) for label in labels)
        return bool(methods and self.package_reference and not labelled)

    def lines_key(self) -> tuple[tuple[str, str | None, str | None], ...]:
        """Identity of the units: changes when the return is edited, not when a label moves."""
        return tuple(sorted((x.line_item_id, x.sku, x.barcode) for x in self.lines))
