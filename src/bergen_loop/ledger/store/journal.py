"""The append-only journal, and the counters."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

from bergen_loop.domain.words import What
from bergen_loop.ledger.codec import LONGEST_BODY, particulars, sentence, storable
from bergen_loop.ledger.store.statements import insert
from bergen_loop.ledger.tables.core import CounterRow, JournalRow, RawRow, WebhookRow

SERVICE = "bergen-loop"
"""The `who` of everything the service does by itself."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, as the journal keeps them."""

    name: str
    account: int | None = None
    """Their account's id, where they have one."""
    source: str | None = None
    """The address from which they act."""


_actor: ContextVar[Actor | None] = ContextVar("actor", default=None)


def acting(actor: Actor) -> None:
    """From now on, in this request or command, it is `actor` who acts: what is recorded under
    their name is recorded with their account and address."""
    _actor.set(actor)


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened, and why in a sentence for people."""

    what: What
    why: str
    brand: str | None
    """None: of the service as a whole."""
    return_pk: int | None = None
    who: str | Actor = SERVICE
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The particulars that programs go by."""


def record(session: Session, at: datetime, entry: Entry) -> None:
    """Append one entry."""
    who = entry.who
    if not isinstance(who, Actor):
        person = _actor.get()
        who = person if person is not None and person.name == who else Actor(who)
    pending: list[dict[str, Any]] = session.info.setdefault(_PENDING, [])
    pending.append(
        {
            "at": at,
            "brand": entry.brand,
            "return_pk": entry.return_pk,
            "who": sentence(who.name),
            "account_id": who.account,
            "source": who.source,
            "happened": entry.what.value,
            "what": sentence(entry.what.told(entry.data)),
            "why": sentence(entry.why),
            "data": particulars(entry.data),
        }
    )


_PENDING = "journal"
"""Of a session: the entries of its transaction, written in one statement before it is committed."""


def write_down(session: Session) -> None:
    """Have what was recorded in this transaction be found by a question within it."""
    pending: list[dict[str, Any]] | None = session.info.pop(_PENDING, None)
    if pending:
        session.execute(_ENTRIES, pending)


_ENTRIES = sa.insert(JournalRow.__table__)  # pyright: ignore[reportArgumentType]


event.listen(Session, "before_commit", write_down)


def _forget(session: Session) -> None:
    session.info.pop(_PENDING, None)


event.listen(Session, "after_rollback", _forget)


def entries(session: Session, return_pk: int) -> list[JournalRow]:
    """The journal of one return, oldest first."""
    write_down(session)
    return list(
        session.scalars(
            sa.select(JournalRow).where(JournalRow.return_pk == return_pk).order_by(JournalRow.id)
        )
    )


def told(session: Session, return_pk: int, what: What, why: str) -> bool:
    """Whether a return's journal says this already."""
    write_down(session)
    query = sa.select(JournalRow.id).where(
        JournalRow.return_pk == return_pk,
        JournalRow.happened == what.value,
        JournalRow.why == sentence(why),
    )
    return session.scalar(query.limit(1)) is not None


def insert_ignoring(
    session: Session, table: type[RawRow] | type[WebhookRow], values: dict[str, Any]
) -> bool:
    """Insert a row unless its unique key exists already; whether it was inserted."""
    statement = insert(session, table).values(**values).on_conflict_do_nothing()
    return session.scalar(statement.returning(table.id)) is not None


def count(session: Session, brand: str, increments: Mapping[str, int]) -> None:
    """Add to the brand's counters."""
    count_all(session, {brand: increments})


def count_all(session: Session, increments: Mapping[str, Mapping[str, int]]) -> None:
    """Add to the counters of many brands, by brand."""
    rows = [
        {"brand": brand, "name": name, "value": by}
        for brand, of_brand in sorted(increments.items())
        for name, by in sorted(of_brand.items())
    ]
    if not rows:
        return
    new = insert(session, CounterRow).values(rows)
    session.execute(
        new.on_conflict_do_update(
            index_elements=["brand", "name"], set_={"value": CounterRow.value + new.excluded.value}
        )
    )


def counters(session: Session, brand: str) -> dict[str, int]:
    """The brand's counters by name."""
    rows = session.scalars(sa.select(CounterRow).where(CounterRow.brand == brand))
    return {row.name: row.value for row in rows}


@dataclass(frozen=True, slots=True)
class Payload:
    """What came from outside and could not be understood."""

    brand: str
    source: str
    digest: str
    """What repeats are told by."""
    body: str
    problem: str
    return_id: str | None = None


def keep_raw(session: Session, at: datetime, payload: Payload) -> bool:
    """Keep it; False where the same one is kept already."""
    return insert_ignoring(
        session,
        RawRow,
        {
            "brand": payload.brand,
            "source": payload.source,
            "digest": payload.digest,
            "at": at,
            "problem": sentence(payload.problem),
            "return_id": payload.return_id,
            "body": storable(payload.body, LONGEST_BODY),
        },
    )
