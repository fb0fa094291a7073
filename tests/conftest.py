"""Fixtures for everybody: the ledger on both databases."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from bergen_loop.ledger.database import Ledger
from support.postgres import Cluster


@pytest.fixture(scope="session")
def postgres() -> Generator[Cluster]:
    """A PostgreSQL cluster of this test process; where there is none, its tests fail."""
    cluster = Cluster()
    yield cluster
    cluster.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """The URL of an empty database: every test that takes it runs on both kinds."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    url = cluster.new_database()
    yield url
    cluster.drop(url)


@pytest.fixture
def ledger(database_url: str) -> Generator[Ledger]:
    """A migrated ledger, on both databases."""
    opened = Ledger(database_url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def sqlite_ledger(tmp_path: Path) -> Generator[Ledger]:
    """A migrated embedded ledger."""
    opened = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    opened.migrate()
    yield opened
    opened.close()
