"""A consolidated shipment of box-free returns (Happy Returns): what it holds, what its RMAs say,
and whose the differences are between what was to come and what was counted.

Goods of many returns travel together, in bags within boxes. A warehouse counts products, not
bags, unless it says in which bag it found them. So a difference is given to a bag and a return
only where nothing else can explain it; else it is the shipment's. Nothing is lost in between: the
differences of bags and of the shipment together are always the total ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property

from bergen_loop.domain.codes import normal_code, sent_code
from bergen_loop.domain.comparison import Comparison, SkuCount, compare, units_by_product
from bergen_loop.domain.naming import Kits, kit_parts
from bergen_loop.domain.remarks import Remarks
from bergen_loop.domain.returns import LoopState, Return, ReturnLine
from bergen_loop.domain.rma import BagCount, Receipt, ReceiptLine, RmaItem, TicketStatus


class ShipmentStage(StrEnum):
    """What has to happen next with a shipment."""

    LEARNED = "learned"
    """Its id is known; what it holds is to be read."""
    READ = "read"
    """What it holds is known; RMAs are to be made."""
    AWAITED = "awaited"
    """Its RMAs exist; not all of them are counted."""
    COUNTED = "counted"
    """All are; what is missing may still come."""
    DONE = "done"
    """Nothing is awaited any more: what is missing is claimed."""

    @property
    def words(self) -> str:
        return _STAGES[self]


_STAGES = {
    ShipmentStage.LEARNED: "to be read",
    ShipmentStage.READ: "RMAs to be made",
    ShipmentStage.AWAITED: "on its way",
    ShipmentStage.COUNTED: "counted, some missing",
    ShipmentStage.DONE: "done",
}


class RmaPer(StrEnum):
    """What one RMA announces."""

    BOX = "box"
    SHIPMENT = "shipment"


class Scannable(StrEnum):
    """What can be sent as the TrackingNumbers of a consolidated RMA."""

    TRACKING = "tracking"
    BOX = "box"
    BAGS = "bags"


@dataclass(frozen=True, slots=True)
class ShipmentItem:
    """One unit of a shipment, as Happy Returns lists it."""

    return_id: str | None = None
    bags: tuple[str, ...] = ()
    """Barcodes: of a return in several bags, the unit is in one of them."""
    box: str | None = None
    sku: str | None = None
    title: str | None = None
    variant_title: str | None = None
    order_name: str | None = None
    rma_id: str | None = None
    """Happy Returns' own."""
    carrier: str | None = None
    tracking_number: str | None = None
    po_number: str | None = None


@dataclass(frozen=True, slots=True)
class ShipmentUnit:
    """A unit of a shipment with what the shop says of it. `line.line_item_id` is its key here:
    unique in the shipment, and the same whenever it is read."""

    item: ShipmentItem
    line: ReturnLine
    line_item_id: str | None = None
    """Of its return; None: none of its lines fits."""
    currency: str | None = None

    @property
    def key(self) -> str:
        return self.line.line_item_id

    @property
    def value(self) -> Decimal | None:
        """What the customer has got for it, as far as Loop says; else its price."""
        return self.line.refund if self.line.refund else self.line.price


def units_of(
    items: Iterable[ShipmentItem], returns: Mapping[str, Return]
) -> tuple[ShipmentUnit, ...]:
    """Each item with the line of its return that it is: by SKU, else by title, and by variant
    where several fit."""
    left = {id_: list(r.lines) for id_, r in returns.items()}
    others: dict[str, int] = {}
    found: list[ShipmentUnit] = []
    for item in items:
        of = item.return_id or "?"
        line = _line_of(item, left.get(of, []))
        if line is None:
            others[of] = others.get(of, 0) + 1
            shown = ReturnLine(
                f"{of}:?{others[of]}",
                sku=item.sku,
                title=item.title,
                variant_title=item.variant_title,
            )
            found.append(ShipmentUnit(item, shown))
            continue
        left[of].remove(line)
        # The customer's own words are not needed here, and are not kept twice.
        kept = replace(line, line_item_id=f"{of}:{line.line_item_id}", comment=None)
        found.append(ShipmentUnit(item, kept, line.line_item_id, returns[of].currency))
    return tuple(found)


