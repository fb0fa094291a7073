"""What lies on the disk: who may read it, and what is left of what was erased."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import journal, retention
from support.rows import a_return

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ADA = "ada.lovelace@customers.example"


def modes(folder: Path) -> dict[str, str]:
    return {p.name: oct(stat.S_IMODE(p.stat().st_mode)) for p in folder.iterdir() if p.is_file()}


def test_the_ledgers_files_are_their_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    config = tmp_path / "bergen-loop.yaml"
    database = tmp_path / "data" / "ledger.db"
    config.write_text(f'service: {{database: "sqlite:///{database}"}}\nbrands: {{}}\n')
    subprocess.run(
        [sys.executable, "-m", "bergen_loop", "status", "-c", str(config)],
        check=True, capture_output=True, preexec_fn=lambda: os.umask(0), env=os.environ,
    )  # fmt: skip
    assert set(modes(database.parent).values()) == {"0o600"}
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700


def test_files_of_an_older_release_are_closed_at_the_start(tmp_path: Path) -> None:
    database = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{database}")
    ledger.migrate()
    a_return(ledger)
    for file in tmp_path.iterdir():
        file.chmod(0o644)
    again = Ledger(f"sqlite:///{database}")
    assert set(modes(tmp_path).values()) == {"0o600"}
    again.close()
    ledger.close()


def bytes_of(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in folder.iterdir() if p.is_file()).lower()


@pytest.mark.parametrize("texts", [1, 400], ids=["a short one", "many pages"])
def test_erasing_leaves_nothing_in_the_files(tmp_path: Path, texts: int) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.migrate()
    pk = a_return(ledger, stage="complete")
    with ledger.write() as session:
        for number in range(texts):
            journal.record(
                session,
                NOW,
                journal.Entry(
                    What.NOTE,
                    f"{ADA} wrote {number} " + "at length " * 60,
                    brand="acme",
                    return_pk=pk,
                    who="x",
                    data={"mail": [ADA]},
                ),
            )
            journal.keep_raw(
                session,
                NOW,
                journal.Payload(
                    brand="acme",
                    source="loop",
                    digest=str(number),
                    problem="odd",
                    body=f'{{"email": "{ADA}"}}' + "x" * 9000,
                ),
            )
    assert ADA.encode() in bytes_of(tmp_path)
    with ledger.write() as session:
        retention.erase_customer(session, NOW, ADA, who="x")
    assert ledger.scour()
    assert ADA.encode() not in bytes_of(tmp_path)
    ledger.close()
