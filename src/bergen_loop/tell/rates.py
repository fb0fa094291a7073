"""Is a brand's share of flagged returns out of its usual band? Pure.

The last 24 hours are compared with the 28 days before. Usual is the median of those days'
shares: one odd day, or a week of a faulty batch, does not move it. The band around it is three
times the larger of two spreads:

- how much the days differed (the median of their distances from the median, times 1.4826,
  which is what a standard deviation would be if nothing odd happened);
- how much chance alone moves a share of as few decisions as the last day had (the binomial
  standard error, with one flag and one other decision added, so that a brand whose usual share
  is nothing does not call people for its first two flags);

and at least `LEAST` wide, for brands whose days hardly differ. Nothing is said with fewer than
`ENOUGH` decisions in the last day or fewer than `DAYS` earlier days that had some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

TRAILING = 28
ENOUGH = 20
DAYS = 7
LEAST = 0.05
WIDTH = 3.0
_TO_DEVIATION = 1.4826


@dataclass(frozen=True, slots=True)
class DayCount:
    """Decisions of one day: those that ended the judging, and of them the flags."""

    decided: int
    flagged: int

    @property
    def rate(self) -> float:
        return self.flagged / self.decided


@dataclass(frozen=True, slots=True)
class Band:
    """The last day's share and where it usually is; all 0 to 1."""

    rate: float
    usual: float
    low: float
    high: float

    @property
    def outside(self) -> bool:
        return not self.low <= self.rate <= self.high


def flag_band(last: DayCount, before: Sequence[DayCount]) -> Band | None:
    """The band; None where there is too little to judge by."""
    days = [day for day in before if day.decided]
    if last.decided < ENOUGH or len(days) < DAYS:
        return None
    rates = [day.rate for day in days]
    usual = median(rates)
    spread = _TO_DEVIATION * median(abs(rate - usual) for rate in rates)
    expected = (usual * last.decided + 1) / (last.decided + 2)
    chance = sqrt(expected * (1 - expected) / last.decided)
    width = max(WIDTH * spread, WIDTH * chance, LEAST)
    return Band(last.rate, usual, max(0.0, usual - width), min(1.0, usual + width))
