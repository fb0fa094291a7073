"""The processes that run ticks: each tells that it is alive, and takes over from those that do
not. Without it what a dead worker was doing would stay its own, and its brand unsynced."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from datetime import timedelta

import structlog

from bergen_loop import __version__
from bergen_loop.ledger.database import Ledger, LedgerError, absence, trouble
from bergen_loop.ledger.store import workers
from bergen_loop.text import failure

log = structlog.get_logger()


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
                workers.leave(session, self._id)
        except LedgerError as error:
            log.warning("could not sign off", why=type(error).__name__)

    def show(self) -> None:
        """Tell that this worker is alive."""
        with self._ledger.write() as session:
            workers.show(session, self._id, socket.gethostname(), os.getpid(), __version__)

    def take_over(self) -> None:
        """Recover the ticks of those without a sign of life."""
        with self._ledger.read() as session:
            gone = workers.gone(session, self._gone_after, besides=self._id)
        for executor_id, seen_at in gone:
            if not self._recover(executor_id):
                continue
            with self._ledger.write() as session:
                workers.forget(session, executor_id, seen_at)
            log.info("worker gone", executor=executor_id)

    def _run(self) -> None:
        beat = min(5.0, self._gone_after.total_seconds() / 4)
        while not self._stop.wait(beat):
            try:
                self.show()
                absence.back()
                self.take_over()
            except LedgerError as error:
                if not absence.gone(error):
                    log.warning("sign of life failed", why=trouble(error))
            except Exception as error:  # the next beat may do better; this thread must not end
                log.warning("sign of life failed", why=failure(error))
