"""Secrets as the ledger keeps them: encrypted, by name."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.tables.core import SecretRow, UserRow


def put(session: Session, now: datetime, name: str, token: str, who: str) -> bool:
    """Keep an encrypted secret; whether it takes the place of another."""
    known = session.get(SecretRow, name) is not None
    session.merge(SecretRow(name=name, token=token, set_at=now, set_by=who))
    return known


def rows(session: Session, *, lock: bool = False) -> list[SecretRow]:
    """All of them, by name; `lock`: until the transaction ends."""
    query = sa.select(SecretRow).order_by(SecretRow.name)
    return list(session.scalars(query.with_for_update() if lock else query))


def second_factors(session: Session) -> list[UserRow]:
    """The accounts that have one, or are setting one up; locked until the transaction ends."""
    there = sa.or_(UserRow.totp_secret.is_not(None), UserRow.totp_new.is_not(None))
    return list(session.scalars(sa.select(UserRow).where(there).with_for_update()))


def seeds_kept(session: Session) -> list[str]:
    """The seeds of second factors as they are kept: sealed, or in the clear."""
    seeds = sa.select(UserRow.totp_secret).where(UserRow.totp_secret.is_not(None))
    return [seed for seed in session.scalars(seeds) if seed]


def tokens(session: Session) -> dict[str, str]:
    """All of them, still encrypted, by name; none in a ledger that has not been migrated yet."""
    if not sa.inspect(session.connection()).has_table(SecretRow.__tablename__):
        return {}
    return {row.name: row.token for row in rows(session)}
