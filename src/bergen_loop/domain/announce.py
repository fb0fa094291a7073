"""From a return to the RMA that announces it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from zoneinfo import ZoneInfo

from bergen_loop.domain.codes import (
    CODE_LIMIT,
    NO_NUMBER,
    CodeKind,
    normal_code,
    normal_upc,
    normal_word,
    tracking_numbers,
    unsendable,
)
from bergen_loop.domain.comparison import is_another_product, units_by_product
from bergen_loop.domain.naming import (
    KitPart,
    Kits,
    Known,
    NamedProduct,
    kit_parts,
    named_part,
    named_unit,
)
from bergen_loop.domain.remarks import Remarks
from bergen_loop.domain.returns import Label, LoopState, Return, ReturnLine
from bergen_loop.domain.rma import (
    MOST_ATTEMPTS,
    Product,
    RmaItem,
    RmaRequest,
    Supplier,
    filled_po,
    numbered_po,
)

NOTHING_KNOWN: Known = {}


class AnnounceWhen(StrEnum):
    """What a return must have come to before its RMA is made."""

    SUBMITTED = "submitted"
    LABEL = "label"
    """A tracking number for every unit; without one, `label_wait` after it was submitted."""
    IN_TRANSIT = "in_transit"
    """The carrier has it, by the label's status."""
    DELIVERED = "delivered"


def words(*given: str) -> frozenset[str]:
    """Words of a setting, in their normal form."""
    return frozenset(normal_word(word) for word in given)


@dataclass(frozen=True, slots=True)
class AnnounceRules:
    """A brand's settings for RMAs.

    Loop's documentation does not say how a return without a parcel is marked, nor does
    Bergen's say how long a CustomerPO may be or which reason codes it knows: all of these are
    settings.
    """

    warehouse: str = "BERGEN LOGISTICS NJ"
    destinations: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    """Loop destination id -> warehouse name, or None for 'not Bergen: leave it alone'. Empty:
    all go to `warehouse`; else one that is not listed is asked about."""
    po_template: str = "LR-{return_id}"
    po_length: int = 50
    no_parcel_methods: frozenset[str] = words("keep", "keep item", "donate", "donation",
                                              "green return", "no return", "returnless",
                                              "in store", "in person", "pos")  # fmt: skip
    no_parcel_method_types: frozenset[str] = words("in store", "store", "in person", "pos",
                                                   "in store return", "in store dropoff", "keep",
                                                   "keep item", "donate", "returnless")  # fmt: skip
    no_parcel_outcomes: frozenset[str] = words("keep", "keep item", "donate", "returnless")
    no_parcel_skus: tuple[str, ...] = ()
    """SKUs, in their normal form, of what is sold and never shipped; with `*`: what begins so."""
    when: AnnounceWhen = AnnounceWhen.LABEL
    label_wait: timedelta = timedelta(hours=1)
    """How long an RMA waits for the label: a ticket cannot be changed once it exists."""
    reason_codes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Loop return reason -> the code Bergen wants; unmapped reasons are sent as they are."""
    product_fields: Mapping[str, str] = field(default_factory=dict[str, str])
    """Style, color, size -> where the shop has it (`naming.source_fault`)."""
    kits: Kits = field(default_factory=dict[str, tuple[KitPart, ...]])
    code_length: int = CODE_LIMIT
    expected_days: int = 14
    time_zone: str = "America/New_York"
    start: datetime | None = None
    """Returns created before are not this connection's."""
    box_free_methods: frozenset[str] = frozenset()
    """Who carries returns without a parcel of their own; empty: nobody (`domain.shipment`)."""
    box_free_until: datetime | None = None
    """Returns created since then are not box-free any more; None: there is no such time."""
    supplier: Supplier | None = None
    remarks: Remarks = field(default_factory=Remarks)
    """Which words of the warehouse's are of no matter."""


# -- whether ----------------------------------------------------------------------------------


class SkipKind(StrEnum):
    """Why there is no RMA."""

    NOT_OURS = "not_ours"
    """Another warehouse's, or from before the connection: left alone."""
    NO_PARCEL = "no_parcel"
    DESTINATION = "destination"
    """It is not known whose the destination is: a person is asked, once per destination."""
    DOUBT = "doubt"
    """What Loop says of it cannot be relied on: a person is asked."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Why there is no RMA for a return."""

    kind: SkipKind
    reason: str

    @property
    def no_parcel(self) -> bool:
        return self.kind is SkipKind.NO_PARCEL

    @property
    def not_ours(self) -> bool:
        return self.kind is SkipKind.NOT_OURS

    @property
    def asks(self) -> bool:
        """True where a person must say something before it can be announced."""
        return self.kind in (SkipKind.DESTINATION, SkipKind.DOUBT)


