"""What will happen later: processing ends, labels come, the warehouse takes its next step."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Scheduler:
    """Actions by due time. It runs nothing by itself; the world calls `run_due`."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def at(self, due: float, action: Callable[[], None]) -> None:
        """Plan an action; equal times run in the order they were planned."""
        self._number += 1
        heapq.heappush(self._heap, (due, self._number, action))

    def run_due(self, now: float) -> int:
        """Run everything due; returns how many ran."""
        ran = 0
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
            ran += 1
        return ran

    def pending(self) -> int:
        return len(self._heap)
