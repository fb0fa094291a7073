"""From the journal to the outbox, and to the counters that grow with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from bergen_loop.config.operations import EventSettings, EventType
from bergen_loop.ledger.database import Ledger, Session
from bergen_loop.ledger.read import listing
from bergen_loop.ledger.store import follow, journal, returns
from bergen_loop.ledger.store.outbox import PENDING
from bergen_loop.ledger.tables.core import JournalRow, ReturnRow
from bergen_loop.ledger.tables.operations import OutboxRow
from bergen_loop.tell.events import counting
from bergen_loop.tell.events.catalogue import events_of
from bergen_loop.tell.events.payload import About, body, event_id

BATCH = 400


def take_in(ledger: Ledger, endpoints: Mapping[str, EventSettings], now: datetime) -> int:
    """Read the journal on by one batch; the number of entries read. What is told and how far
    the journal was read are written together: nothing is told never, nothing twice.

    An endpoint is told of what happens from the time it is in the configuration.
    """
    with ledger.read() as session:
        if not follow.behind(session):
            return 0
    with ledger.write() as session:
        entries = follow.read_on(session, now, BATCH)
        if not entries:
            return 0
        rows = _rows(session, entries)
        for brand, counts in counting.count(entries, rows).items():
            journal.count(session, brand, counts)
        _tell(session, entries, rows, endpoints, now)
    return len(entries)


def _rows(session: Session, entries: Sequence[JournalRow]) -> dict[int, ReturnRow]:
    pks = list({e.return_pk for e in entries if e.return_pk is not None and events_of(e)})
    return {row.id: row for row in listing.return_rows(session, pks)}


def _tell(
    session: Session,
    entries: Sequence[JournalRow],
    rows: Mapping[int, ReturnRow],
    endpoints: Mapping[str, EventSettings],
    now: datetime,
) -> None:
    told: list[tuple[JournalRow, EventType]] = [
        (entry, type_)
        for entry in entries
        for type_ in events_of(entry)
        if (endpoint := endpoints.get(entry.brand or "")) and _wanted(endpoint, type_)
    ]
    pks = [pk for pk in dict.fromkeys(e.return_pk for e, _ in told) if pk in rows]
    about = _about(session, {pk: rows[pk] for pk in pks if pk is not None})
    for entry, type_ in told:
        session.add(
            OutboxRow(
                brand=entry.brand,
                event_id=event_id(entry, type_),
                type=type_,
                return_pk=entry.return_pk,
                body=body(entry, type_, about.get(entry.return_pk or 0)),
                state=PENDING,
                attempts=0,
                created_at=now,
                next_at=now,
            )
        )


def _wanted(endpoint: EventSettings, type_: EventType) -> bool:
    return endpoint.moments is None or type_ in endpoint.moments


def _about(session: Session, rows: Mapping[int, ReturnRow]) -> dict[int, About]:
    rmas = returns.rmas_of(session, list(rows))
    decisions = returns.latest_decisions(session, list(rows))
    return {pk: About(row, rmas.get(pk, []), decisions.get(pk)) for pk, row in rows.items()}
