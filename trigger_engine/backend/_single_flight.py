"""Shares one call between concurrent callers that would all get the same answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs `call` at most once at a time; each caller gets the result, or error, of a run that began after it asked.

    Cancelling a caller does not cancel the run that others wait for. `start` makes the tasks.
    """

    def __init__(
        self,
        call: Callable[[], Coroutine[Any, Any, T]],
        start: Callable[[Coroutine[Any, Any, T]], asyncio.Task[T]] = asyncio.create_task,
    ) -> None:
        self._call = call
        self._start = start
        self._task: asyncio.Task[T] | None = None
        self._is_running = False

    async def run(self) -> T:
        """The result of a new run. Raises what the run raises."""
        if self._task is not None and self._is_running:
            await asyncio.wait([self._task])
        if self._task is None:
            # The other callers that waited share this task.
            self._task = self._start(self._run())
            self._task.add_done_callback(self._ended)
        return await asyncio.shield(self._task)

    async def _run(self) -> T:
        self._is_running = True
        return await self._call()

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._task = None
        self._is_running = False
        if not task.cancelled():
            task.exception()  # every caller may have been cancelled
