"""The tables of the embedded warehouse: tickets, what they expect, and what was counted."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from bergen_loop.ledger.tables.core import Base, BigId

OPEN_ONLY = "status IN ('Draft', 'CountingInProgress')"


class FloorTicketRow(Base):
    """One RMA in a warehouse without REX11. A PO makes one ticket, however often it is asked
    for."""

    __tablename__ = "floor_tickets"
    __table_args__ = (
        sa.UniqueConstraint("brand", "customer_po"),
        sa.Index("ix_floor_tickets_changed", "brand", "status_at"),
        sa.Index(
            "ix_floor_tickets_open",
            "brand",
            "id",
            sqlite_where=sa.text(OPEN_ONLY),
            postgresql_where=sa.text(OPEN_ONLY),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    customer_po: Mapped[str]
    status: Mapped[str]
    """A `TicketStatus`: Draft, CountingInProgress or AddedToInventory."""
    status_at: Mapped[datetime]
    warehouse: Mapped[str]
    memo: Mapped[str | None]
    carrier: Mapped[str | None]
    authorized_number: Mapped[str | None]
    tracking_numbers: Mapped[list[Any]]
    expected_on: Mapped[date | None]
    created_at: Mapped[datetime]
    arrived_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    @property
    def ticket_id(self) -> str:
        """What people and the flows call it."""
        return f"FLR{self.id:07d}"


class FloorItemRow(Base):
    """Units of one product on a ticket: expected, counted good, damaged."""

    __tablename__ = "floor_items"
    __table_args__ = (sa.Index("ix_floor_items_ticket", "ticket_pk", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    ticket_pk: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("floor_tickets.id", ondelete="CASCADE")
    )
    sku: Mapped[str | None]
    upc: Mapped[str | None]
    description: Mapped[str | None]
    expected: Mapped[int]
    actual: Mapped[int] = mapped_column(default=0)
    """Good units; a unit is either here or in `damaged`."""
    damaged: Mapped[int] = mapped_column(default=0)
    comments: Mapped[str | None]


class FloorCodeRow(Base):
    """What may be scanned to find a ticket: its number, PO, tracking numbers and UPCs."""

    __tablename__ = "floor_codes"
    __table_args__ = (sa.Index("ix_floor_codes_code", "code", "ticket_pk"),)

    ticket_pk: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("floor_tickets.id", ondelete="CASCADE"), primary_key=True
    )
    code: Mapped[str] = mapped_column(primary_key=True)
    """Folded; a UPC without leading zeros."""
    kind: Mapped[str] = mapped_column(primary_key=True)
    """ticket, tracking or product."""


class FloorCountRow(Base):
    """One counting as a worker sent it. Its key, made by the page, tells repeats."""

    __tablename__ = "floor_counts"
    __table_args__ = (sa.Index("ix_floor_counts_ticket", "ticket_pk", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(unique=True)
    ticket_pk: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("floor_tickets.id", ondelete="CASCADE")
    )
    at: Mapped[datetime]
    who: Mapped[str]
    content: Mapped[dict[str, Any]]
    """The counting, without its photos."""


class FloorPhotoRow(Base):
    """A photo of damage."""

    __tablename__ = "floor_photos"
    __table_args__ = (
        sa.Index("ix_floor_photos_ticket", "ticket_pk", "id"),
        sa.Index("ix_floor_photos_given", "given_as", unique=True),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    ticket_pk: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("floor_tickets.id", ondelete="CASCADE")
    )
    count_pk: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("floor_counts.id", ondelete="CASCADE")
    )
    code: Mapped[str]
    """UPC or SKU of the item it shows."""
    content_type: Mapped[str]
    body: Mapped[bytes] = mapped_column(sa.LargeBinary)
    given_as: Mapped[str | None]
    """The secret part of the address under which Loop was told that it may fetch it."""
