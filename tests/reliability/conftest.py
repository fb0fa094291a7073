from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from reliability_stage import Stage


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[], Path]:
    """New folders, one after the other."""
    numbers = count()

    def make() -> Path:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return folder

    return make


@pytest.fixture
def stages(folders: Callable[[], Path]) -> Iterator[Callable[..., Stage]]:
    """New stages, closed at the end."""
    made: list[Stage] = []

    def make(**kwargs: Any) -> Stage:
        made.append(Stage(folders(), **kwargs))
        return made[-1]

    yield make
    for stage in made:
        stage.close()
        stage.world.close()
