"""Personal data: masked after a time, or erased on request. The audit trail stays.

What a return was, what was decided about it and why, and every call remain; who the customer is
does not. Of a return that is still under way only what no flow needs is erased at once; its
identity follows when it has ended, since Loop's next list would bring it back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.returns import ENDED, Stage
from bergen_loop.domain.words import What
from bergen_loop.ledger.codec import encode
from bergen_loop.ledger.store import calls, chain, journal
from bergen_loop.ledger.store.statements import chunks
from bergen_loop.ledger.tables.core import (
    AttentionRow,
    DecisionRow,
    EffectRow,
    ErasureRow,
    JournalRow,
    RawRow,
    ReceiptFileRow,
    ReceiptRow,
    ReturnRow,
    RmaRow,
    WebhookRow,
)
from bergen_loop.ledger.tables.floor import FloorCodeRow, FloorPhotoRow, FloorTicketRow
from bergen_loop.ledger.tables.operations import OutboxRow
from bergen_loop.ledger.tables.shipments import (
    ClaimRow,
    ShipmentReceiptRow,
    ShipmentRmaRow,
    ShipmentRow,
    ShipmentUnitRow,
)
from bergen_loop.text import without_addresses

ERASED = "[erased]"
PER_RUN = 500


@dataclass(slots=True)
class Erased:
    """What was done."""

    returns: int = 0
    payloads: int = 0
    texts: int = 0
    """Entries of the journal, items, decisions and calls in which something was masked."""
    waiting: list[str] = field(default_factory=list[str])
    """Returns still under way: erased again when they have ended."""
    masked: dict[str, str] = field(default_factory=dict[str, str])
    """Of the journal's sealed entries in which something was masked: what the chain is told."""

    def told(self) -> dict[str, dict[str, str]]:
        """Data of the journal's entry about it; what it tells is told once."""
        masked, self.masked = self.masked, {}
        return {chain.MASKED: masked} if masked else {}


def erase_customer(session: Session, now: datetime, email: str, *, who: str) -> Erased:
    """Erase a customer by e-mail address, in all brands."""
    result = Erased()
    wanted = email.strip().casefold()
    query = sa.select(ReturnRow).where(sa.func.lower(ReturnRow.customer_email) == wanted)
    for row in session.scalars(query.order_by(ReturnRow.id)):
        _ask(session, now, row, who, result)
    _payloads_naming(session, wanted, result)
    _texts_naming(session, wanted, result)
    why = f"a customer: {result.returns} return(s), {len(result.waiting)} still under way"
    journal.record(
        session, now, journal.Entry(What.ERASED, why, brand=None, who=who, data=result.told())
    )
    return result


def erase_return(session: Session, now: datetime, row: ReturnRow, *, who: str) -> Erased:
    """Erase the customer of one return."""
    result = Erased()
    _ask(session, now, row, who, result)
    return result


def keep_erased(session: Session, now: datetime, brand: str) -> Erased:
    """Erase what was asked for, where the return has ended since or Loop has shown its customer
    again. Some hundreds at a time."""
    query = (
        sa.select(ReturnRow)
        .join(ErasureRow, ErasureRow.return_pk == ReturnRow.id)
        .where(ReturnRow.brand == brand, ReturnRow.stage.in_(ENDED), _has_personal())
        .limit(PER_RUN)
    )
    result = Erased()
    for row in session.scalars(query):
        _erase(session, row, result)
        why = "it had been asked for; the return has ended, or Loop showed its customer again"
        _told(session, now, row, (why, journal.SERVICE), result)
    return result


def expire(session: Session, now: datetime, brand: str, after: timedelta) -> Erased:
    """Mask the customers of returns that ended longer ago. Some hundreds at a time."""
    ended = sa.func.coalesce(ReturnRow.completed_at, ReturnRow.loop_updated_at)
    query = (
        sa.select(ReturnRow)
        .where(
            ReturnRow.brand == brand,
            ReturnRow.stage.in_(ENDED),
            ended <= now - after,
            _has_personal(),
        )
        .order_by(ReturnRow.id)
        .limit(PER_RUN)
    )
    result = Erased()
    _old_payloads(session, brand, now - after, result)
    _old_shipments(session, brand, now, after)
    for row in session.scalars(query):
        _erase(session, row, result)
        why = f"it ended more than {after.days} day(s) ago"
        _told(session, now, row, (why, journal.SERVICE), result)
    return result


