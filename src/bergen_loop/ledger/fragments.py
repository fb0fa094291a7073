"""What has a text somewhere within: an index of trigrams over the numbers people search by, on
SQLite (FTS5). PostgreSQL has its own, where it has been given them (docs/operations.md).

Triggers keep it in step in the very transaction that writes, whoever writes. What was there before
it is taken in afterwards, the newest first and some thousands of rows at a time (`fill`); until
that is done, and where Python's SQLite has no trigrams, nothing is looked up in it. Positions of
the trigrams are not kept, which halves it: what it finds is to be checked (`candidates`).
"""

# ruff: noqa: S608 - every name in its statements is one of its own

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bergen_loop.ledger.tables.core import ReturnRow, RmaRow
from bergen_loop.ledger.tables.operations import FollowerRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from bergen_loop.ledger.database import Ledger

SHORTEST = 3
"""Characters: fewer have no trigram."""
CHUNK = 2000
"""Rows that are taken in within one transaction: a tenth of a second."""
MERGED = 500
"""Pages that are merged within one transaction."""


@dataclass(frozen=True, slots=True)
class Fragments:
    """The index over some columns of a table."""

    table: str
    columns: tuple[str, ...]
    filled: bool = True
    """Whether rows that were there before it are taken in little by little."""

    @property
    def name(self) -> str:
        return f"{self.table}_fragments"

    def candidates(
        self, query: sa.Select[Any], key: Any, trigrams: sa.BindParameter[str]
    ) -> sa.Select[Any]:
        """The query over the table, of rows that have all `trigrams` of a text in whatever order
        and column; the newest first, as they are found. `key` is the table's id."""
        index = sa.table(self.name, sa.column("rowid"))
        matches: sa.ColumnElement[bool] = sa.literal_column(self.name).op("MATCH")(trigrams)
        # With the sign, rows can only be looked up by what matches, not the other way round.
        found = key == sa.literal_column(f"+{self.name}.rowid")
        query = query.join_from(index, key.table, found).where(matches)
        return query.order_by(index.c.rowid.desc())

    def made(self) -> list[str]:
        """The statements that make it, empty."""
        columns, new, old = (
            ", ".join(prefix + column for column in self.columns) for prefix in ("", "new.", "old.")
        )
        differ = " OR ".join(f"old.{c} IS NOT new.{c}" for c in self.columns)
        put = f"INSERT INTO {self.name}(rowid, {columns}) VALUES (new.id, {new});"
        take = (
            f"INSERT INTO {self.name}({self.name}, rowid, {columns}) VALUES "
            f"('delete', old.id, {old});"
        )
        within = (
            f"{{0}}.id >= (SELECT position FROM followers WHERE name = '{self.name}')"
            if self.filled
            else "TRUE"
        )
        new_in, old_in = within.format("new"), within.format("old")
        return [
            f"CREATE VIRTUAL TABLE {self.name} USING fts5({columns}, content='{self.table}', "
            "content_rowid='id', tokenize='trigram', detail=none, columnsize=0)",
            f"CREATE TRIGGER fragments_{self.table}_insert AFTER INSERT ON {self.table} "
            f"WHEN {new_in} BEGIN {put} END",
            f"CREATE TRIGGER fragments_{self.table}_delete AFTER DELETE ON {self.table} "
            f"WHEN {old_in} BEGIN {take} END",
            f"CREATE TRIGGER fragments_{self.table}_update AFTER UPDATE OF {columns} "
            f"ON {self.table} WHEN {old_in} AND ({differ}) BEGIN {take} {put} END",
        ]


def trigrams(text: str) -> str:
    """What `candidates` looks for a text by; it has `SHORTEST` characters at least."""
    grams = dict.fromkeys(text[n : n + 3] for n in range(len(text) - 2))
    return " AND ".join('"{}"'.format(gram.replace('"', '""')) for gram in grams)


RETURNS = Fragments("returns", ("return_id", "order_name", "tracking_number", "customer_email"))
RMAS = Fragments("rmas", ("customer_po", "ticket_id"))
SKUS = Fragments("searched_skus", ("sku",), filled=False)
"""Over the different ones: a thousand SKUs stand in a million lines."""
ALL = (RETURNS, RMAS, SKUS)
_TABLES: dict[Fragments, Any] = {RETURNS: ReturnRow, RMAS: RmaRow}

