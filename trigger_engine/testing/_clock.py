"""A clock that moves only when a test moves it, with timers."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any


class ManualTimer:
    """A call scheduled for a time; `cancel` cancels it."""

    def __init__(self, due: float, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.due = due
        self._callback: Callable[..., Any] | None = callback
        self._args = args

    @property
    def cancelled(self) -> bool:
        """True once it has run or was cancelled."""
        return self._callback is None

    def cancel(self) -> None:
        """Cancels the call."""
        self._callback = None

    def fire(self) -> None:
        """Makes the call, unless it was already made or cancelled."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback(*self._args)


class ManualClock:
    """A callable that returns seconds since 1970 UTC. `move_to` moves it and fires the timers on the way."""

    def __init__(self, start: float) -> None:
        self.now = start
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._numbers = count()

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> ManualTimer:
        """Schedules a call for when the clock has advanced by `delay` seconds."""
        timer = ManualTimer(self.now + delay, callback, args)
        heapq.heappush(self._timers, (timer.due, next(self._numbers), timer))
        return timer

    def next_due(self) -> float | None:
        """When the next timer is due, None if there is none."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def move_to(self, instant: float) -> None:
        """Advances to `instant` and fires every timer that is due by then, in order. Never moves back."""
        while (due := self.next_due()) is not None and due <= instant:
            timer = heapq.heappop(self._timers)[2]
            self.now = max(self.now, due)
            timer.fire()
        self.now = max(self.now, instant)
