"""Expected against received: the facts every receipt criterion works on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bergen_loop.domain.codes import (
    CodeKind,
    is_left_of,
    is_short_number,
    look_alike,
    may_be_one,
    normal_code,
    normal_upc,
    spreadsheet_number,
    tell_apart,
)
from bergen_loop.domain.naming import KitPart, Kits, kit_parts
from bergen_loop.domain.remarks import Remarks, other_condition, speaks_of_trouble
from bergen_loop.domain.returns import ReturnLine
from bergen_loop.domain.rma import COUNTED, DAMAGED, Receipt, ReceiptLine, RmaItem

_MEMO = re.compile(r"\s*loop return \S+, order \S*", re.IGNORECASE)
"""What of a ticket's memo is its announcement's."""


@dataclass(frozen=True, slots=True)
class SkuCount:
    """One sold product, all parcels of the return together. Of a kit, whole kits are counted: a
    unit is there if all its parts are, and damaged if one of them is."""

    sku: str | None
    upc: str | None
    title: str | None
    expected: int
    counted: int
    """ActualQuantity, summed."""
    damaged: int
    short: int
    extra: int
    line_item_ids: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    """Of a kit that is not whole: what is out of order with its parts, in words."""
    codes: tuple[str, ...] = ()
    """Under which it, or its parts, are known in the warehouse, in their normal forms."""
    counted_known: bool = True
    damaged_known: bool = True
    """False: the warehouse gave no readable number, and what `counted` or `damaged` says is only
    what is known of it."""

    @property
    def name(self) -> str:
        """What people call it: the SKU, else the UPC, else its title."""
        return self.sku or self.upc or self.title or "?"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came, against what was announced by the customer.

    `unexpected` are SKUs that are not on the return at all. They count as `wrong` as far as
    other units are missing for them (a swap), beyond that as `extra`.
    `unclear` lists, in words, everything that could not be read or matched; while it is not
    empty nothing may be processed. `hints` are no doubts: what may explain a difference.
    """

    skus: tuple[SkuCount, ...]
    unexpected: tuple[SkuCount, ...]
    unclear: tuple[str, ...]
    hints: tuple[str, ...] = ()

    @property
    def expected(self) -> int:
        return sum(s.expected for s in self.skus)

    @property
    def counted(self) -> int:
        return sum(s.counted for s in self.skus)

    @property
    def damaged(self) -> int:
        return sum(s.damaged for s in (*self.skus, *self.unexpected))

    @property
    def short(self) -> int:
        return sum(s.short for s in self.skus)

    @property
    def unexpected_units(self) -> int:
        return sum(s.extra for s in self.unexpected)

    @property
    def wrong(self) -> int:
        return min(self.unexpected_units, self.short)

    @property
    def extra(self) -> int:
        return sum(s.extra for s in self.skus) + self.unexpected_units - self.wrong

    @property
    def in_words(self) -> str:
        """`2 of 3 units counted, 1 damaged, 1 missing`. While a count is not known, it is `?`, and
        nothing is said to be missing."""
        products = (*self.skus, *self.unexpected)
        known = all(s.counted_known for s in products)
        told = str(self.counted) if known else f"{self.counted} + ?" if self.counted else "?"
        words = [f"{told} of {self.expected} units counted"]
        damage = all(s.damaged_known for s in products)
        found = (
            (self.damaged, "damaged"),
            (self.short if known else 0, "missing"),
            (self.extra, "more than expected"),
            (self.wrong if known else 0, "wrong"),
        )
        words += [f"{number} {what}" for number, what in found if number]
        return ", ".join(words if damage else [*words, "damage unknown"])

    @property
    def complete(self) -> bool:
        """Everything expected is there, undamaged, nothing else, no doubt, and at least a unit."""
        return self.expected > 0 and not (
            self.unclear or self.damaged or self.short or self.extra or self.wrong
        )


