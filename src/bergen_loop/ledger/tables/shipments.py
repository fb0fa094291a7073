"""The tables of consolidated shipments: what comes in them, their RMAs and counts, and claims."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from bergen_loop.ledger.tables.core import Base, BigId, DocumentOf, PlainJson, TicketStatusName


class ShipmentRow(Base):
    """One consolidated shipment of box-free returns."""

    __tablename__ = "shipments"
    __table_args__ = (
        sa.UniqueConstraint("brand", "happy_id"),
        sa.Index("ix_shipments_work", "brand", "stage", "due_at"),
        sa.Index("ix_shipments_list", "brand", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    happy_id: Mapped[str]
    """Happy Returns' own id: what it is asked for by."""
    loop_id: Mapped[str | None]
    """Loop's: what its items are asked for by."""
    stage: Mapped[str]
    """A `domain.shipment.ShipmentStage`."""
    due_at: Mapped[datetime | None]
    learned_at: Mapped[datetime]
    learned_from: Mapped[str]
    """webhook, or who entered it."""
    shipped_at: Mapped[datetime | None]
    """`created_at` in Loop."""
    read_at: Mapped[datetime | None]
    announced_at: Mapped[datetime | None]
    arrived_at: Mapped[datetime | None]
    """When the first of its RMAs was counted."""
    counted_at: Mapped[datetime | None]
    """When the last of them was."""
    judged_at: Mapped[datetime | None]
    looked_at: Mapped[datetime | None]
    """When Loop last showed it."""
    loop_updated_at: Mapped[datetime | None]
    """`updated_at` in Loop, as it was then."""
    again_at: Mapped[datetime | None]
    """When it is to be read again although it is known: it may hold more by now."""
    unread_since: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]
    """When the time of its personal data was over."""
    problem: Mapped[str | None]
    """Why it cannot go on, in words."""
    returns: Mapped[int] = mapped_column(default=0)
    bags: Mapped[int] = mapped_column(default=0)
    boxes: Mapped[int] = mapped_column(default=0)
    expected: Mapped[int] = mapped_column(default=0)
    """Units."""
    counted: Mapped[int] = mapped_column(default=0)
    missing: Mapped[int] = mapped_column(default=0)
    damaged: Mapped[int] = mapped_column(default=0)
    surplus: Mapped[int] = mapped_column(default=0)
    """More than expected, or not expected at all."""
    remarks: Mapped[list[Any] | None] = mapped_column(PlainJson)
    """Doubts of the counts, and units in other bags than told, in words."""


class ShipmentUnitRow(Base):
    """One unit of a shipment."""

    __tablename__ = "shipment_units"
    __table_args__ = (sa.Index("ix_shipment_units_return", "return_id", "shipment_pk"),)

    shipment_pk: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("shipments.id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[int]
    """In the order they were listed."""
    return_id: Mapped[str | None]
    box: Mapped[str | None]
    content: Mapped[DocumentOf]
    """A `domain.shipment.ShipmentUnit`."""


class BagRow(Base):
    """A bag that has left a hub: named by a return, by a shipment's items, or by both."""

    __tablename__ = "shipment_bags"
    __table_args__ = (
        sa.UniqueConstraint("brand", "code", "return_id"),
        sa.Index("ix_shipment_bags_code", "code", "id"),
        sa.Index("ix_shipment_bags_shipment", "shipment_pk", "code"),
        sa.Index(
            "ix_shipment_bags_loose",
            "brand",
            "seen_at",
            sqlite_where=sa.text("shipment_pk IS NULL"),
            postgresql_where=sa.text("shipment_pk IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    code: Mapped[str]
    """In its normal form."""
    barcode: Mapped[str]
    return_id: Mapped[str]
    """Empty where nothing says whose it is."""
    shipment_pk: Mapped[int | None] = mapped_column(
        BigId, sa.ForeignKey("shipments.id", ondelete="CASCADE")
    )
    """None: a return names it, and no known shipment has it."""
    seen_at: Mapped[datetime]
    told_at: Mapped[datetime | None]
    """When people were told that its shipment is not known."""
    missing_since: Mapped[datetime | None]
    """When people were told that nothing of it has come."""


class ShipmentRmaRow(Base):
    """One RMA (ticket) of a shipment: of a box, a part of one, or all of it."""

    __tablename__ = "shipment_rmas"
    __table_args__ = (
        sa.UniqueConstraint("brand", "customer_po"),
        sa.UniqueConstraint("brand", "ticket_id"),
        sa.Index("ix_shipment_rmas_shipment", "shipment_pk"),
        sa.Index("ix_shipment_rmas_to_read", "brand", "to_read"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    shipment_pk: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("shipments.id", ondelete="CASCADE")
    )
    box: Mapped[str | None]
    part: Mapped[int]
    customer_po: Mapped[str]
    ticket_id: Mapped[str | None]
    unit_keys: Mapped[list[Any]]
    """The units it announces, or would: those left out of the ticket are among them."""
    left_out: Mapped[list[Any]]
    """Products that its ticket does not name, and why, in words."""
    items: Mapped[list[Any]]
    tracking_numbers: Mapped[list[Any]]
    license_plate: Mapped[str | None]
    due_at: Mapped[datetime | None]
    """When it is to be announced; None once that is under way or done."""
    ticket_status: Mapped[str | None] = mapped_column(TicketStatusName)
    status_seen_at: Mapped[datetime | None]
    to_read: Mapped[bool] = mapped_column(default=False)
    read_status: Mapped[str | None] = mapped_column(TicketStatusName)
    unread_since: Mapped[datetime | None]
    read_due_at: Mapped[datetime | None]
    """When a ticket is read again whose reading failed; None: at once."""
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    adopted_at: Mapped[datetime | None]
    """When its ticket was found to exist already, though this ledger knew of no call for it: it
    may have been counted, and returns been settled on it, before."""


class ShipmentReceiptRow(Base):
    """A ticket of a shipment as read at a time."""

    __tablename__ = "shipment_receipts"
    __table_args__ = (sa.Index("ix_shipment_receipts_rma", "rma_pk", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    rma_pk: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("shipment_rmas.id", ondelete="CASCADE")
    )
    read_at: Mapped[datetime]
    content: Mapped[DocumentOf]
    content_hash: Mapped[str]


class ClaimRow(Base):
    """A difference between what a shipment was to bring and what was counted, after the money has
    moved: for people to claim, from whoever lost it."""

    __tablename__ = "claims"
    __table_args__ = (
        sa.UniqueConstraint("shipment_pk", "key"),
        sa.Index("ix_claims_list", "brand", "state", "id"),
        sa.Index("ix_claims_return", "brand", "return_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    shipment_pk: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("shipments.id", ondelete="CASCADE")
    )
    key: Mapped[str]
    kind: Mapped[str]
    """A `domain.shipment.Differs`."""
    state: Mapped[str]
    """open, withdrawn (the units have been found), closed (by a person)."""
    bags: Mapped[list[Any]]
    return_id: Mapped[str | None]
    """None: it cannot be told whose it is."""
    order_name: Mapped[str | None]
    sku: Mapped[str | None]
    upc: Mapped[str | None]
    title: Mapped[str | None]
    units: Mapped[int]
    value: Mapped[str | None]
    """Money as a decimal string; at least so much. None: nobody says."""
    currency: Mapped[str | None]
    hint: Mapped[str | None]
    """What may explain it, in words."""
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    why: Mapped[str | None]
    """Why it was withdrawn or closed."""
