"""Empty databases of both kinds, as durable as in production."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"


@contextmanager
def databases() -> Generator[dict[str, Callable[[], str]]]:
    """For each kind, how to get an empty database: its URL."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from support.postgres import Cluster

    class Durable(Cluster):
        """As the tests' cluster, but a commit is on the disk, as in production."""

        def __init__(self) -> None:
            super().__init__()
            options = f"-p {self.port} -k {self._folder} -h 127.0.0.1 -c max_connections=200"
            log = str(self._folder / "log")
            data = str(self._data)
            self._run("pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "restart")

    cluster = Durable()
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield {
                SQLITE: lambda: f"sqlite:///{folder}/{uuid4().hex}.db",
                POSTGRESQL: cluster.new_database,
            }
    finally:
        cluster.stop()
