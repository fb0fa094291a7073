"""A receiver, and a world to tell about."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from support.receivers import Receiver, receiving


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with receiving() as made:
        yield made
