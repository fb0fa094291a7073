"""A brand with an embedded warehouse, its floor page served, and a worker who types."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from bergen_loop.config import ServiceSettings, Settings
from bergen_loop.console.app import create_app
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.service.registry import Registry
from support import worlds
from support.serving import serving
from support.worlds import World

SEEN = "LR-40000001"
"""What the browser's camera is held before: the PO of a world's first return."""
BRAND = "northpine"


def embedded(world: World, ledger: Ledger) -> BrandContext:
    """The brand with a warehouse of its own, at the time that the floor page goes by."""
    world.advance((datetime.now(UTC) - world.now()).total_seconds())
    return worlds.context(world, ledger, BRAND, warehouse="embedded")


@contextmanager
def console(ctx: BrandContext) -> Generator[str]:
    """The service's web side on a free port; its URL."""
    settings = Settings(service=ServiceSettings(), brands={BRAND: ctx.settings})
    registry = Registry(settings, ctx.ledger, Path())
    app = create_app(registry, lambda _brand: None, signing_in=False)
    with serving(app) as url:
        yield url


def scan(page: Page, code: str) -> None:
    """What a keyboard-wedge scanner does: keys, then Enter, wherever the focus is."""
    page.keyboard.type(code)
    page.keyboard.press("Enter")


def counting(ctx: BrandContext, ticket: str, key: str, **changes: Any) -> dict[str, Any]:
    """A counting as the page sends it."""
    return {
        "key": key,
        "brand": ctx.brand,
        "ticket": ticket,
        "finish": True,
        "lines": [],
        "photos": [],
    } | changes