def _line_of(item: ShipmentItem, lines: Sequence[ReturnLine]) -> ReturnLine | None:
    sku = normal_code(item.sku)
    fits = [x for x in lines if sku and normal_code(x.sku) == sku]
    if not sku:
        title = normal_code(item.title)
        fits = [x for x in lines if title and normal_code(x.title) == title]
    variant = normal_code(item.variant_title)
    same = [x for x in fits if normal_code(x.variant_title) == variant]
    return next(iter(same or fits), None)


# -- read again -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Relisting:
    """How a shipment is listed by now, against before."""

    added: tuple[ShipmentUnit, ...]
    """With keys of their own."""
    moved: tuple[ShipmentUnit, ...]
    """Those known before, with their new bags and boxes."""
    gone: tuple[ShipmentUnit, ...]
    """Those known before that are not listed any more."""


def compared(before: Sequence[ShipmentUnit], now: Sequence[ShipmentUnit]) -> Relisting:
    """Units have no identity of their own where they are listed: so they are told apart by return
    and product, and by their places where a return has several of one."""
    left: dict[tuple[str | None, ...], list[ShipmentUnit]] = {}
    for unit in before:
        left.setdefault(_identity(unit.item), []).append(unit)
    moved: list[ShipmentUnit] = []
    others: list[ShipmentUnit] = []
    for unit in now:  # those that are where they were, first
        same = next((u for u in left.get(_identity(unit.item), []) if _is_at(u, unit)), None)
        if same is None:
            others.append(unit)
        else:
            left[_identity(unit.item)].remove(same)
    used = {u.key for u in before}
    added: list[ShipmentUnit] = []
    for unit in others:
        known = left.get(_identity(unit.item))
        if known:
            moved.append(_put(known.pop(0), unit.item))
            continue
        key, number = unit.key, 1
        while key in used:
            number += 1
            key = f"{unit.item.return_id or '?'}:+{number}"
        used.add(key)
        added.append(replace(unit, line=replace(unit.line, line_item_id=key)))
    return Relisting(tuple(added), tuple(moved), tuple(u for of in left.values() for u in of))


def _put(unit: ShipmentUnit, now: ShipmentItem) -> ShipmentUnit:
    """The same unit where it is now. What else was listed of it stays: it may have been erased."""
    item = replace(
        unit.item,
        bags=now.bags,
        box=now.box,
        carrier=now.carrier,
        tracking_number=now.tracking_number,
    )
    return replace(unit, item=item)


def _identity(item: ShipmentItem) -> tuple[str | None, ...]:
    sku = normal_code(item.sku)
    name = () if sku else (normal_code(item.title), normal_code(item.variant_title))
    return (item.return_id, sku, *name)


def _is_at(one: ShipmentUnit, other: ShipmentUnit) -> bool:
    bags = [{normal_code(b) for b in u.item.bags} for u in (one, other)]
    return bags[0] == bags[1] and box_of(one) == box_of(other)


def nameless(unit: ShipmentUnit) -> ShipmentUnit:
    """A unit whose customer was erased."""
    return replace(unit, item=replace(unit.item, order_name=None, rma_id=None, po_number=None))


# -- bags -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A bag with what is in it; or several, where a return was split and nobody can tell which
    of its units is in which. Without bags: all of a return's units that no bag is told of."""

    bags: tuple[str, ...]
    return_ids: tuple[str, ...]

    @property
    def return_id(self) -> str | None:
        """Whose it is, where it is one return's."""
        return self.return_ids[0] if len(self.return_ids) == 1 else None

    @property
    def key(self) -> str:
        return "+".join(normal_code(b) or "" for b in self.bags) or "of " + "+".join(
            self.return_ids
        )

    @property
    def words(self) -> str:
        """For people: `bag HRB123 (return 77)`."""
        bags = ", ".join(self.bags)
        name = f"bag{'s' if len(self.bags) > 1 else ''} {bags}" if bags else "without a bag"
        return f"{name} (return {', '.join(self.return_ids) or '?'})"


