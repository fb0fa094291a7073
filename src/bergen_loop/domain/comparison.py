"""Expected against received: the facts every receipt criterion works on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bergen_loop.domain.receipt import Receipt, ReceiptLine
from bergen_loop.domain.returns import ReturnLine


@dataclass(frozen=True, slots=True)
class SkuCount:
    """One SKU, all parcels of the return together."""

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

    @property
    def name(self) -> str:
        """What people call it: the SKU, else the UPC."""
        return self.sku or self.upc or "?"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came, against what was announced by the customer.

    `unexpected` are SKUs that are not on the return at all. They count as `wrong` as far as
    other units are missing for them (a swap), beyond that as `extra`.
    `unclear` lists, in words, everything that could not be read or matched; while it is not
    empty nothing may be processed.
    """

    skus: tuple[SkuCount, ...]
    unexpected: tuple[SkuCount, ...]
    unclear: tuple[str, ...]

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
    def complete(self) -> bool:
        """Everything expected is there, undamaged, nothing else, no doubt, and at least a unit."""
        return self.expected > 0 and not (
            self.unclear or self.damaged or self.short or self.extra or self.wrong
        )


class _Group:
    """Expected units of one SKU while receipts are matched to them."""

    def __init__(self, sku: str | None, upc: str | None, title: str | None) -> None:
        self.sku, self.upc, self.title = sku, upc, title
        self.expected = self.counted = self.damaged = 0
        self.line_item_ids: list[str] = []

    def result(self) -> SkuCount:
        # Whether ActualQuantity includes the damaged units is not documented, so a unit is
        # short only if it is in neither figure, and extra only if ActualQuantity alone is over.
        return SkuCount(
            sku=self.sku,
            upc=self.upc,
            title=self.title,
            expected=self.expected,
            counted=self.counted,
            damaged=self.damaged,
            short=max(0, self.expected - self.counted - self.damaged),
            extra=max(0, self.counted - self.expected, self.damaged - self.expected),
            line_item_ids=tuple(self.line_item_ids),
        )


def normal_code(code: str | None) -> str | None:
    """A SKU/UPC for comparing: REX11 lower-cases values, so case and outer blanks do not count."""
    return (code or "").strip().casefold() or None


def normal_upc(code: str | None) -> str | None:
    """A UPC/EAN for comparing: UPC-A, EAN-13 and GTIN-14 differ in leading zeros only."""
    normal = normal_code(code)
    return (normal.lstrip("0") or normal) if normal and normal.isdigit() else normal


def compare(lines: Iterable[ReturnLine], receipts: Sequence[Receipt]) -> Comparison:
    """Match every receipt line to the return's expected units by UPC, else by SKU."""
    unclear: list[str] = []
    groups = _expected_groups(lines, unclear)
    unexpected: dict[tuple[str | None, str | None], _Group] = {}
    if not receipts:
        unclear.append("there is no receipt")
    for receipt in receipts:
        unclear.extend(f"ticket {receipt.ticket_id}: {p}" for p in receipt.problems)
        if not receipt.lines:
            unclear.append(f"ticket {receipt.ticket_id} lists no items")
        for line in receipt.lines:
            _count(line, receipt.ticket_id, groups, unexpected, unclear)
    return Comparison(
        skus=tuple(g.result() for g in groups),
        unexpected=tuple(g.result() for g in unexpected.values() if g.counted or g.damaged),
        unclear=tuple(unclear),
    )


def _expected_groups(lines: Iterable[ReturnLine], unclear: list[str]) -> list[_Group]:
    groups: dict[tuple[str | None, str | None], _Group] = {}
    for line in lines:
        key = (normal_code(line.sku), normal_upc(line.barcode))
        if key == (None, None):
            unclear.append(f"return line {line.line_item_id} has neither SKU nor barcode")
        group = groups.setdefault(key, _Group(line.sku, line.barcode, line.title))
        group.expected += 1
        group.line_item_ids.append(line.line_item_id)
    result = list(groups.values())
    _note_shared_codes("SKU", (normal_code(g.sku) for g in result), unclear)
    _note_shared_codes("UPC", (normal_upc(g.upc) for g in result), unclear)
    return result


def _note_shared_codes(kind: str, codes: Iterable[str | None], unclear: list[str]) -> None:
    """Two products under one code cannot be told apart in a receipt."""
    seen: set[str] = set()
    for code in codes:
        if code and code in seen:
            unclear.append(f"two different products of the return share the {kind} {code}")
        if code:
            seen.add(code)


def _count(
    line: ReceiptLine,
    ticket_id: str,
    groups: list[_Group],
    unexpected: dict[tuple[str | None, str | None], _Group],
    unclear: list[str],
) -> None:
    where = f"ticket {ticket_id}, item {line.sku or line.upc or '?'}"
    unclear.extend(f"{where}: {p}" for p in line.problems)
    if line.actual is None:
        unclear.append(f"{where}: ActualQuantity is missing")
    if line.damaged is None and not line.problems:
        unclear.append(f"{where}: DamagedQuantity is missing")
    counted, damaged = line.actual or 0, line.damaged or 0
    if counted < 0 or damaged < 0:
        unclear.append(f"{where}: a quantity is negative")
    group = _match(line, groups, where, unclear)
    if group is None:
        key = (normal_code(line.sku), normal_upc(line.upc))
        if key == (None, None):
            unclear.append(f"{where}: neither SKU nor UPC")
        group = unexpected.setdefault(key, _Group(line.sku, line.upc, line.description))
    group.counted += max(0, counted)
    group.damaged += max(0, damaged)


def _match(
    line: ReceiptLine, groups: list[_Group], where: str, unclear: list[str]
) -> _Group | None:
    upc, sku = normal_upc(line.upc), normal_code(line.sku)
    by_upc = next((g for g in groups if upc and normal_upc(g.upc) == upc), None)
    by_sku = next((g for g in groups if sku and normal_code(g.sku) == sku), None)
    if by_upc and by_sku and by_upc is not by_sku:
        unclear.append(f"{where}: its UPC and its SKU belong to two different expected products")
    if by_sku and not by_upc and upc and normal_code(by_sku.upc):
        # Same SKU, another barcode: a relabelled or a different product; people must look.
        unclear.append(f"{where}: SKU is expected, but with UPC {by_sku.upc}, not {line.upc}")
    return by_upc or by_sku
