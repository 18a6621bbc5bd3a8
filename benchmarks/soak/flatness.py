"""Whether a series is flat: by the slope of its second half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

TOLERANCE = 0.03
"""How much of its level a series may rise over the second half of the run."""

FEWEST = 20
"""Samples in the second half, below which nothing can be said."""


@dataclass(frozen=True, slots=True)
class Flatness:
    """The second half of a series. `level`: its median; `rise`: its slope times its length; `allowed`: the most."""

    level: float
    rise: float
    allowed: float
    samples: int

    @property
    def flat(self) -> bool:
        """True when it did not rise by more than is allowed, and there was enough to say so."""
        return self.samples >= FEWEST and self.rise <= self.allowed


def flatness(times: Sequence[float], values: Sequence[float], *, grain: float) -> Flatness:
    """Judges a series. `grain`: a rise that is nothing for its kind, such as one file descriptor.

    The slope is the median of those between all pairs of samples (Theil and Sen): a saw tooth or an outlier does not
    hide a rise, nor feign one. Falling is flat, too: nothing leaks.
    """
    begin = times[0] + (times[-1] - times[0]) / 2
    half = [(time, value) for time, value in zip(times, values, strict=True) if time >= begin]
    level = median(value for _, value in half)
    slopes = [(b - a) / (later - earlier) for (earlier, a), (later, b) in combinations(half, 2) if later > earlier]
    slope = median(slopes) if slopes else 0.0
    return Flatness(level, slope * (half[-1][0] - half[0][0]), max(grain, TOLERANCE * abs(level)), len(half))
