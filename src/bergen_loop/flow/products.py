"""Does the warehouse know the products of a return? Asked once per product, then remembered.

What is wrong with a product concerns every return that has it: it is told once per product, and
the returns wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from bergen_loop.domain import announce as rules
from bergen_loop.domain.codes import CodeKind, normal_code, normal_upc, unsendable
from bergen_loop.domain.naming import Known, by_upc
from bergen_loop.domain.returns import Return
from bergen_loop.domain.rma import Product, ProductImport, RmaItem
from bergen_loop.domain.words import OF_PRODUCTS, EffectKind, Need, What
from bergen_loop.flow.calls import Call, Undertaking, carry_out, had_no_effect, ready
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.codec import digest, load_item, load_items, load_return
from bergen_loop.ledger.store import attention, effects, journal, products, returns
from bergen_loop.ledger.store.effects import AlreadyIntended, EffectState, Intent
from bergen_loop.ledger.store.products import Found
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow, RmaRow
from bergen_loop.ledger.tables.shipments import ShipmentRmaRow
from bergen_loop.ledger.transaction import FencedTransaction, Transaction
from bergen_loop.outside.errors import Effect, OutsideError, Scope

RECHECK = timedelta(hours=1)
"""How often a product that the warehouse does not know, or refuses, is asked for again."""
NEEDLESS = 3 * RECHECK
"""What nobody has asked for so long is waited for by no return any more."""
PER_CALL = 50
"""Products of one StyleMasterProductAdd."""


def known_to_the_warehouse(
    ctx: BrandContext, rows: Sequence[ReturnRow]
) -> tuple[list[ReturnRow], Known]:
    """The returns whose products the warehouse knows (the others are due again later), and what
    it calls these products."""
    if not ctx.settings.announce.check_products or not rows:
        return list(rows), {}
    wanted = {row.id: _askable(ctx, load_return(row.content)) for row in rows}
    found = _check(ctx, {_normal(p): p for of in wanted.values() for p in of})
    missing = {
        row.id: [p for p in wanted[row.id] if found[_normal(p)].state is not ProductImport.KNOWN]
        for row in rows
    }
    waiting = [row.id for row in rows if missing[row.id]]
    if waiting:
        with ctx.write() as tx:
            for row in returns.by_pks(tx.session, waiting).values():
                _wait(ctx, tx, row, missing[row.id], found)
    called = by_upc({upc: f.called for upc, f in found.items() if f.called is not None})
    return [row for row in rows if not missing[row.id]], called


def unknown_of(ctx: BrandContext, units: Sequence[Return]) -> tuple[dict[str, str], Known]:
    """Of the products of several consignments: those that the warehouse does not know, by their
    normal UPC and in words, and what it calls the others."""
    if not ctx.settings.announce.check_products:
        return {}, {}
    wanted = {_normal(p): p for of in units for p in _askable(ctx, of)}
    found = _check(ctx, wanted) if wanted else {}
    unknown = {
        upc: f"REX11 does not know {p.sku or '?'} (UPC {p.upc}: {found[upc].state})"
        for upc, p in wanted.items()
        if found[upc].state is not ProductImport.KNOWN
    }
    return unknown, by_upc({upc: f.called for upc, f in found.items() if f.called is not None})


def upcs_of(ctx: BrandContext, return_: Return) -> set[str]:
    """The products that can be asked for, by their normal UPC."""
    return {_normal(p) for p in _askable(ctx, return_)}


def _askable(ctx: BrandContext, return_: Return) -> list[Product]:
    """Products that can be asked for. A UPC that cannot be sent as it is is no question for the
    warehouse: it keeps the return from being announced."""
    found = rules.products(return_, ctx.rules)
    limit = ctx.rules.code_length
    return [p for p in found if not unsendable(p.upc, CodeKind.UPC, limit)]


def _why_not_added(ctx: BrandContext, product: Product) -> str | None:
    """What keeps a product from being added, in words."""
    if lacks := rules.missing_fields(product):
        return (
            f"the shop does not say its {', '.join(lacks)}: map them under "
            "announce.product_fields, or ask Bergen to import it"
        )
    bad = product.sku and unsendable(product.sku, CodeKind.SKU, ctx.rules.code_length)
    return f"{bad}: put it right in the shop" if bad else None


def _normal(product: Product) -> str:
    """How a product is remembered: its UPC in normal form."""
    return normal_upc(product.upc) or product.upc


def _wait(
    ctx: BrandContext,
    tx: Transaction,
    row: ReturnRow,
    missing: Sequence[Product],
    found: Mapping[str, Found],
) -> None:
    states = {p.upc: found[_normal(p)].state for p in missing}
    pending = all(state is ProductImport.PENDING for state in states.values())
    row.due_at = tx.now + (ctx.settings.announce.product_poll if pending else RECHECK)
    names = ", ".join(f"{p.sku or '?'} (UPC {p.upc}: {states[p.upc]})" for p in missing)
    why = f"the RMA waits for what REX11 does not know: {names}"
    if not journal.told(tx.session, row.id, What.WAITS, why):
        tx.journal(What.WAITS, why, row)


def _check(ctx: BrandContext, wanted: Mapping[str, Product]) -> dict[str, Found]:
    """What is known of each product; unknown ones are added first, where the brand allows it."""
    with ctx.ledger.read() as session:
        found = products.remembered(session, ctx.brand, list(wanted))
    ask = {upc: p for upc, p in wanted.items() if upc not in found or not found[upc].settled}
    if not ask:
        return found
    found |= _ask(ctx, ask, found)
    ctx.tick.asked.update(ask)
    unknown = [p for upc, p in ask.items() if found[upc].state is ProductImport.UNKNOWN]
    if unknown and ctx.settings.announce.add_products:
        adds = ProductAdds(ctx)
        carry_out(ctx, adds, [p for p in unknown if not _why_not_added(ctx, p)])
        found |= {upc: Found(state) for upc, state in adds.states.items()}
    with ctx.write() as tx:
        since = products.remember(tx.session, tx.now, ctx.brand, {u: found[u] for u in ask})
        known = [_normal(p) for upc, p in ask.items() if found[upc].state is ProductImport.KNOWN]
        about = [(n, p) for p in known for n in (Need.UNKNOWN_PRODUCT, Need.PRODUCT_IMPORT)]
        tx.resolve_each(about, "REX11 knows the product")
        refused = attention.subjects_open(tx.session, ctx.brand, [Need.PRODUCT_REFUSED])
        told = {upc for _, upc in refused}
        for upc, product in ask.items():
            if found[upc].state is not ProductImport.KNOWN and upc not in told:
                _tell(ctx, tx, product, found[upc], tx.now - since[upc])
    return found


def _ask(
    ctx: BrandContext, wanted: Mapping[str, Product], before: Mapping[str, Found]
) -> dict[str, Found]:
    """One inventory call for many; only what it does not list is asked one by one. Where it
    answers with a fault for these, they wait, and others do not."""
    new = {upc: p for upc, p in wanted.items() if upc not in before or before[upc].called is None}
    try:
        listed = ctx.warehouse.products([p.upc for p in new.values()]) if new else {}
        known = {
            upc: Found(ProductImport.KNOWN, listed[p.upc])
            for upc, p in new.items()
            if p.upc in listed
        }
    except OutsideError as error:
        if error.scope is not Scope.CALL:
            raise
        known = {upc: Found(ProductImport.PENDING, why=error.message) for upc in new}
    rest = [(upc, p) for upc, p in wanted.items() if upc not in known]
    states = ctx.in_parallel(lambda pair: _import(ctx, pair[1].upc), rest)
    return known | {upc: state for (upc, _), state in zip(rest, states, strict=True)}


def _import(ctx: BrandContext, upc: str) -> Found:
    """One product's state. A UPC that REX11 will not be asked for, or answers with a fault (which
    may pass) or without sense, concerns its own returns only."""
    try:
        return Found(ctx.warehouse.product_import(upc))
    except OutsideError as error:
        if error.scope is not Scope.CALL:
            raise
        passing = error.effect is Effect.NOT_SENT
        state = ProductImport.PENDING if passing else ProductImport.FAILED
        return Found(state, why=error.message)


def _tell(
    ctx: BrandContext, tx: Transaction, product: Product, found: Found, age: timedelta
) -> None:
    """One item per product that it does not know."""
    state = found.state
    name, about = f"{product.sku or '?'} (UPC {product.upc})", _normal(product)
    if state is ProductImport.PENDING:
        if not found.why:
            tx.resolve(Need.UNKNOWN_PRODUCT, about, "REX11 is importing the product")
        if age > ctx.settings.announce.product_patience:
            tx.needs_person(
                Need.PRODUCT_IMPORT,
                f"REX11 has not finished importing {name} in {age}"
                f"{f' ({found.why})' if found.why else ''}; ask Bergen to look at the import. "
                "Returns with it wait for their RMA",
                about,
            )
    else:
        tx.resolve(Need.PRODUCT_IMPORT, about, f"its import has ended: {state}")
        why = _why_not_added(ctx, product)
        adding = ctx.settings.announce.add_products
        remedy = (
            f"it is not added, for {why}"
            if adding and why
            else "ask Bergen to import it"
            if adding
            else "ask Bergen to import it, or let this brand add products (announce.add_products)"
        )
        tx.needs_person(
            Need.UNKNOWN_PRODUCT,
            f"REX11 does not know {name}: {found.why or state}; {remedy}. Returns with it wait for "
            "their RMA",
            about,
            "looked it up in REX11's inventory and import status; asked again every hour",
        )


class ProductAdds(Undertaking[Product, Sequence[Product], None]):
    """StyleMasterProductAdd, many products a call. Adding one twice does no harm, so a lost
    answer is not looked for: the import status tells."""

    name = "product"

    def __init__(self, ctx: BrandContext) -> None:
        super().__init__(ctx)
        self.states: dict[str, ProductImport] = {}
        """What was asked to be imported, or refused, by UPC."""

    def intend(
        self, tx: FencedTransaction, items: Sequence[Product]
    ) -> list[Call[Sequence[Product]]]:
        """Those not tried too often, nor tried just now."""
        known = effects.find_all(tx.session, tx.brand, [_key(_normal(p)) for p in items])
        intended: list[tuple[Product, EffectRow]] = []
        for product in items:
            before, sent = known.get(_key(_normal(product))), digest(str(product))
            if before is not None and before.payload.get("sent", sent) != sent:
                before.attempts, before.try_at = 0, None  # it is not what was refused
            if before is not None and not self._again(tx, before):
                if before.attempts < self.ctx.settings.repeats.attempts:
                    self.states[_normal(product)] = ProductImport.PENDING  # after its pause
                continue
            payload = {"upc": _normal(product), "sent": sent}
            intent = Intent(EffectKind.PRODUCT, _key(_normal(product)), None, payload)
            try:
                intended.append((product, tx.intend(intent, known)))
            except AlreadyIntended:
                continue
        tx.session.flush()
        return [
            Call([p for p, _ in part], tuple(e for _, e in part))
            for part in (intended[i : i + PER_CALL] for i in range(0, len(intended), PER_CALL))
        ]

    def _again(self, tx: Transaction, before: EffectRow) -> bool:
        """REX11 took the product for import, and still does not know it."""
        if before.state not in effects.SENDABLE:
            had_no_effect(self.ctx, tx, before, "still unknown to REX11")
        tried_enough = before.attempts >= self.ctx.settings.repeats.attempts
        return not tried_enough and ready(before, tx.now)

    def send(self, call: Call[Sequence[Product]]) -> None:
        self.ctx.warehouse.add_products(call.request)

    def taken(self, tx: Transaction, effect: EffectRow, answer: None) -> None:
        tx.outcome(effect, EffectState.ACCEPTED, "REX11 took the product for import")
        self.states[str(effect.payload["upc"])] = ProductImport.PENDING

    def lost(self, tx: Transaction, effect: EffectRow) -> None:
        effect.state = EffectState.ACCEPTED  # or not: the import status tells
        self.states[str(effect.payload["upc"])] = ProductImport.PENDING

    def refused(self, tx: Transaction, effect: EffectRow, error: OutsideError) -> None:
        tx.outcome(effect, EffectState.NOT_SENT, str(error))
        effect.attempts = self.ctx.settings.repeats.attempts  # it will never succeed as it is
        upc = str(effect.payload["upc"])
        self.states[upc] = ProductImport.FAILED
        told = [(n, upc) for n in OF_PRODUCTS if n is not Need.PRODUCT_REFUSED]
        tx.resolve_each(told, "REX11 refuses to import the product")
        tx.needs_person(
            Need.PRODUCT_REFUSED,
            f"REX11 refuses to import the product with UPC {upc}: {error.message}. Put it right in "
            "the shop, or ask Bergen to import it, then retry",
            upc,
            "one StyleMasterProductAdd for it alone",
        )

    def put_off(self, tx: Transaction, effect: EffectRow) -> None:
        self.states[str(effect.payload["upc"])] = ProductImport.PENDING

    def divide(self, call: Call[Sequence[Product]]) -> list[Call[Sequence[Product]]]:
        """One that cannot be added does not keep out the others."""
        if len(call.effects) < 2:
            return []
        return [Call([p], (e,)) for p, e in zip(call.request, call.effects, strict=True)]


def _key(upc: str) -> str:
    return f"product:{upc}"


def refused(
    tx: Transaction, rma: RmaRow | ShipmentRmaRow, places: Sequence[int], error: OutsideError
) -> bool:
    """REX11 refused a ticket for some of its items: told once per product, with its own words and
    what was sent; what we remember of the product is asked for again. Whether the places are
    items of the ticket."""
    items = _meant(rma, places)
    for item in items:
        sent = ", ".join(
            f"{name} {value!r}" if value else f"no {name}"
            for name, value in (
                ("Style", item.style),
                ("Color", item.color),
                ("Size", item.size),
                ("Sku", item.sku),
                ("UPC", item.upc),
            )
        )
        tx.needs_person(
            Need.PRODUCT_REFUSED,
            f"REX11 refuses tickets with this product: {error.message}. Sent: {sent}. Put the "
            "product right in REX11 (or map its fields under announce.product_fields), then retry",
            _code(item),
            f"ReceivingTicketAdd with PO {rma.customer_po}",
        )
    products.ask_again(tx.session, tx.brand, [_code(item) for item in items])
    return bool(items)


def outdated(
    ctx: BrandContext, tx: Transaction, rma: RmaRow | ShipmentRmaRow, places: Sequence[int]
) -> bool:
    """Whether items that REX11 refused were called as it called them some time ago, which may have
    changed since: then it is asked what it calls them now."""
    codes = [_code(item) for item in _meant(rma, places)]
    old = [code for code in codes if code not in ctx.tick.asked]
    return bool(products.ask_again(tx.session, tx.brand, old)) if old else False


def ask_again(tx: Transaction, rma: RmaRow) -> None:
    """Have REX11 asked for the products of an RMA that it refused."""
    products.ask_again(tx.session, tx.brand, [_code(i) for i in load_items(rma.items)])


def accepted(tx: Transaction, rmas: Sequence[RmaRow | ShipmentRmaRow]) -> None:
    """REX11 has taken RMAs: what it refused of their products before is no matter any more."""
    codes = dict.fromkeys(_code(i) for rma in rmas for i in load_items(rma.items))
    about = [(Need.PRODUCT_REFUSED, code) for code in codes]
    tx.resolve_each(about, "REX11 takes RMAs with the product")


def lift_needless(ctx: BrandContext) -> None:
    """Products that no return waits for any more (it was cancelled, edited, or others have closed
    it) concern nobody: what waits for one asks for it every hour."""
    with ctx.ledger.read() as session:
        told = attention.subjects_open(session, ctx.brand, OF_PRODUCTS)
        asked = products.checked(session, ctx.brand, [code for _, code in told]) if told else {}
    since = ctx.now() - NEEDLESS
    about = [(n, code) for n, code in told if code in asked and asked[code] < since]
    if about:
        with ctx.write() as tx:
            tx.resolve_each(about, "no return waits for the product any more")


def _meant(rma: RmaRow | ShipmentRmaRow, places: Sequence[int]) -> list[RmaItem]:
    """The items at these places of a ticket."""
    return [load_item(rma.items[i]) for i in places if 0 <= i < len(rma.items)]


def _code(item: RmaItem) -> str:
    """By what a product is told that REX11 refuses."""
    return normal_upc(item.upc) or normal_code(item.sku) or normal_code(item.style) or "?"
