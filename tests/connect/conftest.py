from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from connect_support import Place

from bergen_loop.connect import checkup
from support.serving import serving


@pytest.fixture(autouse=True)
def no_search(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying the criteria on all receipts takes a second: for the test that is about it only."""
    if not request.node.name.startswith("test_criteria"):
        monkeypatch.setattr(checkup, "warnings", lambda _criteria: [])


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log would go on into the captured output of a command that has ended."""
    monkeypatch.setattr("bergen_loop.logs.configure", lambda **_how: None)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Place]:
    for name in ("BERGEN_LOOP_KEY", "BERGEN_LOOP_DATABASE", "BERGEN_LOOP_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    made = Place(tmp_path)
    made.config.write_text(
        f"""\
# Ours, by hand.
service:
  database: sqlite:///{tmp_path}/ledger.db  # the ledger
brands: {{}}  # one block each
"""
    )
    with serving(made, "sandbox", date_header=False) as url:
        made.url = url
        yield made
    made.close()
