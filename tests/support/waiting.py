"""Waiting for conditions instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")
_POLL = 0.005
PATIENCE = 60.0
"""Seconds after which waiting fails: far more than a condition takes to come true, also on a busy machine."""


@overload
async def wait_until(condition: Callable[[], Awaitable[T]], *, deadline: float = PATIENCE) -> T: ...
@overload
async def wait_until(condition: Callable[[], T], *, deadline: float = PATIENCE) -> T: ...
async def wait_until(condition: Callable[[], Any], *, deadline: float = PATIENCE) -> Any:
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
        # Leave most of the time to the awaited work: a look may ask a server.
        await asyncio.sleep(max(_POLL, 3 * (now - begun)))


def wait_until_true(condition: Callable[[], T], *, deadline: float = PATIENCE) -> T:
    """As `wait_until`, for code without an event loop."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{inspect.getsource(condition).strip()} was not true within {deadline} s")
        time.sleep(_POLL)
    return value


def is_quick(run: Callable[[], float], *, seconds: float = 1.0, tries: int = 5) -> bool:
    """True if, in one of some tries, less than `seconds` have passed since the time that `run` returns.

    A real wait shows in every try, a busy machine only in some.
    """
    for _ in range(tries):
        since = run()
        if time.time() - since < seconds:
            return True
    return False
