"""Rows of the ledger as tests begin with them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import ReturnRow

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def a_return(ledger: Ledger, return_id: str = "1", brand: str = "acme", **values: Any) -> int:
    """A return that was just seen and is due at `NOW`, but for `values`; its key."""
    fixed: dict[str, Any] = {
        "stage": "seen",
        "held": False,
        "due_at": NOW,
        "loop_state": "open",
        "content": {},
        "content_hash": "h",
        "loop_updated_at": NOW,
        "submitted_at": NOW,
        "seen_at": NOW,
    }
    with ledger.write() as session:
        row = ReturnRow(brand=brand, return_id=return_id, **(fixed | values))
        session.add(row)
        session.flush()
        return row.id
