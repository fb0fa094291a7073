"""Telling browsers that the journal has moved.

One task looks at the journal's newest id while anybody listens; listeners wait in memory and
hold no connection of the database. Where several processes share the ledger each looks for
itself, so a change made by any of them is told by all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

import structlog
from starlette.concurrency import run_in_threadpool

from bergen_loop.ledger.database import Ledger, LedgerError, absence
from bergen_loop.ledger.read import figures
from bergen_loop.ledger.scope import Scope

EVERY = 1.0
"""Seconds between two looks."""
BEAT = 15.0
"""Seconds after which something is sent in any case, so that proxies keep the connection."""
LONGEST = 600.0
"""Seconds after which a stream ends; the browser comes back, and is asked who it is again."""
MANY = 500
"""Entries at a time whose brands are told apart; more than that concerns everyone."""

log = structlog.get_logger()


class Live:
    """The listeners of this process."""

    def __init__(self, ledger: Ledger, *, every: float = EVERY) -> None:
        self._ledger = ledger
        self._every = every
        self._listeners: set[_Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self.stopping: Callable[[], bool] = lambda: False
        """Whether the server is about to end: streams end then."""

    async def stream(
        self, scope: Scope, since: int | None = None, *, longest: float = LONGEST
    ) -> AsyncGenerator[str]:
        """Server-sent events: `moved` with the newest id, whenever a brand in scope is
        concerned. `since` is the newest id that the browser's page has seen; without it, what
        was before is no news."""
        listener = _Listener(scope, since)
        self._listeners.add(listener)
        self._watch()
        clock = asyncio.get_running_loop().time
        ends, beat = clock() + longest, clock() + BEAT
        try:
            yield "retry: 3000\n\n"
            while not self.stopping() and clock() < ends:
                news = await listener.wait(self._every)
                if news is not None:
                    yield f"id: {news}\nevent: moved\ndata: {news}\n\n"
                elif clock() >= beat:
                    yield ": still here\n\n"
                else:
                    continue
                beat = clock() + BEAT
        finally:
            self._listeners.discard(listener)

    async def close(self) -> None:
        """End all streams."""
        self.stopping = lambda: True
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _watch(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while self._listeners and not self.stopping():
            known = [one.seen for one in self._listeners if one.seen is not None]
            try:
                newest, brands = await run_in_threadpool(self._news, min(known, default=None))
            except LedgerError as error:
                if not absence.gone(error):
                    log.warning("the journal cannot be looked at", why=type(error).__name__)
            else:
                for listener in list(self._listeners):
                    listener.tell(newest, brands)
            await asyncio.sleep(self._every)

    def _news(self, since: int | None) -> tuple[int, set[str | None] | None]:
        """The newest id, and the brands of what came since; None: too many to tell."""
        with self._ledger.read() as session:
            newest = figures.last_entry(session)
            if since is None or newest <= since:
                return newest, set()
            if newest - since > MANY:
                return newest, None
            return newest, figures.brands_since(session, since)


class _Listener:
    """A browser that waits. `seen` is the newest id it knows or need not know."""

    def __init__(self, scope: Scope, seen: int | None) -> None:
        self._scope = scope
        self.seen = seen
        self._moved = asyncio.Event()

    def tell(self, newest: int, brands: set[str | None] | None) -> None:
        """Something may have moved up to `newest`. At worst it is told of what it has seen."""
        concerned = brands is None or any(b in self._scope for b in brands)
        if concerned and self.seen is not None and newest > self.seen:
            self._moved.set()
        self.seen = max(newest, self.seen or 0)

    async def wait(self, seconds: float) -> int | None:
        """The newest id if something has moved within the time."""
        try:
            await asyncio.wait_for(self._moved.wait(), seconds)
        except TimeoutError:
            return None
        self._moved.clear()
        return self.seen
