"""Backup and restore of the embedded ledger, with SQLite's own online backup.

PostgreSQL has its own tools (pg_dump, base backups): then only `restored` has to be told.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.locks import SERVICE, flock, lock_folder

PAGES = 256
"""Pages copied at a time: a writer waits for one step at most."""
_PAUSE = 0.005


class BackupError(Exception):
    """What was asked for cannot be done; the message says why, and what to do."""


class InUse(BackupError):
    """The database is being worked on."""


def backup(ledger: Ledger, target: Path) -> int:
    """Copy the running ledger into a new file, checked before it gets its name; its size in
    bytes. Raises BackupError; nothing is left behind then."""
    source = _file_of(ledger)
    if target.exists():
        raise BackupError(f"{target} exists already: name a new file")
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        with closing(_open(source, "ro")) as live, closing(sqlite3.connect(partial)) as copy:
            live.backup(copy, pages=PAGES, sleep=_PAUSE)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, whole by itself
        check(partial)
        _sync(partial)
        partial.rename(target)
        _sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"the backup to {target} failed: {_words(error)}") from None
    finally:
        partial.unlink(missing_ok=True)
    return target.stat().st_size


def restore(ledger: Ledger, source: Path) -> None:
    """Put a checked backup in the place of the ledger. Raises BackupError; the ledger is as it
    was then. Raises InUse where a service or a sync is working on it."""
    check(source)
    target = _file_of(ledger)
    with nobody_working(target):
        ledger.close()
        _set_aside_if_damaged(target)
        try:
            with closing(_open(source, "ro")) as kept, closing(sqlite3.connect(target)) as live:
                live.execute("PRAGMA synchronous=FULL")
                kept.backup(live)
        except (OSError, sqlite3.Error) as error:
            raise BackupError(f"{target} could not be restored: {_words(error)}") from None


def check(file: Path) -> None:
    """Raises BackupError unless the file is a whole ledger."""
    if not file.is_file():
        raise BackupError(f"there is no file {file}")
    try:
        with closing(_open(file, "ro")) as opened:
            found = [str(row[0]) for row in opened.execute("PRAGMA integrity_check(3)")]
            named = "SELECT name FROM sqlite_master WHERE name IN ('alembic_version', 'effects')"
            tables = {row[0] for row in opened.execute(named)}
    except sqlite3.Error as error:
        raise BackupError(
            f"{file} is damaged or no SQLite database ({_words(error)}): use another backup"
        ) from None
    if found != ["ok"]:
        raise BackupError(f"{file} is damaged: {'; '.join(found)}: use another backup")
    if tables != {"alembic_version", "effects"}:
        raise BackupError(f"{file} is a database, but not one of bergen-loop")


@contextmanager
def nobody_working(database: Path) -> Generator[None]:
    """Keep services and syncs away. Raises InUse where one is there already."""
    folder = lock_folder(database)
    others = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    with ExitStack() as held:
        for name in dict.fromkeys([SERVICE, *others]):
            what = "a service is running" if name == SERVICE else f"a sync of {name} is running"
            busy = InUse(f"{what} on {database}: stop it first, then restore")
            held.enter_context(flock(folder / name, busy))
        yield


def _set_aside_if_damaged(target: Path) -> None:
    """SQLite copies into a database only; what is none any more is kept beside it."""
    if not target.exists():
        return
    try:
        with closing(_open(target, "rw")) as opened:
            opened.execute("PRAGMA schema_version")
            opened.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        for end in ("", "-wal", "-shm"):
            file = target.with_name(target.name + end)
            if file.exists():
                file.rename(target.with_name(f"{target.name}.damaged{end}"))


def _file_of(ledger: Ledger) -> Path:
    if not ledger.is_sqlite or not ledger.url.database:
        raise BackupError(
            "the ledger is in PostgreSQL: back it up with its own tools (pg_dump, base backups); "
            "after putting one back run `bergen-loop restored`"
        )
    return Path(ledger.url.database)


def _open(file: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode={mode}", uri=True, timeout=30)


def _sync(path: Path) -> None:
    """Have it on the disk, also after a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
