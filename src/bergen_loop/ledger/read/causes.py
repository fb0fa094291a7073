"""The attention list by cause: what one deed would mend is one cause, however many returns wait
for it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.codes import normal_code, normal_upc
from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import OF_PRODUCTS, Need
from bergen_loop.ledger.codec import digest
from bergen_loop.ledger.read.listing import Page
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store.attention import awake
from bergen_loop.ledger.store.statements import chunks
from bergen_loop.ledger.tables.core import AttentionRow, LineRow, ReturnRow, RmaRow


@dataclass(frozen=True, slots=True)
class Waiting:
    """A return that waits for a person."""

    return_id: str
    order_name: str | None
    brand: str
    total: str | None
    """Money as Loop's decimal string; None: Loop has not said."""
    currency: str | None
    loop_state: str


@dataclass(slots=True)
class Sum:
    """What returns are worth. What is not known is counted, not taken for nothing."""

    by_currency: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    unknown: int = 0

    def add(self, total: str | None, currency: str | None) -> None:
        try:
            value = Decimal(total or "?")
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite():
            self.unknown += 1
            return
        key = currency or "?"
        self.by_currency[key] = self.by_currency.get(key, Decimal(0)) + value

    @property
    def words(self) -> str:
        """`1,240.00 USD, 20.00 EUR, 2 of unknown value`."""
        parts = [f"{value:,.2f} {name}" for name, value in sorted(self.by_currency.items())]
        if self.unknown:
            parts.append(f"{self.unknown} of unknown value")
        return ", ".join(parts)

    @property
    def weight(self) -> Decimal:
        """For ordering only: currencies are not exchanged."""
        return sum(self.by_currency.values(), Decimal(0))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items people want to see."""

    now: datetime
    kind: str | None = None
    assignee: str | None = None
    """Whose; empty: nobody's."""
    put_off: bool = False
    """Those that are put off, instead of the others."""


@dataclass(slots=True)
class Cause:
    """Items with one cause, the oldest first."""

    kind: str
    subject: str | None
    """What it is about; None where each item is about its own return."""
    items: list[AttentionRow]
    returns: list[Waiting] | None = None
    """Who waits for it; None where the ledger cannot tell."""
    said: str = ""
    """What is said of all of them: of returns without their own names."""
    key: str = ""
    """Tells it from others, for addresses."""
    by_item: dict[int, Waiting] = field(default_factory=dict[int, Waiting])
    """The return of each item that is about one."""

    @property
    def brands(self) -> list[str]:
        return sorted({item.brand for item in self.items})

    @property
    def since(self) -> datetime:
        return min(item.opened_at for item in self.items)

    @property
    def worth(self) -> Sum:
        found = Sum()
        for one in self.returns or ():
            found.add(one.total, one.currency)
        return found


def causes(session: Session, scope: Scope, wanted: Wanted | None = None) -> list[Cause]:
    """Open items by cause: the most money first, then the oldest. Without `wanted` all, those
    that are put off too."""
    query = sa.select(AttentionRow).where(
        AttentionRow.resolved_at.is_(None), scope.allows(AttentionRow.brand)
    )
    if wanted is not None:
        query = _narrowed(query, wanted)
    items = list(session.scalars(query.order_by(AttentionRow.opened_at, AttentionRow.id)))
    pks = [i.return_pk for i in items if i.return_pk is not None]
    rows, names = waiting(session, pks), _names(session, pks)
    groups: dict[tuple[str | None, ...], list[AttentionRow]] = defaultdict(list)
    for item in items:
        groups[_key(item, names)].append(item)
    found = [
        Cause(
            of[0].kind,
            None if of[0].return_pk is not None else of[0].subject,
            of,
            said=_said(of[0], names) if len(of) > 1 else of[0].reason,
            key=digest([str(part) for part in key])[:12],
            by_item={i.id: rows[i.return_pk] for i in of if i.return_pk in rows},
        )
        for key, of in groups.items()
    ]
    products = _by_product(session, {i.brand for i in _items(found) if i.kind in OF_PRODUCTS})
    for cause in found:
        if cause.subject is None:
            cause.returns = [rows[i.return_pk] for i in cause.items if i.return_pk in rows]
        elif cause.kind in OF_PRODUCTS:
            cause.returns = products.get((cause.items[0].brand, cause.subject), [])
    return sorted(found, key=lambda c: (-c.worth.weight, c.since))


