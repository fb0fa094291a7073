"""What an older release stored as plain JSON is packed little by little (`ledger.packed`).

Some hundreds of rows in a transaction, table by table in the order of ids, each row once. Nothing
of what a row says changes, so nobody who follows changes is told. What is written meanwhile is
packed as it is written.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bergen_loop.ledger.tables.core import (
    PACKS_FROM,
    DecisionRow,
    ReceiptRow,
    ReturnRow,
    RmaRow,
    state_of,
)
from bergen_loop.ledger.tables.operations import FollowerRow
from bergen_loop.ledger.tables.shipments import ShipmentReceiptRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from bergen_loop.ledger.database import Ledger

CHUNK = 500
"""Rows of a transaction: a twentieth of a second."""
DONE = 2**62
"""A position behind every row."""
_COLUMNS: dict[Any, str] = {
    ReturnRow: "content",
    DecisionRow: "facts",
    ReceiptRow: "content",
    RmaRow: "items",
    ShipmentReceiptRow: "content",
}


def pack_old(ledger: Ledger, seconds: float) -> bool:
    """Go on with it for so many seconds; whether there is more."""
    if time.time() < getattr(ledger.engine.dialect, PACKS_FROM):
        return False
    until = time.monotonic() + seconds
    for table in _COLUMNS:
        while _packed_further(ledger, table):
            if time.monotonic() > until:
                return True
            time.sleep(0.05)  # others' turn to write
    return False


def _packed_further(ledger: Ledger, table: Any) -> bool:
    name, column = f"packed:{table.__tablename__}", getattr(table, _COLUMNS[table])
    with ledger.read() as session:
        known = session.get(FollowerRow, name)
        if known is not None and known.position == DONE:
            return False  # without the lock of a writer
    with ledger.write() as session:
        row = _row(session, name)
        rows = session.execute(
            sa.select(table.id, column)
            .where(table.id > row.position, _plain(column, ledger))
            .order_by(table.id)
            .limit(CHUNK)
            # It waits for nobody, so no tick can be in a deadlock with it; what is being written
            # just now stays as it is written.
            .with_for_update(skip_locked=True)
        ).all()
        if not rows:
            row.position = DONE
            return False
        _write(session, table, rows)
        row.position = rows[-1][0]
    return True


def _plain(column: Any, ledger: Ledger) -> sa.ColumnElement[bool]:
    if ledger.is_sqlite:
        return sa.func.typeof(column) == "text"
    return sa.func.left(sa.cast(column, sa.Text), 1) != '"'


def _row(session: Session, name: str) -> FollowerRow:
    query = sa.select(FollowerRow).where(FollowerRow.name == name).with_for_update()
    row = session.scalar(query)
    if row is None:
        row = FollowerRow(name=name, position=0)
        session.add(row)
        session.flush()
    return row


def _write(session: Session, table: Any, rows: Any) -> None:
    """Each anew as it is: the column's type packs it."""
    core = table.__table__
    change: dict[str, Any] = {_COLUMNS[table]: sa.bindparam("_document")}
    if "changed_at" in core.c:
        change["changed_at"] = core.c.changed_at  # nothing has changed
    values: list[dict[str, Any]] = [{"_id": pk, "_document": document} for pk, document in rows]
    if table is DecisionRow:
        change["judged_state"] = sa.func.coalesce(core.c.judged_state, sa.bindparam("_state"))
        for one in values:
            one["_state"] = state_of(one["_document"])
    session.connection().execute(
        sa.update(core).where(core.c.id == sa.bindparam("_id")).values(change), values
    )
