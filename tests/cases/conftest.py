"""An unkind sandbox, a brand connected to it, and looks into its ledger."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from cases_support import Story, unkind

from bergen_loop.ledger.database import Ledger
from support import worlds


@pytest.fixture
def story(sqlite_ledger: Ledger) -> Generator[Story]:
    """A brand in an unkind world, which its sync has known for a while."""
    with worlds.serving(settings=unkind()) as world:
        yield Story(world, worlds.context(world, sqlite_ledger))
