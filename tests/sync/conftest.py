"""A world, a ledger and a connected brand."""

from __future__ import annotations

import pytest

from bergen_loop.flow.context import BrandContext
from support import worlds
from support.bars import Bar
from support.brands import configure
from support.look import Look
from support.worlds import World


@pytest.fixture
def look(ctx: BrandContext) -> Look:
    return Look(ctx)


@pytest.fixture
def happy(world: World, ctx: BrandContext) -> BrandContext:
    """A brand with drop-offs at return bars, whose returns Loop pays when a test says so."""
    world.sandbox.settings.update({"happy_returns_seconds": 10**9})
    configure(ctx, loop={"happy_returns": True})
    worlds.run(world, ctx)
    world.advance(3600)  # what leaves the hub now was not announced before this ledger knew it
    return ctx


@pytest.fixture
def bar(world: World, happy: BrandContext) -> Bar:
    return Bar(world, happy)
