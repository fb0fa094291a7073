"""Returns, their RMAs and receipts: queries the flows and views share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.returns import OFF, WORKING, LoopState, Return, Stage
from bergen_loop.domain.rma import Receipt, TicketStatus, normal_ticket_id
from bergen_loop.domain.words import EffectKind
from bergen_loop.ledger.codec import document
from bergen_loop.ledger.store import cursors
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.store.statements import (
    BRAND,
    MOST,
    NOW,
    VALUES,
    BrandLookup,
    Lookup,
    Worklist,
    insert,
    rows_of,
    told_of,
)
from bergen_loop.ledger.tables.core import (
    BrandRow,
    DecisionRow,
    EffectRow,
    LineRow,
    ReceiptRow,
    ReturnRow,
    RmaRow,
)
from bergen_loop.ledger.tables.shipments import ShipmentRmaRow

by_ids: BrandLookup[str, ReturnRow] = BrandLookup(
    sa.select(ReturnRow.return_id, ReturnRow).where(
        ReturnRow.brand == BRAND, ReturnRow.return_id.in_(VALUES)
    )
)
"""Known returns of a brand by Loop's id."""


class Stored(NamedTuple):
    """What tells whether an answer of Loop's is news."""

    hash: str | None
    """None while it is held: then whatever is shown of it is looked at."""
    content: Mapping[str, Any]


def pictures(session: Session, brand: str, return_ids: Iterable[str]) -> dict[str, Stored]:
    """What the ledger has of known returns, by Loop's id."""
    asked = told_of(session, _PICTURES, return_ids, brand=brand)
    return {i: Stored(None if held else known, content) for i, held, known, content in asked}


_PICTURES = sa.select(
    ReturnRow.return_id, ReturnRow.held, ReturnRow.content_hash, ReturnRow.content
).where(ReturnRow.brand == BRAND, ReturnRow.return_id.in_(VALUES))


hashes: BrandLookup[str, str] = BrandLookup(
    sa.select(ReturnRow.return_id, ReturnRow.content_hash).where(
        ReturnRow.brand == BRAND, ReturnRow.return_id.in_(VALUES), ReturnRow.held.is_(False)
    )
)
"""The same of those that are not held, without their content."""


def by_id(session: Session, brand: str, return_id: str) -> ReturnRow | None:
    """One return by Loop's id."""
    return by_ids(session, brand, [return_id]).get(return_id)


def by_pks(session: Session, pks: Sequence[int], *, lock: bool = False) -> dict[int, ReturnRow]:
    """Returns by key. While they are held, `session.get` of one asks nothing. `lock` holds them
    still until the transaction ends."""
    query = _BY_PKS_LOCKED if lock else _BY_PKS
    return {row.id: row for row in rows_of(session, query, sorted(set(pks)))}


_BY_PKS = sa.select(ReturnRow).where(ReturnRow.id.in_(VALUES)).order_by(ReturnRow.id)
_BY_PKS_LOCKED = _BY_PKS.with_for_update().execution_options(populate_existing=True)


rmas_by_pk: Lookup[int, RmaRow] = Lookup(sa.select(RmaRow.id, RmaRow).where(RmaRow.id.in_(VALUES)))
"""RMAs by key."""


def tickets_to_read(session: Session, brand: str, now: datetime, limit: int) -> list[RmaRow]:
    """RMAs whose ticket is to be read now, those that failed least recently first. A share's
    tickets are its shipment's (`store.shipments`)."""
    return list(session.scalars(_TO_READ, {"brand": brand, "now": now, "most": limit}))


_TO_READ = (
    sa.select(RmaRow)
    .where(
        RmaRow.brand == BRAND,
        RmaRow.to_read.is_(True),
        RmaRow.shipment_pk.is_(None),
        sa.or_(RmaRow.read_due_at.is_(None), RmaRow.read_due_at <= NOW),
    )
    .order_by(RmaRow.unread_since.is_not(None), RmaRow.status_seen_at, RmaRow.id)
    .limit(MOST)
)