def places_of(units: Sequence[ShipmentUnit]) -> dict[str, Place]:
    """The place of each unit, by key: bags that one unit may be in are one place."""
    home: dict[str, str] = {}

    def root(code: str) -> str:
        while home.setdefault(code, code) != code:
            code = home[code]
        return code

    codes = {u.key: _bag_codes(u) for u in units}
    for of in codes.values():
        for other in of[1:]:
            home[root(other)] = root(of[0])
    together: dict[str, list[ShipmentUnit]] = {}
    for unit in units:
        together.setdefault(root(codes[unit.key][0]), []).append(unit)
    return {
        u.key: place
        for of in together.values()
        for place in [_place(of)]
        for u in of
    }  # fmt: skip


def _bag_codes(unit: ShipmentUnit) -> list[str]:
    codes = [c for b in unit.item.bags if (c := normal_code(b))]
    return codes or [f"\0{unit.item.return_id}"]


def _place(units: Sequence[ShipmentUnit]) -> Place:
    bags: dict[str, str] = {}
    for bag in (b for u in units for b in u.item.bags):
        bags.setdefault(normal_code(bag) or "", bag)
    ids = {u.item.return_id for u in units if u.item.return_id}
    return Place(tuple(bags[code] for code in sorted(bags) if code), tuple(sorted(ids)))


# -- RMAs -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Consignment:
    """What one RMA announces: a box (or a shipment), or a part of one that is too large."""

    box: str | None
    part: int
    units: tuple[ShipmentUnit, ...]


def consignments(
    units: Sequence[ShipmentUnit], per: RmaPer, most_items: int, kits: Kits
) -> tuple[Consignment, ...]:
    """The RMAs of a shipment, in an order that depends on nothing but what is in it. A product is
    never spread over two parts of a box."""
    boxes: dict[str, list[ShipmentUnit]] = {}
    for unit in units:
        boxes.setdefault(box_of(unit) if per is RmaPer.BOX else "", []).append(unit)
    return tuple(
        Consignment(_box_name(of) if code else None, number, part)
        for code, of in sorted(boxes.items())
        for number, part in enumerate(_parts(of, most_items, kits), start=1)
    )


def box_of(unit: ShipmentUnit) -> str:
    """The box a unit is in, in its normal form; empty where nothing tells."""
    return box_code(unit.item.box)


def box_code(barcode: str | None) -> str:
    """A box's barcode in its normal form, however it is spelled."""
    return normal_code(barcode) or ""


def _box_name(units: Sequence[ShipmentUnit]) -> str | None:
    return min((b.strip() for u in units if (b := u.item.box)), default=None)


def _parts(units: Sequence[ShipmentUnit], most: int, kits: Kits) -> list[tuple[ShipmentUnit, ...]]:
    by_key = {u.key: u for u in units}
    products = [sorted(x.line_item_id for x in of) for of in _products(units)]
    parts: list[list[ShipmentUnit]] = []
    size = most
    for keys in sorted(products):
        items = max(1, len(kit_parts(by_key[keys[0]].line, kits)))
        if size + items > most:
            parts.append([])
            size = 0
        parts[-1] += [by_key[k] for k in keys]
        size += items
    return [tuple(p) for p in parts]


def _products(units: Iterable[ShipmentUnit]) -> list[list[ReturnLine]]:
    return units_by_product(u.line for u in units)


def customer_po(prefix: str, shipment: str, consignment: Consignment, limit: int) -> str:
    """The PO of a consignment: always the same one."""
    return pos_of(prefix, shipment, consignment, limit)[0]


def pos_of(prefix: str, shipment: str, consignment: Consignment, limit: int) -> list[str]:
    """The POs a consignment may have, the first of which no other has is its own: with its names,
    and, for names that are too long or make up another's, with a digest of them."""
    box = box_code(consignment.box)
    part = f"/{consignment.part}" if consignment.part > 1 else ""
    digest = hashlib.sha256("\n".join([shipment, box]).encode("utf-8", "replace")).hexdigest()
    names = "-".join([shipment, *([consignment.box] if consignment.box else [])])
    room = max(8, limit - len(prefix) - len(part))
    written = [sent_code(f"{prefix}{w}{part}") for w in (names, f"{shipment}-{digest[:12]}")]
    return [*(po for po in written if po and len(po) <= limit), f"{prefix}{digest[:room]}{part}"]


