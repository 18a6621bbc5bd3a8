"""Probes: the processor time of single functions, without the other probed functions that they call."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_CALIBRATION = 20_000


class Probes:
    """Times functions, in all threads. Time in a probed function that another one calls counts only for the inner one.

    A coroutine function must finish without waiting. `counts`: calls by name.
    """

    def __init__(self) -> None:
        self._seconds: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._threads = threading.local()
        self._own_cost, self._cost_outside = self._calibrate()

    @contextmanager
    def placed(self, owner: Any, attribute: str, name: str) -> Iterator[None]:
        """Replaces a function of a module or class by a timed one."""
        original = getattr(owner, attribute)
        setattr(owner, attribute, self._probed(original, name))
        try:
            yield
        finally:
            setattr(owner, attribute, original)

    def seconds(self) -> dict[str, float]:
        """Processor time by name, without the cost of the probes."""
        return {name: max(0.0, spent - self.counts[name] * self._own_cost) for name, spent in self._seconds.items()}

    def cost(self) -> dict[str, float]:
        """Processor time of the probes themselves, by name."""
        return {name: count * (self._own_cost + self._cost_outside) for name, count in self.counts.items()}

    def _probed(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._enter(name)
            try:
                return original(*args, **kwargs)
            finally:
                self._leave()

        async def step(*args: Any, **kwargs: Any) -> Any:
            self._enter(name)
            try:
                return await original(*args, **kwargs)
            finally:
                self._leave()

        return step if asyncio.iscoroutinefunction(original) else call

    def _enter(self, name: str) -> None:
        threads = self._threads
        stack = getattr(threads, "stack", None)
        if stack is None:
            stack = threads.stack = []
        now = time.thread_time()
        if stack:
            self._seconds[stack[-1]] += now - threads.since
        stack.append(name)
        self.counts[name] += 1
        threads.since = time.thread_time()

    def _leave(self) -> None:
        threads = self._threads
        now = time.thread_time()
        self._seconds[threads.stack.pop()] += now - threads.since
        threads.since = time.thread_time()

    def _calibrate(self) -> tuple[float, float]:
        """Seconds that a probe adds to the function that it times, and to the caller."""
        probed = self._probed(lambda: None, "nothing")
        begun = time.thread_time()
        for _ in range(_CALIBRATION):
            probed()
        taken = (time.thread_time() - begun) / _CALIBRATION
        own = self._seconds["nothing"] / _CALIBRATION
        self._seconds.clear()
        self.counts.clear()
        return own, taken - own
