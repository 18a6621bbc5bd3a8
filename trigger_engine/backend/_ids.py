"""Generates ids: random, and ordered by time so that an index grows at its end."""

from __future__ import annotations

import os
import time
from collections import deque

_RANDOM_DIGITS = 20
_POOL_IDS = 400


class FreshIds:
    """Takes the random part of ids from a pool, which saves a system call for each id."""

    def __init__(self) -> None:
        self._pool: deque[str] = deque()

    def drop_pool(self) -> None:
        """Empties the pool: a forked child must not use the same random digits as its parent."""
        self._pool = deque()

    def __call__(self) -> str:
        """32 hex digits: milliseconds since 1970, then 80 random bits."""
        while True:
            try:
                # popleft is atomic, so no two threads get the same digits.
                tail = self._pool.popleft()
            except IndexError:
                self._fill()
            else:
                return f"{time.time_ns() // 1_000_000:012x}{tail}"

    def _fill(self) -> None:
        digits = os.urandom(_RANDOM_DIGITS // 2 * _POOL_IDS).hex()
        self._pool.extend([digits[at : at + _RANDOM_DIGITS] for at in range(0, len(digits), _RANDOM_DIGITS)])


fresh_id: FreshIds = FreshIds()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=fresh_id.drop_pool)
