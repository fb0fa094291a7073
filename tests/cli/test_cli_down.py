"""A database that cannot be had: three lines that say what, where, how; no traceback."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from busy_ledger import Busy, config
from typer.testing import CliRunner, Result

from bergen_loop.cli.main import app

COMMANDS = [
    ("status",), ("attention",), ("attention", "list"), ("show", "1"), ("breaker", "list"),
    ("workers",), ("events", "deliveries"), ("brands", "mode", "acme"), ("accounts", "list"),
    ("brands", "list"), ("sync", "once"), ("reconcile",), ("rebuild",), ("replay",),
    ("serve",), ("worker",),
    ("restored", "--yes"), ("erase", "--return", "1", "--yes"),
    ("attention", "ignore", "1", "--reason", "x"), ("shadow", "report", "-b", "acme"),
    ("criteria", "test", "standard", "--since", "2026-11-01"),
]  # fmt: skip


def run(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "-c", str(path)], env={"COLUMNS": "80"})


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A configuration whose PostgreSQL does not answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return config(tmp_path, f"postgresql+psycopg://ada:hush-hush@127.0.0.1:{port}/bergen")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_three_lines_for_every_command(closed: Path, words: tuple[str, ...]) -> None:
    done = run(closed, *words)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), done.exception
    what, where, how = done.output.strip().splitlines()
    assert what == "error: the ledger's database cannot be used: nothing answers there"
    assert where.startswith("where: postgresql+psycopg://ada:***@127.0.0.1:")
    assert how.startswith("mend:  start the database")
    assert "hush" not in done.output


def test_also_where_the_secrets_are_in_it(closed: Path) -> None:
    closed.write_text(closed.read_text().replace("file:secret", "ledger:key"))
    for command in ("status", "serve"):
        done = run(closed, command)
        assert len(done.output.strip().splitlines()) == 3, done.output
        assert done.exit_code == 1


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("nonsense", "its address is none that is known"),
        ("mysql://a@b/c", "its address is none that is known"),
        ("sqlite:////proc/nothing/ledger.db", "its file cannot be opened"),
        ("sqlite:///{folder}/secret", "its file is no database"),
        ("postgresql+psycopg://a@nowhere.invalid/c", "its host's name is not known"),
    ],
)
def test_what_is_wrong_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, what: str
) -> None:
    path = config(tmp_path)
    (tmp_path / "secret").write_text("this is no database, however long it is " * 30)
    monkeypatch.setenv("BERGEN_LOOP_DATABASE", url.format(folder=tmp_path))
    done = run(path, "status")
    assert what in done.output
    assert len(done.output.strip().splitlines()) == 3


def test_one_that_goes_away_in_the_middle(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    from bergen_loop.cli import standing

    def gone(*_given: object) -> None:
        raise OperationalError("SELECT 1", {}, Exception("server closed: Connection refused"))

    monkeypatch.setattr(standing, "overview", gone)
    done = busy.run("status")
    assert done.exit_code == 1
    assert "nothing answers there" in done.output
    assert f"where: sqlite:///{busy.folder}/ledger.db" in done.output