def why_not_announced(return_: Return, rules: AnnounceRules) -> Skip | None:
    """None if the return is to be announced, else why it is not."""
    if rules.start and return_.created_at < rules.start:
        start = f"{rules.start:%Y-%m-%d}"
        return Skip(SkipKind.NOT_OURS, f"created before this connection's start ({start})")
    destination = _destination(return_)
    if destination and rules.destinations.get(destination, rules.warehouse) is None:
        return Skip(SkipKind.NOT_OURS, f"destination {destination} is not Bergen")
    if return_.state is LoopState.CANCELLED:
        return None
    if return_.state in (LoopState.OPEN, LoopState.REVIEW):
        asked = _asked(return_, rules)
        if asked:
            return asked
    if not physical_lines(return_, rules):
        if not return_.lines:
            return Skip(SkipKind.NO_PARCEL, "the return lists no items to send back")
        return Skip(SkipKind.NO_PARCEL, _why_no_parcel(return_, rules))
    return None


def _asked(return_: Return, rules: AnnounceRules) -> Skip | None:
    if return_.doubts:
        return Skip(SkipKind.DOUBT, f"Loop's answer is in doubt: {'; '.join(return_.doubts)}")
    if rules.destinations and (id_ := _destination(return_)) not in (None, *rules.destinations):
        return Skip(
            SkipKind.DESTINATION,
            f"Loop sends returns to destination {id_}, which is not listed under "
            "announce.destinations: write there which warehouse it is, or null if it is not "
            "Bergen's",
        )
    size = len(customer_po(return_, rules, MOST_ATTEMPTS))
    if size > rules.po_length:
        return Skip(
            SkipKind.DOUBT,
            f"its PO would be {size} characters long, more than announce.po_length allows "
            f"({rules.po_length})",
        )
    return None


def _destination(return_: Return) -> str | None:
    return (return_.destination_id or "").strip() or None


def warehouse_of(return_: Return, rules: AnnounceRules) -> str | None:
    """The warehouse the parcel goes to, by name; None where that is not known, or not Bergen.
    A return that names no destination goes to the brand's own warehouse."""
    destination = _destination(return_)
    if destination is None or not rules.destinations:
        return rules.warehouse
    return rules.destinations.get(destination)


def destination_moved(before: Return, after: Return, rules: AnnounceRules) -> str | None:
    """What a change of the destination means once the RMA is made, in words; None: nothing."""
    old, new = _destination(before), _destination(after)
    if new is None or old == new or warehouse_of(before, rules) == warehouse_of(after, rules):
        return None
    return (
        f"its destination changed from {_place(old, before, rules)} to "
        f"{_place(new, after, rules)}; its ticket stays with the first, for REX11 has no call "
        "to move it"
    )


def _place(destination: str | None, return_: Return, rules: AnnounceRules) -> str:
    listed = destination is None or not rules.destinations or destination in rules.destinations
    name = (warehouse_of(return_, rules) or "not Bergen") if listed else "not listed"
    return f"{destination or 'none'} ({name})"


# -- what comes -------------------------------------------------------------------------------


def is_box_free(return_: Return, rules: AnnounceRules) -> bool:
    """Whether its goods come in a consolidated shipment: it gets no RMA of its own."""
    over = rules.box_free_until is not None and return_.created_at >= rules.box_free_until
    return not over and return_.is_box_free(rules.box_free_methods)


def physical_lines(return_: Return, rules: AnnounceRules) -> tuple[ReturnLine, ...]:
    """The units that will really come in a parcel."""
    if _method_without_parcel(return_, rules):
        return ()
    return tuple(
        line
        for line in return_.lines
        if normal_word(return_.outcome_of(line) or return_.outcome) not in rules.no_parcel_outcomes
        and not _never_shipped(line, rules)
    )


def kept_units(return_: Return, rules: AnnounceRules) -> set[str]:
    """The units on it that do not come."""
    coming = {x.line_item_id for x in physical_lines(return_, rules)}
    return {x.line_item_id for x in return_.lines} - coming


def _never_shipped(line: ReturnLine, rules: AnnounceRules) -> bool:
    """Whether it is no goods: shipping protection, a digital product, a service."""
    sku = normal_code(line.sku)
    return sku is not None and any(
        sku.startswith(known[:-1]) if known.endswith("*") else sku == known
        for known in rules.no_parcel_skus
    )


