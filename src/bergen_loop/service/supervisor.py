"""Telling systemd that the service is ready, and every now and then that it is alive: a process
whose interpreter something holds for good is then restarted (WatchdogSec in the unit). Does
nothing where no supervisor asks for it. Protocol: sd_notify(3)."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress

_READY, _ALIVE, _STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"


class Supervisor:
    """The connection to the supervisor, between `ready` and `stopping`."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        asked = os.environ.get("WATCHDOG_USEC", "") if mine else ""
        self._every = int(asked) / 1_000_000 / 3 if asked.isdigit() else 0.0
        self._stop = threading.Event()

    def ready(self) -> None:
        """Say that it works now, and go on saying so."""
        self._tell(_READY)
        if self._address and self._every:
            threading.Thread(target=self._run, name="supervisor", daemon=True).start()

    def stopping(self) -> None:
        """Say that the end was asked for."""
        self._stop.set()
        self._tell(_STOPPING)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._tell(_ALIVE)
            self._stop.wait(self._every)

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), address)
