"""A return as people look at it: the ledger's view, with what its brand's settings say."""

from __future__ import annotations

from bergen_loop.config import Settings
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import views
from bergen_loop.ledger.read.views import BrandFacts, ReturnView
from bergen_loop.ledger.store import modes, returns
from bergen_loop.ledger.tables.core import ReturnRow


def view_of(session: Session, settings: Settings, row: ReturnRow) -> ReturnView:
    """Everything about one return, whether its brand is still connected or not."""
    brand = settings.brands.get(row.brand)
    if brand is None:
        return views.return_view(session, row)
    mode = modes.effective(returns.known_brand(session, row.brand), brand.mode)
    facts = BrandFacts(brand.name, brand.announce_rules(), mode)
    return views.return_view(session, row, facts)
