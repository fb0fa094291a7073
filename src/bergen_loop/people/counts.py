"""What a person knows of a parcel whose receipt is unclear, and the warehouse does not say.

It becomes a receipt of its own beside the one that was read, which stays as it came: with who,
from what they know it, and a file if there is one. The criteria judge anew; nothing is sent by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bergen_loop.domain.codes import normal_code, normal_upc
from bergen_loop.domain.comparison import Comparison, SkuCount
from bergen_loop.domain.returns import TO_JUDGE, Stage
from bergen_loop.domain.rma import COUNTED, DAMAGED, Receipt, ReceiptLine
from bergen_loop.domain.words import Need, What
from bergen_loop.ledger.codec import document, load_receipt, storable
from bergen_loop.ledger.store import attention, effects, returns
from bergen_loop.ledger.store.attention import Ended
from bergen_loop.ledger.tables.core import ReceiptFileRow, ReceiptRow, ReturnRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people.actions import NotPossible

MOST_UNITS = 10_000
LONGEST_EVIDENCE = 500

AS_IT_CAME, ANOTHER = "as it came", "another product"
"""Which product a line is, if it is none of the return's: what the warehouse calls it, or
certainly something else."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a ticket, or a product of the return that its ticket does not list."""

    name: str
    """As the warehouse calls it."""
    counted: int | None
    damaged: int | None
    raw_counted: str
    raw_damaged: str
    """What stood there, where it is no number."""
    comments: str
    product: str
    """Of which of the return's products it is: its number in the comparison, or `AS_IT_CAME`."""
    choices: tuple[tuple[str, str], ...]
    """(value, words): which product it may be."""
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Sheet:
    """A receipt whose counts may be corrected."""

    receipt: int
    """Its key."""
    ticket: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Stated:
    """What a person says of an entry."""

    product: str
    counted: int
    damaged: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """A file that shows it."""

    name: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """What a person says of a receipt: of every entry of its sheet, in order."""

    receipt: int
    stated: tuple[Stated, ...]
    evidence: str
    file: Evidence | None = None


def sheets(receipts: Sequence[ReceiptRow], compared: Comparison) -> list[Sheet]:
    """What may be corrected of these receipts. Products that none of them lists can be added to
    the last one."""
    read = [(row, load_receipt(row.content)) for row in receipts]
    found = [
        Sheet(row.id, receipt.ticket_id, tuple(_entry(line, compared) for line in receipt.lines))
        for row, receipt in read
    ]
    lines = [line for _, receipt in read for line in receipt.lines]
    missing = [
        _unlisted(number, sku)
        for number, sku in enumerate(compared.skus)
        if not any(is_of(sku, line) for line in lines)
    ]
    if found and missing:
        found[-1] = replace(found[-1], entries=(*found[-1].entries, *missing))
    return found


def may_correct(row: ReturnRow, compared: Comparison) -> bool:
    """Whether the return is one whose counts a person may correct."""
    unclear = bool(compared.unclear) and row.received_at is not None
    return unclear and row.stage in TO_JUDGE and row.loop_state == "open"


def correct(
    tx: Transaction, row: ReturnRow, compared: Comparison, statement: Statement
) -> ReceiptRow:  # fmt: skip
    """Put what a person knows beside the receipt, and have the return judged anew. `row` is held
    still; `compared` is what was expected against its receipts. Raises NotPossible."""
    receipts = returns.readings(tx.session, [row.id])[row.id].receipts
    raw = next((r for r in receipts if r.id == statement.receipt), None)
    _check(tx, row, compared, raw)
    assert raw is not None
    evidence = statement.evidence.strip()
    if not evidence:
        raise NotPossible("say from what you know it: that is the evidence")
    if len(evidence) > LONGEST_EVIDENCE:
        raise NotPossible(f"the evidence has {len(evidence)} characters, more than "
                          f"{LONGEST_EVIDENCE}")  # fmt: skip
    sheet = next(s for s in sheets(receipts, compared) if s.receipt == raw.id)
    before = load_receipt(raw.content)
    after = _as_stated(before, sheet, statement, compared)
    kept = _keep(tx, raw, after, evidence)
    if statement.file is not None:
        file = statement.file
        tx.session.add(
            ReceiptFileRow(
                receipt_pk=kept.id, name=file.name, content_type=file.content_type, body=file.body
            )
        )
    tx.journal(
        What.COUNT_CORRECTED,
        f"ticket {after.ticket_id}: {after.counts}; it said {before.counts}. {evidence}",
        row,
        {
            "ticket": after.ticket_id,
            "receipt": kept.id,
            "corrects": kept.corrects,
            "before": _plain(before),
            "after": _plain(after),
            "file": statement.file.name if statement.file else None,
        },
    )
    for item in attention.open_items(tx.session, return_pk=row.id):
        if item.kind == Need.DECIDE_BY_HAND:
            words = "counts corrected by hand"
            attention.resolve(
                tx.session,
                tx.now,
                item,
                attention.Resolution(who=tx.who, words=words, ended=Ended.DECIDED),
            )
    row.stage, row.due_at = Stage.RECEIVED, tx.now
    returns.brand_row(tx.session, row.brand).nudged_at = tx.now
    return kept


