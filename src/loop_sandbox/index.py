"""Sorted index by time: a plain list kept in order with bisect.

At 100,000 entries a change moves at most 800 KB of pointers (tens of microseconds), and most
changes land at the end, where nothing moves. A tree would be slower at this size.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator

Key = tuple[int, str]
"""(seconds, id): the id makes keys unique and the order total."""


class TimeIndex:
    """Ids in the order of their time, in whole seconds."""

    def __init__(self) -> None:
        self._keys: list[Key] = []

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, seconds: int, id_: str) -> None:
        insort(self._keys, (seconds, id_))

    def add_many(self, keys: Iterable[Key]) -> None:
        """For the start, when sorting once is cheaper than placing one by one."""
        self._keys.extend(keys)
        self._keys.sort()

    def remove(self, seconds: int, id_: str) -> None:
        """KeyError where it is not there."""
        at = bisect_left(self._keys, (seconds, id_))
        if at >= len(self._keys) or self._keys[at] != (seconds, id_):
            raise KeyError((seconds, id_))
        self._keys.pop(at)

    def move(self, before: int, after: int, id_: str) -> None:
        """Give an id another time."""
        self.remove(before, id_)
        self.add(after, id_)

    def forward(self, first: int, last: int, after: Key | None = None) -> Iterator[Key]:
        """Keys with first <= seconds <= last, ascending, those after the given one."""
        low = bisect_left(self._keys, (first, ""))
        if after is not None:
            low = max(low, bisect_right(self._keys, after))
        high = bisect_left(self._keys, (last + 1, ""))
        return (self._keys[i] for i in range(low, high))

    def backward(self, first: int, last: int, before: Key) -> Iterator[Key]:
        """Keys with first <= seconds <= last, descending, those before the given one."""
        low = bisect_left(self._keys, (first, ""))
        high = min(bisect_left(self._keys, (last + 1, "")), bisect_left(self._keys, before))
        return (self._keys[i] for i in range(high - 1, low - 1, -1))