def status_names(session: Session, brand: str) -> set[str] | None:
    """The statuses that a brand's tickets have, of shipments too; None while one is being read
    again, for it may say something else than the list."""
    found: set[str] = set()
    for table in (RmaRow, ShipmentRmaRow):
        mine = table.brand == brand
        if session.scalar(
            sa.select(table.id).where(mine, table.unread_since.is_not(None)).limit(1)
        ):
            return None
        found.update(
            x for x in session.scalars(sa.select(table.ticket_status).where(mine).distinct()) if x
        )
    return found


def tickets_made(
    session: Session, brand: str, between: tuple[datetime, datetime], limit: int
) -> list[RmaRow]:
    """RMAs whose tickets were made between two times, and are neither cancelled nor finished, which
    REX11 may list no more; the newest first."""
    query = sa.select(RmaRow).where(
        RmaRow.brand == brand,
        RmaRow.ticket_id.is_not(None),
        RmaRow.shipment_pk.is_(None),
        RmaRow.confirmed_at.between(*between),
        sa.or_(RmaRow.ticket_status.is_(None), RmaRow.ticket_status.not_in(_ENDED)),
    )
    return list(session.scalars(query.order_by(RmaRow.confirmed_at.desc()).limit(limit)))


_ENDED = (TicketStatus.CANCELLED, TicketStatus.ADDED_TO_INVENTORY)


def read_again_beside(session: Session, tickets: Sequence[RmaRow]) -> None:
    """Where these are to be read, the returns' other tickets that have been counted are, too."""
    finished = {rma.return_pk for rma in tickets if rma.to_read}
    if finished:
        session.execute(
            sa.update(RmaRow)
            .where(
                RmaRow.return_pk.in_(finished),
                RmaRow.id.not_in([rma.id for rma in tickets]),
                RmaRow.read_status.is_not(None),
            )
            .values(
                to_read=True,
                # What REX11 could not give is left alone for a while; not a look that was put off.
                read_due_at=sa.case(
                    (RmaRow.unread_since.is_(None), None), else_=RmaRow.read_due_at
                ),
            )
            .execution_options(synchronize_session=False)
        )


def any_to_read(session: Session, brand: str) -> bool:
    """Whether tickets of a brand wait to be read that did not fail just now, nor are put off."""
    query = sa.select(RmaRow.id).where(
        RmaRow.brand == brand,
        RmaRow.to_read.is_(True),
        RmaRow.unread_since.is_(None),
        RmaRow.read_due_at.is_(None),
        RmaRow.shipment_pk.is_(None),
    )
    return session.scalar(query.limit(1)) is not None


_IS_DUE = (
    ReturnRow.brand == BRAND,
    ReturnRow.stage.in_(VALUES),
    ReturnRow.held.is_(False),
    ReturnRow.due_at <= NOW,
)
_IN_TURN = (ReturnRow.due_at, ReturnRow.id)
_DUE = sa.select(ReturnRow).where(*_IS_DUE).order_by(*_IN_TURN).limit(MOST)

due: Worklist[ReturnRow] = Worklist(_DUE)
"""Returns in these stages whose time has come and which nothing holds, oldest first."""
due_locked: Worklist[ReturnRow] = Worklist(_DUE.with_for_update())
"""The same, held still until the transaction ends: a person may be deciding about one."""
due_pks: Worklist[int] = Worklist(_DUE.with_only_columns(ReturnRow.id))
"""Keys of what is `due`."""

_STAGES_DUE = sa.select(ReturnRow.stage).where(*_IS_DUE).distinct()
_EARLIEST_DUE = sa.select(sa.func.min(ReturnRow.due_at)).where(
    ReturnRow.brand == BRAND, ReturnRow.stage.in_(WORKING), ReturnRow.held.is_(False)
)
_AWAITED = (
    sa.select(ReturnRow.id)
    .where(ReturnRow.brand == BRAND, ReturnRow.stage == Stage.ANNOUNCED)
    .limit(1)
)


def stages_due(session: Session, brand: str, now: datetime) -> set[str]:
    """The stages in which returns of a brand are due."""
    return set(session.scalars(_STAGES_DUE, {"brand": brand, "values": WORKING, "now": now}))