def _method_without_parcel(return_: Return, rules: AnnounceRules) -> str | None:
    if is_box_free(return_, rules):
        return None  # wherever it was handed over, it comes
    if normal_word(return_.return_method) in rules.no_parcel_methods:
        return return_.return_method
    if normal_word(return_.method_type) in rules.no_parcel_method_types:
        return return_.method_type
    return None


def _why_no_parcel(return_: Return, rules: AnnounceRules) -> str:
    method = _method_without_parcel(return_, rules)
    if method:
        return f"nothing is sent to the warehouse (method {method})"
    return "nothing is sent back (keep item, donate, or goods that are never shipped)"


# -- when -------------------------------------------------------------------------------------


def ready_at(return_: Return, rules: AnnounceRules) -> datetime | None:
    """When the RMA may be made; None: not before Loop shows something new of the return."""
    if return_.state not in (LoopState.OPEN, LoopState.REVIEW):
        return None
    if is_box_free(return_, rules):
        return None
    match rules.when:
        case AnnounceWhen.SUBMITTED:
            return return_.created_at
        case AnnounceWhen.LABEL:
            labelled = _labelled(return_, rules)
            return return_.created_at + (timedelta(0) if labelled else rules.label_wait)
        case AnnounceWhen.IN_TRANSIT | AnnounceWhen.DELIVERED:
            reached = any(normal_word(x.status) in _REACHED[rules.when] for x in _labels(return_))
            return return_.created_at if reached else None


_REACHED = {
    AnnounceWhen.IN_TRANSIT: words("in transit", "out for delivery", "delivered",
                                   "available for pickup", "return to sender"),
    AnnounceWhen.DELIVERED: words("delivered"),
}  # fmt: skip
"""What carriers say of a parcel; the last two are not in Loop's docs."""


def why_waiting(return_: Return, rules: AnnounceRules, now: datetime) -> str | None:
    """What the RMA waits for, in words; None: nothing."""
    ready = ready_at(return_, rules)
    if ready is not None and ready <= now:
        return None
    if return_.state not in (LoopState.OPEN, LoopState.REVIEW):
        return f"the return is {return_.state} in Loop"
    if is_box_free(return_, rules):
        return "its consolidated shipment: it was handed over without a box"
    if rules.when is AnnounceWhen.LABEL:
        return f"its label, at most until {ready:%Y-%m-%d %H:%M} UTC"
    status = ", ".join(dict.fromkeys(x.status for x in _labels(return_) if x.status))
    goal = "have it" if rules.when is AnnounceWhen.IN_TRANSIT else "have delivered it"
    return f"the carrier to {goal} (label: {status or 'none yet'})"


def _labels(return_: Return) -> tuple[Label, ...]:
    return return_.labels or (return_.label,)


def _labelled(return_: Return, rules: AnnounceRules) -> bool:
    """True where there is a tracking number, for every unit where Loop tells them by unit."""
    lines = physical_lines(return_, rules)
    named = [x for x in return_.labels if x.line_item_ids]
    if not named:
        return any(tracking_numbers(x.tracking_number) for x in (return_.label, *return_.labels))
    covered = {i for x in named if tracking_numbers(x.tracking_number) for i in x.line_item_ids}
    return all(x.line_item_id in covered for x in lines)


# -- parcels ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parcel:
    """What of a return travels together: one RMA."""

    return_: Return
    lines: tuple[ReturnLine, ...]
    tracking_numbers: tuple[str, ...]
    carrier: str | None = None


def parcels(
    return_: Return, rules: AnnounceRules, tracking: Mapping[str, str] | None = None
) -> tuple[Parcel, ...]:
    """The parcels of a return, by Loop's labels where they name their units, else by `tracking`:
    the number of each line item from Loop's ASN report. Units without a label of their own
    travel with the first parcel, and so do numbers without units."""
    lines = physical_lines(return_, rules)
    labels = _labels(return_)
    if not any(x.line_item_ids for x in labels):
        reported = _labels_of(tracking or {})
        # The number at the return itself says nothing of its units: with several, whose it is.
        labels = reported if len(reported) > 1 else (*labels, *reported)
    ours = {x.line_item_id for x in lines}
    parts = _joined(x for x in labels if ours.intersection(x.line_item_ids)) or [[]]
    named = {n for part in parts for n in _numbers(part)}
    parts[0] += [x for x in labels if not (x.line_item_ids or named.issuperset(_numbers([x])))]
    elsewhere = {i for part in parts[1:] for x in part for i in x.line_item_ids}
    first = tuple(x for x in lines if x.line_item_id not in elsewhere)
    return (
        _parcel(return_, parts[0], first),
        *(_parcel(return_, part, _named_by(part, lines)) for part in parts[1:]),
    )


