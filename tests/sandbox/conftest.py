from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_support import Box


@pytest.fixture
def box() -> Iterator[Box]:
    made = Box()
    yield made
    made.world.close()
