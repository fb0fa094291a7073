"""The database that goes away while the service runs: told once when it goes, and once when it
is back, however many threads miss it meanwhile."""

from __future__ import annotations

import logging
import re
import threading
import time

import structlog

from bergen_loop.ledger.database import LedgerError, record_at_fault, trouble

log = structlog.get_logger()

_DRIVER = re.compile(r"psycopg\.\w*Error|sqlite3\.\w*Error|connection failed|Notification listener")
"""Signs in what the engine logs that it, too, misses its database."""


class Absence:
    """Whether the database is away, as far as this process has noticed. Thread-safe."""

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
