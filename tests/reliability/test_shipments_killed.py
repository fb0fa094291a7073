"""Consolidated shipments with faults, kills, lost webhooks and lost bags: nothing is paid twice,
and no lost bag stays untold. `tools/soak --kind shipments` plays more of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from reliability_shipments import play


@pytest.mark.parametrize("seed", range(1, 5))
def test_nothing_is_paid_twice_and_no_lost_bag_untold(
    seed: int, folders: Callable[[], Path]
) -> None:
    _, wrong = play(folders(), seed)
    assert wrong == []