def shipments_named(prefix: str, po: str) -> list[str]:
    """The shipments that a PO of ours may be of, the likeliest first: what stands before one of
    its dashes, or all of it. Only their own POs tell which it is."""
    if not po.casefold().startswith(prefix.casefold()):
        return []
    names: list[str] = []
    for rest in dict.fromkeys((re.sub(r"/\d+$", "", po[len(prefix) :]), po[len(prefix) :])):
        parts = rest.split("-")
        names += [*("-".join(parts[:n]) for n in range(len(parts) - 1, 0, -1)), rest]
    return [n for n in dict.fromkeys(names) if n]


def as_return(id_: str, units: Iterable[ShipmentUnit], at: datetime) -> Return:
    """The units as if one return brought them: what makes an RMA of a return makes one of them.
    Their outcomes do not count, for they have been handed over."""
    lines = tuple(replace(u.line, outcome=None) for u in units)
    return Return(id_, LoopState.OPEN, created_at=at, updated_at=at, lines=lines)


def filled(template: str, words: Mapping[str, str], limit: int | None = None) -> str | None:
    """A text field of an RMA: `{box}` and the like replaced; cut where it would be longer than
    `limit`, which is for texts that people read, not for codes."""
    text = template
    for name, value in words.items():
        text = text.replace("{" + name + "}", value)
    text = " ".join(text.split())
    fits = limit is None or len(text) <= limit
    return (text if fits else text[: (limit or 0) - 3].rstrip() + "...") or None


# -- differences ------------------------------------------------------------------------------


class Differs(StrEnum):
    """What is the matter with units."""

    MISSING = "missing"
    DAMAGED = "damaged"
    EXTRA = "extra"
    """More of a product than the shipment was to bring."""
    WRONG = "wrong"
    """A product that it was not to bring at all."""


@dataclass(frozen=True, slots=True)
class Difference:
    """So many units of one product that are out of order, and where, if that can be told."""

    kind: Differs
    sku: str | None
    upc: str | None
    title: str | None
    units: int
    place: Place | None = None
    """None: it may be any of several bags; then it is the shipment's."""
    unit_keys: tuple[str, ...] = ()
    """Of units of this product that it is about; any of them where there are more than `units`."""
    value: Decimal | None = None
    """Of what is missing or damaged, as far as it is known; at least so much."""
    currency: str | None = None

    @property
    def name(self) -> str:
        return self.sku or self.upc or self.title or "?"

    @property
    def key(self) -> str:
        """The same whenever the same difference is found."""
        code = normal_code(self.sku) or normal_code(self.upc) or normal_code(self.title) or "?"
        return f"{self.kind}:{code}:{self.place.key if self.place else ''}"

    @property
    def words(self) -> str:
        """For people: `2 of JACKET-M missing`."""
        return f"{self.units} of {self.name} {_WORDS[self.kind]}"


_WORDS = {
    Differs.MISSING: "missing",
    Differs.DAMAGED: "damaged",
    Differs.EXTRA: "more than expected",
    Differs.WRONG: "not expected",
}


