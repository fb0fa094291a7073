"""Does the warehouse know the products of a return? Asked once per product, then remembered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from bergen_loop.domain.rma import Product, ProductImport
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import effects, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import ProductRow
from bergen_loop.outside.errors import OutcomeUnknown, OutsideError, Refused, Unreadable

log = structlog.get_logger()


def check(ctx: BrandContext, wanted: Iterable[Product]) -> dict[str, ProductImport]:
    """State of each product by UPC; unknown ones are added first, where the brand allows it."""
    products = {p.upc: p for p in wanted}
    if not products:
        return {}
    states = _remembered(ctx, list(products))
    ask = [upc for upc in products if states.get(upc) is not ProductImport.KNOWN]
    fresh = _ask(ctx, ask, states)
    unknown = [products[u] for u, state in fresh.items() if state is ProductImport.UNKNOWN]
    if unknown and ctx.settings.announce.add_products:
        fresh.update(_add_all(ctx, unknown))
    _remember(ctx, fresh)
    return {**states, **fresh}


def _add_all(ctx: BrandContext, unknown: Sequence[Product]) -> dict[str, ProductImport]:
    """Their states once they were asked to be imported. Where REX11 refuses them together, each
    is tried alone, so that one that cannot be added does not stop the others."""
    if _add(ctx, unknown):
        return dict.fromkeys((p.upc for p in unknown), ProductImport.PENDING)
    if len(unknown) == 1:
        return {unknown[0].upc: ProductImport.FAILED}
    return {upc: state for p in unknown for upc, state in _add_all(ctx, [p]).items()}


def pending_since(ctx: BrandContext, upc: str) -> datetime | None:
    """Since when a product is in its present state."""
    with ctx.ledger.read() as session:
        row = session.get(ProductRow, (ctx.brand, upc))
        return row.since if row else None


def _remembered(ctx: BrandContext, upcs: Sequence[str]) -> dict[str, ProductImport]:
    with ctx.ledger.read() as session:
        return {upc: ProductImport(row.state) for upc, row in _rows(session, ctx, upcs).items()}


def _rows(session: Session, ctx: BrandContext, upcs: Sequence[str]) -> dict[str, ProductRow]:
    found: dict[str, ProductRow] = {}
    for chunk in returns.chunks(upcs, returns.IN_CHUNK):
        rows = session.scalars(
            sa.select(ProductRow).where(ProductRow.brand == ctx.brand, ProductRow.upc.in_(chunk))
        )
        found.update((row.upc, row) for row in rows)
    return found


def _ask(
    ctx: BrandContext, upcs: Sequence[str], before: dict[str, ProductImport]
) -> dict[str, ProductImport]:
    """One inventory call for many; only what it does not list is asked one by one."""
    new = [u for u in upcs if u not in before]
    known = ctx.warehouse.find_products(new) if new else set[str]()
    rest = [u for u in upcs if u not in known]
    states = ctx.in_parallel(lambda upc: _import(ctx, upc), rest)
    return {**dict.fromkeys(known, ProductImport.KNOWN), **dict(zip(rest, states, strict=True))}


def _import(ctx: BrandContext, upc: str) -> ProductImport:
    """One product's state. A UPC that REX11 will not be asked for (a blank, a control character
    in the shop's barcode) concerns its own return only."""
    try:
        return ctx.warehouse.product_import(upc)
    except Refused as error:
        log.warning("product refused", brand=ctx.brand, upc=upc, error=str(error))
        return ProductImport.FAILED


def _add(ctx: BrandContext, products: Sequence[Product]) -> bool:
    """Ask for products to be imported; False where REX11 refuses them. Adding one twice does no
    harm, so a lost answer is not looked for: the import status tells."""
    key = "products:" + ",".join(sorted(p.upc for p in products))[:200]
    with ctx.acting() as session:
        effect = effects.find(session, ctx.brand, key)
        if effect:
            effects.repeat(
                session, effect, ctx.now(), "still unknown to REX11", who=effects.journal.SERVICE
            )
        else:
            effect = effects.intend(
                session,
                ctx.now(),
                brand=ctx.brand,
                key=key,
                kind="product_add",
                payload={"upcs": [p.upc for p in products]},
                return_pk=None,
            )
    try:
        ctx.warehouse.add_products(products)
        state, outcome = EffectState.ACCEPTED, "REX11 took the products for import"
    except (OutcomeUnknown, Unreadable) as error:
        state, outcome = EffectState.ACCEPTED, f"answer lost, the import status tells: {error}"
    except Refused as error:
        _finish(ctx, effect.id, EffectState.REFUSED, str(error))
        return False
    except OutsideError as error:
        _finish(ctx, effect.id, EffectState.REFUSED, str(error))
        raise
    _finish(ctx, effect.id, state, outcome)
    return True


def _finish(ctx: BrandContext, effect_id: int, state: EffectState, outcome: str) -> None:
    with ctx.ledger.write() as session:
        effect = session.get_one(effects.EffectRow, effect_id)
        effects.finish(session, effect, ctx.now(), state, outcome)


def _remember(ctx: BrandContext, states: dict[str, ProductImport]) -> None:
    now = ctx.now()
    with ctx.ledger.write() as session:
        rows = _rows(session, ctx, list(states))
        for upc, state in states.items():
            row = rows.get(upc)
            if row is None:
                row = ProductRow(brand=ctx.brand, upc=upc, state=state, checked_at=now, since=now)
                session.add(row)
            elif row.state != state:
                row.state, row.since = state, now
            row.checked_at = now
