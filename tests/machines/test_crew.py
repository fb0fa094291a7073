"""`serve --workers N`: further processes of one service, which end with it however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from machines_fleet import Fleet, sandbox, wait_for

from support.postgres import Cluster

pytestmark = pytest.mark.xdist_group("machines")


@pytest.fixture
def fleet(tmp_path: Path, postgres: Cluster) -> Generator[Fleet]:
    url = postgres.new_database()
    with sandbox(tmp_path, returns=2) as control:
        fleet = Fleet(tmp_path, url, control)
        try:
            yield fleet
        finally:
            fleet.close()
            postgres.drop(url)


def test_workers_serve_together_and_end_with_their_service_even_if_it_is_killed(
    fleet: Fleet,
) -> None:
    service = fleet.serve("--workers", "3")
    of_crew = wait_for("three that run ticks", lambda: len(a := fleet.all_alive()) == 3 and a)
    wait_for("they work", fleet.ran)
    one = next(pid for pid in of_crew if pid != service)
    os.kill(one, signal.SIGKILL)
    again = wait_for(
        "another one in the place of the dead",
        lambda: len(a := fleet.all_alive()) >= 3 and a.keys() - of_crew.keys() and a,
    )
    others = (again.keys() | of_crew.keys()) - {service, one}
    fleet.kill(service)
    for pid in others:
        wait_for(f"{pid} has ended", lambda pid=pid: not _runs(pid))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_embedded_ledger_takes_one_process_and_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bergen_loop", "serve", "--workers", "2", "--no-auth"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "an embedded database takes one process" in done.stderr
