"""A long pull is seen in the terminal: by `status`, and as a bar while `sync once` runs."""

from __future__ import annotations

import importlib
import io
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cli_support import Past, text
from rich.console import Console
from rich.progress import Progress
from sqlalchemy.exc import OperationalError

from bergen_loop.cli import watching
from bergen_loop.flow import intake, tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import cursors

WORDS = "taking in history: 40 %, about 15 min left"


def pulling(ledger: Ledger, days: int = 12) -> None:
    """A pull of 30 days that was begun ten minutes ago."""
    now = datetime.now(UTC)
    begun, since = now - timedelta(minutes=10), now - timedelta(days=30)
    with ledger.write() as session:
        cursors.begin_pull(session, "acme", intake.CURSOR, since, begun)
        cursors.set(session, "acme", intake.CURSOR, since + timedelta(days=days))


def over(ledger: Ledger) -> None:
    with ledger.write() as session:
        cursors.end_pull(session, "acme", intake.CURSOR)


def test_status_for_people(past: Past) -> None:
    assert "taking in" not in text(past.run("status"))
    pulling(past.ledger)
    assert f"acme: {WORDS}" in text(past.run("status"))


def test_status_for_programs(past: Past) -> None:
    (acme,) = past.json("status")["brands"]
    assert acme["history"] is None
    pulling(past.ledger)
    (acme,) = past.json("status")["brands"]
    history = acme["history"]
    assert set(history) == {"since", "until", "reached", "share", "seconds_left"}
    assert history["share"] == pytest.approx(0.4, abs=0.001)
    assert history["seconds_left"] == pytest.approx(900, abs=30)
    since, reached = (datetime.fromisoformat(history[n]) for n in ("since", "reached"))
    assert reached - since == timedelta(days=12)


class Screen(io.StringIO):
    """What a terminal is sent; tells when it has been sent something."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def write(self, s: str, /) -> int:
        with self._changed:
            self._changed.notify_all()
            return super().write(s)

    def shows(self, words: str) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: words in self.getvalue(), 20)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """The command's terminal."""
    made = Screen()
    sync = importlib.import_module("bergen_loop.cli.sync")
    monkeypatch.setattr(sync, "console", Console(file=made, force_terminal=True, width=120))
    monkeypatch.setattr(watching, "EVERY", 0.01)
    return made


def steps(monkeypatch: pytest.MonkeyPatch, intake: Callable[[BrandContext], Any]) -> None:
    monkeypatch.setattr(tick, "STEPS", {"intake": intake})


def test_sync_once_shows_a_bar_while_it_pulls(
    past: Past, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[bool] = []

    def intake(ctx: BrandContext) -> dict[str, int]:
        pulling(ctx.ledger)
        shown.append(screen.shows(f"acme: {WORDS}"))
        pulling(ctx.ledger, 27)
        shown.append(screen.shows("acme: taking in history: 90 %"))
        over(ctx.ledger)
        return {"pages": 1}

    steps(monkeypatch, intake)
    assert past.run("sync", "once").exit_code == 0
    assert shown == [True, True]
    assert threading.active_count() == len(
        [t for t in threading.enumerate() if t.name != "history"]
    )


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_no_bar_where_there_is_no_terminal(
    past: Past, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    threads: list[str] = []

    def intake(ctx: BrandContext) -> dict[str, int]:
        pulling(ctx.ledger)
        threads.extend(t.name for t in threading.enumerate())
        return {"pages": 1}

    steps(monkeypatch, intake)
    result = past.run("sync", "once", *arguments)
    assert result.exit_code == 0
    assert "taking in" not in result.output
    assert "history" not in threads, "nobody looks at the ledger for nothing"
    if arguments:
        assert json.loads(result.stdout)["acme"]["intake"] == {"pages": 1}


def test_a_bar_comes_moves_and_goes(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress(console=Console(file=io.StringIO()))
    bars = watching.Bars(progress, past.ledger, ["acme"])

    def shown() -> list[tuple[str, float]]:
        return [(t.description, round(t.completed, 2)) for t in progress.tasks]

    bars.look()
    assert shown() == []
    pulling(past.ledger)
    bars.look()
    assert shown() == [(f"acme: {WORDS}", 0.4)]

    def broken(*_: object) -> None:
        raise OperationalError("select", None, Exception("gone"))

    with monkeypatch.context() as m:
        m.setattr(cursors, "pulls_under_way", broken)
        bars.look()
    assert shown() == [(f"acme: {WORDS}", 0.4)], "it stays until the ledger answers again"
    pulling(past.ledger, 27)
    bars.look()
    assert [done for _, done in shown()] == [0.9]
    over(past.ledger)
    bars.look()
    assert shown() == []
