"""Delivering what is in the outbox: each brand's endpoint by a thread of its own, so that one
that is slow or dead costs the others nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from bergen_loop.config.operations import EventSettings
from bergen_loop.ledger.database import Ledger
from bergen_loop.tell.events import addresses, follow, outbox
from bergen_loop.tell.events.addresses import Resolve
from bergen_loop.tell.events.sending import Sender

EVERY = 1.0
"""Seconds between two looks at the journal."""
TURN = 20.0
"""Seconds after which an endpoint with much to take lets others have their turn."""
PER_TURN = 100
FORGET_EVERY = 3600.0
THREADS = 32

log = structlog.get_logger()


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Dispatcher:
    """Follows the journal and delivers, between `start` and `stop`. Several processes may do so
    on one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        endpoints: Callable[[], Mapping[str, EventSettings]],
        *,
        every: float = EVERY,
        resolve: Resolve = addresses.resolve,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """`endpoints`: those of now, by brand."""
        self._ledger, self._endpoints = ledger, endpoints
        self._every, self._resolve, self._now = every, resolve, now
        self._who = uuid4().hex
        self._stop = threading.Event()
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="events")
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._forgot = 0.0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the attempts that are under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except SQLAlchemyError as error:
                log.warning("events wait for the ledger", error=str(error))
            except Exception:
                log.exception("events failed inside")
            self._stop.wait(self._every)

    def look(self) -> None:
        """Read the journal on, and begin to deliver what is due."""
        endpoints = self._endpoints()
        while follow.take_in(self._ledger, endpoints, self._now()) == follow.BATCH:
            if self._stop.is_set():
                return
        with self._lock:
            idle = [brand for brand in endpoints if brand not in self._busy]
        with self._ledger.read() as session:
            due = outbox.brands_due(session, idle, self._now())
        for brand in due:
            with self._lock:
                self._busy.add(brand)
            self._pool.submit(self._turn, brand, endpoints[brand])
        self._forget()

    def _turn(self, brand: str, endpoint: EventSettings) -> None:
        try:
            deliver(
                self._ledger,
                brand,
                endpoint,
                who=self._who,
                resolve=self._resolve,
                now=self._now,
                stop=self._stop,
            )
        except Exception:
            log.exception("events failed inside", brand=brand)
        finally:
            with self._lock:
                self._busy.discard(brand)

    def _forget(self) -> None:
        if time.monotonic() - self._forgot < FORGET_EVERY and self._forgot:
            return
        with self._ledger.write() as session:
            if not outbox.forget_old(session, self._now()):
                self._forgot = time.monotonic()


def deliver(
    ledger: Ledger,
    brand: str,
    endpoint: EventSettings,
    *,
    who: str,
    now: Callable[[], datetime],
    resolve: Resolve = addresses.resolve,
    stop: threading.Event | None = None,
) -> int:
    """One turn of a brand's endpoint: deliver what is due until it is done, the time is up, or
    the endpoint does not answer. The number of attempts."""
    lasting = timedelta(seconds=TURN) + 3 * endpoint.timeout
    with ledger.write() as session:
        if not outbox.claim(session, brand, who, now(), lasting):
            return 0
        events = outbox.due(session, brand, now(), PER_TURN)
    ends, made = time.monotonic() + TURN, 0
    try:
        with Sender(endpoint, resolve=resolve, now=now) as sender:
            for event in events:
                if time.monotonic() > ends or (stop is not None and stop.is_set()):
                    break
                attempt = sender.send(event.event_id, event.body)
                made += 1
                with ledger.write() as session:
                    outbox.record(session, event.id, attempt, now())
                if not attempt.delivered:
                    log.info("event not delivered", brand=brand, event_type=event.type,
                             event_id=event.event_id, error=attempt.error)  # fmt: skip
                if attempt.down:
                    break
    finally:
        with ledger.write() as session:
            outbox.release(session, brand, who)
    return made
