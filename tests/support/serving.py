"""ASGI apps on ports of their own, all in a few loops that last as long as the process: a server
and a thread for each would cost a quarter of a second to end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from email.utils import formatdate
from functools import cache, partial
from typing import Any, TypeVar

import uvicorn
from uvicorn.server import ServerState

T = TypeVar("T")


class Served:
    """An app on a port, until it is closed. Apps that call each other have different `loop`s."""

    def __init__(self, app: Any, loop: str = "service", **how: Any) -> None:
        self._run = _loop(loop)
        self._config = uvicorn.Config(
            app, **{"host": "127.0.0.1", "port": 0, "log_config": None, "lifespan": "off", **how}
        )
        self._config.load()
        self._lifespan = self._config.lifespan_class(self._config)
        self._state = ServerState()
        dated = [(b"date", formatdate(usegmt=True).encode())] if self._config.date_header else []
        self._state.default_headers = dated + self._config.encoded_headers
        self._server: asyncio.Server = self._run(self._open())
        self.port = int(self._server.sockets[0].getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Hang up on everybody; what is being answered may end."""
        self._run(self._close())

    async def _open(self) -> asyncio.Server:
        await self._lifespan.startup()
        protocol: Any = partial(
            self._config.http_protocol_class,
            config=self._config,
            server_state=self._state,
            app_state=self._lifespan.state,
        )
        return await asyncio.get_running_loop().create_server(
            protocol, self._config.host, self._config.port
        )

    async def _close(self) -> None:
        self._server.close()
        for connection in list(self._state.connections):
            if connection.transport:
                connection.transport.abort()
        await asyncio.sleep(0)
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=10)
        await self._lifespan.shutdown()


@contextmanager
def serving(app: Any, loop: str = "service", **how: Any) -> Generator[str]:
    """An app on a free port; its URL. `how` goes to uvicorn."""
    served = Served(app, loop, **how)
    try:
        yield served.url
    finally:
        served.close()


@cache
def _loop(name: str) -> Callable[[Coroutine[Any, Any, T]], T]:
    """What runs a coroutine in the loop of this name, and waits for it."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=f"{name} loop", daemon=True).start()
    return lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(30)
