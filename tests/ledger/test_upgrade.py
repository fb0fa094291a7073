"""A ledger that the release before has written opens, and says the same in the new words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention
from bergen_loop.ledger.tables.core import JournalRow, RmaRow

AT = "2026-11-20 12:00:00.000000"

WRITTEN: list[tuple[str, str, int | None, What | None]] = [
    ("seen", "submitted in Loop at 2026-11-20 11:00 UTC", 1, What.SEEN),
    ("seen", "already closed in Loop when first seen", 2, What.SEEN_ENDED),
    ("seen", "left alone: destination 17 is not Bergen", 3, What.SEEN_ENDED),
    ("ticket_add: done", "REX11 made ticket WHRTN1", 1, What.CALL_DONE),
    ("process: not sent", "no connection", 1, What.CALL_NOT_SENT),
    ("process: sent again", "it did not happen", 1, What.CALL_AGAIN),
    ("ticket", "ticket WHRTN1 is AddedToInventory in REX11", 1, What.TICKET),
    ("received", "ticket WHRTN1: 1 counted, 0 damaged", 1, What.RECEIVED),
    ("decided: process (shadow: not acted on)", "complete", 1, What.DECIDED),
    ("decided by hand: flag", "looks odd", 1, What.DECIDED_BY_HAND),
    ("closing", "Loop shows the return closed after our call", 1, What.CLOSING),
    ("flagged", "Loop shows the return in review after our flag", 1, What.MOVED),
    ("RMA closed", "finished", 1, What.RMA_CLOSED),
    ("complete", "closed in Loop and in Bergen", 1, What.COMPLETE),
    ("needs attention", "look", 1, What.NEEDS_PERSON),
    ("mode: live (as configured)", "go", None, What.MODE_SET),
    ("reconcile: repaired", "added", 1, What.RECONCILE_FINDING),
    ("reconcile", "compared 3 returns", None, What.RECONCILED),
    ("REX11 suspended", "no answer", None, What.SYSTEM_SUSPENDED),
    ("exported returns", "all", None, What.EXPORTED),
    ("secret stored", "acme-loop", None, What.SECRET_STORED),
    ("something nobody remembers", "", None, None),
]


@pytest.fixture
def old(tmp_path: Path) -> Ledger:
    """A database at the schema of the release before, with what that release wrote."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'old.db'}")
    config = Config()
    config.set_main_option("script_location", "bergen_loop:ledger/migrations")
    with ledger.engine.execution_options(bergen_write=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        for what, why, return_pk, _ in WRITTEN:
            _insert(
                connection, "journal", at=AT, brand="acme", return_pk=return_pk,
                who="bergen-loop", what=what, why=why, data=json.dumps({}),
            )  # fmt: skip
        _insert(
            connection, "attention", brand="acme", kind="unknown_product",
            open_key="unknown_product:36000291452", reason="r", tried="", blocking=True,
            opened_at=AT,
        )  # fmt: skip
        _insert(
            connection, "returns", id=1, brand="acme", return_id="1", stage="announced", held=False,
            loop_state="open", content="{}", content_hash="x", loop_updated_at=AT,
            submitted_at=AT, seen_at=AT,
        )  # fmt: skip
        for number, status in enumerate(("addedtoinventory", "Draft", "Odd One"), start=1):
            _insert(
                connection, "rmas", brand="acme", return_pk=1, parcel=number,
                customer_po=f"LR-{number}", warehouse="NJ", items="[]", tracking_numbers="[]",
                ticket_status=status, read_status=status, to_read=False, created_at=AT,
            )  # fmt: skip
    return ledger


def _insert(connection: sa.Connection, table: str, **values: Any) -> None:
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)


def test_what_was_journaled_in_words_is_known_as_facts(old: Ledger) -> None:
    old.migrate()
    with old.read() as session:
        found = session.execute(
            sa.select(JournalRow.what, JournalRow.happened).order_by(JournalRow.id)
        )
        assert [tuple(row) for row in found] == [
            (what, happened.value if happened else None) for what, _, _, happened in WRITTEN
        ]


def test_an_open_item_is_found_by_its_subject(old: Ledger) -> None:
    old.migrate()
    with old.read() as session:
        (item,) = attention.open_items(session, "acme")
        assert item.subject == "36000291452"


def test_statuses_are_spelled_alike(old: Ledger) -> None:
    old.migrate()
    with old.read() as session:
        found = session.scalars(sa.select(RmaRow).order_by(RmaRow.id))
        assert [(r.ticket_status, r.read_status) for r in found] == [
            ("AddedToInventory", "AddedToInventory"),
            ("Draft", "Draft"),
            ("Odd One", "Odd One"),
        ]
