"""The `bergen-loop` command, killing itself (SIGKILL: no clean-up of any kind) at the n-th pass of
a boundary: BERGEN_LOOP_CRASH_AT="settlement sent:3"."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from bergen_loop.cli import main
from bergen_loop.service import wiring as brands


class KillAt:
    """A boundary that ends the process when it has been passed often enough."""

    def __init__(self, where: str) -> None:
        self.name, _, number = where.rpartition(":")
        self.left = int(number)
        self.lock = threading.Lock()

    def __call__(self, name: str) -> None:
        with self.lock:
            self.left -= name == self.name
            if name == self.name and self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def install() -> None:
    where = os.environ.get("BERGEN_LOOP_CRASH_AT")
    if not where:
        return
    connect, boundary = brands.connect, KillAt(where)

    def connected(*args: Any, **kwargs: Any) -> Any:
        ctx = connect(*args, **kwargs)
        ctx.boundary = boundary
        return ctx

    brands.connect = connected


if __name__ == "__main__":
    install()
    main()
