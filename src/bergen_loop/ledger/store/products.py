"""What the warehouse knows of products: asked once, then remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.rma import ProductImport
from bergen_loop.ledger.store.chunks import chunks
from bergen_loop.ledger.tables.core import ProductRow


def states(session: Session, brand: str, upcs: Sequence[str]) -> dict[str, ProductImport]:
    """The states that are remembered, by UPC."""
    return {upc: ProductImport(row.state) for upc, row in _rows(session, brand, upcs).items()}


def remember(
    session: Session, now: datetime, brand: str, found: Mapping[str, ProductImport]
) -> dict[str, datetime]:
    """Remember states; since when each is so."""
    rows = _rows(session, brand, list(found))
    for upc, state in found.items():
        row = rows.get(upc)
        if row is None:
            row = ProductRow(brand=brand, upc=upc, state=state, checked_at=now, since=now)
            session.add(row)
            rows[upc] = row
        elif row.state != state:
            row.state, row.since = state, now
        row.checked_at = now
    return {upc: rows[upc].since for upc in found}


def forget(session: Session, brand: str, upc: str) -> None:
    """Have a product asked for again."""
    session.execute(sa.delete(ProductRow).where(ProductRow.brand == brand, ProductRow.upc == upc))


def _rows(session: Session, brand: str, upcs: Sequence[str]) -> dict[str, ProductRow]:
    found: dict[str, ProductRow] = {}
    for chunk in chunks(upcs):
        query = sa.select(ProductRow).where(ProductRow.brand == brand, ProductRow.upc.in_(chunk))
        found.update((row.upc, row) for row in session.scalars(query))
    return found
