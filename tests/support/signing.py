"""Signing for brands that their file calls live."""

from __future__ import annotations

from datetime import UTC, datetime

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import modes
from bergen_loop.ledger.transaction import transaction


def sign(ledger: Ledger, *brands: str) -> None:
    """Let these brands be live from now on, at once."""
    for brand in brands:
        with transaction(ledger, brand, datetime.now(UTC), "tests") as tx:
            modes.set_mode(tx, modes.LIVE, configured=modes.ASKED, why="signed off")
