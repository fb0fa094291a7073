"""The sandbox as one web app: a page at `/`, `/loop`, `/rex11`, `/control`, `/floor`, `/health`."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from loop_sandbox import manual
from loop_sandbox.asgi import Endpoint
from loop_sandbox.control import handle_control
from loop_sandbox.dispatch import Outgoing, handle_loop, handle_rex11
from loop_sandbox.floor import handle_floor
from loop_sandbox.wire import Answer, WireRequest, json_answer
from loop_sandbox.world import SandboxWorld

TICK = 0.05
"""Seconds between looks at what is due while nobody calls."""


def create_app(world: SandboxWorld) -> Starlette:
    """The app around a world; its background work runs between startup and shutdown."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        stop = threading.Event()
        ticker = threading.Thread(target=_tick, args=(world, stop), name="ticker", daemon=True)
        ticker.start()
        yield
        stop.set()
        ticker.join(timeout=5)
        world.close()

    return Starlette(
        routes=[
            Mount("/loop", app=Endpoint(partial(handle_loop, world))),
            Mount("/rex11", app=Endpoint(partial(handle_rex11, world))),
            Mount("/control", app=Endpoint(partial(handle_control, world))),
            Mount("/floor", app=Endpoint(partial(handle_floor, world))),
            Route("/", endpoint=Endpoint(partial(_front, world))),
            Route("/health", endpoint=Endpoint(partial(_health, world))),
        ],
        lifespan=lifespan,
    )


def _tick(world: SandboxWorld, stop: threading.Event) -> None:
    while not stop.wait(TICK):
        world.run_due()


def _front(world: SandboxWorld, request: WireRequest) -> Outgoing:
    with world.lock:
        text = manual.front_page(world, request.root)
    return Outgoing(Answer(200, text.encode(), "text/html; charset=utf-8"))


def _health(world: SandboxWorld, request: WireRequest) -> Outgoing:
    with world.lock:
        body = {
            "status": "ok",
            "seed": world.seed,
            "brands": len(world.brands),
            "returns": sum(len(b.returns) for b in world.brands.values()),
            "pending": world.scheduler.pending(),
            "calls": len(world.calls),
        }
    return Outgoing(json_answer(body))
