"""In which consolidated shipments a return's goods come, as people see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.shipment import ShipmentStage
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.tables.shipments import ClaimRow, ShipmentRmaRow, ShipmentRow


@dataclass(frozen=True, slots=True)
class Carried:
    """What of a return comes in one shipment."""

    shipment: ShipmentRow
    units: int
    bags: tuple[str, ...]
    boxes: tuple[str, ...]
    rmas: tuple[ShipmentRmaRow, ...]
    """Of the boxes that it is in."""
    claims: tuple[ClaimRow, ...]
    """Open ones that are known to be its own."""

    @property
    def tickets(self) -> str:
        """In words: the tickets that announce it."""
        return ", ".join(r.ticket_id for r in self.rmas if r.ticket_id)

    @property
    def announced_at(self) -> datetime | None:
        """When the last of them was made."""
        times = [r.confirmed_at for r in self.rmas]
        return max(t for t in times if t) if times and all(times) else None

    @property
    def counted(self) -> bool:
        """Whether all its boxes are."""
        return bool(self.rmas) and all(store.counts_final(r) for r in self.rmas)

    @property
    def words(self) -> str:
        """What has come of it."""
        if self.claims:
            return "; ".join(
                f"{c.units} of {c.sku or c.title or '?'} {c.kind}" for c in self.claims
            )
        if not self.counted:
            return "not counted yet"
        if self.shipment.stage == ShipmentStage.DONE and not self.shipment.missing:
            return "counted: nothing is missing"
        if self.shipment.missing:
            return "counted; what is missing of the shipment may be its own"
        return "counted"


def carrying(session: Session, brand: str, return_id: str) -> list[Carried]:
    """The shipments that bring something of a return, the oldest first."""
    pks = store.listed_elsewhere(session, brand, 0, [return_id]).get(return_id, set())
    found: list[Carried] = []
    for pk, row in sorted(store.by_pks(session, pks).items()):
        units = [u for u in store.units_of(session, pk) if u.item.return_id == return_id]
        keys = {u.key for u in units}
        claims = session.scalars(
            sa.select(ClaimRow)
            .where(
                ClaimRow.shipment_pk == pk,
                ClaimRow.return_id == return_id,
                ClaimRow.state == store.OPEN,
            )
            .order_by(ClaimRow.id)
        )
        found.append(
            Carried(
                row,
                len(units),
                tuple(dict.fromkeys(b for u in units for b in u.item.bags)),
                tuple(sorted({u.item.box or "?" for u in units})),
                tuple(r for r in store.rmas_of(session, [pk]) if keys.intersection(r.unit_keys)),
                tuple(claims),
            )
        )
    return found
