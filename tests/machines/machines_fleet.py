"""A sandbox, a PostgreSQL database and several workers, all processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from demo import settings as demo_settings
from demo.processes import Process, free_port
from demo.world import SandboxControl
from sqlalchemy.exc import ProgrammingError

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import WorkerRow


class Fleet:
    """The workers of a database, and the hands that start and kill them."""

    def __init__(self, folder: Path, url: str, control: SandboxControl) -> None:
        self.folder, self.url, self.control = folder, url, control
        self.config = demo_settings.write(folder, control.config(), free_port())
        text = self.config.read_text()
        text = text.replace(f"sqlite:///{folder}/ledger.db", url)
        text = text.replace("  schedule: 1s", "  schedule: 1s\n  worker_gone_after: 2s")
        text = text.replace("mode: shadow", "mode: live").replace("poll: 3s", "poll: 1s")
        text = text.replace("label_wait: 8s", "label_wait: 1s")
        self.config.write_text(text)
        self.ledger = Ledger(url)
        self.ledger.migrate()
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> int:
        """A further worker; its process id."""
        return self._start("worker")

    def serve(self, *options: str) -> int:
        """A service, with these options; its process id."""
        return self._start("serve", "--no-auth", "--port", str(free_port()), *options)

    def _start(self, *command: str) -> int:
        log = (self.folder / f"worker-{len(self._children)}.log").open("wb")
        child = subprocess.Popen(
            [sys.executable, "-m", "bergen_loop", *command, "-c", str(self.config)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        )
        self._children[child.pid] = child
        return child.pid

    def kill(self, pid: int) -> None:
        """SIGKILL: no chance to tidy up."""
        self._children[pid].send_signal(signal.SIGKILL)
        self._children[pid].wait()

    def stop(self, pid: int) -> int:
        """SIGTERM; the exit code."""
        self._children[pid].terminate()
        return self._children[pid].wait(30)

    def alive(self) -> dict[int, str]:
        """Executor ids of the workers that have signed on, by process id."""
        with self.ledger.read() as session:
            rows = session.scalars(sa.select(WorkerRow))
            return {r.pid: r.executor_id for r in rows if r.pid in self._children}

    def all_alive(self) -> dict[int, str]:
        """The same of all that have signed on, whoever has started them."""
        with self.ledger.read() as session:
            return {r.pid: r.executor_id for r in session.scalars(sa.select(WorkerRow))}

    def pending(self) -> dict[str, str]:
        """Brand syncs that run right now: id of the workflow and of its executor."""
        query = sa.text(
            "SELECT workflow_uuid, executor_id FROM dbos.workflow_status "
            "WHERE status = 'PENDING' AND queue_name = 'brand-sync'"
        )
        return {str(w): str(e) for w, e in self._asked(query)}

    def ran(self) -> set[str]:
        """Executors that have finished a brand's sync."""
        query = sa.text(
            "SELECT DISTINCT executor_id FROM dbos.workflow_status "
            "WHERE status = 'SUCCESS' AND queue_name = 'brand-sync'"
        )
        return {str(e) for (e,) in self._asked(query)}

    def receive(self) -> None:
        """Parcels arrive for all tickets that wait for one."""
        self.control.post("/control/parcels/auto", {"mix": {"complete": 80, "damaged": 20}})

    def _asked(self, query: sa.TextClause) -> list[Any]:
        try:
            with self.ledger.engine.connect() as connection:
                return list(connection.execute(query))
        except ProgrammingError:
            return []  # the engine has not made its tables yet

    def logs(self) -> str:
        return "\n".join(p.read_text(errors="replace") for p in self.folder.glob("worker-*.log"))

    def close(self) -> None:
        for child in self._children.values():
            if child.poll() is None:
                child.kill()
                child.wait()
        self.ledger.close()


def wait_for(what: str, holds: Callable[[], Any], patience: float = 120.0) -> Any:
    """The first true answer; an assertion fails when there is none in time."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        answer = holds()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {patience:g} s: {what}")


@contextmanager
def sandbox(folder: Path, returns: int) -> Generator[SandboxControl]:
    """A sandbox in a process of its own."""
    port = free_port()
    arguments = ["loop_sandbox", "--port", str(port), "--returns", str(returns)]
    arguments += ["--log-level", "warning", "--set", "hang_seconds=4"]
    process = Process(arguments, folder / "sandbox.log", {})
    control = SandboxControl(f"http://127.0.0.1:{port}")
    process.start(control.healthy)
    try:
        yield control
    finally:
        control.close()
        process.stop()
