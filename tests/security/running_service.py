"""The console on a server of its own, set as the service sets it: for attacks in which it counts
what happens at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import uvicorn
from web_support import Desk

from bergen_loop.console.serve import server_config

T = TypeVar("T")


@contextmanager
def running(desk: Desk) -> Generator[tuple[str, int]]:
    """(host, port) of the desk's console as long as it runs."""
    config = server_config(desk.app, desk.registry, "127.0.0.1", 0)
    config.log_level = "critical"
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield "127.0.0.1", int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)


def at_once(number: int, work: Callable[[int], T]) -> Sequence[T]:
    """`work(0)` ... `work(number - 1)`, all begun at the same moment."""
    gate = threading.Barrier(number)

    def begin(n: int) -> T:
        gate.wait()
        return work(n)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(begin, range(number)))
