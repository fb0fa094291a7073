"""Rows of the ledger as tests begin with them."""

from __future__ import annotations

from datetime import UTC, datetime

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import ReturnRow

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def a_return(
    ledger: Ledger, return_id: str = "1", brand: str = "acme", *, stage: str = "seen"
) -> int:
    """A return that is due at `NOW`; its key."""
    with ledger.write() as session:
        row = ReturnRow(
            brand=brand,
            return_id=return_id,
            stage=stage,
            held=False,
            due_at=NOW,
            loop_state="open",
            content={},
            content_hash="h",
            loop_updated_at=NOW,
            submitted_at=NOW,
            seen_at=NOW,
        )
        session.add(row)
        session.flush()
        return row.id
