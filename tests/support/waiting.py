"""Waiting for conditions instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")
_POLL = 0.005


@overload
async def wait_until(condition: Callable[[], Awaitable[T]], *, deadline: float = 15.0) -> T: ...
@overload
async def wait_until(condition: Callable[[], T], *, deadline: float = 15.0) -> T: ...
async def wait_until(condition: Callable[[], Any], *, deadline: float = 15.0) -> Any:
    """The first true value of `condition`, a function or a coroutine function; fails after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        begun = time.monotonic()
        found = condition()
        value = await found if inspect.isawaitable(found) else found
        if value:
            return value
        now = time.monotonic()
        if now > end:
            raise AssertionError(f"{inspect.getsource(condition).strip()} was not true within {deadline} s")
        # What is waited for gets most of the time, also where a look asks a server.
        await asyncio.sleep(max(_POLL, 3 * (now - begun)))


def wait_until_true(condition: Callable[[], T], *, deadline: float = 20.0) -> T:
    """As `wait_until`, for code without an event loop."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{inspect.getsource(condition).strip()} was not true within {deadline} s")
        time.sleep(_POLL)
    return value


def is_quick(run: Callable[[], float], *, seconds: float = 1.0, tries: int = 5) -> bool:
    """True when a program ends within so many seconds of the time that `run` returns, at the best of some tries.

    What waits for something waits every time; what a busy machine holds up is held up now and then.
    """
    for _ in range(tries):
        told = run()
        if time.time() - told < seconds:
            return True
    return False
