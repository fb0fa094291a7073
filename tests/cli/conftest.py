from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from busy_ledger import Busy
from cli_support import Past

from bergen_loop.cli import output


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log would go on into the captured output of a command that has ended."""
    monkeypatch.setattr("bergen_loop.logs.configure", lambda **_how: None)
    for name in ("BERGEN_LOOP_KEY", "BERGEN_LOOP_DATABASE", "BERGEN_LOOP_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    # A console keeps the COLUMNS it was made under (test workers set it); here each run has its
    # own.
    for console in (output.console, output.errors):
        monkeypatch.setattr(console, "_width", None)


@pytest.fixture
def past(tmp_path: Path) -> Generator[Past]:
    made = Past(tmp_path)
    yield made
    made.ledger.close()


@pytest.fixture
def busy(tmp_path: Path) -> Generator[Busy]:
    made = Busy(tmp_path)
    yield made
    made.ledger.close()
