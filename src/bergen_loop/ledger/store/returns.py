"""Returns, their RMAs and receipts: queries the flows and views share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.lifecycle import WORKING, Stage
from bergen_loop.domain.receipt import Receipt
from bergen_loop.domain.returns import Return
from bergen_loop.domain.rma import TicketStatus, normal_ticket_id
from bergen_loop.domain.words import EffectKind
from bergen_loop.ledger.codec import dump_receipt
from bergen_loop.ledger.store import cursors
from bergen_loop.ledger.store.chunks import chunks
from bergen_loop.ledger.tables.core import (
    BrandRow,
    DecisionRow,
    EffectRow,
    LineRow,
    ReceiptRow,
    ReturnRow,
    RmaRow,
)


def by_ids(session: Session, brand: str, return_ids: Iterable[str]) -> dict[str, ReturnRow]:
    """Known returns of a brand by Loop's id."""
    found: dict[str, ReturnRow] = {}
    for chunk in chunks(list(return_ids)):
        rows = session.scalars(
            sa.select(ReturnRow).where(ReturnRow.brand == brand, ReturnRow.return_id.in_(chunk))
        )
        found.update((row.return_id, row) for row in rows)
    return found


class Stored(NamedTuple):
    """What tells whether an answer of Loop's is news."""

    hash: str | None
    """None while it is held: then whatever is shown of it is looked at."""
    content: Mapping[str, Any]


def pictures(session: Session, brand: str, return_ids: Iterable[str]) -> dict[str, Stored]:
    """What the ledger has of known returns, by Loop's id."""
    columns = (ReturnRow.return_id, ReturnRow.held, ReturnRow.content_hash, ReturnRow.content)
    found: dict[str, Stored] = {}
    for chunk in chunks(return_ids):
        query = sa.select(*columns).where(ReturnRow.brand == brand, ReturnRow.return_id.in_(chunk))
        for return_id, held, content_hash, content in session.execute(query):
            found[return_id] = Stored(None if held else content_hash, content)
    return found


def hashes(session: Session, brand: str, return_ids: Iterable[str]) -> dict[str, str]:
    """The same of those that are not held, without their content."""
    columns = (ReturnRow.return_id, ReturnRow.content_hash)
    found: dict[str, str] = {}
    for chunk in chunks(return_ids):
        query = sa.select(*columns).where(
            ReturnRow.brand == brand, ReturnRow.return_id.in_(chunk), ReturnRow.held.is_(False)
        )
        found.update((i, known) for i, known in session.execute(query))
    return found


def by_id(session: Session, brand: str, return_id: str) -> ReturnRow | None:
    """One return by Loop's id."""
    return by_ids(session, brand, [return_id]).get(return_id)


def by_pks(session: Session, pks: Sequence[int], *, lock: bool = False) -> dict[int, ReturnRow]:
    """Returns by key. While they are held, `session.get` of one asks nothing. `lock` holds them
    still until the transaction ends."""
    found: dict[int, ReturnRow] = {}
    for chunk in chunks(sorted(set(pks))):
        query = sa.select(ReturnRow).where(ReturnRow.id.in_(chunk)).order_by(ReturnRow.id)
        if lock:
            query = query.with_for_update().execution_options(populate_existing=True)
        found.update((row.id, row) for row in session.scalars(query))
    return found


def rmas_by_pk(session: Session, pks: Sequence[int]) -> dict[int, RmaRow]:
    """RMAs by key."""
    found: dict[int, RmaRow] = {}
    for chunk in chunks(pks):
        rows = session.scalars(sa.select(RmaRow).where(RmaRow.id.in_(chunk)))
        found.update((row.id, row) for row in rows)
    return found


def tickets_to_read(session: Session, brand: str, now: datetime, limit: int) -> list[RmaRow]:
    """RMAs whose ticket is to be read now, those that failed least recently first. A share's
    tickets are its shipment's (`store.shipments`)."""
    due = sa.or_(RmaRow.read_due_at.is_(None), RmaRow.read_due_at <= now)
    query = sa.select(RmaRow).where(
        RmaRow.brand == brand, RmaRow.to_read.is_(True), RmaRow.shipment_pk.is_(None), due
    )
    order = (RmaRow.unread_since.is_not(None), RmaRow.status_seen_at, RmaRow.id)
    return list(session.scalars(query.order_by(*order).limit(limit)))