def _ask(session: Session, now: datetime, row: ReturnRow, who: str, result: Erased) -> None:
    if session.get(ErasureRow, row.id) is None:
        session.add(ErasureRow(return_pk=row.id, asked_at=now, asked_by=who))
    if row.customer_email and row.customer_email != ERASED:
        _payloads_naming(session, row.customer_email.casefold(), result)
    if Stage(row.stage) in ENDED:
        _erase(session, row, result)
        _told(session, now, row, ("asked for", who), result)
        return
    _payloads_of(session, row, result)
    result.waiting.append(row.return_id)
    why = "asked for; the return is still under way, so its customer is erased when it has ended"
    journal.record(
        session,
        now,
        journal.Entry(What.ERASURE_ASKED, why, brand=row.brand, return_pk=row.id, who=who),
    )


def _told(
    session: Session, now: datetime, row: ReturnRow, asked: tuple[str, str], result: Erased
) -> None:
    why, who = asked
    journal.record(
        session, now, journal.Entry(What.ERASED, why, brand=row.brand, return_pk=row.id, who=who,
        data=result.told()),
    )  # fmt: skip


def _has_personal() -> sa.ColumnElement[bool]:
    return sa.or_(
        ReturnRow.customer_email.is_distinct_from(ERASED),
        ReturnRow.tracking_number.is_distinct_from(ERASED),
    )


def _erase(session: Session, row: ReturnRow, result: Erased) -> None:
    """Everything personal about one return. Its content's hash stays: the same content, shown
    again by Loop, is then nothing new and does not come back."""
    rmas = list(session.scalars(sa.select(RmaRow).where(RmaRow.return_pk == row.id)))
    labels = [label.get("tracking_number") for label in row.content.get("labels", [])]
    numbers = [number for rma in rmas for number in rma.tracking_numbers]
    texts = dict.fromkeys([row.customer_email, row.tracking_number, *labels, *numbers])
    known = tuple(v for v in texts if v and v != ERASED)
    _payloads_of(session, row, result)
    row.content = _content(row.content)
    row.customer_email = row.tracking_number = ERASED
    for rma in rmas:
        rma.tracking_numbers = [ERASED for _ in rma.tracking_numbers]
        for receipt in session.scalars(sa.select(ReceiptRow).where(ReceiptRow.rma_pk == rma.id)):
            receipt.content = _masked(receipt.content, known)
            receipt.evidence = _masked(receipt.evidence, known)
            files = sa.delete(ReceiptFileRow).where(ReceiptFileRow.receipt_pk == receipt.id)
            session.execute(files)
        _floor(session, rma, known)
    _shipped(session, row, known)
    rmas = list(session.scalars(sa.select(RmaRow).where(RmaRow.return_pk == row.id)))
    names = {x for r in rmas for x in (r.customer_po, r.ticket_id) if x}
    calls.unsay(session, row.brand, {row.return_id, *names})
    for table in _TEXTS:
        query = sa.select(table).where(table.return_pk == row.id)
        _mask_rows(session, table, query, known, result)
    result.returns += 1


def _shipped(session: Session, row: ReturnRow, known: Sequence[str]) -> None:
    """What consolidated shipments say of it. Bags and boxes stay, as the return's own reference to
    them does: they name nobody."""
    query = (
        sa.select(ShipmentUnitRow)
        .join(ShipmentRow, ShipmentRow.id == ShipmentUnitRow.shipment_pk)
        .where(ShipmentRow.brand == row.brand, ShipmentUnitRow.return_id == row.return_id)
    )
    units = list(session.scalars(query))
    claims = sa.select(ClaimRow).where(
        ClaimRow.brand == row.brand, ClaimRow.return_id == row.return_id
    )
    _unname(units, session.scalars(claims), known)
    codes = {x for u in units for x in (u.content["line"]["sku"], u.content["line"]["barcode"])}
    for pk in {u.shipment_pk for u in units}:
        _counts_of(session, pk, known)
        tickets = (
            sa.select(FloorTicketRow.id)
            .join(
                ShipmentRmaRow,
                sa.and_(
                    ShipmentRmaRow.brand == FloorTicketRow.brand,
                    ShipmentRmaRow.customer_po == FloorTicketRow.customer_po,
                ),
            )
            .where(ShipmentRmaRow.shipment_pk == pk)
        )
        session.execute(
            sa.delete(FloorPhotoRow).where(
                FloorPhotoRow.ticket_pk.in_(tickets), FloorPhotoRow.code.in_(codes - {None})
            )
        )


