"""Shadow mode looked back on, and the command that sets a mode."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from cli_support import Past, rows, text
from sqlalchemy.orm import make_transient

from bergen_loop.domain.returns import LoopState
from bergen_loop.ledger.tables.core import BrandRow, DecisionRow, JournalRow


def test_what_would_have_been_done_against_what_people_did(past: Past) -> None:
    past.judged(now=LoopState.CLOSED)
    past.judged(now=LoopState.CLOSED)
    past.judged(damaged=1, now=LoopState.REVIEW)
    wrong = past.judged(damaged=1, now=LoopState.CLOSED)
    past.judged()
    past.judged(now=LoopState.CANCELLED)
    past.judged(outcome="attention", now=LoopState.CLOSED)
    past.judged(outcome="remove_lines", now=LoopState.CLOSED)
    found = past.json("shadow", "report", "--brand", "acme")
    assert found["total"] == 8
    assert found["verdicts"] == {"agree": 3, "disagree": 1, "open": 1, "not compared": 3}
    assert found["agreement"] == 0.75
    assert found["matrix"]["process"] == {
        "processed by hand": 2,
        "still open": 1,
        "cancelled": 1,
    }
    (listed,) = found["disagreements"]
    assert listed["return_id"] == wrong
    assert listed["sentence"].startswith(
        "We would have flagged it; it was processed by hand. To flag as damaged"
    )
    shown = text(past.run("shadow", "report", "--brand", "acme"))
    assert "8 return(s) judged in shadow; 75.0% alike" in shown
    assert "closed is taken for processed by hand" in shown


def test_what_the_service_settled_itself_is_left_out(past: Past) -> None:
    past.judged(now=LoopState.CLOSED, settled=True)
    past.judged(now=LoopState.CLOSED, shadow=False)
    found = past.json("shadow", "report", "--brand", "acme")
    assert (found["total"], found["agreement"]) == (0, None)
    assert "nothing to compare yet" in text(past.run("shadow", "report", "--brand", "acme"))


def test_a_later_judgement_of_a_return_people_settled_does_not_count(past: Past) -> None:
    past.judged(now=LoopState.REVIEW, damaged=1)
    with past.ledger.write() as session:
        made = session.scalars(sa.select(DecisionRow)).one()
        session.expunge(made)
        make_transient(made)
        made.id, made.outcome = None, "attention"  # pyright: ignore[reportAttributeAccessIssue]
        made.judged_state = "review"
        session.add(made)
    found = past.json("shadow", "report", "--brand", "acme")
    assert found["verdicts"] == {"agree": 1}


def test_since_a_day(past: Past) -> None:
    past.judged(now=LoopState.CLOSED)
    past.judged(now=LoopState.CLOSED, day=4)
    found = past.json("shadow", "report", "--brand", "acme", "--since", "2026-11-05")
    assert found["total"] == 1


def test_a_mode_is_set_with_a_reason_and_journaled(past: Past) -> None:
    result = past.run("brands", "mode", "acme", "live", "--yes", "--reason", "two good weeks")
    assert result.exit_code == 0
    assert "acme is live: decisions are acted on" in text(result)
    with past.ledger.read() as session:
        entry = session.scalars(sa.select(JournalRow)).one()
        assert (entry.brand, entry.what, entry.why) == ("acme", "mode: live", "two good weeks")
        assert entry.who.endswith("(command line)")
        told = entry.data["before"], entry.data["after"], entry.data["set"]
        assert told == ("shadow", "live", "live")
        assert entry.data["pace"].startswith("at most 20 returns an hour until ")
        assert entry.data["seen"]["compared"] == (
            "none yet: nobody knows how good the decisions are - meant"
        )
        row = session.get_one(BrandRow, "acme")
        assert (row.mode, row.pace_returns) == ("live", 20)
    assert past.json("brands", "mode", "acme") == {
        "brand": "acme",
        "mode": "live",
        "before": "live",
        "configured": "shadow",
    }
    assert "acme is shadow" in text(
        past.run("brands", "mode", "acme", "configured", "--reason", "as before")
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("acme", "live"), "say why, for the journal"),
        (("acme", "live", "--reason", " "), "say why, for the journal"),
        (("acme", "fast", "--reason", "x"), "'fast' is no mode"),
        (("nope", "live", "--reason", "x"), "unknown brand(s) nope; configured: acme"),
    ],
)
def test_a_mode_that_cannot_be_set(past: Past, arguments: tuple[str, ...], words: str) -> None:
    result = past.run("brands", "mode", *arguments)
    assert result.exit_code == 2
    assert words in text(result)
    with past.ledger.read() as session:
        assert not rows([{"x": j.id} for j in session.scalars(sa.select(JournalRow))], "x")


def test_a_paused_brand_is_not_synced_by_hand(past: Past) -> None:
    past.run("brands", "mode", "acme", "paused", "--reason", "stocktake")
    result = past.run("sync", "once", "--brand", "acme")
    assert result.exit_code == 2
    assert "brand acme is paused" in text(result)
    assert past.json("sync", "once") == {}