def _parcel(return_: Return, labels: Sequence[Label], lines: tuple[ReturnLine, ...]) -> Parcel:
    carriers = (x.carrier for x in (*labels, return_.label))
    carrier = next((c for c in carriers if normal_word(c) not in NO_NUMBER), None)
    return Parcel(return_, lines, tuple(_numbers(labels)), carrier)


def _named_by(labels: Sequence[Label], lines: Sequence[ReturnLine]) -> tuple[ReturnLine, ...]:
    ids = {i for x in labels for i in x.line_item_ids}
    return tuple(x for x in lines if x.line_item_id in ids)


def _numbers(labels: Iterable[Label]) -> dict[str, None]:
    return dict.fromkeys(n for x in labels for n in tracking_numbers(x.tracking_number))


def _labels_of(tracking: Mapping[str, str]) -> tuple[Label, ...]:
    ids: dict[str, list[str]] = {}
    for line_item_id, number in tracking.items():
        if tracking_numbers(number):
            ids.setdefault(number, []).append(line_item_id)
    return tuple(Label(tracking_number=n, line_item_ids=tuple(i)) for n, i in ids.items())


def _joined(labels: Iterable[Label]) -> list[list[Label]]:
    """Labels that name the same unit (a label was made anew) or have the same number (one for each
    unit of a box) belong to one parcel."""
    parts: list[list[Label]] = []
    for label in labels:
        ids, numbers = set(label.line_item_ids), _numbers([label])
        same = [
            p
            for p in parts
            if any(ids.intersection(x.line_item_ids) for x in p)
            or not numbers.keys().isdisjoint(_numbers(p))
        ]
        joined = [*(x for p in same for x in p), label]
        if same:
            parts = [joined if p is same[0] else p for p in parts if p not in same[1:]]
        else:
            parts.append(joined)
    return parts


# -- the RMA ----------------------------------------------------------------------------------


def rma_request(
    parcel: Parcel, rules: AnnounceRules, number: str, now: datetime, known: Known = NOTHING_KNOWN
) -> RmaRequest:
    """The notice for the warehouse of one parcel. `number` is its PO, `known` what the warehouse
    calls products. ValueError for a return that is not to be announced (`why_not_announced`)."""
    return_ = parcel.return_
    warehouse = warehouse_of(return_, rules)
    if warehouse is None:
        raise ValueError(f"return {return_.id}: its destination is not known to be Bergen's")
    today = now.astimezone(ZoneInfo(rules.time_zone)).date()
    return RmaRequest(
        customer_po=number,
        warehouse=warehouse,
        items=rma_items(parcel.lines, rules, known),
        created_on=today,
        expected_on=today + timedelta(days=rules.expected_days),
        authorized_number=number,
        memo=f"Loop return {return_.id}, order {return_.order_name or return_.order_id or '?'}",
        carrier=parcel.carrier,
        tracking_numbers=parcel.tracking_numbers,
        supplier=rules.supplier,
    )


def rma_items(
    lines: Sequence[ReturnLine], rules: AnnounceRules, known: Known = NOTHING_KNOWN
) -> tuple[RmaItem, ...]:
    """The units by product of the warehouse; a kit as its parts."""
    items: list[_Item] = []
    for units in units_by_product(lines):
        for product, pieces in _made_of(units, rules, known):
            item = next((i for i in items if i.is_same(product)), None)
            if item is None:
                items.append(item := _Item(product))
            item.units.extend((unit, pieces) for unit in units)
    return tuple(item.result(rules) for item in items)


def _made_of(
    units: Sequence[ReturnLine], rules: AnnounceRules, known: Known
) -> list[tuple[NamedProduct, int]]:
    """What each of these units is in the warehouse, and how many pieces of it."""
    first = next((x for x in units if normal_upc(x.barcode)), units[0])
    parts = next(filter(None, (kit_parts(x, rules.kits) for x in units)), ())
    if parts:
        return [(named_part(p, first, known), p.quantity) for p in parts]
    return [(named_unit(first, rules.product_fields, known), 1)]


