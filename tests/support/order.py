"""The order of tests that run in parallel: slow tests first, so that no worker is left alone with one at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import pytest

SLOW = ("slow", "chaos")
"""The markers of tests that take more than a few seconds."""


def slow_first(items: Sequence[pytest.Item], workers: int) -> Iterator[pytest.Item]:
    """Sorts the tests so that each worker starts with its share of the slow ones.

    The tests of a file stay together: their shared fixtures take long to set up.
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
