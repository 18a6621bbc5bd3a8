"""Fresh ids: random, and ordered by time so that an index grows at its end."""

from __future__ import annotations

import os
import time
from threading import Lock

_RANDOM_BYTES = 10
_POOL_IDS = 400


class FreshIds:
    """Draws the random part of ids from a pool, which spares a system call for each."""

    def __init__(self) -> None:
        self.drop_pool()

    def drop_pool(self) -> None:
        """Forgets what was drawn ahead: a forked child must not draw the ids that its parent will draw."""
        # Another thread may have held the lock when the child was forked; nobody is left to free it.
        self._lock = Lock()
        self._pool = b""
        self._used = 0

    def __call__(self) -> str:
        """32 hex digits: milliseconds since 1970, then 80 random bits."""
        with self._lock:
            if self._used >= len(self._pool):
                self._pool, self._used = os.urandom(_RANDOM_BYTES * _POOL_IDS), 0
            tail = self._pool[self._used : self._used + _RANDOM_BYTES]
            self._used += _RANDOM_BYTES
        return f"{time.time_ns() // 1_000_000:012x}{tail.hex()}"


fresh_id = FreshIds()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=fresh_id.drop_pool)
