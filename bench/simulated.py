"""A brand's weeks in minutes: sandbox and service share a clock that jumps from one event to the
next, and every call is counted by the sandbox's own log."""

from __future__ import annotations

import heapq
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.rig import BRAND, PROCESSED, quiet
from bergen_loop.console.webhooks import PER_POLL
from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import returns
from bergen_loop.outside.http import Around, SlidingWindowLimiter
from bergen_loop.outside.loop.client import LoopClient, LoopConfig
from loop_sandbox.settings import Settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support import worlds

if TYPE_CHECKING:
    from support.worlds import World

SCHEDULE = timedelta(seconds=5)
"""The service looks this often which brands are due."""


@dataclass
class Simulation:
    """One brand, its customers and its parcels, in a world of its own time."""

    world: World
    ctx: BrandContext
    webhooks: bool = False
    ticks: int = 0
    _events: list[tuple[datetime, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def at(self, when: datetime, what: Callable[[], None]) -> None:
        """Have something happen."""
        heapq.heappush(self._events, (when, next(self._numbers), what))

    def over(
        self, begin: datetime, length: timedelta, number: int, what: Callable[[], None]
    ) -> None:
        """Have something happen so often, evenly."""
        for n in range(number):
            self.at(begin + length * n / number, what)

    def submit(self) -> None:
        """A customer submits a return."""
        self.world.new_return(BRAND)
        if self.webhooks:
            with self.ctx.ledger.write() as session:
                returns.nudge(session, BRAND, self.ctx.now(), self.ctx.settings.poll / PER_POLL)

    def run(self, until: datetime, done: Callable[[], bool] = lambda: False) -> None:
        """Ticks as the service would make them, until then, or until it is done."""
        while self.world.now() < until and not done():
            self._happen()
            if self._due() <= self.world.now():
                tick.run(self.ctx)
                self.ticks += 1
            following = min(self._due(), self._events[0][0] if self._events else until, until)
            self._jump(following)

    def calls(self) -> Counter[tuple[str, str]]:
        """All calls so far, by system and operation."""
        made = self.world.sandbox.calls.find(limit=10**9)
        refused = [c for c in made if c.outcome == "429"]
        if refused:
            raise AssertionError(f"{len(refused)} calls were answered 429")
        return Counter((c.system, c.operation) for c in made if c.operation != PROCESSED)

    def _happen(self) -> None:
        while self._events and self._events[0][0] <= self.world.now():
            heapq.heappop(self._events)[2]()

    def _due(self) -> datetime:
        with self.ctx.ledger.read() as session:
            row = returns.brand_row(session, BRAND)
            due = row.next_due_at or self.world.now()
            return min(due, row.nudged_at or due)

    def _jump(self, to: datetime) -> None:
        ahead = to - self.world.now()
        self.world.advance(max(ahead, SCHEDULE).total_seconds())


@contextmanager
def simulation(*, webhooks: bool = False, **settings: Any) -> Generator[Simulation]:
    """An empty world and a connected brand, live, by the standard criteria, at Loop's own limit
    of calls."""
    quiet()
    with (
        tempfile.TemporaryDirectory(prefix="bergen-loop-bench-") as folder,
        worlds.serving(settings=Settings(review_held_share=0.0)) as world,
    ):
        ledger = Ledger(f"sqlite:///{folder}/ledger.db")
        ledger.migrate()
        # A product without a barcode is refused by REX11 and waits for a person.
        catalogue = world.sandbox.brand(BRAND).catalogue
        catalogue[:] = [product for product in catalogue if product.shop_barcode]
        # One call at a time: threads that wait would each move the clock.
        settle = {"concurrency": 1, **settings.pop("settle", {})}
        ctx = worlds.context(world, ledger, BRAND, settle=settle, **settings)
        ctx.loop = LoopClient(
            brand=BRAND,
            api_key=ctx.settings.loop.api_key.get_secret_value(),
            config=LoopConfig(base_url=ctx.settings.loop.base_url),
            around=Around(
                limiter=SlidingWindowLimiter(
                    clock=lambda: world.now().timestamp(), sleep=world.clock.advance
                ),
                now=world.now,
            ),
        )
        yield Simulation(world, ctx, webhooks)
        ledger.close()