def compare(
    lines: Iterable[ReturnLine],
    receipts: Sequence[Receipt],
    announced: Sequence[Sequence[RmaItem]] = (),
    kits: Kits | None = None,
    remarks: Remarks | None = None,
) -> Comparison:
    """Match every receipt line to the units expected: by UPC, else by SKU, else by Style, Color
    and Size as they were announced.

    `announced` has the items of each RMA of the return, oldest first; `kits` counts for units
    that none of them names, `remarks` says which words of the warehouse's are of no matter.
    """
    unclear: list[str] = []
    expected = _Expected(lines, announced, kits or {}, unclear)
    expected.remarks = remarks or expected.remarks
    if not receipts:
        unclear.append("there is no receipt")
    elif not expected.solds:
        unclear.append("Loop lists no units that are to come back, and a parcel came")
    for receipt in receipts:
        unclear.extend(f"ticket {receipt.ticket_id}: {p}" for p in receipt.problems)
        if (memo := _MEMO.sub("", receipt.memo or "")) and speaks_of_trouble(memo):
            unclear.append(f"ticket {receipt.ticket_id}: its memo says: {memo.strip()[:100]}")
        if not receipt.lines:
            unclear.append(f"ticket {receipt.ticket_id} lists no items")
        ours = [expected.count(line, receipt.ticket_id) for line in receipt.lines]
        if receipt.lines and not any(ours) and expected.solds:
            unclear.append(
                f"ticket {receipt.ticket_id} lists nothing of what was announced: it may be "
                "another return's"
            )
        unclear.extend(_given_twice(receipt, announced))
    skus = expected.sold()
    foreign = [f for f in expected.foreign.values() if f.counted or f.damaged]
    if receipts:
        unclear.extend(_not_told_apart(foreign, expected.missing()))
    return Comparison(
        skus=skus,
        unexpected=(*(f.as_unexpected() for f in foreign), *expected.surplus()),
        unclear=tuple(dict.fromkeys(unclear)),
        hints=tuple(_kit_hints(foreign, skus)),
    )


def units_by_product(lines: Iterable[ReturnLine]) -> list[list[ReturnLine]]:
    """The units of each product together: those of one SKU and one barcode. A barcode that only
    some units of a SKU carry counts for all of them (and the other way round)."""
    lines = list(lines)
    upcs: dict[str, set[str]] = {}
    skus: dict[str, set[str]] = {}
    for line in lines:
        sku, upc = normal_code(line.sku), normal_upc(line.barcode)
        if sku and upc:
            upcs.setdefault(sku, set()).add(upc)
            skus.setdefault(upc, set()).add(sku)
    groups: dict[tuple[str | None, ...], list[ReturnLine]] = {}
    for line in lines:
        sku, upc = normal_code(line.sku), normal_upc(line.barcode)
        key: tuple[str | None, ...] = (sku or _only(skus, upc), upc or _only(upcs, sku))
        if key == (None, None):
            key = ("", line.product_id, line.variant_id, line.title, line.variant_title)
        groups.setdefault(key, []).append(line)
    return list(groups.values())


def _only(others: dict[str, set[str]], code: str | None) -> str | None:
    found = others.get(code or "", set())
    return next(iter(found)) if len(found) == 1 else None


# -- what is expected -------------------------------------------------------------------------

_Words = tuple[str | None, str | None, str | None]
"""Style, Color and Size in their normal form."""


