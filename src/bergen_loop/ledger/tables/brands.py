"""The tables of brands whose settings are kept in the ledger."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from bergen_loop.ledger.tables.core import Base, Json


class BrandSettingsRow(Base):
    """One version of a brand's settings. Rows are only ever added: the newest one holds."""

    __tablename__ = "brand_settings"

    brand: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    """From 1, without gaps: who adds a version has seen the one before."""
    state: Mapped[str]
    """active, or removed. (Paused is a mode, of `BrandRow`.)"""
    content: Mapped[Json]
    """The brand's block as in the configuration file: secrets by reference only."""
    made_at: Mapped[datetime]
    made_by: Mapped[str]
    reason: Mapped[str] = mapped_column(sa.Text)


class BrandDraftRow(Base):
    """A brand that somebody is about to connect."""

    __tablename__ = "brand_drafts"

    brand: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    """Raised at every change: the second of two people is told."""
    content: Mapped[Json]
    """As `BrandSettingsRow.content`, as far as it goes."""
    progress: Mapped[Json]
    """Which steps are done, and what their checks found."""
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]
