"""One sync of a brand at a time, and one who delivers to its endpoint, on any number of machines.

The lock is released by the operating system or the database at the very moment its holder
dies, so a crash costs no waiting. The epoch is the fence behind it: a holder that has lost its
lock without noticing (a dropped database connection) can write no further intent.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import returns
from bergen_loop.ledger.tables.core import BrandRow


class BrandBusy(Exception):
    """Someone else is at it: another sync of this brand runs, or its events are delivered."""


class LockLost(Exception):
    """Another sync has taken over: this one must not act any more."""


class ServiceRunning(Exception):
    """A service is working on this embedded database; it takes one at a time."""


SERVICE = ".service"


@contextmanager
def brand_lock(ledger: Ledger, brand: str) -> Generator[int]:
    """Hold the brand's lock; yields the epoch. Raises BrandBusy at once if it is taken."""
    with _held(ledger, brand, BrandBusy(f"another sync of brand {brand} is running")):
        with ledger.write() as session:
            epoch = session.scalar(_NEXT, {"held": brand})
            if epoch is None:  # its first tick
                row = returns.brand_row(session, brand)
                row.epoch += 1
                epoch = row.epoch
        yield epoch


_NEXT = (
    sa.update(BrandRow)
    .where(BrandRow.brand == sa.bindparam("held"))
    .values(epoch=BrandRow.epoch + 1)
    .returning(BrandRow.epoch)
    .execution_options(synchronize_session=False)
)


def endpoint_lock(ledger: Ledger, brand: str) -> AbstractContextManager[None]:
    """Be the one who delivers events to the brand's own endpoint. BrandBusy at once otherwise."""
    return _held(ledger, f"{brand}.events", BrandBusy(f"events of brand {brand} are delivered"))


def fence(session: Session, brand: str, epoch: int | None) -> None:
    """Raise LockLost unless `epoch` is still the brand's. Holds until the transaction ends."""
    if epoch is None:
        return
    query = sa.select(BrandRow.epoch).where(BrandRow.brand == brand).with_for_update(read=True)
    current = session.scalar(query)
    if current != epoch:
        raise LockLost(f"brand {brand}: epoch {epoch} has been followed by {current}")


@contextmanager
def service_lock(ledger: Ledger) -> Generator[None]:
    """Be the one service on an embedded database. Raises ServiceRunning at once otherwise."""
    database = Path(ledger.url.database or "")
    with flock(lock_folder(database) / SERVICE, ServiceRunning(f"a service runs on {database}")):
        yield


@contextmanager
def flock(path: Path, busy: Exception) -> Generator[None]:
    """Hold a lock file; `busy` is raised at once where someone else does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield
    finally:
        os.close(handle)


def lock_folder(database: Path) -> Path:
    """Where the lock files of an embedded database are: one per brand, one per
    endpoint, and the service's."""
    return database.parent / f"{database.name}.locks"


def _held(ledger: Ledger, name: str, busy: BrandBusy) -> AbstractContextManager[None]:
    if ledger.is_sqlite:
        return flock(lock_folder(Path(ledger.url.database or "")) / name, busy)
    return _advisory_lock(ledger, name, busy)


@contextmanager
def _advisory_lock(ledger: Ledger, name: str, busy: BrandBusy) -> Generator[None]:
    key = int.from_bytes(hashlib.sha256(f"bergen-loop:{name}".encode()).digest()[:8], signed=True)
    with _guard:
        locks = _of_ledgers.setdefault(ledger, _AdvisoryLocks(ledger.engine))
    if not locks.take(key):
        raise busy
    try:
        yield
    finally:
        locks.release(key)


class _AdvisoryLocks:
    """All locks of this process, on one connection: a tick would else keep one for itself, and
    a hundred brands a hundred. Where the connection breaks all are lost: the fence tells."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._mutex = threading.Lock()
        self._held: set[int] = set()
        self._connection: sa.Connection | None = None

    def take(self, key: int) -> bool:
        """Whether the lock is ours now. The database lets one session take a lock again, so what
        this process holds is remembered here."""
        with self._mutex:
            if key in self._held:
                return False
            taken = self._ask("SELECT pg_try_advisory_lock(:key)", key)
            if taken:
                self._held.add(key)
            return taken

    def release(self, key: int) -> None:
        with self._mutex:
            self._held.discard(key)
            with suppress(DBAPIError):
                self._ask("SELECT pg_advisory_unlock(:key)", key)

    def _ask(self, question: str, key: int) -> bool:
        if self._connection is None:
            connection = self._engine.connect()
            self._connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            return bool(self._connection.scalar(sa.text(question), {"key": key}))
        except DBAPIError:
            # It is broken: the next question gets a new one.
            broken, self._connection = self._connection, None
            with suppress(DBAPIError):
                broken.invalidate()
                broken.close()
            raise


_guard = threading.Lock()
_of_ledgers: WeakKeyDictionary[Ledger, _AdvisoryLocks] = WeakKeyDictionary()
