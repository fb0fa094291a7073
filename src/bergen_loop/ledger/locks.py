"""One sync of a brand at a time, on any number of machines.

The lock is released by the operating system or the database at the very moment its holder
dies, so a crash costs no waiting. The epoch is the fence behind it: a holder that has lost its
lock without noticing (a dropped database connection) can write no further intent.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger import returns
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables import BrandRow


class BrandBusy(Exception):
    """Another sync of this brand is running."""


class LockLost(Exception):
    """Another sync has taken over: this one must not act any more."""


@contextmanager
def brand_lock(ledger: Ledger, brand: str) -> Generator[int]:
    """Hold the brand's lock; yields the epoch. Raises BrandBusy at once if it is taken."""
    holder = _file_lock(ledger, brand) if ledger.is_sqlite else _advisory_lock(ledger, brand)
    with holder:
        with ledger.write() as session:
            row = returns.brand_row(session, brand)
            row.epoch += 1
            epoch = row.epoch
        yield epoch


def fence(session: Session, brand: str, epoch: int | None) -> None:
    """Raise LockLost unless `epoch` is still the brand's. Holds until the transaction ends."""
    if epoch is None:
        return
    query = sa.select(BrandRow.epoch).where(BrandRow.brand == brand).with_for_update(read=True)
    current = session.scalar(query)
    if current != epoch:
        raise LockLost(f"brand {brand}: epoch {epoch} has been followed by {current}")


@contextmanager
def _file_lock(ledger: Ledger, brand: str) -> Generator[None]:
    database = Path(ledger.url.database or "")
    folder = database.parent / f"{database.name}.locks"
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / brand, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BrandBusy(f"another sync of brand {brand} is running") from None
        yield
    finally:
        os.close(handle)


@contextmanager
def _advisory_lock(ledger: Ledger, brand: str) -> Generator[None]:
    key = int.from_bytes(hashlib.sha256(f"bergen-loop:{brand}".encode()).digest()[:8], signed=True)
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        taken = connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": key})
        if not taken:
            raise BrandBusy(f"another sync of brand {brand} is running")
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": key})
