"""A receiver, and a world to tell about."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from events_support import Receiver, receiving


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with receiving() as made:
        yield made
