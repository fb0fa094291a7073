"""The processes that run ticks: each tells that it is alive, and takes over from those that do
not. Without it what a dead worker was doing would stay its own, and its brand unsynced."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bergen_loop import __version__
from bergen_loop.ledger import clock
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import WorkerRow

LEFT = datetime(1970, 1, 1, tzinfo=UTC)
"""Last sign of life of a worker that has ended in order."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker for people to look at; `age` is since its last sign of life."""

    executor_id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    age: timedelta


def workers(session: Session) -> list[Worker]:
    """All that are known, the longest running first."""
    now = clock.now(session)
    rows = session.scalars(sa.select(WorkerRow).order_by(WorkerRow.started_at))
    return [
        Worker(r.executor_id, r.host, r.pid, r.version, r.started_at, now - r.seen_at) for r in rows
    ]


class Heartbeat:
    """This worker's sign of life, in a thread of its own so that busy ticks do not delay it."""

    def __init__(
        self,
        ledger: Ledger,
        executor_id: str,
        gone_after: timedelta,
        recover: Callable[[str], bool],
    ) -> None:
        """`recover` gives a dead worker's ticks to the living; True: it had none left."""
        self._ledger, self._id, self._gone_after = ledger, executor_id, gone_after
        self._recover = recover
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Be known before the first tick is taken."""
        self.show()
        self._thread.start()

    def stop(self) -> None:
        """Leave: what is left undone is the others' at once."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10)
        try:
            with self._ledger.write() as session:
                row = session.get(WorkerRow, self._id)
                if row is not None:
                    row.seen_at = LEFT
        except SQLAlchemyError as error:
            log.warning("could not sign off", why=type(error).__name__)

    def show(self) -> None:
        """Tell that this worker is alive."""
        with self._ledger.write() as session:
            now = clock.now(session)
            row = session.get(WorkerRow, self._id)
            if row is None:
                row = WorkerRow(
                    executor_id=self._id,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    version=__version__,
                    started_at=now,
                )
                session.add(row)
            row.seen_at = now

    def take_over(self) -> None:
        """Recover the ticks of those without a sign of life."""
        for executor_id, seen_at in self._gone():
            if not self._recover(executor_id):
                continue
            with self._ledger.write() as session:
                gone = session.get(WorkerRow, executor_id)
                if gone is not None and gone.seen_at == seen_at:
                    session.delete(gone)
            log.info("worker gone", executor=executor_id)

    def _gone(self) -> list[tuple[str, datetime]]:
        with self._ledger.read() as session:
            before = clock.now(session) - self._gone_after
            query = sa.select(WorkerRow).where(
                WorkerRow.seen_at < before, WorkerRow.executor_id != self._id
            )
            return [(row.executor_id, row.seen_at) for row in session.scalars(query)]

    def _run(self) -> None:
        beat = min(5.0, self._gone_after.total_seconds() / 4)
        while not self._stop.wait(beat):
            try:
                self.show()
                self.take_over()
            except Exception as error:  # the next beat may do better; this thread must not end
                log.warning("sign of life failed", why=f"{type(error).__name__}: {error}")
