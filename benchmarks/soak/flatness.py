"""Decides whether a series is flat, from the slope of its second half."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import NormalDist, median

TOLERANCE = 0.03
"""The share of its level that a series may rise over the second half of the run."""

CHANCE = 0.01
"""A rise that a series without a trend shows more often than this does not count."""

FEWEST = 20
"""Samples that the second half needs."""


@dataclass(frozen=True, slots=True)
class Flatness:
    """The second half of a series.

    `level`: its median; `rise`: its slope times its length; `allowed`: the largest rise; `chance`: the probability of
    at least this trend in a series without one.
    """

    level: float
    rise: float
    allowed: float
    chance: float
    samples: int

    @property
    def flat(self) -> bool:
        """False if it rises by more than is allowed and more than by chance, or if there are too few samples."""
        return self.samples >= FEWEST and (self.rise <= self.allowed or self.chance > CHANCE)


def flatness(times: Sequence[float], values: Sequence[float], *, grain: float) -> Flatness:
    """Evaluates a series. `grain`: a rise that does not matter for its kind, such as one file descriptor.

    The slope is the median of the slopes between all pairs of samples (Theil-Sen), so neither saw teeth nor outliers
    hide or fake a rise. The Mann-Kendall test tells whether a series that varies widely has a trend. A falling series
    is flat.
    """
    begin = times[0] + (times[-1] - times[0]) / 2
    half = [(time, value) for time, value in zip(times, values, strict=True) if time >= begin]
    level = median(value for _, value in half)
    slopes = [(b - a) / (later - earlier) for (earlier, a), (later, b) in combinations(half, 2) if later > earlier]
    rise = (median(slopes) if slopes else 0.0) * (half[-1][0] - half[0][0])
    return Flatness(level, rise, max(grain, TOLERANCE * abs(level)), _chance([value for _, value in half]), len(half))


def _chance(values: Sequence[float]) -> float:
    """The probability of at least this much rise in a series without a trend (Mann-Kendall)."""
    rises = sum((after > before) - (after < before) for before, after in combinations(values, 2))
    n = len(values)
    ties = sum(times * (times - 1) * (2 * times + 5) for times in Counter(values).values())
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18
    return 1 - NormalDist().cdf((rises - 1) / sqrt(variance)) if rises > 0 and variance > 0 else 1.0
