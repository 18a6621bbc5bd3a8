"""A log from its opening, which may fail, to its closing, after which it is of no use."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from trigger_engine.errors import BackendUnavailable
from trigger_engine.log.contract import EventLog

L = TypeVar("L", bound=EventLog)


async def opened(log: L, preparing: Awaitable[object]) -> L:
    """The log, once what prepares it has ended well; it is closed where that raises."""
    try:
        await preparing
    except BaseException:
        await log.close()
        raise
    return log


def log_closed(location: str) -> BackendUnavailable:
    """What a log raises that was closed."""
    return BackendUnavailable(f"the log in {location} was closed: open it again")