def earliest_due(session: Session, brand: str) -> datetime | None:
    """When the next return of a brand is due that nothing holds."""
    return session.scalar(_EARLIEST_DUE, {"brand": brand})


def any_awaited(session: Session, brand: str) -> bool:
    """Whether parcels of a brand are to come."""
    return session.scalar(_AWAITED, {"brand": brand}) is not None


def any_closing_again(session: Session, brand: str, now: datetime) -> bool:
    """Whether an RMA is to be closed that could not be: its return's turn comes again."""
    query = sa.select(ReturnRow.id).where(*_closing_again(brand, now))
    return session.scalar(query.limit(1)) is not None


def close_now(session: Session, brand: str, now: datetime) -> None:
    """Have every RMA tried that could not be closed."""
    session.execute(sa.update(ReturnRow).where(*_closing_again(brand, now)).values(due_at=now))


def _closing_again(brand: str, now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        ReturnRow.brand == brand,
        ReturnRow.stage == Stage.CLOSING,
        ReturnRow.held.is_(False),
        ReturnRow.due_at > now,
    )


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


def unended_pks(session: Session, brand: str, stages: Iterable[str]) -> list[int]:
    """Keys of a brand's returns in these stages that Loop shows open or in review."""
    query = sa.select(ReturnRow.id).where(
        ReturnRow.brand == brand,
        ReturnRow.stage.in_(stages),
        ReturnRow.loop_state.in_((LoopState.OPEN, LoopState.REVIEW)),
    )
    return list(session.scalars(query.order_by(ReturnRow.id)))


def changed_since(session: Session, brand: str, since: datetime) -> list[int]:
    """Keys of a brand's returns that Loop has changed since then."""
    query = sa.select(ReturnRow.id).where(
        ReturnRow.brand == brand, ReturnRow.loop_updated_at >= since
    )
    return list(session.scalars(query.order_by(ReturnRow.id)))


def newest_ids(session: Session, brand: str, most: int) -> list[str]:
    """Loop's ids of the returns of a brand that were learned of last."""
    query = sa.select(ReturnRow.return_id).where(ReturnRow.brand == brand)
    return list(session.scalars(query.order_by(ReturnRow.id.desc()).limit(most)))


def pos_elsewhere(session: Session, brand: str, return_id: str) -> list[str]:
    """POs of RMAs that were made for a return while its brand had another name here."""
    query = (
        sa.select(RmaRow.customer_po)
        .join(ReturnRow, ReturnRow.id == RmaRow.return_pk)
        .where(
            ReturnRow.brand.in_(sa.select(BrandRow.brand).where(BrandRow.brand != brand)),
            ReturnRow.return_id == return_id,
            RmaRow.shipment_pk.is_(None),
        )
    )
    return list(session.scalars(query.order_by(RmaRow.id)))


def newest_tickets(session: Session, brand: str, most: int) -> list[tuple[str, str]]:
    """Ticket and PO of the RMAs of a brand that were made last, of returns and of shipments."""
    found: list[tuple[str, str]] = []
    for table, own in ((RmaRow, RmaRow.shipment_pk.is_(None)), (ShipmentRmaRow, sa.true())):
        query = sa.select(table.ticket_id, table.customer_po).where(
            table.brand == brand, table.ticket_id.is_not(None), own
        )
        rows = session.execute(query.order_by(table.id.desc()).limit(most - len(found)))
        found += [(ticket, po) for ticket, po in rows if ticket]
    return found


def count_awaited(session: Session, brand: str) -> int:
    """How many returns of a brand have an RMA whose parcel has not been counted yet."""
    query = sa.select(sa.func.count()).where(
        ReturnRow.brand == brand, ReturnRow.stage == Stage.ANNOUNCED
    )
    return session.scalar(query) or 0


