"""Whether a series is flat: by the slope of its second half."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import NormalDist, median

TOLERANCE = 0.03
"""How much of its level a series may rise over the second half of the run."""

CHANCE = 0.01
"""A rise that a series without a trend shows more often than this is none."""

FEWEST = 20
"""Samples in the second half, below which nothing can be said."""


@dataclass(frozen=True, slots=True)
class Flatness:
    """The second half of a series.

    `level`: its median; `rise`: its slope times its length; `allowed`: the most; `chance`: how probable at least such a
    trend is without a cause.
    """

    level: float
    rise: float
    allowed: float
    chance: float
    samples: int

    @property
    def flat(self) -> bool:
        """False when it rises by more than is allowed and more than by chance, or when too little is known."""
        return self.samples >= FEWEST and (self.rise <= self.allowed or self.chance > CHANCE)


def flatness(times: Sequence[float], values: Sequence[float], *, grain: float) -> Flatness:
    """Judges a series. `grain`: a rise that is nothing for its kind, such as one file descriptor.

    The slope is the median of those between all pairs of samples (Theil and Sen): a saw tooth or an outlier does not
    hide a rise, nor feign one. The test of Mann and Kendall says whether a series that swings widely has a trend at
    all. Falling is flat, too: nothing leaks.
    """
    begin = times[0] + (times[-1] - times[0]) / 2
    half = [(time, value) for time, value in zip(times, values, strict=True) if time >= begin]
    level = median(value for _, value in half)
    slopes = [(b - a) / (later - earlier) for (earlier, a), (later, b) in combinations(half, 2) if later > earlier]
    slope = median(slopes) if slopes else 0.0
    allowed = max(grain, TOLERANCE * abs(level))
    return Flatness(
        level, slope * (half[-1][0] - half[0][0]), allowed, _chance([value for _, value in half]), len(half)
    )


def _chance(values: Sequence[float]) -> float:
    """The probability of at least as much rise in a series without a trend, by Mann and Kendall."""
    rises = sum((after > before) - (after < before) for before, after in combinations(values, 2))
    n = len(values)
    ties = sum(times * (times - 1) * (2 * times + 5) for times in Counter(values).values())
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18
    return 1 - NormalDist().cdf((rises - 1) / sqrt(variance)) if rises > 0 and variance > 0 else 1.0
