"""Ledgers to begin with: the schema is made once per test process and copied from then on."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

from bergen_loop.ledger.database import Ledger


def empty_ledger(path: Path) -> Ledger:
    """A migrated embedded ledger in a new file."""
    shutil.copy(template(), path)
    return Ledger(f"sqlite:///{path}")


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
