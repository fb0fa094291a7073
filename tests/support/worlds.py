"""A sandbox on a real socket with a clock of the test's, and brands connected to it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from bergen_loop.config import BrandSettings
from bergen_loop.domain.criteria import load_criteria, preset_text
from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.outside.http import Around, Retries, SlidingWindowLimiter, Timeouts
from bergen_loop.outside.loop.client import LoopClient, LoopConfig
from bergen_loop.service import wiring as connecting
from bergen_loop.tell.calls import observer
from loop_sandbox import (
    ManualClock,
    SandboxWorld,
    Settings,
    control_views,
    create_app,
    parcels,
)
from loop_sandbox.faults import FaultRule
from support import brands
from support.serving import Served

START = datetime(2026, 11, 10, 15, 0, tzinfo=UTC)
Rewrite = Callable[[str, bytes], bytes]
"""From an operation's name and its answer's body to the body that is sent instead."""


class World:
    """A sandbox that is served, and the hands that work in it."""

    def __init__(self, returns: int, seed: int, settings: Settings | None = None) -> None:
        self.clock = ManualClock(START)
        self.sandbox = SandboxWorld(
            seed,
            returns,
            clock=self.clock,
            settings=settings or Settings(rate_limit_per_minute=10**6, hang_seconds=1.5),
        )
        self._sandbox_app = create_app(self.sandbox)
        self.rewrites: list[Rewrite] = []
        """What becomes of every answer of Loop and REX11, one after the other."""
        self._served = Served(self._app, "sandbox", interface="asgi3")
        self.url = self._served.url

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        """The sandbox, with its answers rewritten."""
        path = str(scope.get("path", ""))
        if not self.rewrites or path.startswith("/control"):
            await self._sandbox_app(scope, receive, send)
            return
        headers = dict(scope.get("headers", []))
        action = headers.get(b"soapaction", b"").decode().strip('"')
        operation = (action or path).rsplit("/", 1)[-1]
        started: dict[str, Any] = {}

        async def rewritten(message: Any) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
                return
            body = message.get("body", b"")
            if not message.get("more_body"):
                for rewrite in self.rewrites:
                    body = rewrite(operation, body)
                kept = [(k, v) for k, v in started["headers"] if k != b"content-length"]
                started["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
            await send(started)
            await send({**message, "body": body})

        await self._sandbox_app(scope, receive, rewritten)

    def close(self) -> None:
        self._served.close()
        self.sandbox.close()

    def advance(self, seconds: float) -> None:
        """Let time pass, for both systems and for us."""
        self.clock.advance(seconds)
        self.sandbox.run_due()

    def now(self) -> datetime:
        return self.clock.now()

    def new_return(self, brand: str, **how: Any) -> str:
        """A customer submits a return; its id."""
        with self.sandbox.lock:
            return str(self.sandbox.new_return(brand, **how).id)

    def state(self, return_id: str) -> str:
        """The state Loop gives it."""
        with self.sandbox.lock:
            found = self.sandbox.find_return(return_id)
            assert found is not None
            return str(found.state)

    def tickets(self, return_id: str) -> list[Any]:
        """Tickets with this return's PO."""
        with self.sandbox.lock:
            return [
                t
                for brand in self.sandbox.brands.values()
                for t in brand.tickets.values()
                if return_id in (t.po or "")
            ]

    def receive(self, return_id: str, kind: str = "complete", **detail: Any) -> None:
        """A parcel arrives for the return's ticket."""
        with self.sandbox.lock:
            for ticket in self.tickets(return_id):
                if ticket.status == "Draft":
                    parcels.receive(self.sandbox, ticket, kind, detail or None)

    def calls(self, operation: str) -> list[Any]:
        """Calls of one operation, by the sandbox's own log."""
        with self.sandbox.lock:
            return self.sandbox.calls.find(operation=operation, limit=10**6)

    def fault(self, system: str, kind: str, **how: Any) -> None:
        """Have something go wrong."""
        with self.sandbox.lock:
            self.sandbox.faults.add(FaultRule(system, kind, **how))

    def change(self, return_id: str, action: str, **values: Any) -> None:
        """Someone does something to the return in Loop: edit, cancel, expire, reopen ..."""
        answer = httpx2.post(f"{self.url}/control/returns/{return_id}/{action}", json=values)
        assert answer.status_code == 200, answer.text

    def cancel_ticket(self, ticket_id: str) -> None:
        """The warehouse cancels a ticket."""
        answer = httpx2.post(f"{self.url}/control/tickets/{ticket_id}/cancel", json={})
        assert answer.status_code == 200, answer.text

    def reopen_ticket(self, ticket_id: str, kind: str = "found", **values: Any) -> None:
        """The warehouse opens a finished ticket and counts it again."""
        self._ticket(ticket_id, "reopen", {"kind": kind, **values})

    def correct_ticket(self, ticket_id: str, kind: str, **values: Any) -> None:
        """The warehouse changes what a ticket counted, without a word in its status."""
        self._ticket(ticket_id, "correct", {"kind": kind, **values})

    def _ticket(self, ticket_id: str, action: str, values: dict[str, Any]) -> None:
        answer = httpx2.post(f"{self.url}/control/tickets/{ticket_id}/{action}", json=values)
        assert answer.status_code == 200, answer.text

    def effects(self, return_id: str) -> dict[str, Any]:
        """What was really done to a return."""
        with self.sandbox.lock:
            return control_views.effects(self.sandbox, {}, self.url)["returns"][return_id]


