"""Who counted a return's parcels, what they photographed, and the files of corrected counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.tables.core import ReceiptFileRow, ReceiptRow, RmaRow
from bergen_loop.ledger.tables.floor import FloorCountRow, FloorPhotoRow, FloorTicketRow


@dataclass(frozen=True, slots=True)
class Counting:
    """One counting on this service's own floor page."""

    ticket: str
    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Shown:
    """A photo or file, without its body."""

    id: int
    what: str
    """What it shows, or its name."""


def countings(session: Session, rmas: Sequence[RmaRow]) -> list[Counting]:
    """Who counted these RMAs' parcels, in order. REX11 does not say who counted there."""
    query = (
        sa.select(FloorTicketRow, FloorCountRow.who, FloorCountRow.at)
        .join(FloorCountRow, FloorCountRow.ticket_pk == FloorTicketRow.id)
        .where(_tickets(rmas))
        .order_by(FloorCountRow.id)
    )
    return [Counting(ticket.ticket_id, who, at) for ticket, who, at in session.execute(query)]


def photos(session: Session, rmas: Sequence[RmaRow]) -> list[Shown]:
    """The photos of damage that were taken of these RMAs' parcels."""
    query = (
        sa.select(FloorPhotoRow.id, FloorPhotoRow.code, FloorCountRow.content)
        .join(FloorTicketRow, FloorTicketRow.id == FloorPhotoRow.ticket_pk)
        .join(FloorCountRow, FloorCountRow.id == FloorPhotoRow.count_pk)
        .where(_tickets(rmas))
        .order_by(FloorPhotoRow.id)
    )
    return [Shown(pk, _captioned(code, content)) for pk, code, content in session.execute(query)]


def _captioned(code: str, content: Mapping[str, Any]) -> str:
    """A product, and what was said to be wrong with it: `850001: Torn`."""
    lines = [x for x in content.get("lines", ()) if code in (x.get("upc"), x.get("sku"))]
    reasons = dict.fromkeys(str(r) for x in lines for r in x.get("reasons", ()) if r)
    return f"{code}: {', '.join(reasons)}" if reasons else code


def photo(session: Session, rmas: Sequence[RmaRow], photo_id: int) -> tuple[str, bytes] | None:
    """(content type, body) of one of them."""
    query = (
        sa.select(FloorPhotoRow.content_type, FloorPhotoRow.body)
        .join(FloorTicketRow, FloorTicketRow.id == FloorPhotoRow.ticket_pk)
        .where(_tickets(rmas), FloorPhotoRow.id == photo_id)
    )
    found = session.execute(query).first()
    return (found[0], found[1]) if found else None


def files(session: Session, receipts: Sequence[ReceiptRow]) -> dict[int, list[Shown]]:
    """The files with which people showed what they corrected, by receipt."""
    found: dict[int, list[Shown]] = {}
    corrected = [r.id for r in receipts if r.corrects is not None]
    query = sa.select(ReceiptFileRow.receipt_pk, ReceiptFileRow.id, ReceiptFileRow.name)
    query = query.where(ReceiptFileRow.receipt_pk.in_(corrected)).order_by(ReceiptFileRow.id)
    for receipt, pk, name in session.execute(query):
        found.setdefault(receipt, []).append(Shown(pk, name))
    return found


def file(session: Session, rmas: Sequence[RmaRow], file_id: int) -> ReceiptFileRow | None:
    """One of them, of a receipt of these RMAs."""
    return session.scalar(
        sa.select(ReceiptFileRow)
        .join(ReceiptRow, ReceiptRow.id == ReceiptFileRow.receipt_pk)
        .where(ReceiptFileRow.id == file_id, ReceiptRow.rma_pk.in_([r.id for r in rmas]))
    )


def _tickets(rmas: Sequence[RmaRow]) -> sa.ColumnElement[bool]:
    """An RMA's ticket on the floor has its PO."""
    brand = rmas[0].brand if rmas else ""
    pos = [r.customer_po for r in rmas]
    return sa.and_(FloorTicketRow.brand == brand, FloorTicketRow.customer_po.in_(pos))
