"""A PostgreSQL of the tests' own: one cluster per test process, one database per test."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from support.ledgers import migrate


class NoPostgres(Exception):
    """PostgreSQL is not installed, or cannot be started here."""


def programs() -> Path:
    """The folder of initdb and postgres. Raises NoPostgres."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=str)
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    if initdb:
        return Path(initdb).resolve().parent
    raise NoPostgres("PostgreSQL is not installed: run scripts/system-deps.sh")


class Cluster:
    """A running cluster, on a free port of the loopback address."""

    def __init__(self) -> None:
        self._bin = programs()
        self._folder = Path(tempfile.mkdtemp(prefix="bergen-loop-pg-"))
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            user = pwd.getpwnam("postgres")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as_user = ["runuser", "-u", "postgres", "--"]
        self._data = self._folder / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"
        )
        self._run(
            "pg_ctl",
            *("-D", str(self._data), "-w", "-l", str(self._folder / "log")),
            *("-o", f"-p {self.port} -k {self._folder} -h 127.0.0.1 -c fsync=off"),
            *("-o", "-c max_connections=200"),
            "start",
        )
        self._template: str | None = None
        """The database whose copies begin migrated."""
        self._admin = sa.create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as_user, str(self._bin / program), *arguments],
            stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if program == "initdb" else subprocess.DEVNULL,
            cwd="/",
            check=False,
        )
        if done.returncode:
            raise NoPostgres(f"{program} failed: {(done.stdout or b'').decode()}")

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """The URL of a fresh database: empty, or a copy of another of this cluster."""
        name = f"test_{uuid4().hex[:12]}"
        with self._admin.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        return self._url(name)

    def new_ledger(self) -> str:
        """The URL of a fresh, migrated, empty ledger."""
        if self._template is None:
            url = self.new_database()
            migrate(url)
            self._template = sa.make_url(url).database
        return self.new_database(self._template or "")

    def drop(self, url: str) -> None:
        """Throw a database away."""
        name = sa.make_url(url).database
        with self._admin.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    def stop(self) -> None:
        """Stop it and remove everything."""
        self._admin.dispose()
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)