def announce_now(session: Session, brand: str, now: datetime) -> None:
    """Have every return that waits for its RMA looked at again: what it waited for may be there."""
    session.execute(
        sa.update(ReturnRow)
        .where(ReturnRow.brand == brand, ReturnRow.stage == Stage.SEEN, ReturnRow.due_at > now)
        .values(due_at=now)
    )
    # One that Loop shows cancelled or expired may be opened again.
    mine = sa.select(ReturnRow.id).where(ReturnRow.brand == brand)
    off = EffectRow.return_pk.in_(mine.where(ReturnRow.stage.in_(OFF)))
    waiting = EffectRow.return_pk.in_(mine.where(ReturnRow.stage == Stage.SEEN))
    session.execute(
        sa.update(EffectRow)
        .where(
            sa.or_(waiting, sa.and_(off, EffectRow.state == EffectState.NOT_SENT)),
            EffectRow.kind == EffectKind.TICKET,
            EffectRow.try_at > now,
        )
        .values(try_at=None)
        .execution_options(synchronize_session=False)
    )


def rmas_of(session: Session, return_pks: Sequence[int]) -> dict[int, list[RmaRow]]:
    """RMAs by return, in the order they were made."""
    found: dict[int, list[RmaRow]] = defaultdict(list)
    for row in rows_of(session, _RMAS_OF, return_pks):
        found[row.return_pk].append(row)
    return found


_RMAS_OF = sa.select(RmaRow).where(RmaRow.return_pk.in_(VALUES)).order_by(RmaRow.id)


def statuses_by_ticket(
    session: Session, brand: str, ticket_ids: Sequence[str]
) -> dict[str, tuple[str | None, datetime | None]]:
    """The status of known tickets, and when it was last seen, by id as `rmas_by_ticket` has it."""
    asked = told_of(session, _STATUSES, ticket_spellings(ticket_ids), brand=brand)
    found = {normal_ticket_id(i): (status, at) for i, status, at in asked if i}
    return {i: found[normal] for i in ticket_ids if (normal := normal_ticket_id(i)) in found}


_STATUSES = sa.select(RmaRow.ticket_id, RmaRow.ticket_status, RmaRow.status_seen_at).where(
    RmaRow.brand == BRAND, RmaRow.ticket_id.in_(VALUES)
)


def ticket_spellings(ticket_ids: Sequence[str]) -> set[str]:
    """How REX11 may spell ticket ids that the ledger keeps as they came."""
    return {f for i in map(str.strip, ticket_ids) if i for f in (i, i.upper(), i.lower())}


def rmas_by_ticket(session: Session, brand: str, ticket_ids: Sequence[str]) -> dict[str, RmaRow]:
    """Known RMAs by ticket id, as it is spelled in `ticket_ids`: REX11 lower-cases ids at times,
    the ledger keeps them as they came with the RMA."""
    asked = rows_of(session, _BY_TICKET, ticket_spellings(ticket_ids), brand=brand)
    found = {normal_ticket_id(row.ticket_id): row for row in asked if row.ticket_id}
    return {i: found[normal] for i in ticket_ids if (normal := normal_ticket_id(i)) in found}


_BY_TICKET = sa.select(RmaRow).where(RmaRow.brand == BRAND, RmaRow.ticket_id.in_(VALUES))


latest_receipts: Lookup[int, ReceiptRow] = Lookup(
    sa.select(ReceiptRow.rma_pk, ReceiptRow)
    .where(ReceiptRow.rma_pk.in_(VALUES))
    .order_by(ReceiptRow.id)
)
"""The newest receipt of each RMA that has one."""

_RECEIPTS_KNOWN = sa.select(ReceiptRow.rma_pk, ReceiptRow.content_hash).where(
    ReceiptRow.rma_pk.in_(VALUES)
)


def receipts_known(session: Session, rma_pks: Sequence[int]) -> set[tuple[int, str]]:
    """RMA and content of the receipts that are stored already."""
    return set(told_of(session, _RECEIPTS_KNOWN, rma_pks))


def add_receipts(
    session: Session, new: Sequence[tuple[RmaRow, Receipt, str]], now: datetime
) -> list[ReceiptRow]:
    """Store receipts that differ from the newest of their RMA, each with its content's hash. One
    that says what an older one said is stored again: the newest is what counts."""
    stored = receipts_known(session, [rma.id for rma, _, _ in new])
    known = Counter((pk, content_hash.partition("#")[0]) for pk, content_hash in stored)
    rows: list[ReceiptRow] = []
    for rma, receipt, content_hash in new:
        times = known[rma.id, content_hash]
        rows.append(
            ReceiptRow(
                rma_pk=rma.id,
                read_at=now,
                content=document(receipt),
                content_hash=f"{content_hash}#{times}" if times else content_hash,
            )
        )
    session.add_all(rows)
    session.flush()
    return rows


