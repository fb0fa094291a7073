"""A brand in an unkind world, told as a story: what happens, ticks, and what the ledger says."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from bergen_loop.domain.returns import Stage
from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.tables.core import RawRow
from loop_sandbox import Settings
from loop_sandbox.model import LoopReturn, Product
from support.look import Look
from support.worlds import World

BRAND = "northpine"
_BY_CHANCE = ("two_label_share", "silent_label_share", "review_held_share", "reopen_share")


def unkind() -> Settings:
    """Every quirk on, but for what happens to some returns by chance."""
    settings = Settings(unkind=True, rate_limit_per_minute=10**6, hang_seconds=1.5)
    settings.update(dict.fromkeys(_BY_CHANCE, 0.0))
    return settings


class Story:
    """What happens in the world, and what comes of it."""

    def __init__(self, world: World, ctx: BrandContext) -> None:
        self.world, self.ctx, self.look = world, ctx, Look(ctx)
        self.failed: list[str] = []
        """Steps that failed, and why, in any tick."""

    def ticks(self, count: int = 1, seconds: float = 60.0) -> None:
        """Ticks, with time passing after each; steps may fail."""
        for _ in range(count):
            results = tick.run(self.ctx)
            self.failed += [f"{n}: {r['error']}" for n, r in results.items() if "error" in r]
            self.world.advance(seconds)

    # -- returns ------------------------------------------------------------------------------

    def submit(self, *products: Product, **how: Any) -> str:
        """A customer submits a return, of these products where some are given."""
        chosen = {"units": len(products) or 2, "outcome": "refund", "late_label": False} | how
        return_id = self.world.new_return(BRAND, **chosen)
        for line, product in zip(self.in_loop(return_id).lines, products, strict=False):
            line.product = product
        return return_id

    def announced(self, *products: Product, **how: Any) -> str:
        """A return whose RMA is made."""
        return_id = self.submit(*(products or self.stock()[:2]), **how)
        self.ticks(3)
        assert self.look.stage(return_id) is Stage.ANNOUNCED, self.told(return_id)
        return return_id

    def received(self, kind: str = "complete", **detail: Any) -> str:
        """A return whose parcel was counted, which no sync has seen yet."""
        return_id = self.announced()
        self.world.receive(return_id, kind, **detail)
        return return_id

    def in_loop(self, return_id: str) -> LoopReturn:
        """The return as Loop has it."""
        found = self.world.sandbox.find_return(return_id)
        assert found is not None
        return found

    def stock(self) -> list[Product]:
        """Products that the shop has a barcode of and REX11 knows."""
        brand = self.world.sandbox.brand(BRAND)
        return [p for p in brand.catalogue if p.shop_barcode and p.upc in brand.rex_products]

    def make(self, base: Product, **changes: Any) -> Product:
        """A variant of a product, in the shop only."""
        return replace(base, **changes)

    def ticket(self, return_id: str) -> Any:
        """Its one ticket."""
        (ticket,) = self.world.tickets(return_id)
        return ticket

    def calls(self, operation: str) -> int:
        """How often an operation was called so far."""
        return len(self.world.calls(operation))

    # -- answers ------------------------------------------------------------------------------

    def rewrite(self, operation: str, change: Callable[[str], str], about: str = "") -> None:
        """Change the answers of an operation (that hold the text `about`)."""
        self.rewrite_bytes(operation, lambda body: change(body.decode()).encode(), about)

    def rewrite_bytes(
        self, operation: str, change: Callable[[bytes], bytes], about: str = ""
    ) -> None:
        def rewrite(name: str, body: bytes) -> bytes:
            return change(body) if name == operation and about.encode() in body else body

        self.world.rewrites.append(rewrite)

    def heal(self) -> None:
        """Everything answers as it should again."""
        self.world.rewrites.clear()
        self.world.sandbox.faults.clear()

    # -- what came of it ----------------------------------------------------------------------

    def told(self, return_id: str) -> list[tuple[str, str]]:
        """What people are told: of the return, and of no single one."""
        try:
            own = self.look.attention(return_id)
        except AssertionError:
            own = []
        return own + self.look.brand_attention()

    def kinds(self, return_id: str) -> list[str]:
        return [kind for kind, _ in self.told(return_id)]

    def raw(self) -> list[str]:
        """Answers that were kept as they came."""
        with self.ctx.ledger.read() as session:
            return list(session.scalars(sa.select(RawRow.body).order_by(RawRow.id)))

    def paid(self, return_id: str) -> int:
        """How often money moved."""
        return self.in_loop(return_id).effects.money_moved

    def flags(self, return_id: str) -> int:
        return self.in_loop(return_id).effects.flags

    def notes(self, return_id: str) -> list[str]:
        """Notes in Loop, as written."""
        return [str(n["content"]) for n in self.in_loop(return_id).notes]

    def settled(self, *return_ids: str) -> None:
        """These were paid once, and ended well, with nothing to tell."""
        for return_id in return_ids:
            assert self.paid(return_id) == 1, (self.told(return_id), self.failed)
            assert self.look.stage(return_id) is Stage.COMPLETE
            assert self.look.attention(return_id) == []


def sub(pattern: str, replacement: str, count: int = 0) -> Callable[[str], str]:
    """A rewrite by a regular expression."""
    return lambda text: re.sub(pattern, replacement.replace("\\", "\\\\"), text, count=count)


def all_of(items: Sequence[str], *parts: str) -> bool:
    """Whether some text has all of these in it."""
    return any(all(part in item for part in parts) for item in items)
