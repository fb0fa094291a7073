"""Chance by hash: the same parts always give the same rolls, on every machine and in any order."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct
from typing import TypeVar

T = TypeVar("T")
_BLOCK = Struct(">16I")


class Dice:
    """A stream of rolls that depends on nothing but the given parts."""

    def __init__(self, *parts: object) -> None:
        self._key = "|".join(str(p) for p in parts).encode()
        self._rolls: list[int] = []
        self._number = 0

    def roll(self) -> float:
        """A number in [0, 1)."""
        if not self._rolls:
            salt = self._number.to_bytes(8, "big")
            block = blake2b(self._key, digest_size=_BLOCK.size, salt=salt).digest()
            self._rolls.extend(_BLOCK.unpack(block))
            self._number += 1
        return self._rolls.pop() / 2**32

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self.roll() < probability

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.roll()

    def whole(self, low: int, high: int) -> int:
        """A whole number in [low, high], both included."""
        return low + int(self.roll() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[int(self.roll() * len(items))]

    def weighted(self, weights: dict[str, float]) -> str:
        """One of the keys, by weight."""
        total = sum(weights.values())
        if not weights or total <= 0:
            raise ValueError("weights must contain something positive")
        point = self.roll() * total
        for name, weight in weights.items():
            point -= weight
            if point < 0:
                return name
        return next(n for n in reversed(weights) if weights[n] > 0)
