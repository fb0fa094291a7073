"""Ledgers to begin with: the schema is made once per test process and copied from then on."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from bergen_loop.ledger import database
from bergen_loop.ledger.database import Ledger


def empty_ledger(path: Path) -> Ledger:
    """A migrated embedded ledger in a new file."""
    shutil.copy(template(), path)
    return Ledger(f"sqlite:///{path}")


def compiling_once() -> Callable[[sa.URL, int], sa.Engine]:
    """What makes the engines of ledgers, of which those of SQLite share the statements that were
    compiled: that is a fifth of what a short test costs."""
    make = database._engine  # pyright: ignore[reportPrivateUsage]
    first = make(sa.make_url(f"sqlite:///{tempfile.mkdtemp(prefix='bergen-loop-')}/first.db"), 1)
    first.connect().close()  # now it knows its database

    def engine(url: sa.URL, pool_size: int) -> sa.Engine:
        made = make(url, pool_size)
        if url.get_backend_name() == "sqlite":
            made.dialect, made._compiled_cache = first.dialect, first._compiled_cache  # pyright: ignore
        return made

    return engine


@functools.cache
def template() -> Path:
    """A migrated, empty file that no test changes."""
    path = Path(tempfile.mkdtemp(prefix="bergen-loop-")) / "template.db"
    migrate(f"sqlite:///{path}")
    return path


def migrate(url: str) -> None:
    """Bring a database to the current schema; nothing of it stays open or beside the file."""
    ledger = Ledger(url)
    ledger.migrate()
    if ledger.is_sqlite:
        with ledger.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    ledger.close()
