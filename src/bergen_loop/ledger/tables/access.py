"""The tables of access: what has been tried to sign in, where accounts are known, and what
programs were answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from bergen_loop.ledger.tables.core import Base, BigId, PlainJson


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


class AnswerRow(Base):
    """What a call under an Idempotency-Key was answered: who repeats it gets this again."""

    __tablename__ = "api_answers"

    token_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(primary_key=True)
    asked: Mapped[str]
    """A digest of what was asked for: the key stands for that alone."""
    status: Mapped[int]
    body: Mapped[Any] = mapped_column(PlainJson)
    made_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(index=True)


class FavouriteRow(Base):
    """A brand that somebody wants to see first."""

    __tablename__ = "favourites"

    account_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    """0: of whoever reaches a console where nobody signs in."""
    brand: Mapped[str] = mapped_column(primary_key=True)