class _Product:
    """A product as the warehouse knows it: by which codes, how many pieces are expected of it,
    and what came."""

    def __init__(self, name: str, title: str | None = None) -> None:
        self.name, self.title = name, title
        self.sku: str | None = None
        self.upc: str | None = None
        self.skus: set[str] = set()
        self.upcs: set[str] = set()
        self.words: set[_Words] = set()
        self.expected = self.counted = self.damaged = 0
        self.counted_known = self.damaged_known = True
        self.seen: _Product | None = None
        """What receipts call it on lines of its own."""
        self.users: list[_Sold] = []

    def is_called(self, called: KitPart | ReceiptLine) -> None:
        """Add codes by which it is known."""
        self.sku, self.upc = self.sku or called.sku, self.upc or called.upc
        self.skus.update(filter(None, [normal_code(called.sku)]))
        self.upcs.update(filter(None, [normal_upc(called.upc)]))
        words = _words(called)
        if words[0]:
            self.words.add(words)

    def is_same(self, called: KitPart) -> bool:
        """True where its codes are those of this product."""
        upc = normal_upc(called.upc)
        if upc and self.upcs:
            return upc in self.upcs
        return normal_code(called.sku) in self.skus

    def other_code(self, line: ReceiptLine) -> bool:
        """True where a receipt line gives a UPC or SKU that is none of this product's."""
        upc, sku = normal_upc(line.upc), normal_code(line.sku)
        return bool(
            (upc and self.upcs and upc not in self.upcs)
            or (sku and self.skus and sku not in self.skus)
        )

    def has_code(self, code: str | None) -> bool:
        """Whether a code, of whatever kind, is one of its own."""
        return normal_code(code) in self.skus or normal_upc(code) in self.upcs

    def has_sku_as_style(self, words: _Words) -> bool:
        """True where a Style is the SKU, and Color and Size are not others than announced."""
        return words[0] in self.skus and (not self.words or _compatible(self.words, [words]))

    def called_otherwise(self, line: ReceiptLine) -> str | None:
        """By what a line with its UPC is another product all the same: a SKU that is not its own,
        nor what is left of it; or other words for Style, Color and Size, all of them."""
        if line.sku and self.skus and not self.has_code(line.sku):
            return None if any(is_left_of(line.sku, sku) for sku in self.skus) else line.sku
        words = _words(line)
        alike = [
            [a == b for a, b in zip(words, known, strict=True) if a and b] for known in self.words
        ]
        if line.sku or not alike or any(len(x) < 2 or any(x) for x in alike):
            return None
        return ", ".join(filter(None, (line.style, line.color, line.size)))

    @property
    def shared(self) -> bool:
        return len(self.users) > 1

    @property
    def short(self) -> int:
        return max(0, self.expected - self.counted - self.damaged)

    @property
    def over(self) -> int:
        return max(0, self.counted - self.expected, self.damaged - self.expected)

    def as_unexpected(self) -> SkuCount:
        return SkuCount(
            sku=self.sku,
            upc=self.upc,
            title=self.title,
            expected=0,
            counted=self.counted,
            damaged=self.damaged,
            short=0,
            extra=max(self.counted, self.damaged),
            counted_known=self.counted_known,
            damaged_known=self.damaged_known,
        )


