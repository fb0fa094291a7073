"""Expected against received, as the ledger has both."""

from __future__ import annotations

from bergen_loop.domain.announce import physical_lines
from bergen_loop.domain.comparison import Comparison, compare
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.codec import load_items, load_receipt, load_return
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.store import returns
from bergen_loop.ledger.tables.core import ReturnRow


def comparison_of(ctx: BrandContext, session: Session, row: ReturnRow) -> Comparison:
    """What has come of a return, all its finished parcels together, against what was to come."""
    rmas, receipts = returns.readings(session, [row.id])[row.id]
    counted = [load_receipt(receipt.content) for receipt in receipts]
    announced = [load_items(rma.items) for rma in rmas]
    lines = physical_lines(load_return(row.content), ctx.rules)
    return compare(lines, counted, announced, ctx.rules.kits, ctx.rules.remarks)
