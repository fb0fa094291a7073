"""Desks to test at: fixtures for every folder whose tests attack the console."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from web_support import Desk, fill, make_desk

from bergen_loop.ledger.database import Ledger
from support.ledgers import empty_ledger, template


@pytest.fixture(autouse=True)
def no_first_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BERGEN_LOOP_ADMIN", raising=False)


@pytest.fixture(scope="session")
def filled_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with a return of each brand in every stage: made once,
    copied by each test."""
    full = tmp_path_factory.mktemp("ledgers") / "full.db"
    ledger = empty_ledger(full)
    fill(ledger, "acme")
    fill(ledger, "zebra", 500)
    ledger.close()
    return full


def _desk(begin: Path, folder: Path) -> Generator[Desk]:
    copy = folder / "ledger.db"
    shutil.copy(begin, copy)
    ledger = Ledger(f"sqlite:///{copy}")
    yield make_desk(ledger)
    ledger.close()


@pytest.fixture
def desk(tmp_path: Path) -> Generator[Desk]:
    """An app over an empty ledger, with the brands acme and zebra."""
    yield from _desk(template(), tmp_path)


@pytest.fixture
def full(filled_ledger: Path, tmp_path: Path) -> Generator[Desk]:
    """The same, with a return of each brand in every stage."""
    yield from _desk(filled_ledger, tmp_path)
