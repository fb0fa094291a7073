"""The service is killed at each point of a return's life, started again, and nothing is lost or
done twice. Judged by the sandbox's log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from reliability_scenes import ENDS, kill_at, points

SCENES = list(ENDS)
SHARE = 300
"""Of the many points around commits and reads every so many-th is taken, others in each scene;
`tools/soak` takes all of them."""
WHOLE = ("complete", "unknown product")
"""Scenes that are also killed while the RMA is made; that is the same in the others."""
ALIKE = {"extra": "damaged", "wrong": "damaged"}
"""Scenes that pass the very boundaries of another one: they are killed between them only."""
CHANGING = ("POST process", "POST flag", "POST note", "POST remove", "ReceivingTicketAdd",
            "StyleMasterProductAdd")  # fmt: skip


def effects(passed: list[str], after: int = 0) -> list[int]:
    """Numbers of the points at the named boundaries and around calls that change something: of
    each name the first past point `after`."""
    numbers: dict[str, int] = {}
    for n, name in enumerate(passed, 1):
        when, _, call = name.partition(" ")
        if n > after and (when not in ("before", "after") or call in CHANGING):
            numbers.setdefault(name, n)
    return sorted(numbers.values())


@pytest.mark.parametrize("scene", SCENES)
def test_killed_anywhere(scene: str, folders: Callable[[], Path]) -> None:
    """At every effect boundary of each way a return can go, and at a share of the other points."""
    passed, turn = points(folders(), scene)
    numbers = [] if scene in ALIKE else effects(passed, 0 if scene in WHOLE else turn)
    others = sorted({*range(1, len(passed) + 1)} - {*effects(passed)})
    first = SCENES.index(scene) * (SHARE // len(SCENES))
    assert others[first::SHARE]
    for number in (*numbers, *others[first::SHARE]):
        where, wrong = kill_at(folders(), scene, number)
        assert where == passed[number - 1]
        assert not wrong, f"killed at point {number} ({where}): {wrong}"