@contextmanager
def serving(returns: int = 0, seed: int = 7, settings: Settings | None = None) -> Generator[World]:
    """A world on a socket."""
    world = World(returns, seed, settings)
    try:
        yield world
    finally:
        world.close()


QUICK = Retries(attempts=2, rate_limited=2, first_wait=0.01, first_wait_limited=0.01, jitter=0.01)


def brand_settings(world: World, brand: str = "northpine", **changes: Any) -> BrandSettings:
    """Settings of one of the sandbox's brands; `changes` are merged block by block."""
    changes["announce"] = {"warehouse": "NJ", **changes.get("announce", {})}
    return brands.of_sandbox(world.sandbox.brand(brand), world.url, **changes)


def context(
    world: World,
    ledger: Ledger,
    brand: str = "northpine",
    *,
    wait: str = "7d",
    criteria: str = "standard",
    **changes: Any,
) -> BrandContext:
    """A brand connected to the world, sharing its clock. It pulls a day's past: a test that is
    about more says so."""
    changes["loop"] = {"backfill": "1d", **changes.get("loop", {})}
    ctx = connecting.connect(brand, brand_settings(world, brand, **changes), ledger, Path())
    ctx.loop = LoopClient(
        brand=brand,
        api_key=ctx.settings.loop.api_key.get_secret_value(),
        config=LoopConfig(
            base_url=ctx.settings.loop.base_url, retries=QUICK, timeouts=Timeouts(read=1.0)
        ),
        around=Around(
            limiter=SlidingWindowLimiter(limit=10**9),
            guard=ctx.breakers.loop,
            on_call=observer(ctx.counts.add, ctx.calls.add),
            now=world.now,
        ),
    )
    if ctx.settings.warehouse == "rex11":
        ctx.warehouse = connecting.rex11_warehouse(
            brand,
            ctx.settings,
            QUICK,
            around=Around(
                guard=ctx.breakers.rex11, on_call=observer(ctx.counts.add, ctx.calls.add)
            ),
        )
    ctx.now = world.now
    text = preset_text(criteria).replace("wait: 7d", f"wait: {wait}")
    ctx.criteria = load_criteria(text, source=f"{criteria}.yaml")
    return ctx


def run(world: World, *contexts: BrandContext, ticks: int = 1, seconds: float = 60.0) -> None:
    """Ticks, with time passing between them."""
    for _ in range(ticks):
        for ctx in contexts:
            results = tick.run(ctx)
            errors = {n: r["error"] for n, r in results.items() if "error" in r}
            assert not errors, errors
        world.advance(seconds)


class Killed(BaseException):
    """The service is gone in the middle of a tick."""


def killed_at(ctx: BrandContext, boundary: str) -> None:
    """A tick that is killed there."""

    def kill(name: str) -> None:
        if name == boundary:
            raise Killed

    before, ctx.boundary = ctx.boundary, kill
    try:
        tick.run(ctx)
    except Killed:
        return
    finally:
        ctx.boundary = before
    raise AssertionError(f"the tick never came to {boundary!r}")
