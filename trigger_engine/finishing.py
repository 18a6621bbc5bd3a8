"""Clean-up that is not cut off: it runs to its end, whatever cancels who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Runs the work in a task of its own and gives what it returns or raises.

    A caller that is cancelled meanwhile is cancelled when the work has ended.
    """
    task = asyncio.create_task(work, name="trigger-engine clean-up")
    await outlast(task)
    return task.result()


async def outlast(task: asyncio.Task[Any]) -> None:
    """Returns when the task has ended; a caller that is cancelled before, even again and again, is cancelled then."""
    if task.done():
        return
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await _outlast_cancellation(task)
        raise


async def _outlast_cancellation(task: asyncio.Task[Any]) -> None:
    import anyio

    # Within the shield, a cancelled scope does not cancel again at every await, which would be a busy loop.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
    if not task.cancelled():
        task.exception()  # Its error must not be said to be forgotten: the cancellation takes its place.
