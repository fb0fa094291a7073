"""Looks into a brand's ledger."""

from __future__ import annotations

from bergen_loop.domain.returns import Stage
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.read import views
from bergen_loop.ledger.store import attention, journal, returns
from bergen_loop.ledger.tables.core import ReturnRow


class Look:
    """Looks into a brand's ledger."""

    def __init__(self, ctx: BrandContext) -> None:
        self._ctx = ctx

    def row(self, return_id: str) -> ReturnRow:
        with self._ctx.ledger.read() as session:
            row = returns.by_id(session, self._ctx.brand, return_id)
            assert row is not None, f"return {return_id} is not in the ledger"
            return row

    def stage(self, return_id: str) -> Stage:
        return Stage(self.row(return_id).stage)

    def view(self, return_id: str) -> views.ReturnView:
        with self._ctx.ledger.read() as session:
            row = returns.by_id(session, self._ctx.brand, return_id)
            assert row is not None
            return views.return_view(session, row)

    def attention(self, return_id: str) -> list[tuple[str, str]]:
        with self._ctx.ledger.read() as session:
            row = returns.by_id(session, self._ctx.brand, return_id)
            assert row is not None
            items = attention.open_items(session, return_pk=row.id)
            return [(item.kind, item.reason) for item in items]

    def brand_attention(self) -> list[tuple[str, str]]:
        """Open items that are about no single return."""
        with self._ctx.ledger.read() as session:
            items = attention.open_items(session, self._ctx.brand)
            return [(item.kind, item.reason) for item in items if item.return_pk is None]

    def journal(self, return_id: str) -> list[str]:
        with self._ctx.ledger.read() as session:
            row = returns.by_id(session, self._ctx.brand, return_id)
            assert row is not None
            return [f"{e.what}: {e.why}" for e in journal.entries(session, row.id)]