def _check(
    tx: Transaction, row: ReturnRow, compared: Comparison, raw: ReceiptRow | None
) -> None:  # fmt: skip
    if row.loop_state != "open":
        raise NotPossible(f"Loop shows the return {row.loop_state}, not open")
    if row.stage not in TO_JUDGE:
        raise NotPossible(f"the return is {row.stage.replace('_', ' ')}: nothing is judged now")
    effect = effects.settlements_of(tx.session, [row.id]).get(row.id)
    if effect is not None and effect.state not in effects.SENDABLE:
        raise NotPossible(f"it was settled before ({effect.kind}: {effect.state})")
    if raw is None:
        raise NotPossible("the warehouse has counted again since: look at what it says now")
    if not compared.unclear:
        raise NotPossible(
            "the receipt is clear: where it is wrong, the warehouse corrects its ticket, and "
            "`Sync again` reads it"
        )


def _keep(tx: Transaction, raw: ReceiptRow, after: Receipt, evidence: str) -> ReceiptRow:
    """As the newest receipt of its ticket. Its hash is that of what was read, so that reading the
    same again is nothing new, and anything else is."""
    base = raw.content_hash.partition("#")[0]
    number = 1
    known = {h for _, h in returns.receipts_known(tx.session, [raw.rma_pk])}
    while f"{base}#by-hand-{number}" in known:
        number += 1
    kept = ReceiptRow(
        rma_pk=raw.rma_pk,
        read_at=tx.now,
        content=document(after),
        content_hash=f"{base}#by-hand-{number}",
        corrects=raw.corrects or raw.id,
        by=tx.who,
        evidence=storable(evidence),
    )
    tx.session.add(kept)
    tx.session.flush()
    return kept


def _as_stated(
    before: Receipt, sheet: Sheet, statement: Statement, compared: Comparison
) -> Receipt:  # fmt: skip
    if len(statement.stated) != len(sheet.entries):
        raise NotPossible("the receipt has changed since you opened this page: look at it again")
    lines: list[ReceiptLine] = []
    for number, (entry, stated) in enumerate(zip(sheet.entries, statement.stated, strict=True)):
        for units in (stated.counted, stated.damaged):
            if not 0 <= units <= MOST_UNITS:
                raise NotPossible(f"{entry.name}: a count is from 0 to {MOST_UNITS}")
        if stated.product not in {value for value, _ in entry.choices}:
            raise NotPossible(f"{entry.name}: say which product it is")
        if not entry.listed and not (stated.counted or stated.damaged):
            continue  # it did not come, as the ticket has it
        line = before.lines[number] if entry.listed else ReceiptLine()
        lines.append(_line(line, stated, compared))
    after = replace(before, lines=tuple(lines), memo=None, problems=())
    if after == before:
        raise NotPossible("that is what the receipt says already")
    return after


def _line(line: ReceiptLine, stated: Stated, compared: Comparison) -> ReceiptLine:
    came = stated.counted or stated.damaged
    expected = line.expected if came else 0  # nothing more is due on a line that is no count
    line = replace(
        line,
        expected=expected,
        actual=stated.counted,
        damaged=stated.damaged,
        comments=None,  # whoever has stated the counts has read them
        description=None,
        problems=(),
    )
    if stated.product == AS_IT_CAME:
        return line
    if stated.product == ANOTHER:
        if not any(is_of(sku, line) for sku in compared.skus):
            return line
        # Its code is that of a product which, a person says, it is not.
        return replace(line, sku=f"({ANOTHER})", upc=None, style=None, color=None, size=None)
    sku = compared.skus[int(stated.product)]
    return replace(line, sku=sku.sku, upc=sku.upc, style=None, color=None, size=None)


# -- what is shown ------------------------------------------------------------------------------


def _entry(line: ReceiptLine, compared: Comparison) -> Entry:
    products = [(str(n), f"{s.name}: {s.title or 'no title'}") for n, s in enumerate(compared.skus)]
    mine = next((n for n, s in enumerate(compared.skus) if is_of(s, line)), None)
    if line.problems:  # what it is called may be damaged too: a person has to say which it is
        other = (ANOTHER, "a product that is not on this return")
        chosen = str(mine) if mine is not None else ""
    else:
        other = (AS_IT_CAME, "as the warehouse calls it")
        chosen = AS_IT_CAME
    return Entry(
        name=called(line),
        counted=line.actual,
        damaged=line.damaged,
        raw_counted=line.told(COUNTED) or "",
        raw_damaged=line.told(DAMAGED) or "",
        comments=line.comments or "",
        product=chosen,
        choices=(other, *products),
    )


def _unlisted(number: int, sku: SkuCount) -> Entry:
    name = f"{sku.name}: {sku.title or 'no title'}"
    return Entry(name, 0, 0, "", "", "", str(number), ((str(number), name),), listed=False)


def is_of(sku: SkuCount, line: ReceiptLine) -> bool:
    """Whether a line of a ticket has the product's code."""
    upc, code = normal_upc(line.upc), normal_code(line.sku)
    return bool(
        (upc and upc == normal_upc(sku.upc)) or (not upc and code and code == normal_code(sku.sku))
    )


def called(line: ReceiptLine) -> str:
    """What the warehouse calls it."""
    words = [line.sku, f"UPC {line.upc}" if line.upc else None, line.style, line.color, line.size]
    return ", ".join(w for w in words if w) or line.description or "?"


def _plain(receipt: Receipt) -> list[dict[str, object]]:
    return [
        {"item": called(line), "counted": line.actual, "damaged": line.damaged}
        for line in receipt.lines
    ]
