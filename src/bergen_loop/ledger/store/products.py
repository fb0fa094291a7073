"""What the warehouse knows of products: asked once, then remembered, by UPC in normal form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from bergen_loop.domain.rma import ProductImport, WarehouseProduct
from bergen_loop.ledger.store.statements import BRAND, VALUES, BrandLookup
from bergen_loop.ledger.tables.core import ProductRow

_CALLED = TypeAdapter(WarehouseProduct)


@dataclass(frozen=True, slots=True)
class Found:
    """Whether the warehouse knows a product, and what it calls it."""

    state: ProductImport
    called: WarehouseProduct | None = None
    why: str = ""
    """What came instead of an answer, where none could be had; not remembered."""

    @property
    def settled(self) -> bool:
        """Whether it need not be asked for again."""
        return self.state is ProductImport.KNOWN and self.called is not None


_rows: BrandLookup[str, ProductRow] = BrandLookup(
    sa.select(ProductRow.upc, ProductRow).where(
        ProductRow.brand == BRAND, ProductRow.upc.in_(VALUES)
    )
)


def remembered(session: Session, brand: str, upcs: Sequence[str]) -> dict[str, Found]:
    """What is remembered, by UPC."""
    return {
        upc: Found(
            ProductImport(row.state), _CALLED.validate_python(row.called) if row.called else None
        )
        for upc, row in _rows(session, brand, upcs).items()
    }


def remember(
    session: Session, now: datetime, brand: str, found: Mapping[str, Found]
) -> dict[str, datetime]:
    """Remember it; since when each is so."""
    rows = _rows(session, brand, list(found))
    for upc, product in found.items():
        row = rows.get(upc)
        if row is None:
            row = ProductRow(brand=brand, upc=upc, state=product.state, checked_at=now, since=now)
            session.add(row)
            rows[upc] = row
        elif row.state != product.state:
            row.state, row.since = product.state, now
        row.checked_at = now
        called = product.called
        row.called = _CALLED.dump_python(called, mode="json") if called is not None else None
    return {upc: rows[upc].since for upc in found}


def checked(session: Session, brand: str, upcs: Sequence[str]) -> dict[str, datetime]:
    """When products were asked for last, by UPC."""
    return {upc: row.checked_at for upc, row in _rows(session, brand, upcs).items()}


def ask_again(session: Session, brand: str, upcs: Sequence[str]) -> list[str]:
    """Have the next one that needs them ask what the warehouse calls these products; those that
    are remembered."""
    rows = _rows(session, brand, upcs)
    for row in rows.values():
        row.called = None
    return list(rows)


def forget(session: Session, brand: str, upc: str) -> None:
    """Have a product asked for again."""
    session.execute(sa.delete(ProductRow).where(ProductRow.brand == brand, ProductRow.upc == upc))
