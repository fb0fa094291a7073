"""A world, a ledger and a connected brand."""

from __future__ import annotations

import pytest

from bergen_loop.flow.context import BrandContext
from support.look import Look


@pytest.fixture
def look(ctx: BrandContext) -> Look:
    return Look(ctx)
