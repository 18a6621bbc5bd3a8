"""How long filters and providers take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from trigger_engine.log.contract import FunctionTiming

_TOLD = 20


class Timings:
    """Times calls of user functions, in whichever thread they are made; one at a time makes them."""

    def __init__(self) -> None:
        self._by_name: dict[str, FunctionTiming] = {}

    def call(self, name: str, function: Callable[..., Any], argument: Any) -> Any:
        """What the function returns or raises."""
        begun = time.perf_counter()
        try:
            return function(argument)
        finally:
            self._note(name, time.perf_counter() - begun)

    def slowest(self) -> tuple[FunctionTiming, ...]:
        """The 20 functions that take longest on average, the slowest first."""
        # A copy: another thread may add to it meanwhile.
        known = [*self._by_name.values()]
        return tuple(sorted(known, key=lambda one: -one.seconds / one.calls)[:_TOLD])

    def _note(self, name: str, seconds: float) -> None:
        known = self._by_name.get(name, FunctionTiming(name, 0, 0.0, 0.0))
        self._by_name[name] = FunctionTiming(
            name, known.calls + 1, known.seconds + seconds, max(known.longest, seconds)
        )
