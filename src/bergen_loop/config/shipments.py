"""Consolidated shipments of box-free returns (Happy Returns): how they are announced."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from bergen_loop.config.fields import Duration, Model
from bergen_loop.domain.shipment import RmaPer, Scannable


def _listed(value: object) -> object:
    """A list may be typed as one text, with commas."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class ShipmentSettings(Model):
    """Used where `loop.happy_returns` is true. How long REX11's fields may be, and what the
    warehouse scans, is documented nowhere: so each is a setting."""

    methods: list[str] = Field(default_factory=lambda: ["happy returns"])
    """Who carries box-free returns, as Loop's return_method names it (case, blanks and dashes do
    not count). Such a return gets no RMA of its own: its goods come in a shipment."""
    rma: RmaPer = RmaPer.BOX
    """What one RMA announces."""
    po_prefix: Annotated[str, Field(max_length=20)] = "HR-"
    """The PO is this, the shipment and the box; `/2` and so on for parts of a large one."""
    license_plate: str = "{box}"
    """REX11's LicensePlate: text with {shipment}, {loop_shipment}, {box}, {tracking}."""
    license_plate_length: Annotated[int, Field(ge=1, le=500)] = 50
    """Characters of a LicensePlate at most; a longer one is not sent, and people are told. REX11's
    limit is not documented."""
    tracking_numbers: Annotated[list[Scannable], BeforeValidator(_listed)] = Field(
        default_factory=lambda: [Scannable.TRACKING, Scannable.BOX]
    )
    """REX11's TrackingNumbers, in this order: the carrier's, the box's barcode, the bags'."""
    most_tracking_numbers: Annotated[int, Field(ge=1, le=1000)] = 50
    """TrackingNumbers on one RMA at most; people are told which are left out."""
    memo: str = "Happy Returns {shipment} box {box}: {units} units, {returns} returns, {bags} bags"
    """REX11's Memo: text with the same names and {units}, {returns}, {bags}, {bag_list}."""
    memo_length: Annotated[int, Field(ge=10, le=10_000)] = 250
    """Characters of a Memo at most. REX11's limit is not documented."""
    most_items: Annotated[int, Field(ge=1, le=5000)] = 200
    """Products on one RMA; a box with more gets several."""
    product_wait: Duration = timedelta(hours=6)
    """How long an RMA waits for products that the warehouse does not know. Its goods come all the
    same: after that the RMA is made without them, and people are told."""
    unknown_wait: Duration = timedelta(hours=2)
    """How long after a return names its bag the shipment may be unknown (its webhook is late)
    before people are told."""
    missing_wait: Duration = timedelta(days=7)
    """How long after a shipment has left the hub what is missing may still come. Then it is told,
    claimed, and noted on the returns concerned."""
    notes: bool = True
    """Whether claims are noted on their returns in Loop."""
