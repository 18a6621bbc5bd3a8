"""Looks that many ask for at once, and that say the same to all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedLook(Generic[T]):
    """One look at a time: each caller gets what one brings, or raises, that began after it called.

    A caller that is cancelled leaves its look to the others. `start` makes tasks.
    """

    def __init__(
        self,
        look: Callable[[], Coroutine[Any, Any, T]],
        start: Callable[[Coroutine[Any, Any, T]], asyncio.Task[T]] = asyncio.create_task,
    ) -> None:
        self._look = look
        self._start = start
        self._task: asyncio.Task[T] | None = None
        self._is_under_way = False

    async def take(self) -> T:
        """What a new look brings, or raises."""
        if self._task is not None and self._is_under_way:
            await asyncio.wait([self._task])
        if self._task is None:
            # The others of those who have waited find it.
            self._task = self._start(self._take())
            self._task.add_done_callback(self._ended)
        return await asyncio.shield(self._task)

    async def _take(self) -> T:
        self._is_under_way = True
        return await self._look()

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._task = None
        self._is_under_way = False
        if not task.cancelled():
            task.exception()  # nobody may be left to be told