@dataclass(frozen=True)
class Judgement:
    """What came of a shipment's units, against what was to come."""

    units: tuple[ShipmentUnit, ...]
    comparison: Comparison
    places: Mapping[str, Place]
    differences: tuple[Difference, ...]
    misplaced: tuple[str, ...] = ()
    """In words: units that were found in another bag than told. They are there."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """What of the counts cannot be relied on, in words."""
        return self.comparison.unclear

    def total(self, kind: Differs) -> int:
        return sum(d.units for d in self.differences if d.kind is kind)

    @cached_property
    def missing_places(self) -> tuple[Place, ...]:
        """The bags of which nothing has come."""
        expected, missing = dict[Place, int](), dict[Place, int]()
        for place in self.places.values():
            expected[place] = expected.get(place, 0) + 1
        for d in self.differences:
            if d.kind is Differs.MISSING and d.place:
                missing[d.place] = missing.get(d.place, 0) + d.units
        return tuple(p for p, n in expected.items() if missing.get(p) == n)

    def of_return(self, return_id: str) -> tuple[ShipmentUnit, ...]:
        return tuple(u for u in self.units if u.item.return_id == return_id)


def judge(
    units: Sequence[ShipmentUnit],
    receipts: Sequence[Receipt],
    announced: Sequence[Sequence[RmaItem]],
    kits: Kits,
    remarks: Remarks | None = None,
) -> Judgement:
    """Compare a shipment's receipts, all together, with its units, and find out whose the
    differences are."""
    lines = [u.line for u in units]
    comparison = compare(lines, receipts, announced, kits, remarks)
    places = places_of(units)
    bags = _bagged(receipts)
    seen = {c: compare(lines, [r], announced, kits, remarks) for c, r in bags.items()}
    by_key = {u.key: u for u in units}
    found: list[Difference] = []
    misplaced: list[str] = []
    for number, product in enumerate(comparison.skus):
        mine = [by_key[k] for k in product.line_item_ids]
        here = _Product(product, mine, places, {c: s.skus[number] for c, s in seen.items()})
        found += [*here.missing(), *here.damaged(), *here.extra()]
        misplaced += here.misplaced()
    for product in comparison.unexpected:
        found += _unexpected(product, places, seen)
    return Judgement(tuple(units), comparison, places, tuple(found), tuple(misplaced))


def _bagged(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """What was counted bag by bag, by the bag's code, as a receipt of its own."""
    counts: dict[str, list[BagCount]] = {}
    for receipt in receipts:
        for count in receipt.bags:
            counts.setdefault(normal_code(count.bag) or "?", []).append(count)
    return {
        code: Receipt(
            code,
            TicketStatus.ADDED_TO_INVENTORY,
            "",
            tuple(
                ReceiptLine(sku=c.sku, upc=c.upc, actual=c.counted, damaged=c.damaged) for c in of
            ),
        )
        for code, of in counts.items()
    }


class _Product:
    """One product of the shipment: its units by place, and what was counted where."""

    def __init__(
        self,
        total: SkuCount,
        units: Sequence[ShipmentUnit],
        places: Mapping[str, Place],
        seen: Mapping[str, SkuCount],
    ) -> None:
        self.total = total
        self.units: dict[Place, list[ShipmentUnit]] = {}
        for unit in units:
            self.units.setdefault(places[unit.key], []).append(unit)
        codes = {normal_code(b): p for p in dict.fromkeys(places.values()) for b in p.bags}
        self.seen: dict[Place | None, int] = {}
        self.hurt: dict[Place | None, int] = {}
        for code, count in seen.items():
            place = codes.get(code)
            self.seen[place] = self.seen.get(place, 0) + count.counted + count.damaged
            self.hurt[place] = self.hurt.get(place, 0) + count.damaged

    def missing(self) -> list[Difference]:
        """To each bag what it is short of, where nothing that was counted can be its own; to the
        only bag that is short of any; else to the shipment."""
        lacks = {p: len(of) - min(self.seen.get(p, 0), len(of)) for p, of in self.units.items()}
        lacking = {p: n for p, n in lacks.items() if n}
        if sum(lacking.values()) != self.total.short:
            if len(lacking) != 1 or self.total.short > next(iter(lacking.values())):
                return self._of(Differs.MISSING, {}, self.total.short)
            lacking = dict.fromkeys(lacking, self.total.short)
        return self._of(Differs.MISSING, lacking, 0)

    def damaged(self) -> list[Difference]:
        number = self.total.damaged
        told = {p: n for p, n in self.hurt.items() if p is not None and p in self.units and n}
        if sum(told.values()) == number:
            return self._of(Differs.DAMAGED, told, 0)
        all_of_them = sum(len(of) for of in self.units.values())
        if number >= all_of_them:
            every = {p: len(of) for p, of in self.units.items()}
            return self._of(Differs.DAMAGED, every, number - all_of_them)
        if len(self.units) == 1:
            return self._of(Differs.DAMAGED, dict.fromkeys(self.units, number), 0)
        return self._of(Differs.DAMAGED, {}, number)

    def extra(self) -> list[Difference]:
        number = self.total.extra
        over = {
            p: n
            for p, counted in self.seen.items()
            if p is not None and (n := counted - len(self.units.get(p, []))) > 0
        }
        if sum(over.values()) == number and not self.seen.get(None):
            return self._of(Differs.EXTRA, over, 0)
        return self._of(Differs.EXTRA, {}, number)

    def misplaced(self) -> list[str]:
        """Units in another bag than told, where all are there."""
        if self.total.extra:
            return []
        return [
            f"{n} of {self.total.name} more than told in {place.words if place else 'no known bag'}"
            for place, counted in self.seen.items()
            if (n := counted - len(self.units.get(place, []) if place else [])) > 0
        ]

    def _of(self, kind: Differs, by_place: Mapping[Place, int], rest: int) -> list[Difference]:
        every = [u for of in self.units.values() for u in of]
        found = [self._one(kind, n, p, self.units.get(p, [])) for p, n in by_place.items() if n]
        return [*found, *([self._one(kind, rest, None, every)] if rest else [])]

    def _one(
        self, kind: Differs, number: int, place: Place | None, units: Sequence[ShipmentUnit]
    ) -> Difference:
        p = self.total
        if kind is Differs.EXTRA:
            return Difference(kind, p.sku, p.upc, p.title, number, place)
        values = sorted(u.value for u in units if u.value is not None)[:number]
        return Difference(
            kind,
            p.sku,
            p.upc,
            p.title,
            number,
            place,
            tuple(sorted(u.key for u in units)),
            sum(values, Decimal(0)) if values else None,
            next((u.currency for u in units if u.currency), None),
        )


