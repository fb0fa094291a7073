"""The floor page's back end over the embedded warehouse's tickets."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from bergen_loop.domain.codes import normal_code, normal_upc
from bergen_loop.domain.rma import BagCount, RmaItem, TicketStatus
from bergen_loop.domain.shipment import ShipmentUnit
from bergen_loop.ledger.codec import load_items, storable
from bergen_loop.ledger.database import Clash, Ledger, Session
from bergen_loop.ledger.store import floor, returns, shipments
from bergen_loop.ledger.tables.floor import (
    FloorCountRow,
    FloorItemRow,
    FloorPhotoRow,
    FloorTicketRow,
)
from bergen_loop.outside.warehouse.floor import codes
from bergen_loop.outside.warehouse.floor.backend import FloorBackend, FloorRefused, Json
from bergen_loop.outside.warehouse.floor.counting import Counting, Line, Reopen, parse

MOST_EXPECTED = 300


def _utc_now() -> datetime:
    return datetime.now(UTC)


class EmbeddedFloor(FloorBackend):
    """Tickets of the brands that somebody may see."""

    def __init__(
        self,
        ledger: Ledger,
        brands: Collection[str],
        *,
        pictures: Mapping[str, str] | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """`pictures`: by brand, the address of a product's picture, with `{sku}` or `{upc}`."""
        self._ledger, self._brands, self._now = ledger, brands, now
        self._pictures = pictures or {}

    def find(self, code: str) -> list[Json]:
        """By a bag's barcode; by number, PO or tracking number; else what is open and expects the
        product."""
        wanted = codes.tracking_candidates(code)
        with self._ledger.read() as session:
            if bags := self._bags(session, code):
                return bags
            rows: Sequence[FloorTicketRow] = ()
            for candidate in wanted:
                rows = floor.called(session, self._brands, candidate)
                if rows:
                    break
            if not rows:
                keys = [c for c in (normal_upc(code), normal_code(code)) if c]
                for key in dict.fromkeys(keys):
                    rows = rows or floor.expecting(session, self._brands, key)
            return self._json(session, rows)

    def expected(self) -> list[Json]:
        """Open tickets, those that are due first."""
        with self._ledger.read() as session:
            return self._json(session, floor.expected(session, self._brands, MOST_EXPECTED))

    def _json(self, session: Session, rows: Sequence[FloorTicketRow]) -> list[Json]:
        items = floor.items_of_each(session, [row.id for row in rows])
        return [as_json(row, items[row.id], self._pictures.get(row.brand)) for row in rows]

    def _bags(self, session: Session, code: str) -> list[Json]:
        """The tickets of a bag, each with what of it the bag was to hold."""
        found: list[Json] = []
        for bag, rma, units in shipments.in_bag(session, self._brands, code):
            row = floor.by_ticket(session, rma.brand, rma.ticket_id or "")
            if row is None:
                continue
            counted = [
                c for c in floor.bag_counts(session, row.id) if normal_code(c.bag) == bag.code
            ]
            items = _bag_items(load_items(rma.items), units, counted)
            shown = as_json(row, floor.items_of(session, row.id))
            found.append(
                shown
                | {"bag": {"barcode": bag.barcode, "return_id": bag.return_id, "items": items}}
            )
        return found

    def count(self, counting: Json, who: str) -> Json:
        """Take a counting once, whatever the network makes of it."""
        parsed = parse(counting)
        try:
            with self._ledger.write() as session:
                return self._take(session, parsed, who)
        except Clash:
            # The same counting at the same moment, sent twice: the other one was taken.
            with self._ledger.read() as session:
                return self._take(session, parsed, who)

    def _take(self, session: Session, counting: Counting, who: str) -> Json:
        row = None
        if counting.brand in self._brands:
            row = floor.by_ticket(session, counting.brand, counting.ticket, lock=True)
        if row is None:
            raise FloorRefused(f"there is no RMA {counting.ticket} here", 404)
        known = floor.counting(session, counting.key)
        if known is not None:
            if known.ticket_pk != row.id:
                raise FloorRefused("this counting was sent for another RMA before", 409)
            return {"ticket": as_json(row, floor.items_of(session, row.id)), "repeated": True}
        if row.status not in floor.OPEN and not _may_reopen(session, row, counting):
            raise FloorRefused(
                f"RMA {row.ticket_id} is {row.status} since {row.status_at:%Y-%m-%d %H:%M} UTC "
                "and cannot be counted any more; put the parcel aside and tell your lead",
                409,
            )
        self._write(session, row, counting, who)
        return {"ticket": as_json(row, floor.items_of(session, row.id)), "repeated": False}

    def _write(self, session: Session, row: FloorTicketRow, counting: Counting, who: str) -> None:
        now = self._now()
        content = counting.model_dump(mode="json", exclude={"photos"})
        kept = FloorCountRow(
            key=counting.key, ticket_pk=row.id, at=now, who=who, content=storable(content)
        )
        session.add(kept)
        session.flush()
        for photo in counting.photos:
            kind, body = _picture(photo.data)
            session.add(
                FloorPhotoRow(
                    ticket_pk=row.id,
                    count_pk=kept.id,
                    code=photo.code,
                    content_type=kind,
                    body=body,
                )
            )
        session.flush()
        if counting.reopen is Reopen.ANEW:
            for item in floor.items_of(session, row.id):
                item.actual = item.damaged = 0
                item.comments = None if item.expected else item.comments
        _add_up(session, row, counting)
        if row.status not in floor.OPEN:
            _read_again(session, row)
            row.status_at = now
        row.arrived_at = row.arrived_at or now
        status = (
            TicketStatus.ADDED_TO_INVENTORY
            if counting.finish
            else TicketStatus.COUNTING_IN_PROGRESS
        )
        if row.status != status:
            row.status, row.status_at = status, now
        if counting.finish:
            row.finished_at = now
            returns.brand_row(session, row.brand).nudged_at = now
        session.flush()

    def photo(self, photo_id: int) -> tuple[str, bytes] | None:
        """(content type, bytes) of a photo."""
        with self._ledger.read() as session:
            row = floor.photo(session, self._brands, photo_id)
        return (row.content_type, row.body) if row else None