searched_skus = sa.table("searched_skus", sa.column("id"), sa.column("sku"))
"""Every SKU that has stood in a line, folded, once. Kept with the index."""
_SKU_TRIGGERS = [
    f"CREATE TRIGGER fragments_lines_{name} AFTER {when} ON return_lines "
    "WHEN new.sku IS NOT NULL "
    "BEGIN INSERT OR IGNORE INTO searched_skus(sku) VALUES (lower(new.sku)); END"
    for name, when in (("insert", "INSERT"), ("update", "UPDATE OF sku"))
]
_SKUS = """
INSERT INTO searched_skus(sku)
WITH RECURSIVE known(sku) AS (
  SELECT min(lower(sku)) FROM return_lines
  UNION ALL
  SELECT (SELECT min(lower(l.sku)) FROM return_lines AS l WHERE lower(l.sku) > known.sku)
  FROM known WHERE known.sku IS NOT NULL
)
SELECT sku FROM known WHERE sku IS NOT NULL
"""
"""Each found from the one before it by the lines' own index, not by reading all lines."""
_TRIGGERS = 3 * len(ALL) + len(_SKU_TRIGGERS)


def supported(connection: sa.Connection) -> bool:
    """Whether this Python's SQLite has trigrams (since 3.34, where FTS5 is compiled in)."""
    version = str(connection.scalar(sa.text("SELECT sqlite_version()")))
    if tuple(map(int, version.split(".")[:2])) < (3, 34):
        return False
    return "ENABLE_FTS5" in set(connection.scalars(sa.text("PRAGMA compile_options")))


def ensure(connection: sa.Connection) -> None:
    """Have it there, empty if it was not: on SQLite, after the schema has been migrated. Where
    SQLite has no trigrams nobody could write any more: then its triggers are taken away, and it
    is made anew as soon as one has them again."""
    named = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name GLOB 'fragments_*'"
    there = set(connection.scalars(sa.text(named)))
    able = supported(connection)
    if len(there) == (_TRIGGERS if able else 0):
        return
    for trigger in there:
        connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
    connection.execute(sa.delete(FollowerRow).where(FollowerRow.name.in_([f.name for f in ALL])))
    if not able:
        return
    for one in ALL:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {one.name}")
    connection.exec_driver_sql("DROP TABLE IF EXISTS searched_skus")
    connection.exec_driver_sql(
        "CREATE TABLE searched_skus (id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE)"
    )
    for one in ALL:
        for statement in one.made():
            connection.exec_driver_sql(statement)
    connection.exec_driver_sql(_SKUS)
    for statement in _SKU_TRIGGERS:
        connection.exec_driver_sql(statement)
    for one, table in _TABLES.items():
        last = connection.scalar(sa.select(sa.func.max(table.id)))
        begin = {"name": one.name, "position": last + 1 if last else 0}
        connection.execute(sa.insert(FollowerRow), begin)


def complete(session: Session) -> bool:
    """Whether everything there is stands in it."""
    whole = sa.select(sa.func.count()).where(
        FollowerRow.name.in_([f.name for f in _TABLES]), FollowerRow.position == 0
    )
    return session.scalar(whole) == len(_TABLES)


def fill(ledger: Ledger, seconds: float) -> bool:
    """Take in what was there before, for so many seconds; whether there is more."""
    until = time.monotonic() + seconds
    for one in _TABLES if ledger.is_sqlite else ():
        while _filled_further(ledger, one):
            if time.monotonic() > until:
                return True
            time.sleep(0.05)  # others' turn to write
    return False


def _filled_further(ledger: Ledger, one: Fragments) -> bool:
    columns = ", ".join(one.columns)
    with ledger.write() as session:
        row = session.get(FollowerRow, one.name)
        if row is None or row.position == 0:
            return False
        first = max(1, row.position - CHUNK)
        session.execute(
            sa.text(
                f"INSERT INTO {one.name}(rowid, {columns}) SELECT id, {columns} "
                f"FROM {one.table} WHERE id >= :first AND id < :position"
            ),
            {"first": first, "position": row.position},
        )
        row.position = 0 if first == 1 else first
    return True


def scour(ledger: Ledger) -> None:
    """Leave no trigrams of what has been erased: FTS5 only marks them as gone until it merges
    what it has written. Little by little, for that rewrites the index."""
    with ledger.read() as session:
        if not ledger.is_sqlite or not session.scalar(
            sa.select(sa.func.count()).where(FollowerRow.name.in_([f.name for f in _TABLES]))
        ):
            return
    for one in _TABLES:
        pages = -MERGED
        while _merged(ledger, one, pages):
            pages = MERGED


def _merged(ledger: Ledger, one: Fragments, pages: int) -> bool:
    """Merge some; whether there was anything to do."""
    with ledger.write() as session:
        connection = session.connection()

        def changes() -> int:
            return connection.exec_driver_sql("SELECT total_changes()").scalar_one()

        before = changes()
        connection.exec_driver_sql(
            f"INSERT INTO {one.name}({one.name}, rank) VALUES ('merge', {pages})"
        )
        return changes() - before >= 2