def receipts_by_pk(session: Session, pks: Sequence[int]) -> list[ReceiptRow]:
    """Receipts of these keys."""
    return list(session.scalars(sa.select(ReceiptRow).where(ReceiptRow.id.in_(pks))))


class Reading(NamedTuple):
    """A return's RMAs, and the newest receipt of each whose ticket is final now, oldest first: the
    only ones a decision may be based on."""

    rmas: Sequence[RmaRow]
    receipts: Sequence[ReceiptRow]

    @property
    def receipt_ids(self) -> list[int]:
        return [r.id for r in self.receipts]


def readings(session: Session, return_pks: Sequence[int]) -> dict[int, Reading]:
    """By return."""
    rmas = rmas_of(session, return_pks)
    newest = latest_receipts(session, [rma.id for of in rmas.values() for rma in of])
    found: dict[int, Reading] = {}
    for pk in return_pks:
        own = rmas.get(pk, [])
        final = (newest[rma.id] for rma in own if rma.id in newest and is_final(rma))
        found[pk] = Reading(own, sorted(final, key=lambda receipt: receipt.id))
    return found


def final_receipt_ids(session: Session, return_pk: int) -> list[int]:
    """Keys of the receipts that count for a return now."""
    return readings(session, [return_pk])[return_pk].receipt_ids


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
    add_lines(session, [(return_pk, return_)])


def add_lines(session: Session, returns: Iterable[tuple[int, Return]]) -> None:
    """Store the units of returns (by key) that have none yet."""
    lines = [
        {
            "return_pk": return_pk,
            "line_item_id": line.line_item_id,
            "sku": line.sku,
            "barcode": line.barcode,
            "title": line.title,
            "outcome": line.outcome,
            "reason": line.reason,
            "price": str(line.price) if line.price is not None else None,
        }
        for return_pk, return_ in returns
        for line in return_.lines
    ]
    if lines:
        session.execute(_ADD_LINES, lines)


_ADD_LINES = sa.insert(LineRow.__table__)  # pyright: ignore[reportArgumentType]


def latest_decision(session: Session, return_pk: int) -> DecisionRow | None:
    """The newest decision about a return."""
    return session.scalar(
        sa.select(DecisionRow)
        .where(DecisionRow.return_pk == return_pk)
        .order_by(DecisionRow.id.desc())
        .limit(1)
    )


latest_decisions: Lookup[int, DecisionRow] = Lookup(
    sa.select(DecisionRow.return_pk, DecisionRow).where(
        DecisionRow.id.in_(
            sa.select(sa.func.max(DecisionRow.id))
            .where(DecisionRow.return_pk.in_(VALUES))
            .group_by(DecisionRow.return_pk)
        )
    )
)
"""The newest decision about each return that has one."""


def brand_row(session: Session, brand: str) -> BrandRow:
    """The brand's memory, created empty where there is none."""
    row = session.get(BrandRow, brand)
    if row is None:
        # Its first webhook and its first tick may do so at once.
        session.execute(insert(session, BrandRow).values(brand=brand).on_conflict_do_nothing())
        row = session.get_one(BrandRow, brand)
    return row


def pulled(session: Session, brand: str, at: datetime) -> None:
    """Loop's list has been walked to its end, as it was then."""
    session.execute(sa.update(BrandRow).where(BrandRow.brand == brand).values(last_pull_at=at))


def brand_rows(
    session: Session, *, due: datetime | None = None, latest: datetime | None = None
) -> dict[str, BrandRow]:
    """What is remembered of each brand, by its name; only of those that are due then, or that
    cannot be due as late as they are: after `latest`."""
    query = sa.select(BrandRow)
    if due is not None:
        query = query.where(
            sa.or_(
                BrandRow.next_due_at.is_(None),
                BrandRow.next_due_at <= due,
                BrandRow.nudged_at <= due,
                BrandRow.next_due_at > latest if latest else sa.false(),
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
