"""Further processes of one service on this machine, so that it uses all cores: each runs ticks like
any `bergen-loop worker`. They end with the process that started them, however that one ends."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import structlog

log = structlog.get_logger()

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before one that has died is started anew: longer each time it dies soon."""
SOON = 60.0
PATIENCE = 20.0
"""Seconds that each has to end its ticks."""


class Crew:
    """Processes that are kept running from `start` until they are let go."""

    def __init__(self, number: int, arguments: Sequence[str]) -> None:
        """`arguments` are those of `bergen-loop`, for each of them; it has to end when its
        standard input does (`until_let_go`)."""
        self._command = [sys.executable, "-m", "bergen_loop", *arguments]
        self._stop = threading.Event()
        self._keepers = [
            threading.Thread(target=self._keep, name=f"crew {n}", daemon=True)
            for n in range(number)
        ]

    def start(self) -> None:
        for keeper in self._keepers:
            keeper.start()

    def let_go(self) -> None:
        """Have all end what they are doing."""
        self._stop.set()

    def wait(self) -> None:
        """Until all that were let go have ended; one that takes too long is killed."""
        for keeper in self._keepers:
            if keeper.is_alive():
                keeper.join()

    def _keep(self) -> None:
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            began = time.monotonic()
            code = self._run()
            if self._stop.is_set():
                return
            pause = FIRST_PAUSE if time.monotonic() - began > SOON else pause
            log.error("a worker process has ended: another one follows", code=code, seconds=pause)
            self._stop.wait(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)

    def _run(self) -> int:
        """One process from its start to its end; its exit code."""
        # In a session of its own: a terminal's Ctrl-C is for who starts and ends them.
        with subprocess.Popen(  # noqa: S603 - this program itself
            self._command, stdin=subprocess.PIPE, start_new_session=True
        ) as child:
            assert child.stdin is not None
            while child.poll() is None and not self._stop.wait(0.2):
                pass
            child.stdin.close()  # it is let go
            try:
                return child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                return child.wait()


def until_let_go(done: threading.Event) -> None:
    """In a process of a crew: set `done` as soon as its starter lets it go, or is no more."""

    def wait() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        done.set()

    threading.Thread(target=wait, name="let go", daemon=True).start()