def any_to_read(session: Session, brand: str) -> bool:
    """Whether tickets of a brand wait to be read that did not fail just now."""
    query = sa.select(RmaRow.id).where(
        RmaRow.brand == brand,
        RmaRow.to_read.is_(True),
        RmaRow.unread_since.is_(None),
        RmaRow.shipment_pk.is_(None),
    )
    return session.scalar(query.limit(1)) is not None


def due(
    session: Session, brand: str, stages: Sequence[Stage], now: datetime, limit: int
) -> list[ReturnRow]:
    """Returns in these stages whose time has come and which nothing holds, oldest first."""
    return list(session.scalars(_due(brand, stages, now).limit(limit)))


def due_locked(
    session: Session, brand: str, stages: Sequence[Stage], now: datetime, limit: int
) -> list[ReturnRow]:
    """The same, held still until the transaction ends: a person may be deciding about one."""
    return list(session.scalars(_due(brand, stages, now).limit(limit).with_for_update()))


def _due(brand: str, stages: Sequence[Stage], now: datetime) -> sa.Select[ReturnRow]:
    return (
        sa.select(ReturnRow)
        .where(
            ReturnRow.brand == brand,
            ReturnRow.stage.in_(stages),
            ReturnRow.held.is_(False),
            ReturnRow.due_at <= now,
        )
        .order_by(ReturnRow.due_at, ReturnRow.id)
    )


def due_pks(
    session: Session, brand: str, stages: Sequence[Stage], now: datetime, limit: int
) -> list[int]:
    """Keys of what is `due`."""
    query = sa.select(ReturnRow.id).where(
        ReturnRow.brand == brand,
        ReturnRow.stage.in_(stages),
        ReturnRow.held.is_(False),
        ReturnRow.due_at <= now,
    )
    return list(session.scalars(query.order_by(ReturnRow.due_at, ReturnRow.id).limit(limit)))


def stages_due(session: Session, brand: str, now: datetime) -> set[str]:
    """The stages in which returns of a brand are due."""
    query = sa.select(ReturnRow.stage).where(
        ReturnRow.brand == brand,
        ReturnRow.stage.in_(WORKING),
        ReturnRow.held.is_(False),
        ReturnRow.due_at <= now,
    )
    return set(session.scalars(query.distinct()))


def earliest_due(session: Session, brand: str) -> datetime | None:
    """When the next return of a brand is due that nothing holds."""
    return session.scalar(
        sa.select(sa.func.min(ReturnRow.due_at)).where(
            ReturnRow.brand == brand, ReturnRow.stage.in_(WORKING), ReturnRow.held.is_(False)
        )
    )


def any_awaited(session: Session, brand: str) -> bool:
    """Whether parcels of a brand are to come."""
    query = sa.select(ReturnRow.id).where(
        ReturnRow.brand == brand, ReturnRow.stage == Stage.ANNOUNCED
    )
    return session.scalar(query.limit(1)) is not None


def received_times(
    session: Session, brand: str, since: datetime, most: int = 500
) -> list[datetime]:
    """When the newest receipts of a brand came, at most so many."""
    query = (
        sa.select(ReturnRow.received_at)
        .where(ReturnRow.brand == brand, ReturnRow.received_at >= since)
        .order_by(ReturnRow.received_at.desc())
    )
    return [at for at in session.scalars(query.limit(most)) if at is not None]


def announce_now(session: Session, brand: str, now: datetime) -> None:
    """Have every return that waits for its RMA looked at again: what it waited for may be there."""
    session.execute(
        sa.update(ReturnRow)
        .where(ReturnRow.brand == brand, ReturnRow.stage == Stage.SEEN, ReturnRow.due_at > now)
        .values(due_at=now)
    )
    waiting = sa.select(ReturnRow.id).where(ReturnRow.brand == brand, ReturnRow.stage == Stage.SEEN)
    session.execute(
        sa.update(EffectRow)
        .where(
            EffectRow.return_pk.in_(waiting),
            EffectRow.kind == EffectKind.TICKET,
            EffectRow.try_at > now,
        )
        .values(try_at=None)
        .execution_options(synchronize_session=False)
    )


def rmas_of(session: Session, return_pks: Sequence[int]) -> dict[int, list[RmaRow]]:
    """RMAs by return, in the order they were made."""
    return _grouped(session, RmaRow, RmaRow.return_pk, return_pks)


