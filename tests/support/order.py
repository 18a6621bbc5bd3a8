"""The order of tests that run in parallel: the slow ones first, so that none begins when the others are done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import pytest

SLOW = ("slow", "chaos")
"""The markers of tests that take more than a few seconds."""


def slow_first(items: Sequence[pytest.Item], workers: int) -> Iterator[pytest.Item]:
    """Each worker begins with a part of its own; each part begins with its share of the slow tests.

    Those of one file stay together, for what they share takes long to start.
    """
    slow = [item for item in items if any(item.get_closest_marker(name) for name in SLOW)]
    others = iter([item for item in items if item not in slow])
    left = len(items)
    for number in range(workers):
        size = left // (workers - number)  # as pytest-xdist deals them out
        share = slow[len(slow) * number // workers : len(slow) * (number + 1) // workers]
        yield from share
        yield from islice(others, max(0, size - len(share)))
        left -= size
