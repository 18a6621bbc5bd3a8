"""Durations of filter and provider calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from trigger_engine.backend._contract import FunctionTiming

_MAX_REPORTED = 20


class Timings:
    """Measures calls of user functions. Calls may come from different threads, but never at the same time."""

    def __init__(self) -> None:
        self._by_name: dict[str, FunctionTiming] = {}

    def call(self, name: str, function: Callable[..., Any], argument: Any) -> Any:
        """Calls the function and records how long it took; returns and raises what it does."""
        started = time.perf_counter()
        try:
            return function(argument)
        finally:
            self._record(name, time.perf_counter() - started)

    def slowest(self) -> tuple[FunctionTiming, ...]:
        """The 20 functions with the longest average duration, slowest first."""
        # Copied, because another thread may add to it.
        known = [*self._by_name.values()]
        return tuple(sorted(known, key=lambda one: -one.seconds / one.calls)[:_MAX_REPORTED])

    def _record(self, name: str, seconds: float) -> None:
        known = self._by_name.get(name, FunctionTiming(name, 0, 0.0, 0.0))
        self._by_name[name] = FunctionTiming(
            name, known.calls + 1, known.seconds + seconds, max(known.longest, seconds)
        )