def _bag_items(
    announced: Sequence[RmaItem], units: Sequence[ShipmentUnit], counted: Sequence[BagCount]
) -> list[Json]:
    """What a bag was to hold, by the products of its ticket, and what was counted of it."""
    keys = {u.key for u in units}
    items: list[Json] = [
        _bag_item(i.sku, i.upc, i.description, expected)
        for i in announced
        if (expected := sum(n for key, n in i.pieces if key in keys))
    ]
    named = {key for i in announced for key, _ in i.pieces}
    items += [
        _bag_item(u.line.sku, u.line.barcode, u.line.title, 1) for u in units if u.key not in named
    ]
    for count in counted:
        item = next((i for i in items if _is_of(i, count)), None)
        if item is None:
            items.append(item := _bag_item(count.sku, count.upc, "not told to be in this bag", 0))
        item["counted"] += count.counted
        item["damaged"] += count.damaged
    return items


def _bag_item(sku: str | None, upc: str | None, description: str | None, expected: int) -> Json:
    return {
        "sku": sku,
        "upc": upc,
        "description": description,
        "expected": expected,
        "counted": 0,
        "damaged": 0,
        "note": None,
    }


def _is_of(item: Json, count: BagCount) -> bool:
    upc, sku = normal_upc(count.upc), normal_code(count.sku)
    return bool(
        (upc and normal_upc(item["upc"]) == upc) or (sku and normal_code(item["sku"]) == sku)
    )


_SIGNS = (("image/jpeg", b"\xff\xd8\xff"), ("image/png", b"\x89PNG\r\n\x1a\n"))


def _may_reopen(session: Session, row: FloorTicketRow, counting: Counting) -> bool:
    """Whether a ticket that is finished may be counted again: a worker has seen that it is, and it
    is a return's own, not a consolidated shipment's."""
    mine = returns.rmas_by_ticket(session, row.brand, [row.ticket_id])
    return counting.reopen is not None and counting.bag is None and bool(mine)


def _read_again(session: Session, row: FloorTicketRow) -> None:
    """What was counted before does not count any more, also where no status tells of it."""
    for rma in returns.rmas_by_ticket(session, row.brand, [row.ticket_id]).values():
        rma.read_status, rma.to_read = None, True
        rma.unread_since = rma.read_due_at = None


def _picture(data: str) -> tuple[str, bytes]:
    """(type, bytes) by what it is, not by what it is called. FloorRefused for no picture."""
    try:
        body = base64.b64decode(data.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise FloorRefused("a photo is broken: take it again") from None
    kind = next((kind for kind, sign in _SIGNS if body.startswith(sign)), None)
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        raise FloorRefused("a photo is no JPEG, PNG or WebP picture: take it again")
    return kind, body


def _add_up(session: Session, row: FloorTicketRow, counting: Counting) -> None:
    items = list(floor.items_of(session, row.id))
    for line in counting.lines:
        item = _item(items, line)
        if item is None:
            item = FloorItemRow(
                ticket_pk=row.id,
                sku=storable(line.sku),
                upc=storable(line.upc),
                expected=0,
                actual=0,
                damaged=0,
                comments="not on the RMA",
            )
            session.add(item)
            items.append(item)
        item.actual += line.counted
        item.damaged += line.damaged
        photos = sum(1 for p in counting.photos if p.code in (line.upc, line.sku))
        item.comments = _comments(item.comments, line.reasons, photos)


def _item(items: Sequence[FloorItemRow], line: Line) -> FloorItemRow | None:
    upc, sku = normal_upc(line.upc), normal_code(line.sku)
    by_upc = next((i for i in items if upc and normal_upc(i.upc) == upc), None)
    return by_upc or next((i for i in items if sku and normal_code(i.sku) == sku), None)


def _comments(before: str | None, reasons: Sequence[str], photos: int) -> str | None:
    parts = [before] if before else []
    parts += [storable(reason) for reason in reasons if reason]
    if photos:
        parts.append(f"{photos} photo(s)")
    return "; ".join(dict.fromkeys(parts)) or None


def _address(template: str | None, item: FloorItemRow) -> str | None:
    """Where the picture of a product is; None where that takes a code which it has not."""
    if template is None:
        return None
    for name, value in (("{sku}", item.sku), ("{upc}", item.upc)):
        if name in template and not value:
            return None
        template = template.replace(name, quote(value or "", safe=""))
    return template


def as_json(
    row: FloorTicketRow, items: Sequence[FloorItemRow], pictures: str | None = None
) -> Json:
    """A ticket as the page takes it."""
    return {
        "brand": row.brand,
        "ticket": row.ticket_id,
        "po": row.customer_po,
        "status": row.status,
        "memo": row.memo,
        "carrier": row.carrier,
        "tracking": list(row.tracking_numbers),
        "finished": row.status not in floor.OPEN,
        "due": row.expected_on.isoformat() if row.expected_on else None,
        "finished_at": row.finished_at.isoformat() if row.finished_at else None,
        "items": [
            {
                "sku": item.sku,
                "upc": item.upc,
                "description": item.description,
                "expected": item.expected,
                "counted": item.actual,
                "damaged": item.damaged,
                "note": item.comments,
                "picture": _address(pictures, item),
            }
            for item in items
        ],
    }
