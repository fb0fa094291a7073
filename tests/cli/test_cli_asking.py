"""What cannot be undone asks; `--yes` is for scripts; with nobody to ask nothing is done."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from busy_ledger import Busy
from cli_support import Past, text

from bergen_loop.cli import asking
from bergen_loop.domain.returns import LoopState
from bergen_loop.ledger.tables.core import BrandRow, JournalRow, ReturnRow

UNDONE = {
    "restored": ("restored",),
    "erase": ("erase", "--return", "70000001"),
    "live": ("brands", "mode", "holly", "live", "--reason", "seen enough"),
    "as configured": ("brands", "mode", "acme", "configured", "--reason", "seen enough"),
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether somebody is at the terminal."""
    return lambda there: monkeypatch.setattr(asking, "interactive", lambda: there)


def written(busy: Busy) -> int:
    with busy.ledger.read() as session:
        return (
            session.scalar(
                sa.select(sa.func.count())
                .select_from(JournalRow)
                .where(JournalRow.who.contains("(command line)"))
            )
            or 0
        )


@pytest.fixture
def paused(busy: Busy) -> Busy:
    """A brand that is live by its file is paused by a command."""
    with busy.ledger.write() as session:
        session.get_one(BrandRow, "acme").mode = "paused"
    return busy


@pytest.mark.parametrize("what", UNDONE)
def test_without_a_terminal_it_refuses_and_says_how(
    paused: Busy, asked: Callable[[bool], None], what: str
) -> None:
    asked(False)
    done = paused.run(*UNDONE[what])
    assert done.exit_code == 2
    assert "no terminal to ask at: nothing was changed. Repeat it with --yes" in text(done)
    assert written(paused) == 0


@pytest.mark.parametrize("what", UNDONE)
@pytest.mark.parametrize("how", ["y", "n", "--yes"])
def test_it_is_done_only_when_a_person_says_so(
    paused: Busy, asked: Callable[[bool], None], what: str, how: str
) -> None:
    asked(how != "--yes")
    more = ("--yes",) if how == "--yes" else ()
    done = paused.run(*UNDONE[what], *more, stdin=None if more else f"{how}\n")
    assert done.exit_code == (1 if how == "n" else 0), done.output
    assert bool(written(paused)) is (how != "n")
    if how == "n":
        assert "nothing was changed" in text(done)


def test_before_going_live_it_is_shown_what_would_be_paid_at_once(
    past: Past, asked: Callable[[bool], None]
) -> None:
    asked(True)
    for state in (LoopState.OPEN, LoopState.OPEN, LoopState.CLOSED, LoopState.REVIEW):
        past.judged(now=state)
    past.judged(damaged=1)
    with past.ledger.write() as session:
        for number, row in enumerate(session.scalars(sa.select(ReturnRow))):
            row.total, row.currency = ("50.00", "USD") if number else (None, None)
            row.due_at = None
    done = past.run("brands", "mode", "acme", "live", "--reason", "x", stdin="n\n")
    shown = text(done)
    assert "! Paid at once: 2 returns, 50.00 USD, 1 of unknown value; flagged: 1;" in shown
    assert "! Decided alike: 1 of 2 (50.0%)" in shown
    assert "process: 2 compared, 1 alike" in shown
    assert "Gradual start: at most 20 returns an hour until" in shown
    assert done.exit_code == 1
    assert past.json("brands", "mode", "acme")["mode"] == "shadow"


def test_shadow_and_pause_do_not_ask(busy: Busy, asked: Callable[[bool], None]) -> None:
    asked(False)
    for mode in ("shadow", "paused"):
        assert busy.run("brands", "mode", "acme", mode, "--reason", "x").exit_code == 0
