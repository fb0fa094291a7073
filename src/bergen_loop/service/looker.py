"""Who looks, in this process, which brands are due, and what each of them needs.

Most have nothing to do. They are looked at here, by a few threads that stay: two calls, nothing
in the engine, and in the ledger one transaction for all of them together. The others get a tick
from the engine.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

import structlog

from bergen_loop.flow import glance, tick
from bergen_loop.flow.context import BrandContext, utc_now
from bergen_loop.ledger.database import LedgerError, absence, trouble
from bergen_loop.ledger.locks import BrandBusy, LockLost
from bergen_loop.ledger.store import calls, quiet, returns
from bergen_loop.ledger.store.quiet import Looked, Waiting
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.outside import budget
from bergen_loop.outside.errors import OutsideError
from bergen_loop.service.registry import Registry

log = structlog.get_logger()

CLAIM = timedelta(minutes=2)
"""How long a brand is this process's to look at, where several share a ledger: so much later do
the others look at it if this one dies."""
ASK_AGAIN = 60.0
"""Seconds after which a tick that was asked for and has not changed anything is asked for again:
the engine knows whether it is still under way."""
CALLS_OF_A_LOOK = 1
"""Of Loop's, which are counted: its list."""
MOST_THREADS = 16
MOST_HURRIED = 8


State = tuple[datetime | None, bool]