def _grouped(
    session: Session, table: Any, column: Any, return_pks: Sequence[int]
) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for chunk in chunks(return_pks):
        for row in session.scalars(sa.select(table).where(column.in_(chunk)).order_by(table.id)):
            found[row.return_pk].append(row)
    return found


def statuses_by_ticket(
    session: Session, brand: str, ticket_ids: Sequence[str]
) -> dict[str, tuple[str | None, datetime | None]]:
    """The status of known tickets, and when it was last seen, by id as `rmas_by_ticket` has it."""
    found: dict[str, tuple[str | None, datetime | None]] = {}
    for chunk in chunks(ticket_spellings(ticket_ids)):
        query = sa.select(RmaRow.ticket_id, RmaRow.ticket_status, RmaRow.status_seen_at).where(
            RmaRow.brand == brand, RmaRow.ticket_id.in_(chunk)
        )
        found.update((normal_ticket_id(i), (s, at)) for i, s, at in session.execute(query) if i)
    return {i: found[normal] for i in ticket_ids if (normal := normal_ticket_id(i)) in found}


def ticket_spellings(ticket_ids: Sequence[str]) -> set[str]:
    """How REX11 may spell ticket ids that the ledger keeps as they came."""
    return {f for i in map(str.strip, ticket_ids) if i for f in (i, i.upper(), i.lower())}


def rmas_by_ticket(session: Session, brand: str, ticket_ids: Sequence[str]) -> dict[str, RmaRow]:
    """Known RMAs by ticket id, as it is spelled in `ticket_ids`: REX11 lower-cases ids at times,
    the ledger keeps them as they came with the RMA."""
    found: dict[str, RmaRow] = {}
    for chunk in chunks(ticket_spellings(ticket_ids)):
        rows = session.scalars(
            sa.select(RmaRow).where(RmaRow.brand == brand, RmaRow.ticket_id.in_(chunk))
        )
        found.update((normal_ticket_id(row.ticket_id), row) for row in rows if row.ticket_id)
    return {i: found[normal] for i in ticket_ids if (normal := normal_ticket_id(i)) in found}


def latest_receipts(session: Session, rma_pks: Sequence[int]) -> dict[int, ReceiptRow]:
    """The newest receipt of each RMA that has one."""
    found: dict[int, ReceiptRow] = {}
    for chunk in chunks(rma_pks):
        rows = session.scalars(
            sa.select(ReceiptRow).where(ReceiptRow.rma_pk.in_(chunk)).order_by(ReceiptRow.id)
        )
        found.update((row.rma_pk, row) for row in rows)
    return found


def receipts_known(session: Session, rma_pks: Sequence[int]) -> set[tuple[int, str]]:
    """RMA and content of the receipts that are stored already."""
    found: set[tuple[int, str]] = set()
    for chunk in chunks(rma_pks):
        query = sa.select(ReceiptRow.rma_pk, ReceiptRow.content_hash)
        rows = session.execute(query.where(ReceiptRow.rma_pk.in_(chunk)))
        found.update((pk, content_hash) for pk, content_hash in rows)
    return found


def add_receipts(
    session: Session, new: Sequence[tuple[RmaRow, Receipt, str]], now: datetime
) -> list[ReceiptRow]:
    """Store receipts that differ from the newest of their RMA, each with its content's hash. One
    that says what an older one said is stored again: the newest is what counts."""
    known = receipts_known(session, [rma.id for rma, _, _ in new])
    rows: list[ReceiptRow] = []
    for rma, receipt, content_hash in new:
        times = sum(1 for pk, h in known if pk == rma.id and h.partition("#")[0] == content_hash)
        rows.append(
            ReceiptRow(
                rma_pk=rma.id,
                read_at=now,
                content=dump_receipt(receipt),
                content_hash=f"{content_hash}#{times}" if times else content_hash,
            )
        )
    session.add_all(rows)
    session.flush()
    return rows


def final_receipts(
    session: Session, return_pks: Sequence[int]
) -> dict[int, tuple[list[RmaRow], list[ReceiptRow]]]:
    """The RMAs of each return, and the newest receipt of each of them whose ticket is final now,
    oldest first: the only ones a decision may be based on."""
    rmas = rmas_of(session, return_pks)
    newest = latest_receipts(session, [rma.id for of in rmas.values() for rma in of])
    return {
        pk: (
            rmas.get(pk, []),
            sorted(
                (newest[r.id] for r in rmas.get(pk, []) if r.id in newest and is_final(r)),
                key=lambda receipt: receipt.id,
            ),
        )
        for pk in return_pks
    }


