"""Opening the ledger's database, and bringing it to the current schema; what is told while it
cannot be had; its clock, the one that all machines share."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
import structlog
import tenacity
from sqlalchemy import event
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from bergen_loop.ledger import codec, fragments
from bergen_loop.ledger.tables.core import (
    PACKS_FROM,
    DecisionRow,
    EffectRow,
    ReceiptRow,
    ReturnRow,
    RmaRow,
)
from bergen_loop.ledger.tables.operations import FollowerRow
from bergen_loop.text import failure

__all__ = [
    "Absence",
    "Clash",
    "Ledger",
    "LedgerError",
    "Session",
    "absence",
    "exists",
    "now",
    "now_ms",
    "record_at_fault",
    "trouble",
]
"""`Session` is handed to the questions of `store` and `read`; nobody else builds statements."""

LedgerError = SQLAlchemyError
"""What the ledger's database may raise, for who has to say so: `trouble` puts it into words."""
Clash = IntegrityError
"""What was to be written is there already, by another transaction."""

log = structlog.get_logger()

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # an intent must survive a power cut, not only a crash
    "foreign_keys=ON",
    "secure_delete=ON",  # what was erased must not lie on in the file
    "busy_timeout=30000",
)

MANY = frozenset((ReturnRow, RmaRow, ReceiptRow, DecisionRow, EffectRow))
"""Whose rows come many at a time."""
PACKING = "packing"
"""Of `followers`: since when documents are packed, in seconds since 1970. Not at once where a
release that cannot read packed ones may still be at work, as it may for a day."""
_TRIES = 60
_LOCK_TIMEOUT = "500ms"
"""Less than PostgreSQL's deadlock_timeout, so that the change gives way, not a worker."""
_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"
"""PostgreSQL's codes."""


PATIENCE = 30.0
"""Seconds: as long as SQLite is asked to be patient with other processes."""