class _Item:
    """An item of the RMA while units are added to it."""

    def __init__(self, product: NamedProduct) -> None:
        self.product = product
        self.units: list[tuple[ReturnLine, int]] = []

    def is_same(self, other: NamedProduct) -> bool:
        mine, theirs = normal_upc(self.product.upc), normal_upc(other.upc)
        if mine and theirs:
            return mine == theirs
        sku = normal_code(self.product.sku)
        return sku is not None and sku == normal_code(other.sku)

    def result(self, rules: AnnounceRules) -> RmaItem:
        product = self.product
        reasons = list(dict.fromkeys(x.reason for x, _ in self.units if x.reason))
        code = rules.reason_codes.get(reasons[0], reasons[0]) if reasons else None
        item = RmaItem(
            sku=product.sku,
            upc=product.upc,
            expected=sum(pieces for _, pieces in self.units),
            description=product.description,
            style=product.style,
            color=product.color,
            size=product.size,
            msrp=product.price,
            reason_code=code,
            comments="; ".join(reasons) if len(reasons) > 1 else None,
            pieces=tuple((x.line_item_id, pieces) for x, pieces in self.units),
        )
        otherwise = (x for x, _ in self.units if is_another_product(x, item))
        return replace(item, sold=tuple((x.line_item_id, x.sku, x.barcode) for x in otherwise))


# -- products ---------------------------------------------------------------------------------


def products(
    return_: Return, rules: AnnounceRules, known: Known = NOTHING_KNOWN
) -> tuple[Product, ...]:
    """The products the warehouse must know before the ticket, one per normal UPC; what has no
    UPC is left out."""
    found: dict[str, Product] = {}
    for units in units_by_product(physical_lines(return_, rules)):
        for p, _ in _made_of(units, rules, known):
            key = normal_upc(p.upc)
            if key and p.upc:
                new = Product(p.upc, p.sku, p.style, p.color, p.size, p.description, p.price)
                found.setdefault(key, new)
    return tuple(found.values())


def missing_fields(product: Product) -> tuple[str, ...]:
    """What REX11 demands of a new product and this one lacks: such a product is not added."""
    given = {
        "Style": product.style,
        "Color": product.color,
        "Size": product.size,
        "Price": product.price,
        "Description": product.description,
    }
    return tuple(name for name, value in given.items() if value is None)


@dataclass(frozen=True, slots=True)
class BadCode:
    """A product of a return whose code cannot be sent."""

    name: str
    """What people call the product."""
    problem: str
    line_item_ids: tuple[str, ...]


def bad_codes(
    return_: Return, rules: AnnounceRules, known: Known = NOTHING_KNOWN
) -> tuple[BadCode, ...]:
    """The codes that cannot be sent so that they stay what they are, or that are missing."""
    found: list[BadCode] = []
    for units in units_by_product(physical_lines(return_, rules)):
        ids = tuple(x.line_item_id for x in units)
        name = units[0].title or units[0].sku or units[0].barcode or "?"
        for problem in _code_problems(units, rules, known):
            found.append(BadCode(name, problem, ids))
    return tuple(found)


def _code_problems(
    units: Sequence[ReturnLine], rules: AnnounceRules, known: Known
) -> Iterable[str]:
    if any(kit_parts(x, rules.kits) for x in units):
        return []  # its own codes are not sent
    skus = dict.fromkeys(x.sku for x in units if normal_code(x.sku))
    upcs = dict.fromkeys(x.barcode for x in units if normal_upc(x.barcode))
    if any(normal_upc(upc) in known for upc in upcs):
        skus = {}  # the warehouse's own words are sent
    problems = [unsendable(x, CodeKind.SKU, rules.code_length) for x in skus]
    problems += [unsendable(x, CodeKind.UPC, rules.code_length) for x in upcs]
    if not problems and not named_unit(units[0], rules.product_fields, known).style:
        problems.append("it has neither SKU nor barcode")
    return [p for p in problems if p]


# -- its PO -----------------------------------------------------------------------------------


def customer_po(return_: Return, rules: AnnounceRules, attempt: int = 1) -> str:
    """The unique PO of the n-th RMA of this return."""
    return numbered_po(filled_po(rules.po_template, return_.id, return_.order_name), attempt)


def customer_pos(
    return_: Return, rules: AnnounceRules, count: int, taken: Iterable[str] = ()
) -> tuple[str, ...]:
    """So many new POs of a return, none of which is taken (case aside). ValueError where there
    are not as many."""
    used = {normal_code(one) for one in taken}
    first = customer_po(return_, rules)
    every = (numbered_po(first, n) for n in range(1, MOST_ATTEMPTS + 1))
    free = list(islice((one for one in every if normal_code(one) not in used), count))
    if len(free) < count:
        raise ValueError(f"return {return_.id} has had {MOST_ATTEMPTS} RMAs")
    return tuple(free)
