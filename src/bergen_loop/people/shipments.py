"""What people do about consolidated shipments: enter one that nobody told of, close a claim."""

from __future__ import annotations

from bergen_loop.domain.words import What
from bergen_loop.flow import shipments as flow
from bergen_loop.ledger.store import returns
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.tables.shipments import ClaimRow, ShipmentRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people.actions import NotPossible

LONGEST_ID = 100


def enter(tx: Transaction, happy_id: str) -> ShipmentRow:
    """Have a shipment read by its id, for its webhook was lost; one that is known is read again,
    for it may hold more by now. Raises NotPossible."""
    happy_id = happy_id.strip()
    if not happy_id or len(happy_id) > LONGEST_ID or not happy_id.isprintable() or "/" in happy_id:
        raise NotPossible("give the shipment's id exactly as Happy Returns or Loop shows it")
    row = flow.learn(tx, happy_id, None, tx.who) or flow.read_again(tx, happy_id)
    returns.brand_row(tx.session, tx.brand).nudged_at = tx.now
    return row


def close_claim(tx: Transaction, claim: ClaimRow, why: str) -> None:
    """A claim is settled, given up or explained: it stays closed, whatever is counted later.
    Raises NotPossible."""
    if claim.state != store.OPEN:
        raise NotPossible(f"this claim is {claim.state} already")
    claim.state, claim.closed_at, claim.closed_by, claim.why = store.CLOSED, tx.now, tx.who, why
    owner = returns.by_id(tx.session, tx.brand, claim.return_id) if claim.return_id else None
    tx.journal(
        What.CLAIM_CLOSED, why, owner,
        {"claim": {"kind": claim.kind, "units": claim.units, "sku": claim.sku}},
    )  # fmt: skip