def _items(found: Iterable[Cause]) -> Iterable[AttentionRow]:
    return (item for cause in found for item in cause.items)


def _narrowed(query: sa.Select[AttentionRow], wanted: Wanted) -> sa.Select[AttentionRow]:
    open_now = awake(wanted.now)
    query = query.where(sa.not_(open_now) if wanted.put_off else open_now)
    if wanted.kind:
        query = query.where(AttentionRow.kind == wanted.kind)
    if wanted.assignee is not None:
        whose = AttentionRow.assignee
        query = query.where(whose == wanted.assignee if wanted.assignee else whose.is_(None))
    return query


SHORTEST_NAME = 4
"""Characters: a shorter name may stand in a sentence for something else."""


def _names(session: Session, pks: Sequence[int]) -> dict[int, set[str]]:
    """What a return is called in sentences about it: its id, order, POs, tickets."""
    found: dict[int, set[str]] = defaultdict(set)
    for chunk in chunks(sorted(set(pks))):
        of_return = sa.select(ReturnRow.id, ReturnRow.return_id, ReturnRow.order_name)
        of_rmas = sa.select(RmaRow.return_pk, RmaRow.customer_po, RmaRow.ticket_id)
        for query, pk in ((of_return, ReturnRow.id), (of_rmas, RmaRow.return_pk)):
            for key, *names in session.execute(query.where(pk.in_(chunk))):
                found[key].update(n for n in names if n and len(n) >= SHORTEST_NAME)
    return found


def _said(item: AttentionRow, names: dict[int, set[str]]) -> str:
    """What is said of an item, apart from what its return is called."""
    own = names.get(item.return_pk or 0, set())
    if not own:
        return item.reason
    longest_first = sorted(own, key=lambda n: (-len(n), n))
    pattern = r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)"
    return re.sub(pattern, "…", item.reason, flags=re.IGNORECASE)


def _key(item: AttentionRow, names: dict[int, set[str]]) -> tuple[str | None, ...]:
    """Items about returns are of one cause when the same is said of them."""
    if item.return_pk is not None:
        return (item.kind, _said(item, names))
    if item.kind == Need.UNREACHABLE:
        return (item.kind, item.subject, None)  # one system, whatever the brand
    return (item.kind, item.subject, item.brand)


def waiting(session: Session, pks: Sequence[int]) -> dict[int, Waiting]:
    """These returns as people know them, by key."""
    found: dict[int, Waiting] = {}
    for chunk in chunks(sorted(set(pks))):
        query = sa.select(
            ReturnRow.id,
            ReturnRow.return_id,
            ReturnRow.order_name,
            ReturnRow.brand,
            ReturnRow.total,
            ReturnRow.currency,
            ReturnRow.loop_state,
        ).where(ReturnRow.id.in_(chunk))
        for pk, return_id, order_name, brand, total, currency, state in session.execute(query):
            found[pk] = Waiting(return_id, order_name, brand, total, currency, state)
    return found


def _by_product(session: Session, brands: set[str]) -> dict[tuple[str, str], list[Waiting]]:
    """(brand, UPC or SKU in normal form) -> the returns with it that have no RMA yet."""
    if not brands:
        return {}
    query = (
        sa.select(ReturnRow.id, ReturnRow.brand, LineRow.barcode, LineRow.sku)
        .join(LineRow, LineRow.return_pk == ReturnRow.id)
        .where(ReturnRow.brand.in_(sorted(brands)), ReturnRow.stage == Stage.SEEN)
        .order_by(ReturnRow.submitted_at, ReturnRow.id)
    )
    of: dict[tuple[str, str], dict[int, None]] = defaultdict(dict)
    for pk, brand, barcode, sku in session.execute(query):
        upc = (normal_upc(barcode) or barcode) if barcode else None
        for code in (upc, normal_code(sku)):
            if code:
                of[brand, code][pk] = None
    rows = waiting(session, [pk for pks in of.values() for pk in pks])
    return {key: [rows[pk] for pk in pks] for key, pks in of.items()}


def every_item(session: Session, scope: Scope, *, limit: int) -> Page[AttentionRow]:
    """Items, resolved ones too, the newest first."""
    query = sa.select(AttentionRow).where(scope.allows(AttentionRow.brand))
    rows = list(session.scalars(query.order_by(AttentionRow.id.desc()).limit(limit + 1)))
    return Page(rows[:limit], len(rows) > limit)
