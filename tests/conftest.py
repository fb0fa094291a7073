"""Fixtures for everybody: the ledger on both databases, and a world to connect brands to."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import settings

from bergen_loop.ledger import database
from bergen_loop.ledger.database import Ledger
from support.ledgers import compiling_once, empty_ledger
from support.postgres import Cluster

if TYPE_CHECKING:
    from bergen_loop.flow.context import BrandContext
    from support.worlds import World

# How long an example takes says how busy the machine is.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


SAID: deque[tuple[str, dict[str, Any]]] = deque(maxlen=300)
"""The log's last lines, which are put into words only where a test fails."""
DURABLE = database._PRAGMAS  # pyright: ignore[reportPrivateUsage]


def _keep(_logger: Any, method: str, event: Any) -> Any:
    SAID.append((method, event))
    raise structlog.DropEvent


def quiet() -> None:
    structlog.reset_defaults()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, _keep])


quiet()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and SAID:
        said = "\n".join(f"[{method}] {event}" for method, event in SAID)
        report.sections.append(("the service's log", said))
    if report.when == "teardown":
        SAID.clear()
    return report


@pytest.fixture(scope="session", autouse=True)
def what_costs_time_only() -> Generator[None]:
    """No test cuts the power, so SQLite need not wait for the disk. Its ledgers share what is
    compiled of statements, and clients that call an app in this process a loop, which each ledger
    and each request would make anew."""
    from anyio.from_thread import start_blocking_portal

    with pytest.MonkeyPatch.context() as patch, start_blocking_portal() as portal:
        fast = tuple(p.replace("synchronous=FULL", "synchronous=OFF") for p in DURABLE)
        patch.setattr(database, "_PRAGMAS", fast)
        patch.setattr(database, "_engine", compiling_once())
        if "starlette.testclient" in sys.modules:
            patch.setattr("starlette.testclient.TestClient.portal", portal)
        yield


@pytest.fixture
def durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """New ledgers are as safe as the service's own."""
    monkeypatch.setattr(database, "_PRAGMAS", DURABLE)


@pytest.fixture(autouse=True)
def logs_as_they_were(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """A command that a test runs in this process configures the logs: not for the next test, so
    no logger may keep for good what it finds at its first use."""
    quiet()  # whatever a fixture of a whole file has made of them
    root, configure = logging.getLogger(), structlog.configure
    handlers, level = list(root.handlers), root.level

    def for_now(**how: Any) -> None:
        how["cache_logger_on_first_use"] = False
        configure(**how)

    monkeypatch.setattr(structlog, "configure", for_now)
    yield
    quiet()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def postgres() -> Generator[Cluster]:
    """A PostgreSQL cluster of this test process; where there is none, its tests fail."""
    cluster = Cluster()
    yield cluster
    cluster.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Ledger]:
    """A migrated, empty ledger: every test that takes it runs on both databases."""
    if request.param == "sqlite":
        opened = empty_ledger(tmp_path / "ledger.db")
        yield opened
        opened.close()
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    url = cluster.new_ledger()
    opened = Ledger(url)
    opened.migrate()  # only looks: it has been
    yield opened
    opened.close()
    cluster.drop(url)


@pytest.fixture
def sqlite_ledger(tmp_path: Path) -> Generator[Ledger]:
    """A migrated, empty embedded ledger."""
    opened = empty_ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def world() -> Generator[World]:
    """A sandbox on a socket, with a clock of the test's."""
    from support import worlds

    with worlds.serving() as served:
        yield served


@pytest.fixture
def ctx(world: World, sqlite_ledger: Ledger) -> BrandContext:
    """A brand of the world, connected."""
    from support import worlds

    return worlds.context(world, sqlite_ledger)


LONG = (
    "test_engine", "test_connect_browser", "test_machines", "test_crew", "test_no_leaks",
    "test_floor_page", "test_shipment_floor", "test_web_browser", "test_web_inbox_journey",
    "test_killed_process", "test_killed_anywhere", "test_docs_commands", "test_web_schemathesis",
    "test_breaker", "test_cases_spoiled",
)  # fmt: skip
"""Files that begin first, so that no process is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long ones first; and mark what needs a PostgreSQL, so that it can be left out."""
    order = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))
    for item in items:
        asked: list[str] = getattr(item, "fixturenames", [])
        call = getattr(item, "callspec", None)
        if "postgres" in asked or (call and "postgresql" in call.params.values()):
            item.add_marker(pytest.mark.postgres)