def _unname(
    units: Iterable[ShipmentUnitRow], claims: Iterable[ClaimRow], known: Sequence[str]
) -> None:
    """Whose they are is told by the return alone from now on."""
    for unit in units:
        item = {**unit.content["item"], **dict.fromkeys(PERSONAL_OF_ITEM)}
        unit.content = _masked({**unit.content, "item": item}, known)
    for claim in claims:
        claim.order_name = None
        claim.why, claim.hint = _masked(claim.why, known), _masked(claim.hint, known)


PERSONAL_OF_ITEM = ("order_name", "rma_id", "po_number")
"""Of a `domain.shipment.ShipmentItem`: what no flow needs."""


def _counts_of(session: Session, shipment_pk: int, known: Sequence[str]) -> None:
    query = (
        sa.select(ShipmentReceiptRow)
        .join(ShipmentRmaRow, ShipmentRmaRow.id == ShipmentReceiptRow.rma_pk)
        .where(ShipmentRmaRow.shipment_pk == shipment_pk)
    )
    for receipt in session.scalars(query):
        receipt.content = _masked(receipt.content, known)


def _old_shipments(session: Session, brand: str, now: datetime, after: timedelta) -> None:
    """Those that left their hub longer ago, with the units of returns that nobody knows."""
    left = sa.func.coalesce(ShipmentRow.shipped_at, ShipmentRow.learned_at)
    query = (
        sa.select(ShipmentRow)
        .where(ShipmentRow.brand == brand, ShipmentRow.erased_at.is_(None), left <= now - after)
        .order_by(ShipmentRow.id)
        .limit(SHIPMENTS_PER_RUN)
    )
    for row in session.scalars(query):
        units = sa.select(ShipmentUnitRow).where(ShipmentUnitRow.shipment_pk == row.id)
        claims = sa.select(ClaimRow).where(ClaimRow.shipment_pk == row.id)
        _unname(session.scalars(units), session.scalars(claims), ())
        _counts_of(session, row.id, ())
        row.erased_at = now


SHIPMENTS_PER_RUN = 20


def _floor(session: Session, rma: RmaRow, known: Sequence[str]) -> None:
    """The same ticket on the embedded warehouse floor. Its photos go too: a label or a letter may
    be on them."""
    mine = (FloorTicketRow.brand == rma.brand, FloorTicketRow.customer_po == rma.customer_po)
    for ticket in session.scalars(sa.select(FloorTicketRow).where(*mine)):
        tracking = set(ticket.tracking_numbers) | set(known)
        session.execute(
            sa.delete(FloorCodeRow).where(
                FloorCodeRow.ticket_pk == ticket.id,
                sa.func.lower(FloorCodeRow.code).in_([t.casefold() for t in tracking]),
            )
        )
        session.execute(sa.delete(FloorPhotoRow).where(FloorPhotoRow.ticket_pk == ticket.id))
        ticket.tracking_numbers = [ERASED for _ in ticket.tracking_numbers]


_TEXTS: dict[Any, tuple[str, ...]] = {
    JournalRow: ("why", "data"),
    AttentionRow: ("reason", "tried", "resolution"),
    DecisionRow: ("reason", "note", "facts"),
    EffectRow: ("payload", "outcome"),
    OutboxRow: ("body",),
}
"""Where texts and data about a return may quote its customer."""
_NAMING: dict[Any, tuple[str, ...]] = {**_TEXTS, ReceiptRow: ("evidence",)}
"""And what may quote any customer."""


def _mask_rows(
    session: Session, table: Any, query: sa.Select[Any], known: Sequence[str], result: Erased
) -> None:
    columns, changed = _NAMING[table], list[Any]()
    query = query.order_by(table.id)
    if table is JournalRow:  # an entry must not be sealed meanwhile
        query = query.with_for_update().execution_options(populate_existing=True)
    for row in session.scalars(query):
        before = [getattr(row, name) for name in columns]
        after = [_masked(value, known) for value in before]
        if before != after:
            changed.append(row)
            for name, value in zip(columns, after, strict=True):
                setattr(row, name, value)
    result.texts += len(changed)
    if table is JournalRow:
        result.masked |= chain.masked(changed)