def final_receipt_ids(session: Session, return_pk: int) -> list[int]:
    """Keys of the receipts that count for a return now."""
    return [receipt.id for receipt in final_receipts(session, [return_pk])[return_pk][1]]


def receipt_ids(session: Session, return_pk: int) -> list[int]:
    """Keys of all receipts of a return, in order."""
    query = (
        sa.select(ReceiptRow.id)
        .join(RmaRow, RmaRow.id == ReceiptRow.rma_pk)
        .where(RmaRow.return_pk == return_pk)
    )
    return list(session.scalars(query.order_by(ReceiptRow.id)))


def is_final(rma: RmaRow) -> bool:
    """Whether what was last read of a ticket still is its last word."""
    return rma.ticket_status == TicketStatus.ADDED_TO_INVENTORY == rma.read_status


def replace_lines(session: Session, return_pk: int, return_: Return) -> None:
    """Make the stored units those of `return_`."""
    session.execute(sa.delete(LineRow).where(LineRow.return_pk == return_pk))
    add_lines(session, return_pk, return_)


def add_lines(session: Session, return_pk: int, return_: Return) -> None:
    """Store the units of a return that has none yet."""
    session.add_all(
        LineRow(
            return_pk=return_pk,
            line_item_id=line.line_item_id,
            sku=line.sku,
            barcode=line.barcode,
            title=line.title,
            outcome=line.outcome,
            reason=line.reason,
            price=str(line.price) if line.price is not None else None,
        )
        for line in return_.lines
    )


def latest_decision(session: Session, return_pk: int) -> DecisionRow | None:
    """The newest decision about a return."""
    return session.scalar(
        sa.select(DecisionRow)
        .where(DecisionRow.return_pk == return_pk)
        .order_by(DecisionRow.id.desc())
        .limit(1)
    )


def latest_decisions(session: Session, return_pks: Sequence[int]) -> dict[int, DecisionRow]:
    """The newest decision about each return that has one."""
    found: dict[int, DecisionRow] = {}
    for chunk in chunks(return_pks):
        newest = (
            sa.select(sa.func.max(DecisionRow.id))
            .where(DecisionRow.return_pk.in_(chunk))
            .group_by(DecisionRow.return_pk)
        )
        rows = session.scalars(sa.select(DecisionRow).where(DecisionRow.id.in_(newest)))
        found.update((row.return_pk, row) for row in rows)
    return found


def brand_row(session: Session, brand: str) -> BrandRow:
    """The brand's memory, created empty where there is none."""
    row = session.get(BrandRow, brand)
    if row is None:
        row = BrandRow(brand=brand)
        session.add(row)
        session.flush()
    return row


def brand_rows(session: Session, *, due: datetime | None = None) -> dict[str, BrandRow]:
    """What is remembered of each brand, by its name; only of those that are due then."""
    query = sa.select(BrandRow)
    if due is not None:
        query = query.where(
            sa.or_(
                BrandRow.next_due_at.is_(None),
                BrandRow.next_due_at <= due,
                BrandRow.nudged_at <= due,
            )
        )
    return {row.brand: row for row in session.scalars(query)}


def known_brand(session: Session, brand: str, *, lock: bool = False) -> BrandRow | None:
    """The brand's memory, if there is any yet; `lock`: until the transaction ends."""
    return session.get(BrandRow, brand, with_for_update=lock or None)


NUDGED = "nudged"
"""When a webhook last had the brand synced."""


def nudge(session: Session, brand: str, now: datetime, apart: timedelta) -> bool:
    """Have a brand synced because of a webhook: at once, or `apart` after the sync that a webhook
    caused last, so that a busy brand's webhooks cost no more calls than polling would. Whether
    it is to be at once."""
    row, last = brand_row(session, brand), cursors.get(session, brand, NUDGED)
    at = max(now, last + apart) if last else now
    at = min(row.nudged_at or at, at)
    row.nudged_at = at
    return at <= now


def hurried(session: Session, brand: str, now: datetime) -> None:
    """What a webhook told of is seen to now."""
    cursors.set(session, brand, NUDGED, now)


def take_nudge(session: Session, row: BrandRow, now: datetime) -> bool:
    """A sync begins: whether one was asked for."""
    nudged = row.nudged_at is not None and row.nudged_at <= now
    if nudged:
        cursors.set(session, row.brand, NUDGED, now)
    row.nudged_at = None
    return nudged