class Looker:
    """Looks from `start` to `stop`."""

    def __init__(
        self,
        registry: Registry,
        every: timedelta,
        ask: Callable[[Iterable[str]], None],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`ask` has the engine make ticks of brands, once each."""
        self._registry, self._ask, self._now = registry, ask, now
        self._every = every.total_seconds()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="looker", daemon=True)
        self._pool = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="look")
        self._hurry = ThreadPoolExecutor(MOST_HURRIED, thread_name_prefix="hurry")
        self._hurried: dict[str, Future[None]] = {}
        """Brands of which a webhook has told, until that is seen to."""
        self._under_way: dict[str, tuple[datetime, Future[bool]]] = {}
        """By brand, until what was found is written down."""
        self._quiet: queue.SimpleQueue[Looked] = queue.SimpleQueue()
        self._calls: Mapping[str, int] = {}
        """Of each Loop key, how many count against its limit now."""
        self._asked: dict[str, tuple[State, float]] = {}
        """Ticks that were asked for: how the brand was then, and when."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the looks that are under way; what they saw is looked at again by others."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._hurry.shutdown(wait=True, cancel_futures=True)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def hurry(self, brand: str) -> None:
        """A webhook has told of new returns of a brand: see to them now, in a thread that waits
        for nothing else. What then is left, or goes wrong, is for a tick."""
        under_way = self._hurried.get(brand)
        if under_way is None or under_way.done():
            # Where one is under way the request stays: a look finds it right after.
            self._hurried[brand] = self._hurry.submit(self._see_to, brand)

    def _see_to(self, brand: str) -> None:
        try:
            ctx = self._registry.context(brand)
            with self._registry.ledger.read() as session:
                row = returns.known_brand(session, brand)
            if tick.may_hurry(ctx, row):
                with self._registry.ledger.hurried():
                    if tick.hurry(ctx):
                        return
        except (BrandBusy, LockLost):
            return  # a tick runs: the next look asks for another one
        except LedgerError as error:
            if not absence.gone(error):
                log.error("a webhook's return waits for the next sync", why=trouble(error))
            return
        except Exception:
            log.exception("a webhook's return waits for the next sync", brand=brand)
        self._ask([brand])

    def under_way(self) -> list[Future[bool]]:
        """The looks that are."""
        return [look for _, look in self._under_way.values()]

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self.look()
            except LedgerError as error:
                if not absence.gone(error):
                    log.error("looking stopped", why=trouble(error))
            except Exception:
                log.exception("looking failed inside")

    def look(self) -> None:
        """Write down what was looked at, ask which brands are due, and look at these."""
        now = self._now()
        self._take_ended()
        due = {b: row for b, row in self._registry.due_rows(now).items() if self._news(b, row, now)}
        enough = self._enough(due, now)
        ours = self._claimed(enough, now)
        budget.ahead(self._registry.ledger, map(self._key, ours), CALLS_OF_A_LOOK)
        for brand, (claimed, waiting) in ours.items():
            row = due[brand]
            assert row is not None
            look = self._pool.submit(self._look_at, brand, row, claimed, waiting)
            self._under_way[brand] = (claimed, look)
        self._ask_for({b: row for b, row in due.items() if b not in enough}, now)

    def _take_ended(self) -> None:
        """Looks that have ended: what they found is written down, or a tick has been asked for."""
        # First who has ended, then what they found: who ends between is taken the next time.
        ended = {b: one for b, one in self._under_way.items() if one[1].done()}
        self._write(_taken(self._quiet))
        for brand, (claimed, look) in ended.items():
            del self._under_way[brand]
            if look.result():
                self._asked[brand] = ((claimed, False), time.monotonic())

    def _news(self, brand: str, row: BrandRow | None, now: datetime) -> bool:
        """Whether a brand that is due is not looked at already, here or by a tick that was asked
        for; also where somebody has asked for a tick meanwhile."""
        if brand in self._under_way and not _nudged(row, now):
            return False
        hurried = self._hurried.get(brand)
        if hurried is not None and not hurried.done():
            return False
        asked = self._asked.get(brand)
        return (
            asked is None
            or asked[0] != _state(row, now)
            or time.monotonic() - asked[1] >= ASK_AGAIN
        )

    def _write(self, looks: Sequence[Looked]) -> None:
        """One transaction for all that found nothing."""
        if not looks:
            return
        with self._registry.ledger.write() as session:
            quiet.looked(session, looks)
        absence.back()

    def _enough(
        self, due: Mapping[str, BrandRow | None], now: datetime
    ) -> dict[str, tuple[datetime, Waiting]]:
        """Those for which a glance is enough, each with when it was due."""
        calm = {b: row for b, row in due.items() if row and row.quiet_looks}
        calm = {b: row for b, row in calm.items() if not _nudged(row, now)}
        if not calm:
            return {}
        with self._registry.ledger.read() as session:
            waiting = quiet.waiting(session, list(calm), now)
            self._calls = calls.counted_by_key(session)
        return {
            brand: (row.next_due_at, waiting[brand])
            for brand, row in calm.items()
            if row.next_due_at is not None
            and brand in self._registry
            and glance.enough(self._registry.context(brand), row, waiting[brand], now)
        }

    def _claimed(
        self, enough: Mapping[str, tuple[datetime, Waiting]], now: datetime
    ) -> Mapping[str, tuple[datetime, Waiting]]:
        """Those that this process looks at. An embedded database has no other that would."""
        if not enough or self._registry.ledger.is_sqlite:
            return enough
        with self._registry.ledger.write() as session:
            ours = quiet.claim(session, sorted(enough), now, now + CLAIM)
        return {b: (now + CLAIM, waiting) for b, (_, waiting) in enough.items() if b in ours}

    def _look_at(self, brand: str, row: BrandRow, claimed: datetime, waiting: Waiting) -> bool:
        """Look at one brand; whether a tick was asked for."""
        try:
            ctx, now = self._registry.context(brand), self._now()
            if not glance.news(ctx, waiting.marks, now):
                self._quiet.put(self._looked(ctx, row, claimed, waiting, now))
                return False
        except OutsideError as error:
            log.warning("a look failed: a tick follows", brand=brand, error=str(error))
        except LedgerError as error:
            if not absence.gone(error):
                log.error("a look failed", brand=brand, why=trouble(error))
            return False
        except Exception:
            log.exception("a look failed inside", brand=brand)
        self._ask([brand])
        return True

    def _looked(
        self, ctx: BrandContext, row: BrandRow, claimed: datetime, waiting: Waiting, at: datetime
    ) -> Looked:
        ended, many = self._now(), tick.quieter(row.quiet_looks)
        with self._registry.ledger.read() as session:
            hours = ctx.warehouse_hours(session)
        counted = self._calls.get(calls.key_hash(self._key(ctx.brand)), 0)
        signs = tick.Signs(many, waiting.awaited, hours, counted)
        soon = ended + tick.interval(ctx.settings, ctx.brand, signs, ended)[0]
        return Looked(
            brand=ctx.brand,
            at=at,
            ended=ended,
            claimed=claimed,
            quiet=many,
            next_due=min(soon, waiting.earliest or soon),
            moved={name: waiting.marks[name] for name in glance.CURSORS},
            counts=ctx.counts.take(),
        )

    def _key(self, brand: str) -> str:
        return self._registry.context(brand).settings.loop.api_key.get_secret_value()

    def _ask_for(self, due: Mapping[str, BrandRow | None], now: datetime) -> None:
        """Have ticks made; not again while nothing has become of the one that was asked for."""
        if due:
            self._ask(list(due))
            at = time.monotonic()
            self._asked.update({b: (_state(row, now), at) for b, row in due.items()})


def _state(row: BrandRow | None, now: datetime) -> State:
    """What changes as soon as a tick has begun or ended."""
    return (row.next_due_at if row else None), _nudged(row, now)


def _nudged(row: BrandRow | None, now: datetime) -> bool:
    return row is not None and row.nudged_at is not None and row.nudged_at <= now


def _taken(looks: queue.SimpleQueue[Looked]) -> list[Looked]:
    found: list[Looked] = []
    while True:
        try:
            found.append(looks.get_nowait())
        except queue.Empty:
            return found
