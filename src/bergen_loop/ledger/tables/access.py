"""The tables of signing in: what has been tried, and where accounts are known."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from bergen_loop.ledger.tables.core import Base, BigId


class TriesRow(Base):
    """How often something was tried within a span that began at `since`. The subject is kept as
    a hash: people type passwords into the field for the name."""

    __tablename__ = "sign_in_tries"

    subject: Mapped[str] = mapped_column(primary_key=True)
    tries: Mapped[int]
    since: Mapped[datetime] = mapped_column(index=True)


class PlaceRow(Base):
    """Where somebody has signed in before: a browser (by the hash of its cookie) or an address."""

    __tablename__ = "sign_in_places"

    user_id: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    place: Mapped[str] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime]
