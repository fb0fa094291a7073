"""Return bars, the hub and the dock of a world, for brands with Happy Returns."""

from __future__ import annotations

import json
from typing import Any

from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import webhooks
from bergen_loop.ledger.store.webhooks import Delivery
from loop_sandbox import loop_happy
from loop_sandbox.model import Shipment
from support.worlds import World


class Bar:
    """The hands at return bars, at the hub and at the dock."""

    def __init__(self, world: World, ctx: BrandContext) -> None:
        self.world, self.ctx = world, ctx
        self.brand = world.sandbox.brand("northpine")

    def drop(self, units: int = 1, *, paid: bool = True) -> str:
        """A customer drops a return off; unless it is not to be, Loop has paid it already."""
        return_id = self.world.new_return(
            "northpine", units=units, method="happy_returns", held=False, late_label=False
        )
        if paid:
            self.world.change(return_id, "close")
        return return_id

    def ship(self, *return_ids: str, tell: bool = True, **how: Any) -> Shipment:
        """They leave the hub; Loop's webhook comes unless it is lost."""
        with self.world.sandbox.lock:
            returns = [self.brand.returns[i] for i in return_ids]
            shipment = loop_happy.ship(self.world.sandbox, self.brand, returns, **how)
        if tell:
            self.tell(shipment)
        return shipment

    def tell(self, shipment: Shipment) -> None:
        body = {
            "topic": "happy.returns.shipment",
            "trigger": "shipment.processed",
            "loop_shipment_id": shipment.loop_id,
            "happy_returns_shipment_id": shipment.happy_id,
        }
        with self.ctx.ledger.write() as session:
            delivery = Delivery(
                "northpine", body["topic"], body["trigger"], None, json.dumps(body).encode()
            )
            webhooks.keep(session, self.ctx.now(), delivery)

    def arrive(self, shipment: Shipment, *boxes: str, **fate: Any) -> None:
        with self.world.sandbox.lock:
            loop_happy.spoil(shipment, **fate)
            loop_happy.arrive(self.world.sandbox, self.brand, shipment, boxes)

    def notes(self, return_id: str) -> list[Any]:
        with self.world.sandbox.lock:
            return list(self.brand.returns[return_id].notes)

    def tickets(self, shipment: Shipment) -> list[Any]:
        with self.world.sandbox.lock:
            return [t for t in self.brand.tickets.values() if shipment.happy_id in t.po]
