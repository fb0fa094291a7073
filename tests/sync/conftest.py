"""A world, a ledger and a connected brand."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from support import worlds
from support.look import Look
from support.worlds import World


@pytest.fixture
def world() -> Generator[World]:
    with worlds.serving() as served:
        yield served


@pytest.fixture
def ctx(world: World, sqlite_ledger: Ledger) -> BrandContext:
    return worlds.context(world, sqlite_ledger)


@pytest.fixture
def look(ctx: BrandContext) -> Look:
    return Look(ctx)
