"""The index of fragments on SQLite is in step with what it is about, whoever writes."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from web_support import add_return

from bergen_loop.ledger import fragments
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import search
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import retention
from bergen_loop.ledger.tables.core import LineRow, ReturnRow, RmaRow
from support.rows import NOW

EVERY = Scope(None)


@pytest.fixture
def embedded(tmp_path: Path) -> Ledger:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.migrate()
    return ledger


def within(ledger: Ledger, text: str) -> list[str]:
    with ledger.read() as session:
        return [row.return_id for row in search.find(session, EVERY, text).rows]


def complete(ledger: Ledger) -> bool:
    with ledger.read() as session:
        return fragments.complete(session)


def terms(ledger: Ledger) -> set[str]:
    """Every trigram that is still anywhere in the index of returns."""
    with sqlite3.connect(str(ledger.url.database)) as opened:
        opened.execute("CREATE VIRTUAL TABLE temp.v USING fts5vocab(main, returns_fragments, row)")
        return {row[0] for row in opened.execute("SELECT term FROM v")}


def sound(ledger: Ledger) -> None:
    """FTS5's own check: the index has exactly what stands in the tables."""
    for one in fragments.ALL:
        with ledger.engine.begin() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO {one.name}({one.name}, rank) VALUES ('integrity-check', 1)"
            )


def test_it_follows_every_kind_of_writing(embedded: Ledger) -> None:
    assert complete(embedded)
    rng, ids = random.Random(1), list[int]()
    for n in range(40):
        ids.append(add_return(embedded, "acme", f"{7000 + n}", skus=[f"S{n % 3}-Tee"]))
        with embedded.write() as session:
            pk = rng.choice(ids)
            change: list[Any] = [
                sa.update(ReturnRow).where(ReturnRow.id == pk).values(tracking_number=f"1Z{n}QQ"),
                sa.update(ReturnRow).where(ReturnRow.id == pk).values(order_name=None, held=True),
                sa.update(RmaRow).where(RmaRow.return_pk == pk).values(ticket_id=f"T-{n}-x"),
                sa.update(LineRow).where(LineRow.return_pk == pk).values(sku=f"kit{n}"),
                sa.delete(RmaRow).where(RmaRow.return_pk == pk),
            ]
            session.execute(rng.choice(change))
        if n == 20:
            with pytest.raises(ZeroDivisionError), embedded.write() as session:
                session.execute(sa.update(ReturnRow).values(order_name="rolled back"))
                raise ZeroDivisionError
    sound(embedded)
    with embedded.read() as session:
        rows = list(session.scalars(sa.select(ReturnRow)))
        expected = {r.return_id for r in rows if "QQ" in (r.tracking_number or "")}
    assert set(within(embedded, "qq")) == set(), "two characters are too few"
    assert set(within(embedded, "zzz")) == set()
    for text in ("7qq", "5qq", "3qq"):
        assert set(within(embedded, text)) == {
            r.return_id for r in rows if text in (r.tracking_number or "").lower()
        }
    assert expected
    assert set(within(embedded, "s2-tee")) <= {r.return_id for r in rows}


def test_what_was_there_before_is_taken_in_little_by_little(
    embedded: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a ledger of an older release, while others write."""
    with embedded.engine.begin() as connection:
        monkeypatch.setattr(fragments, "supported", lambda _: False)
        fragments.ensure(connection)
    for n in range(9):
        add_return(embedded, "acme", f"80{n:02d}", skus=["OLD-Tee"])
    assert not complete(embedded)
    assert within(embedded, "03@") == ["8003"], "read through instead"
    monkeypatch.undo()
    embedded.migrate()
    assert not complete(embedded)
    monkeypatch.setattr(fragments, "CHUNK", 2)
    assert fragments.fill(embedded, -1)
    with embedded.write() as session:
        session.execute(sa.update(ReturnRow).values(tracking_number="moved"))
    add_return(embedded, "acme", "8100", skus=["NEW-Tee"])
    assert within(embedded, "03@") == ["8003"]
    assert not fragments.fill(embedded, 60)
    assert complete(embedded)
    sound(embedded)
    assert within(embedded, "03@") == ["8003"]
    assert within(embedded, "ove") == [f"80{n:02d}" for n in range(8, -1, -1)]
    assert len(within(embedded, "ld-te")) == 9
    assert within(embedded, "ew-te") == ["8100"]


def test_nothing_of_an_erased_customer_stays_in_it(embedded: Ledger) -> None:
    for n in range(30):
        add_return(embedded, "acme", f"90{n:02d}")
    with embedded.write() as session:
        row = session.scalars(sa.select(ReturnRow).where(ReturnRow.return_id == "9007")).one()
        row.customer_email = "xylophone@quartz.example"
        row.stage = "complete"
    assert within(embedded, "phone@q") == ["9007"]
    assert "xyl" in terms(embedded)
    with embedded.write() as session:
        retention.erase_customer(session, NOW, "xylophone@quartz.example", who="an engineer")
    assert within(embedded, "phone@q") == []
    embedded.scour()
    assert not {"xyl", "ylo", "hon", "e@q", "@qu", "rtz"} & terms(embedded)
    sound(embedded)


def test_a_sqlite_without_trigrams_can_still_write_and_find(
    embedded: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fragments, "supported", lambda _: False)
    embedded.migrate()
    with embedded.read() as session:
        triggers = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"
        assert session.scalar(sa.text(triggers)) == 0
    add_return(embedded, "acme", "4001")
    assert within(embedded, "001@") == ["4001"]
    monkeypatch.undo()
    embedded.migrate()
    fragments.fill(embedded, 60)
    assert complete(embedded)
    assert within(embedded, "001@") == ["4001"]


def test_whatever_is_typed_is_a_text_and_no_query(embedded: Ledger) -> None:
    add_return(embedded, "acme", "4001", mark='a"b* OR c')
    for text in ('"b*', "b* OR", "NOT xx", "a AND b", '"""', "(((", "^ab", "-:-"):
        within(embedded, text)
    assert within(embedded, "b* OR") == ["4001"]
