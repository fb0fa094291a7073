"""Fixtures of the console's tests."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from web_support import Desk, fill, make_desk

from bergen_loop.ledger.database import Ledger


@pytest.fixture(autouse=True)
def _no_first_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BERGEN_LOOP_ADMIN", raising=False)


@pytest.fixture(scope="session")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An empty migrated ledger, and one with a return of each brand in every stage: made once,
    copied by each test."""
    folder = tmp_path_factory.mktemp("ledgers")
    empty, full = folder / "empty.db", folder / "full.db"
    ledger = Ledger(f"sqlite:///{empty}")
    ledger.migrate()
    ledger.close()
    shutil.copy(empty, full)
    ledger = Ledger(f"sqlite:///{full}")
    fill(ledger, "acme")
    fill(ledger, "zebra", 500)
    ledger.close()
    return empty, full


def _desk(template: Path, folder: Path) -> Generator[Desk]:
    copy = folder / "ledger.db"
    shutil.copy(template, copy)
    ledger = Ledger(f"sqlite:///{copy}")
    yield make_desk(ledger)
    ledger.close()


@pytest.fixture
def desk(_filled: tuple[Path, Path], tmp_path: Path) -> Generator[Desk]:
    """An app over an empty ledger, with the brands acme and zebra."""
    yield from _desk(_filled[0], tmp_path)


@pytest.fixture
def full(_filled: tuple[Path, Path], tmp_path: Path) -> Generator[Desk]:
    """The same, with a return of each brand in every stage."""
    yield from _desk(_filled[1], tmp_path)