def _unexpected(
    product: SkuCount, places: Mapping[str, Place], seen: Mapping[str, Comparison]
) -> list[Difference]:
    """To the bags it was counted in, where all of it was counted in known ones."""
    codes = {normal_code(b): p for p in dict.fromkeys(places.values()) for b in p.bags}
    where: dict[Place, int] = {}
    for code, comparison in seen.items():
        for other in comparison.unexpected:
            if _code(other) == _code(product) and (place := codes.get(code)):
                where[place] = where.get(place, 0) + other.extra
    if sum(where.values()) != product.extra:
        where = {}
    rest = product.extra - sum(where.values())
    parts = [*where.items(), *([(None, rest)] if rest else [])]
    return [
        Difference(Differs.WRONG, product.sku, product.upc, product.title, n, place)
        for place, n in parts
    ]


def _code(product: SkuCount) -> tuple[str | None, ...]:
    return normal_code(product.sku), normal_code(product.upc), normal_code(product.title)


# -- what of it is one return's ---------------------------------------------------------------


def share(judgement: Judgement, return_id: str, ticket_id: str) -> Receipt:
    """What of a shipment's counts is one return's, as a receipt of its own. What cannot be told
    stands among its problems: on such a receipt nothing is processed."""
    units = judgement.of_return(return_id)
    problems = list(judgement.doubts)
    lines: list[ReceiptLine] = []
    for of in _products(units):
        keys = {x.line_item_id for x in of}
        missing, damaged = 0, 0
        for d in judgement.differences:
            if d.kind not in (Differs.MISSING, Differs.DAMAGED) or not keys.intersection(
                d.unit_keys
            ):
                continue
            if d.place is None or d.place.return_id != return_id:
                problems.append(f"it cannot be told whether it is this return's: {d.words}")
            elif d.kind is Differs.MISSING:
                missing += d.units
            else:
                damaged += d.units
        problems += [
            f"in its bag: {d.words}"
            for d in judgement.differences
            if d.kind is Differs.WRONG and d.place and return_id in d.place.return_ids
        ]
        first = of[0]
        lines.append(
            ReceiptLine(
                sku=first.sku,
                upc=next((x.barcode for x in of if x.barcode), None),
                expected=len(of),
                actual=max(0, len(of) - missing - damaged),
                damaged=min(damaged, len(of)),
                description=first.title,
            )
        )
    status = TicketStatus.ADDED_TO_INVENTORY
    return Receipt(
        ticket_id,
        status,
        status.value,
        tuple(lines),
        problems=tuple(dict.fromkeys(problems)),
    )