class Turns:
    """Who writes next to an embedded ledger: those who wait go in the order in which they came, and
    every second turn is for one in a hurry, if there is one. A thread that has its turn must not
    ask for it again.

    SQLite takes one writer at a time, and lets the others look again after ever longer sleeps, in
    which the unlucky starve until they give up; meanwhile each holds a connection of the pool.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._changed = threading.Condition()
        self._queue: deque[int] = deque()
        """Threads: the first has the turn."""
        self._hurried: set[int] = set()
        """Those of them that are in a hurry."""
        self._own = threading.local()

    @contextmanager
    def hurried(self) -> Generator[None]:
        """What this thread writes within this goes before what others have waited for longer:
        for somebody who waits for a few small transactions while others work off thousands."""
        self._own.hurried = True
        try:
            yield
        finally:
            self._own.hurried = False

    @contextmanager
    def turn(self) -> Generator[None]:
        """Wait for the turn and have it. sqlalchemy.exc.TimeoutError after `patience`."""
        self._wait(threading.get_ident())
        try:
            yield
        finally:
            with self._changed:
                self._hurried.discard(self._queue.popleft())
                self._changed.notify_all()

    def _wait(self, me: int) -> None:
        until = time.monotonic() + self._patience
        with self._changed:
            if me in self._queue:
                raise RuntimeError("a transaction that writes within another one of this thread")
            self._line_up(me)
            while self._queue[0] != me:
                left = until - time.monotonic()
                if left <= 0:
                    self._queue.remove(me)
                    self._hurried.discard(me)
                    raise PoolTimeout(
                        f"no turn to write within {self._patience:g} s: another transaction of "
                        "this process takes too long"
                    )
                self._changed.wait(left)

    def _line_up(self, me: int) -> None:
        if not self._queue or not getattr(self._own, "hurried", False):
            self._queue.append(me)
            return
        # Behind the first who waits, if the turn is a hurried one; two further for each of them.
        has = self._queue[0] in self._hurried
        waiting = len(self._hurried) - has
        self._queue.insert(1 + has + 2 * waiting, me)
        self._hurried.add(me)


class Ledger:
    """A handle on the database. Thread-safe; one per process."""

    def __init__(self, url: str, *, pool_size: int = 20) -> None:
        """`url` is an SQLAlchemy URL: `sqlite:///path` or `postgresql+psycopg://...`."""
        self.url = sa.make_url(url)
        if self.is_sqlite and self.url.database not in (None, "", ":memory:"):
            _own(Path(self.url.database))
        self.engine = _engine(self.url, pool_size)
        self._turns = Turns() if self.is_sqlite else None
        self._readers = sessionmaker(self.engine, expire_on_commit=False)
        self._writers = sessionmaker(
            self.engine.execution_options(bergen_write=True), expire_on_commit=False
        )
        if self.is_sqlite:
            event.listen(self._writers, "before_flush", _number)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def url_beside(self, name: str) -> str:
        """The URL, with its password, for what others keep of this installation: a file of its
        own beside the embedded database, the same database otherwise."""
        if not self.is_sqlite:
            return self.url.render_as_string(hide_password=False)
        path = Path(self.url.database or "")
        return f"sqlite:///{path.with_name(f'{path.stem}-{name}.db')}"

    @contextmanager
    def write(self) -> Generator[Session]:
        """One transaction that writes: committed at the end, rolled back on an error."""
        with self._turns.turn() if self._turns else nullcontext(), self._writers.begin() as session:
            yield session

    def hurried(self) -> AbstractContextManager[None]:
        """Within it, this thread's writes go before those of others that wait (`Turns.hurried`);
        PostgreSQL has no such line."""
        return self._turns.hurried() if self._turns else nullcontext()

    @contextmanager
    def read(self) -> Generator[Session]:
        """A session for reading; nothing is committed."""
        with self._readers() as session:
            yield session

    def ask(self) -> None:
        """Whether it answers at all. LedgerError."""
        with self.read() as session:
            session.execute(sa.text("SELECT 1"))

    def migrate(self) -> None:
        """Bring the schema to the newest version. Safe to call from several processes, and while
        others work on the same database."""
        self.change_schema(_upgrade)
        if self.is_sqlite:
            self.change_schema(fragments.ensure)
        with self.read() as session:
            since = session.scalar(
                sa.select(FollowerRow.position).where(FollowerRow.name == PACKING)
            )
        setattr(self.engine.dialect, PACKS_FROM, math.inf if since is None else since)

    def change_schema(self, change: Callable[[sa.Connection], None]) -> None:
        """Run `change` in one transaction, one process at a time.

        On PostgreSQL workers go on meanwhile, each holding some of the tables: rather than queue
        behind one and keep all others waiting, or deadlock with it, the change gives up soon
        and is tried anew. Raises sqlalchemy.exc.OperationalError after `_TRIES`.
        """
        if self.is_sqlite:
            with self.engine.execution_options(bergen_write=True).begin() as connection:
                change(connection)
            return
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception(_in_each_others_way),
            stop=tenacity.stop_after_attempt(_TRIES),
            wait=tenacity.wait_random_exponential(0.1, max=2.0),
            reraise=True,
        ):
            with attempt, self.engine.begin() as connection:
                # One at a time; the lock goes with the transaction.
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(73170001)"))
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
                change(connection)

    def scour(self) -> bool:
        """After an erasure: leave nothing of what was erased in the embedded database's files;
        False where a reader has kept its log from being emptied just now. PostgreSQL needs its
        own VACUUM for that."""
        if not self.is_sqlite:
            return True
        fragments.scour(self)
        with self.engine.connect() as connection:
            driver = connection.connection
            driver.execute("PRAGMA busy_timeout=2000")  # pyright: ignore[reportAttributeAccessIssue]
            try:
                busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]  # pyright: ignore
            finally:
                driver.execute("PRAGMA busy_timeout=30000")  # pyright: ignore[reportAttributeAccessIssue]
        return not busy

    def close(self) -> None:
        self.engine.dispose()


def _own(database: Path) -> None:
    """Have the embedded database's files be its owner's alone, also those of an older release:
    customers' addresses are in them. Whoever is not the owner leaves them as they are."""
    database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(PermissionError):
        # SQLite gives its log and its index the mode of the database.
        database.touch(mode=0o600)
        for end in ("", "-wal", "-shm"):
            file = database.with_name(database.name + end)
            if file.exists() and file.stat().st_mode & 0o077:
                file.chmod(0o600)


def exists(url: str) -> bool:
    """Whether there is a database at this URL to be opened: opening an embedded one that is not
    there would make it."""
    parsed = sa.make_url(url)
    return parsed.get_backend_name() != "sqlite" or Path(parsed.database or "").exists()


def trouble(error: SQLAlchemyError) -> str:
    """What is wrong with the database, in a sentence of ours that says what to do. The
    database's own words are looked at but never told: they may quote a row or a password."""
    words, code = str(getattr(error, "orig", None) or error).lower(), failure(error)
    if any(sign in words for sign in ("full", "no space left", "disk i/o")):
        return (
            f"the ledger cannot be written, for its disk is full or broken ({code}): free space "
            "on it. No call is made without its intent written first, and work goes on by itself"
        )
    if "locked" in words:
        return f"the ledger is locked by another program ({code}): find out which, and end it"
    if "malformed" in words or "not a database" in words:
        return f"the ledger is damaged ({code}): stop the service and restore a backup"
    return f"the ledger does not answer as it should ({code})"