def _content(content: Mapping[str, Any]) -> dict[str, Any]:
    """A stored return without its customer."""
    nothing = {"tracking_number": None, "url": None}
    lines = [{**line, "comment": None} for line in content.get("lines", [])]
    without: dict[str, Any] = {
        **content,
        "customer_email": ERASED,
        "status_page_url": None,
        "label": {**content.get("label", {}), **nothing},
        "labels": [{**label, **nothing} for label in content.get("labels", [])],
        "lines": lines,
    }
    return _masked(without, ())


def _masked(value: Any, known: Sequence[str]) -> Any:
    if isinstance(value, str):
        for text in known:
            value = re.sub(re.escape(text), ERASED, value, flags=re.IGNORECASE)
        return without_addresses(value, ERASED)
    if isinstance(value, Mapping):
        return {k: _masked(v, known) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_masked(v, known) for v in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _payloads_of(session: Session, row: ReturnRow, result: Erased) -> None:
    """Bodies kept as they came: they hold names and addresses."""
    for table in (RawRow, WebhookRow):
        done = session.execute(
            sa.update(table)
            .where(
                table.brand == row.brand,
                table.return_id == row.return_id,
                table.body.not_in(("", ERASED)),
            )
            .values(body=ERASED)
        )
        result.payloads += _count(done)
    of_shipments = sa.update(RawRow).where(
        RawRow.brand == row.brand,
        RawRow.source == SHIPMENT_PAYLOADS,
        RawRow.body.contains(row.return_id, autoescape=True),
    )
    result.payloads += _count(session.execute(of_shipments.values(body=ERASED)))


SHIPMENT_PAYLOADS = "loop.shipment"
"""Source of payloads that may hold items of any return."""


def _old_payloads(session: Session, brand: str, before: datetime, result: Erased) -> None:
    """Also those that do not say whose return they are of."""
    for table, at in ((RawRow, RawRow.at), (WebhookRow, WebhookRow.received_at)):
        done = session.execute(
            sa.update(table)
            .where(table.brand == brand, at <= before, table.body.not_in(("", ERASED)))
            .values(body=ERASED)
        )
        result.payloads += _count(done)


def _payloads_naming(session: Session, wanted: str, result: Erased) -> None:
    for table in (RawRow, WebhookRow):
        naming = sa.or_(*(sa.func.lower(table.body).contains(t, autoescape=True)
                          for t in _spellings(wanted)))  # fmt: skip
        done = session.execute(sa.update(table).where(naming).values(body=ERASED))
        result.payloads += _count(done)


def _texts_naming(session: Session, wanted: str, result: Erased) -> None:
    """What quotes the customer without belonging to one of their returns. A return under way
    keeps nothing it needs in these texts."""
    for table, columns in _NAMING.items():
        naming = [
            sa.func.lower(sa.cast(getattr(table, column), sa.Text)).contains(t, autoescape=True)
            for column in columns
            for t in _spellings(wanted)
        ]
        _mask_rows(session, table, sa.select(table).where(sa.or_(*naming)), (wanted,), result)
    for pks in chunks(_facts_naming(session, wanted)):
        query = sa.select(DecisionRow).where(DecisionRow.id.in_(pks))
        _mask_rows(session, DecisionRow, query, (wanted,), result)


def _facts_naming(session: Session, wanted: str) -> list[int]:
    """Decisions whose facts are packed, where no question of the database's finds it."""
    rows = session.execute(
        sa.select(DecisionRow.id, DecisionRow.facts), execution_options={"yield_per": 1000}
    )
    spellings = _spellings(wanted)
    texts = ((pk, encode(facts).casefold()) for pk, facts in rows)
    return [pk for pk, text in texts if any(x.casefold() in text for x in spellings)]


def _spellings(wanted: str) -> set[str]:
    """As text, and as JSON writes it."""
    return {wanted, json.dumps(wanted)[1:-1]}


def _count(result: Any) -> int:
    return int(result.rowcount)


def find(session: Session, return_id: str) -> list[ReturnRow]:
    """The returns of this id, of whichever brand."""
    return list(session.scalars(sa.select(ReturnRow).where(ReturnRow.return_id == return_id)))
