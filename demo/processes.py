"""Processes of the demonstration: started, waited for, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PATIENCE = 90.0
"""Seconds for a process to answer after its start."""


class DidNotStart(Exception):
    """A process ended or did not answer in time; the message has the end of its log."""


class Process:
    """A child process with its log file."""

    def __init__(self, arguments: Sequence[str], log: Path, env: dict[str, str]) -> None:
        self._arguments, self._env = list(arguments), env
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process, which has been started."""
        assert self._child is not None
        return self._child.pid

    def start(self, answers: Callable[[], bool]) -> None:
        """Start, and wait until it answers. Raises DidNotStart."""
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own programs
                [sys.executable, "-m", *self._arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._env},
            )
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self._child.poll() is not None:
                raise DidNotStart(f"{self._arguments[0]} ended at once:\n{self.tail()}")
            if answers():
                return
            time.sleep(0.1)
        raise DidNotStart(f"{self._arguments[0]} did not answer:\n{self.tail()}")

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        if self._child and self._child.poll() is None:
            self._child.send_signal(signal.SIGKILL)
            self._child.wait()

    def stop(self, patience: float = 15.0) -> None:
        """Ask it to end; after `patience` seconds make it."""
        if self._child is None or self._child.poll() is not None:
            return
        self._child.terminate()
        try:
            self._child.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
