"""Telling browsers that the journal has moved.

One task looks at the journal's newest id while anybody listens; listeners wait in memory and
hold no connection of the database. Where several processes share the ledger each looks for
itself, so a change made by any of them is told by all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from bergen_loop.ledger import figures
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.tables import JournalRow

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

    async def stream(self, scope: Scope, longest: float = LONGEST) -> AsyncGenerator[str]:
        """Server-sent events: `moved` with the newest id, whenever a brand in scope is
        concerned."""
        listener = _Listener(scope)
        self._listeners.add(listener)
        self._watch()
        clock = asyncio.get_running_loop().time
        ends, beat = clock() + longest, clock() + BEAT
        try:
            yield "retry: 3000\n\n"
            while not self.stopping() and clock() < ends:
                news = await listener.wait(self._every)
                if news is not None:
                    yield f"event: moved\ndata: {news}\n\n"
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
        last: int | None = None
        while self._listeners and not self.stopping():
            try:
                last, brands = await run_in_threadpool(self._news, last)
            except SQLAlchemyError as error:
                log.warning("the journal cannot be looked at", why=type(error).__name__)
                brands = set[str | None]()
            for listener in list(self._listeners):
                listener.tell(last or 0, brands)
            await asyncio.sleep(self._every)

    def _news(self, last: int | None) -> tuple[int, set[str | None] | None]:
        """The newest id, and the brands of what came since; None: too many to tell."""
        with self._ledger.read() as session:
            newest = figures.last_entry(session)
            if last is None or newest <= last:
                return newest, set()
            if newest - last > MANY:
                return newest, None
            query = sa.select(JournalRow.brand).where(JournalRow.id > last).distinct()
            return newest, set(session.scalars(query))


class _Listener:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._moved = asyncio.Event()
        self._newest = 0

    def tell(self, newest: int, brands: set[str | None] | None) -> None:
        if brands is None or any(b in self._scope for b in brands):
            self._newest = newest
            self._moved.set()

    async def wait(self, seconds: float) -> int | None:
        """The newest id if something has moved within the time."""
        try:
            await asyncio.wait_for(self._moved.wait(), seconds)
        except TimeoutError:
            return None
        self._moved.clear()
        return self._newest
