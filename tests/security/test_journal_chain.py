"""The journal shows tampering, and only tampering."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bergen_loop.cli.main import app
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import chain, journal, retention
from bergen_loop.ledger.store.chain import Head
from bergen_loop.ledger.tables.core import ChainRow, JournalRow
from support.rows import a_return

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
BRANDS = ("acme", "zebra")


def write(ledger: Ledger, count: int = 3, brand: str | None = "acme") -> None:
    with ledger.write() as session:
        for number in range(count):
            journal.record(
                session,
                NOW + timedelta(seconds=number),
                journal.Entry(
                    What.NOTE,
                    f"why {number} ü\u202e",
                    brand=brand,
                    data={"b": [1, 2.5, None], "a": {"ü": "x"}},
                ),
            )


def problems(ledger: Ledger, **how: Any) -> list[str]:
    with ledger.read() as session:
        return [p for one in chain.verify(session, **how) for p in one.problems]


def change(ledger: Ledger, statement: Any) -> None:
    with ledger.write() as session:
        session.execute(statement)


def sealed(ledger: Ledger, count: int = 5) -> None:
    write(ledger, count)
    write(ledger, 2, None)
    chain.seal_all(ledger, NOW, BRANDS)


def test_an_untouched_journal_holds_and_what_is_not_sealed_yet_is_counted(ledger: Ledger) -> None:
    sealed(ledger)
    write(ledger, 4)
    with ledger.read() as session:
        none, acme = chain.verify(session)
    assert (acme.brand, acme.sealed, acme.unsealed, acme.problems) == ("acme", 5, 4, [])
    assert (none.brand, none.sealed, none.unsealed, none.problems) == ("", 2, 0, [])
    assert [h.brand for h in chain.seal_all(ledger, NOW, BRANDS)] == ["acme"]
    assert chain.seal_all(ledger, NOW, BRANDS) == []
    assert problems(ledger) == []


def test_more_entries_than_one_batch_are_one_chain(ledger: Ledger) -> None:
    sealed(ledger, chain.AT_A_TIME + 7)
    with ledger.read() as session:
        acme = chain.verify(session, ["acme"])[0]
    assert (acme.sealed, acme.problems) == (chain.AT_A_TIME + 7, [])
    assert acme.head is not None and acme.head.position == chain.AT_A_TIME + 7


@pytest.mark.parametrize(
    "values",
    [
        {"why": "something else"}, {"who": "somebody"}, {"what": "processed"},
        {"happened": "flag"}, {"at": NOW - timedelta(days=1)}, {"return_pk": 7}, {"data": {"b": 1}},
        {"salt": None, "why": "[erased]"}, {"salt": "00"}, {"digest": "00"}, {"seal": "00"},
        {"position": 99}, {"brand": "zebra"}, {"brand": None}, {"position": None},
    ],
    ids=str,
)  # fmt: skip
def test_any_change_of_an_entry_shows(ledger: Ledger, values: dict[str, Any]) -> None:
    sealed(ledger)
    change(ledger, sa.update(JournalRow).where(JournalRow.id == 3).values(**values))
    assert problems(ledger)


@pytest.mark.parametrize("gone", [1, 3, 5], ids=["the first", "one between", "the last"])
def test_an_entry_that_is_gone_shows(ledger: Ledger, gone: int) -> None:
    sealed(ledger)
    change(ledger, sa.delete(JournalRow).where(JournalRow.id == gone))
    assert problems(ledger)


def test_an_entry_put_between_shows(ledger: Ledger) -> None:
    sealed(ledger)
    with ledger.write() as session:
        old = session.get_one(JournalRow, 3)
        names = ("at", "brand", "who", "what", "why", "data", "position", "salt", "digest", "seal")
        session.add(JournalRow(**{name: getattr(old, name) for name in names}))
    assert problems(ledger)


def test_a_chain_made_anew_does_not_fit_what_was_noted(ledger: Ledger) -> None:
    sealed(ledger)
    with ledger.read() as session:
        noted = chain.heads(session)
    assert problems(ledger, noted=noted) == []
    change(ledger, sa.update(JournalRow).where(JournalRow.id == 3).values(why="forged"))
    change(ledger, sa.update(JournalRow).values(position=None, salt=None, digest=None, seal=None))
    change(ledger, sa.delete(ChainRow))
    chain.seal_all(ledger, NOW, BRANDS)
    assert problems(ledger) == [], "whoever may write everything can do that"
    assert problems(ledger, noted=noted) == [
        "position 2 has another seal than was noted",
        "position 5 has another seal than was noted",
    ]
    change(ledger, sa.delete(JournalRow))
    change(ledger, sa.delete(ChainRow))
    assert len(problems(ledger, noted=noted)) == 2


def test_entries_that_were_there_before_are_the_unchained_beginning(ledger: Ledger) -> None:
    write(ledger, 3)
    change(ledger, sa.insert(ChainRow).values(brand="acme", begins_after=2, position=0, seal=""))
    chain.seal_all(ledger, NOW, BRANDS)
    with ledger.read() as session:
        acme = chain.verify(session, ["acme"])[0]
    assert (acme.before, acme.sealed, acme.unsealed, acme.problems) == (2, 1, 0, [])


def test_an_entry_that_is_committed_late_comes_at_the_end(ledger: Ledger) -> None:
    with ledger.write() as session:
        session.add(JournalRow(id=50, at=NOW, brand="acme", who="x", what="x", why="x", data={}))
    chain.seal_all(ledger, NOW, BRANDS)
    with ledger.write() as session:
        session.add(JournalRow(id=7, at=NOW, brand="acme", who="x", what="x", why="x", data={}))
    chain.seal_all(ledger, NOW, BRANDS)
    with ledger.read() as session:
        assert session.get_one(JournalRow, 7).position == 2
    assert problems(ledger) == []


def test_many_may_write_and_seal_at_once(ledger: Ledger) -> None:
    def often(work: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=lambda: [work() for _ in range(8)])
        thread.start()
        return thread

    threads = [often(lambda: write(ledger)) for _ in range(3)]
    threads += [often(lambda: chain.seal_all(ledger, NOW, BRANDS)) for _ in range(3)]
    for thread in threads:
        thread.join()
    chain.seal_all(ledger, NOW, BRANDS)
    with ledger.read() as session:
        acme = chain.verify(session, ["acme"])[0]
    assert (acme.sealed, acme.problems) == (72, [])


def test_erasing_keeps_the_chain_and_leaves_nothing_to_guess_from(ledger: Ledger) -> None:
    pk = a_return(ledger, stage="complete")
    with ledger.write() as session:
        journal.record(
            session,
            NOW,
            journal.Entry(What.NOTE, "ada@example.com wrote", brand="acme", return_pk=pk, who="x"),
        )
    write(ledger, 2, None)
    chain.seal_all(ledger, NOW, BRANDS)
    with ledger.write() as session:
        before = session.get_one(JournalRow, 1)
        digest = before.digest
        done = retention.erase_customer(session, NOW, "ada@example.com", who="x")
    assert done.texts == 1
    chain.seal_all(ledger, NOW, BRANDS)
    with ledger.read() as session:
        row = session.get_one(JournalRow, 1)
        assert (row.salt, row.why, row.digest) == (None, "[erased] wrote", digest)
        assert chain.text_digest("", "ada@example.com wrote", {}) != digest
        acme = chain.verify(session, ["acme"])[0]
    assert (acme.erased, acme.problems) == (1, [])
    change(ledger, sa.update(JournalRow).where(JournalRow.id == 1).values(why="[erased] stole"))
    assert problems(ledger) == ["entry 1: its texts were changed, and no erasure says so"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    entry=st.integers(1, 5),
    column=st.sampled_from(["who", "what", "why", "salt", "digest", "seal"]),
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
)
def test_whatever_is_spoiled_shows(
    sqlite_ledger: Ledger, entry: int, column: str, text: str
) -> None:
    change(sqlite_ledger, sa.delete(JournalRow))
    change(sqlite_ledger, sa.delete(ChainRow))
    write(sqlite_ledger, 5)
    chain.seal_all(sqlite_ledger, NOW, BRANDS)
    with sqlite_ledger.write() as session:
        query = sa.select(JournalRow).where(JournalRow.position == entry)
        row = session.scalars(query).one()
        changed = getattr(row, column) != text
        setattr(row, column, text)
    assert bool(problems(sqlite_ledger)) == changed


def test_the_command_verifies_and_takes_what_was_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bergen_loop.logs.configure", lambda **_how: None)  # it would stay so
    config = tmp_path / "bergen-loop.yaml"
    config.write_text(f'service: {{database: "sqlite:///{tmp_path}/ledger.db"}}\nbrands: {{}}\n')
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.migrate()
    write(ledger, 3, None)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["audit", *arguments, "-c", str(config)])

    assert run("seal").exit_code == 0
    noted = run("verify", "--json")
    assert noted.exit_code == 0
    (tmp_path / "noted.json").write_text(noted.stdout)
    (one,) = json.loads(noted.stdout)
    assert (one["sealed"], one["problems"]) == (3, [])
    assert run("verify", "--noted", str(tmp_path / "noted.json")).exit_code == 0
    change(ledger, sa.delete(JournalRow).where(JournalRow.id == 3))
    change(ledger, sa.update(ChainRow).values(position=2, seal="x"))
    found = run("verify", "--noted", str(tmp_path / "noted.json"))
    assert found.exit_code == 1
    assert "position 3, which was noted, is not there" in " ".join(found.stdout.split())
    (tmp_path / "noted.json").write_text("[1]")
    assert run("verify", "--noted", str(tmp_path / "noted.json")).exit_code == 2
    ledger.close()


def test_a_head_says_where_it_stands(ledger: Ledger) -> None:
    sealed(ledger)
    with ledger.read() as session:
        assert [(h.brand, h.position) for h in chain.heads(session)] == [("", 2), ("acme", 5)]
        assert all(isinstance(h, Head) and len(h.seal) == 64 for h in chain.heads(session))
