"""Enqueues from many callers, and prints when it began, seconds since 1970."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

CALLERS = 50


async def from_coroutines(enqueue: Callable[[], Awaitable[object]], tasks: int) -> None:
    """Awaits `enqueue()` so often, from concurrent coroutines."""
    numbers = iter(range(tasks))

    async def work() -> None:
        for _ in numbers:
            await enqueue()

    print(repr(time.time()), flush=True)
    await asyncio.gather(*(work() for _ in range(min(CALLERS, tasks))))


def from_threads(enqueue: Callable[[], object], tasks: int, threads: int) -> None:
    """Calls `enqueue()` so often, from threads."""
    print(repr(time.time()), flush=True)
    with ThreadPoolExecutor(threads) as pool:
        for share in range(threads):
            pool.submit(_some, enqueue, len(range(share, tasks, threads)))


def _some(enqueue: Callable[[], object], count: int) -> None:
    for _ in range(count):
        enqueue()
