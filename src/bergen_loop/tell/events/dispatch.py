"""Delivering what is in the outbox: each brand's endpoint by a thread of its own, so that one
that is slow or dead costs the others nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex

import structlog

from bergen_loop.config.operations import EventSettings
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger, LedgerError, absence, trouble
from bergen_loop.ledger.locks import BrandBusy, endpoint_lock
from bergen_loop.ledger.store import outbox
from bergen_loop.ledger.store.outbox import Attempt
from bergen_loop.ledger.transaction import transaction
from bergen_loop.tell.events import addresses, follow, payload
from bergen_loop.tell.events.addresses import Resolve
from bergen_loop.tell.events.sending import Sender

EVERY = 1.0
"""Seconds between two looks at the journal."""
TURN = 20.0
"""Seconds after which an endpoint with much to take lets others have their turn."""
PER_TURN = 100
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
    ) -> None:
        """`endpoints`: those of now, by brand."""
        self._ledger, self._endpoints, self._every = ledger, endpoints, every
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="events")
        self._turns: dict[str, Future[None]] = {}
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

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
                self._look()
            except LedgerError as error:
                if not absence.gone(error):
                    log.warning("events wait for the ledger", error=trouble(error))
            except Exception:
                log.exception("events failed inside")
            self._stop.wait(self._every)

    def _look(self) -> None:
        """Read the journal on, and begin to deliver what is due."""
        endpoints = self._endpoints()
        while follow.take_in(self._ledger, endpoints, _utc_now()) == follow.BATCH:
            if self._stop.is_set():
                return
        idle = [b for b in endpoints if b not in self._turns or self._turns[b].done()]
        with self._ledger.read() as session:
            due = outbox.brands_due(session, idle, _utc_now())
        for brand in due:
            self._turns[brand] = self._pool.submit(self._turn, brand, endpoints[brand])

    def _turn(self, brand: str, endpoint: EventSettings) -> None:
        try:
            deliver(self._ledger, brand, endpoint, Around(stop=self._stop))
        except Exception as error:
            if not absence.gone(error):
                log.exception("events failed inside", brand=brand)


@dataclass(frozen=True, slots=True)
class Around:
    """The clock and the look-up of names, in whose place tests put their own; and what ends a turn
    early."""

    now: Callable[[], datetime] = _utc_now
    resolve: Resolve = addresses.resolve
    stop: threading.Event | None = None


def deliver(
    ledger: Ledger,
    brand: str,
    endpoint: EventSettings,
    around: Around | None = None,
) -> int:
    """One turn of a brand's endpoint: deliver what is due until it is done, the time is up, or
    the endpoint does not answer. The number of attempts; 0 where another delivers already."""
    around = around or Around()
    sender = Sender(endpoint, resolve=around.resolve, now=around.now)
    try:
        with endpoint_lock(ledger, brand), sender:
            return _turn(ledger, brand, sender, around)
    except BrandBusy:
        return 0


def send_test(
    ledger: Ledger, brand: str, endpoint: EventSettings, who: str, around: Around | None = None
) -> Attempt:
    """Send an event of the type `test`, about nothing that has happened, and wait for its answer.
    An endpoint that takes it rests no longer."""
    around = around or Around()
    now = around.now()
    sent = f"evt_test_{token_hex(8)}"
    with Sender(endpoint, resolve=around.resolve, now=around.now) as sender:
        attempt = sender.send(sent, payload.test(brand, now))
    with transaction(ledger, brand, now, who) as tx:
        if attempt.delivered:
            outbox.answers(tx.session, brand)
        told = f"{sent}: {attempt.error or f'HTTP {attempt.status}: taken'}"
        tx.journal(What.EVENT_TESTED, told)
    return attempt


def _turn(
    ledger: Ledger,
    brand: str,
    sender: Sender,
    around: Around,
) -> int:
    now, stop = around.now, around.stop
    with ledger.read() as session:
        events = outbox.due(session, brand, now(), PER_TURN)
    ends, made = time.monotonic() + TURN, 0
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
    return made