def schema(ledger: Ledger) -> tuple[str | None, str]:
    """The schema's version in the database (None: there is none yet), and the newest one that
    this release knows. Later ones sort behind."""
    with ledger.engine.connect() as connection:
        return _revision(connection), newest_revision()


def record_at_fault(error: Exception) -> bool:
    """Whether a failed transaction is the fault of what was to be written (a value the database
    refuses, a broken rule, our own code), and not of a database that cannot be had now."""
    if not isinstance(error, SQLAlchemyError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return False
    return not isinstance(error, (OperationalError, InterfaceError, PoolTimeout))


def _upgrade(connection: sa.Connection) -> None:
    current = _revision(connection)
    if current == newest_revision():
        return
    # Alembic takes a tenth of a second to load: only where there is something to migrate.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "bergen_loop:ledger/migrations")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        return  # a later release has migrated it; migrations only add, so this one works
    command.upgrade(config, "head")


def newest_revision() -> str:
    """Of the schema, as this release knows it: the files of the migrations are numbered."""
    versions = Path(__file__).parent / "migrations" / "versions"
    return max(path.name for path in versions.glob("[0-9]*.py")).partition("_")[0]


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(sa.text("SELECT version_num FROM alembic_version"))


def _in_each_others_way(error: BaseException) -> bool:
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return isinstance(error, SQLAlchemyError) and code in (_LOCK_NOT_AVAILABLE, _DEADLOCK)


def _number(session: Session, *_: object) -> None:
    """Give new rows their keys, so that all of a table go in one statement: SQLite does not say in
    which order it returns the keys it gives, so that it would be asked row by row. Nobody else
    writes meanwhile."""
    new: dict[type[Any], list[Any]] = {}
    for row in cast("Iterable[Any]", session.new):
        table = cast("type[Any]", type(row))
        if table in MANY and row.id is None:
            new.setdefault(table, []).append(row)
    for table, rows in new.items():
        if len(rows) > 1:
            rows.sort(key=lambda row: sa.inspect(row).insert_order)
            last = session.connection().scalar(_LAST[table]) or 0
            for key, row in enumerate(rows, last + 1):
                row.id = key


_LAST = {table: sa.select(sa.func.max(table.id)) for table in MANY}


def _as_it_is(text: str | bytes) -> str | bytes:
    """JSON is decoded by the columns' own types (`tables.core`), some of them only on demand."""
    return text


def _engine(url: sa.URL, pool_size: int) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            hide_parameters=True,  # an error must not quote a customer's data into a log
            json_serializer=codec.encode,
            json_deserializer=_as_it_is,
        )
    engine = sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        hide_parameters=True,
        json_serializer=codec.encode,
        json_deserializer=_as_it_is,
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = None  # the driver must not begin by itself; _begun does
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        # A writer takes the lock at once: one that starts as a reader could fail half-way.
        write = connection.get_execution_options().get("bergen_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


# -- while it cannot be had --------------------------------------------------------------------

_DRIVER = re.compile(r"psycopg\.\w*Error|sqlite3\.\w*Error|connection failed|Notification listener")
"""Signs in what the engine logs that it, too, misses its database."""


class Absence:
    """Whether the database is away, as far as this process has noticed: told once when it goes, and
    once when it is back, however many threads miss it meanwhile. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None

    def gone(self, error: BaseException) -> bool:
        """Whether an error means that the database cannot be had: then it has been told, and
        nothing more is to be logged about it."""
        if not isinstance(error, LedgerError) or record_at_fault(error):
            return False
        self._tell(trouble(error))
        return True

    def back(self) -> None:
        """Something has been written or read."""
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            seconds = round(time.monotonic() - since, 1)
            log.warning("the database is back, and work goes on", away_seconds=seconds)

    def filter(self, record: logging.LogRecord) -> bool:
        """For the engine's logger: what only says that the database is away is left out."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and self.gone(error):
            return False
        if not _DRIVER.search(record.getMessage()):
            return True
        self._tell("the engine has lost its connection")
        return False

    def _tell(self, why: str) -> None:
        with self._lock:
            told, self._since = self._since is not None, self._since or time.monotonic()
        if not told:
            log.error("the database cannot be had: work waits, and nothing is lost", why=why)


absence = Absence()
"""Of this process."""


# -- its clock ---------------------------------------------------------------------------------


def now_ms(session: Session) -> int:
    """Milliseconds since 1970, as they pass (not the start of the transaction). An embedded
    database has one machine only: its clock is this one's."""
    if session.get_bind().dialect.name == "sqlite":
        return time.time_ns() // 1_000_000
    query = sa.text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    return int(session.execute(query).scalar_one())


def now(session: Session) -> datetime:
    """The same as an aware time."""
    return datetime.fromtimestamp(now_ms(session) / 1000, UTC)