class _Sold:
    """The units of one product of the return, and what they are in the warehouse: themselves, or
    parts of which each unit takes some pieces."""

    def __init__(self, units: Sequence[ReturnLine]) -> None:
        self.units = units
        self.sku = next((x.sku for x in units if normal_code(x.sku)), None)
        self.upc = next((x.barcode for x in units if normal_upc(x.barcode)), None)
        title = units[0].title
        self.whole = _Product(self.sku or self.upc or title or "?", title)
        self.whole.is_called(KitPart(sku=self.sku, upc=self.upc))
        self.parts: list[tuple[_Product, int]] = []

    def takes(self, product: _Product, pieces: int) -> None:
        """Each unit takes so many pieces of a product."""
        product.expected += pieces * len(self.units)
        product.users.append(self)

    def result(self) -> SkuCount:
        return self._kit() if self.parts else self._plain()

    def _plain(self) -> SkuCount:
        # Whether ActualQuantity includes the damaged units is not documented, so a unit is
        # short only if it is in neither figure, and extra only if ActualQuantity alone is over.
        number, counted, damaged = len(self.units), self.whole.counted, self.whole.damaged
        if self.whole.shared:  # the others' pieces are theirs
            others = self.whole.expected - number
            counted, damaged = max(0, counted - others), min(damaged, number)
        return self._of(
            counted,
            damaged,
            short=max(0, number - counted - damaged),
            extra=max(0, counted - number, damaged - number),
        )

    def _kit(self) -> SkuCount:
        number, whole = len(self.units), self.whole
        counted = min(p.counted // n for p, n in self.parts)
        present = min((p.counted + p.damaged) // n for p, n in self.parts)
        damaged = max(-(-p.damaged // n) for p, n in self.parts)
        return self._of(
            min(number, whole.counted + counted),
            min(number, whole.damaged + damaged),
            short=max(0, number - whole.counted - whole.damaged - present),
            extra=max(0, whole.counted - number, whole.damaged - number),
        )

    def _of(self, counted: int, damaged: int, *, short: int, extra: int) -> SkuCount:
        return SkuCount(
            sku=self.sku,
            upc=self.upc,
            title=self.units[0].title,
            expected=len(self.units),
            counted=counted,
            damaged=damaged,
            short=short,
            extra=extra,
            line_item_ids=tuple(x.line_item_id for x in self.units),
            parts=tuple(_part_words(self.parts)) if short or damaged else (),
            codes=tuple(sorted({code for p in self._products() for code in p.skus | p.upcs})),
            counted_known=all(p.counted_known for p in self._products()),
            damaged_known=all(p.damaged_known for p in self._products()),
        )

    def _products(self) -> Iterator[_Product]:
        yield self.whole
        yield from (part for part, _ in self.parts)

    def doubts(self) -> Iterator[str]:
        """What of a kit's parts cannot be told."""
        damaged = sum(p.damaged for p, _ in self.parts)
        fewest = max((-(-p.damaged // n) for p, n in self.parts), default=0)
        if min(len(self.units), damaged) > fewest:
            yield f"how many of the {len(self.units)} kits {self.whole.name} have a damaged part"
        for part, _ in self.parts:
            if part.shared and (part.counted != part.expected or part.damaged):
                others = ", ".join(s.whole.name for s in part.users)
                yield f"of which of {others} the {part.name} is that is missing, over or damaged"


def _part_words(parts: Iterable[tuple[_Product, int]]) -> Iterator[str]:
    for part, _ in parts:
        if part.short or part.damaged:
            damaged = f", {part.damaged} damaged" if part.damaged else ""
            yield f"{part.name}: {part.counted} of {part.expected}{damaged}"


class _Expected:
    """Everything that was to come, while receipts are counted against it."""

    def __init__(
        self,
        lines: Iterable[ReturnLine],
        announced: Sequence[Sequence[RmaItem]],
        kits: Kits,
        unclear: list[str],
    ) -> None:
        lines = list(lines)
        self.unclear = unclear
        self.solds = [_Sold(units) for units in units_by_product(lines)]
        self.products = [sold.whole for sold in self.solds]
        self.foreign: dict[tuple[str | None, ...], _Product] = {}
        self.remarks = Remarks()
        self.reasons = _reasons(lines, announced)
        self.names = _names_sent(lines, announced)
        _note_shared_codes("SKU", (normal_code(s.sku) for s in self.solds), unclear)
        _note_shared_codes("UPC", (normal_upc(s.upc) for s in self.solds), unclear)
        for sold in self.solds:
            self._call(sold, announced, kits)

    def _call(self, sold: _Sold, announced: Sequence[Sequence[RmaItem]], kits: Kits) -> None:
        """Give a sold product the codes under which it is expected."""
        ways = dict.fromkeys(_announced_as(u, announced) or kit_parts(u, kits) for u in sold.units)
        itself = [w for w in ways if not w or _is_itself(w, sold.whole)]
        as_kit = [w for w in ways if w not in itself]
        if len({_recipe(w) for w in as_kit}) + bool(itself) > 1:
            self.unclear.append(f"units of {sold.whole.name} were announced in different ways")
        for part in (p for w in itself for p in w):
            sold.whole.is_called(part)
        for part in (p for w in as_kit for p in w):
            product = self._part(part)
            if product not in dict(sold.parts):
                sold.parts.append((product, part.quantity))
        for product, pieces in sold.parts or [(sold.whole, 1)]:
            sold.takes(product, pieces)
        if not (sold.sku or sold.upc or sold.parts or sold.whole.words):
            ids = ", ".join(x.line_item_id for x in sold.units)
            self.unclear.append(f"return line {ids} has neither SKU nor barcode")

    def _part(self, part: KitPart) -> _Product:
        found = next((p for p in self.products if p.is_same(part)), None)
        if found is None:
            found = _Product(part.sku or part.upc or part.style or "?")
            self.products.append(found)
        found.is_called(part)
        return found

    def count(self, line: ReceiptLine, ticket_id: str) -> bool:
        """Count a receipt line for the product it is, or as one that was not expected; whether it
        was."""
        where = f"ticket {ticket_id}, item {line.sku or line.upc or line.style or '?'}"
        self.unclear.extend(f"{where}: {p}" for p in line.problems)
        if line.actual is None and not line.told(COUNTED):
            self.unclear.append(f"{where}: {COUNTED} is missing")
        if line.damaged is None and not line.problems:
            self.unclear.append(f"{where}: {DAMAGED} is missing")
        if spreadsheet_number(line.upc, CodeKind.UPC):
            self.unclear.append(f"{where}: its UPC is a number that a spreadsheet has rounded")
        counted, damaged = line.actual or 0, line.damaged or 0
        if min(counted, damaged) < 0 and not line.problems:
            self.unclear.append(f"{where}: a quantity is negative: {min(counted, damaged)}")
        product = self._match(line, where)
        ours = product is not None
        if product is not None and counted and not damaged:
            self.unclear.extend(f"{where}: {p}" for p in self._says_otherwise(line))
        if product is None:
            key = (normal_code(line.sku), normal_upc(line.upc), *_words(line))
            if not any(key) and (counted or damaged):
                self.unclear.append(f"{where}: neither SKU nor UPC nor Style")
            described = line.description or ", ".join(
                filter(None, (line.style, line.color, line.size))
            )
            new = _Product(line.sku or line.upc or described or "?", described or None)
            product = self.foreign.setdefault(key, new)
            product.is_called(line)
        product.seen = product.seen or _Product(product.name)
        product.seen.is_called(line)
        product.counted += max(0, counted)
        product.damaged += max(0, damaged)
        product.counted_known &= line.actual is not None
        product.damaged_known &= line.damaged is not None
        return ours

    def _says_otherwise(self, line: ReceiptLine) -> Iterator[str]:
        """Where a line that is counted as good says more of it than its counts do."""
        good = "it is counted as good, but the warehouse"
        if self.remarks.gainsay(line.comments, self.reasons):
            yield (
                f"{good} says of it: {(line.comments or '')[:100]} (words that do not matter can "
                "be listed in settle.harmless_comments)"
            )
        called = (line.sku, line.style, line.color, line.size, line.description)
        if name := other_condition(called, self.names):
            yield f"{good} calls it {name[:100]}"

    def _match(self, line: ReceiptLine, where: str) -> _Product | None:
        upc, sku = normal_upc(line.upc), normal_code(line.sku)
        by_upc = [p for p in self.products if upc and upc in p.upcs]
        by_sku = [p for p in self.products if sku and sku in p.skus]
        if not (by_upc or by_sku):
            return self._match_crossed(line, where) or self._match_words(line, where)
        both = [p for p in by_upc if p in by_sku]
        if by_upc and by_sku and not both:
            self.unclear.append(
                f"{where}: its UPC and its SKU belong to two different expected products"
            )
        if upc and by_sku and not by_upc and by_sku[0].upcs and not by_sku[0].has_code(line.upc):
            # Same SKU, another barcode: a relabelled or a different product; people must look.
            self.unclear.append(
                f"{where}: SKU is expected, but with UPC {by_sku[0].upc}, not {line.upc}"
            )
        if by_upc and not by_sku and (other := by_upc[0].called_otherwise(line)):
            # A barcode that was given to another product, or goods in another condition.
            self.unclear.append(f"{where}: UPC {line.upc} is expected, but not as {other}")
        return self._one(both or by_upc or by_sku, line, where)

    def _match_crossed(self, line: ReceiptLine, where: str) -> _Product | None:
        """By a code that stands in another field: barcodes are scanned into Sku and Style. (A SKU
        as Style is not enough: it may be that of every size.)"""
        codes, barcode = (line.sku, line.upc), normal_upc(line.style)
        found = [p for p in self.products if barcode in p.upcs or any(map(p.has_code, codes))]
        if not found:
            return None
        crossed = [c for c in codes if found[0].has_code(c)]
        crossed += [line.style] if barcode in found[0].upcs else []
        if all(is_short_number(c) for c in crossed):
            self.unclear.append(
                f"{where}: {crossed[0]} is a code of {found[0].name} in another field; so short "
                "a number may as well be another product's"
            )
        if any(c and not found[0].has_code(c) for c in (line.sku, line.upc)):
            self.unclear.append(
                f"{where}: one of its codes is that of {found[0].name}, and another one is not"
            )
        return self._one(found, line, where)

    def _match_words(self, line: ReceiptLine, where: str) -> _Product | None:
        """By Style, Color and Size as announced; or by a Style that is a whole SKU of ours, for
        REX11 gives back added lines without one."""
        words = _words(line)
        found = [p for p in self.products if words[0] and words in p.words]
        found = found or [p for p in self.products if p.has_sku_as_style(words)]
        if not found:
            return None
        kept = [p for p in found if not p.other_code(line)]
        if not kept:
            self.unclear.append(
                f"{where}: it is called as {found[0].name} was announced, but has another code"
            )
        return self._one(kept or found, line, where)

    def _one(self, found: Sequence[_Product], line: ReceiptLine, where: str) -> _Product:
        if len(found) > 1:
            found = [p for p in found if _words(line) in p.words] or found
        if len(found) > 1:
            names = ", ".join(p.name for p in found)
            self.unclear.append(f"{where}: it may be any of {names}")
        return found[0]

    def sold(self) -> tuple[SkuCount, ...]:
        """The counts of what was sold; adds what cannot be told to the doubts."""
        for sold in self.solds:
            self.unclear.extend(f"it cannot be told {d}" for d in sold.doubts())
        return tuple(sold.result() for sold in self.solds)

    def missing(self) -> list[_Product]:
        """The products of which pieces are missing. Of a kit without a line for any part, the
        kit itself too: the warehouse may have counted it whole, under another name."""
        kits = [s.whole for s in self.solds if s.parts and not any(p.seen for p, _ in s.parts)]
        return [p for p in self.products if p.short] + [k for k in kits if not k.seen]

    def surplus(self) -> Iterator[SkuCount]:
        """Pieces of parts beyond what the kits take."""
        for part in dict.fromkeys(p for s in self.solds for p, _ in s.parts):
            whole = sum(
                n * (s.whole.counted + s.whole.damaged)
                for s in part.users
                for p, n in s.parts
                if p is part
            )
            over = max(part.over, part.counted + whole - part.expected)
            if over > 0 and not any(s.whole is part for s in part.users):
                yield SkuCount(part.sku, part.upc, part.title, 0, over, 0, 0, over)


def _reasons(lines: Sequence[ReturnLine], announced: Sequence[Sequence[RmaItem]]) -> list[str]:
    """Why the customer sends them back, in every form that was sent; the longest first."""
    items = [i for some in announced for i in some]
    found = {i.comments for i in items} | {i.reason_code for i in items}
    for line in lines:
        found |= {line.reason, line.parent_reason, line.comment}
    words = (" ".join(reason.split()) for reason in found if reason)
    return sorted(filter(None, words), key=len, reverse=True)


def _names_sent(
    lines: Iterable[ReturnLine], announced: Sequence[Sequence[RmaItem]]
) -> list[str | None]:
    """All that its products are called in Loop and in the announcements."""
    items = [i for some in announced for i in some]
    return [
        *(name for x in lines for name in (x.sku, x.title, x.variant_title)),
        *(name for i in items for name in (i.sku, i.style, i.color, i.size, i.description)),
    ]


def _announced_as(unit: ReturnLine, announced: Sequence[Sequence[RmaItem]]) -> tuple[KitPart, ...]:
    """Under which codes the latest RMA that names a unit announced it."""
    sku, upc = normal_code(unit.sku), normal_upc(unit.barcode)
    for items in reversed(announced):
        named = [(i, n) for i in items for id_, n in i.pieces if id_ == unit.line_item_id]
        if any(is_another_product(unit, i) for i, _ in named):
            return ()  # the shop has put another product into the line since
        if not named:  # made before items named their units
            old = [i for i in items if not i.pieces]
            mine = [i for i in old if upc and normal_upc(i.upc) == upc]
            mine = mine or [i for i in old if sku and normal_code(i.sku) == sku]
            named = [(i, 1) for i in mine[:1]]
        if named:
            return tuple(KitPart(i.sku, n, i.upc, i.style, i.color, i.size) for i, n in named)
    return ()


def is_another_product(unit: ReturnLine, item: RmaItem) -> bool:
    """Whether neither the SKU nor the barcode of a unit is that of the product that its RMA's item
    was made for. Where they have no code of one kind, nothing speaks for it."""
    own = ((sku, upc) for id_, sku, upc in item.sold if id_ == unit.line_item_id)
    sku, upc = next(own, (item.sku, item.upc))
    pairs = (
        (normal_code(unit.sku), normal_code(sku)),
        (normal_upc(unit.barcode), normal_upc(upc)),
    )
    known = [mine == then for mine, then in pairs if mine and then]
    return bool(known) and not any(known)


def _is_itself(parts: Sequence[KitPart], product: _Product) -> bool:
    """True for a product that is one piece of itself, and no kit."""
    if len(parts) != 1 or parts[0].quantity != 1:
        return False
    return product.is_same(parts[0]) or not (product.skus or product.upcs)


def _recipe(parts: Sequence[KitPart]) -> frozenset[tuple[str | None, int]]:
    return frozenset((normal_code(p.sku) or normal_upc(p.upc), p.quantity) for p in parts)


def _given_twice(receipt: Receipt, announced: Sequence[Sequence[RmaItem]]) -> Iterator[str]:
    """A product's lines that together expect more than was announced, though none of them alone
    does, are one line that is given several times: alike, or before and after it was counted anew.
    They are no counts of several boxes."""
    items = [i for some in announced for i in some]
    told: set[str] = set()
    for line in receipt.lines:
        ours = [i for i in items if _names(i, line)]
        most = max((i.expected for i in ours), default=0)
        alike = [x for x in receipt.lines if any(_names(i, x) for i in ours)]
        expected = [x.expected or 0 for x in alike]
        name = line.sku or line.upc or line.style or "?"
        if not most >= max(expected, default=0) or sum(expected) <= most or name in told:
            continue
        told.add(name)
        counts = [str(x.actual) for x in alike]
        if any(x.actual or x.damaged for x in alike):
            how = "alike, " if len(set(alike)) == 1 else f"with {' and '.join(counts)} counted, "
            yield (
                f"ticket {receipt.ticket_id} lists {name} {len(alike)} times {how}together with "
                f"{sum(expected)} expected, and {most} announced: how many came is not certain"
            )


def _names(item: RmaItem, line: ReceiptLine) -> bool:
    """Whether an item of an RMA is the product of a receipt's line."""
    upc, sku = normal_upc(line.upc), normal_code(line.sku)
    if upc and (announced := normal_upc(item.upc)):
        return upc == announced
    return (sku is not None and sku == normal_code(item.sku)) or (
        normal_code(item.style) is not None
        and (normal_code(item.style), normal_code(item.color), normal_code(item.size))
        == _words(line)
    )


def _note_shared_codes(kind: str, codes: Iterable[str | None], unclear: list[str]) -> None:
    """Two products under one code cannot be told apart in a receipt."""
    seen: set[str] = set()
    for code in codes:
        if code and code in seen:
            unclear.append(f"two different products of the return share the {kind} {code}")
        if code:
            seen.add(code)


def _words(called: KitPart | ReceiptLine) -> _Words:
    return normal_code(called.style), normal_code(called.color), normal_code(called.size)


# -- what was not expected --------------------------------------------------------------------


def _not_told_apart(foreign: Iterable[_Product], missing: Sequence[_Product]) -> Iterator[str]:
    """An unexpected product that may well be a missing one is a doubt, never a swap."""
    for other in foreign:
        for product in missing:
            pairs = [(other.sku, product.sku), (other.upc, product.upc)]
            alike = next(((a, b) for a, b in pairs if a and b and may_be_one(a, b)), None)
            if alike:
                came, due = tell_apart(*alike)
                how = "look alike" if look_alike(*alike) else "are almost the same"
                yield f"{came} came and {due} is missing: they {how}, and may be one product"
            elif not _are_two(other, product):
                yield (
                    f"{_called(other)} came and {_called(product)} is missing: nothing tells "
                    "whether they are one product"
                )


def _are_two(other: _Product, product: _Product) -> bool:
    """True where two products are certainly not one: they have codes of the same kind (which
    differ, or they would have been matched), or the warehouse counts them on lines of their own.
    Style, Color and Size alone prove nothing: ours may be guessed."""
    seen = product.seen or _Product("")
    for codes, known in (
        (other.upcs, product.upcs | seen.upcs),
        (other.skus, product.skus | seen.skus),
    ):
        if codes and known:
            return not codes & known
    return product.seen is not None and not _compatible(other.words, product.words | seen.words)


def _compatible(some: Iterable[_Words], others: Collection[_Words]) -> bool:
    """True where two of them may be one: equal, as far as both are known."""
    return any(
        all(a is None or b is None or a == b for a, b in zip(mine, other, strict=True))
        for mine in some
        for other in others
    )


def _called(product: _Product) -> str:
    words = next(iter(sorted(product.words, key=str)), (None, None, None))
    given = [("SKU", product.sku), ("UPC", product.upc), *zip(_WORDS, words, strict=True)]
    return ", ".join(f"{kind} {code}" for kind, code in given if code) or product.name


_WORDS = ("Style", "Color", "Size")


def _kit_hints(foreign: Sequence[_Product], skus: Iterable[SkuCount]) -> Iterator[str]:
    """More unexpected pieces than missing units look like a kit that was taken apart."""
    short = [s for s in skus if s.short and not s.parts]
    pieces = sum(max(f.counted, f.damaged) for f in foreign)
    if short and pieces > sum(s.short for s in short):
        names = ", ".join(f.name for f in foreign)
        yield (
            f"{names}, which came unexpected, may be parts of a kit "
            f"({', '.join(s.name for s in short)} is missing): if so, map it under kits"
        )
