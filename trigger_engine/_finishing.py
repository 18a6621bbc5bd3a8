"""Runs clean-up to its end even if the caller is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end in its own task. Returns what it returns and raises what it raises.

    If the caller is cancelled, `CancelledError` is raised once the coroutine has ended.
    """
    task = asyncio.create_task(work, name="trigger-engine clean-up")
    await wait_until_done(task)
    return task.result()


async def wait_until_done(task: asyncio.Task[Any]) -> None:
    """Waits until the task has ended.

    If the caller is cancelled, even repeatedly, `CancelledError` is raised once the task has ended.
    """
    if task.done():
        return
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await _wait_despite_cancellation(task)
        raise


async def _wait_despite_cancellation(task: asyncio.Task[Any]) -> None:
    import anyio

    # Without the shield, a cancelled scope would cancel every await again: a busy loop.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
    if not task.cancelled():
        task.exception()  # Retrieved, so that asyncio logs no warning: the caller raises CancelledError instead.
