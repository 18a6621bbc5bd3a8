"""Opening a log, which may fail, and using it after it was closed."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from trigger_engine.backend._contract import EventLog
from trigger_engine.errors import BackendUnavailable

L = TypeVar("L", bound=EventLog)


async def open_or_close(log: L, preparing: Awaitable[object]) -> L:
    """Returns the log once `preparing` is done; closes it and re-raises if `preparing` fails or is cancelled."""
    try:
        await preparing
    except BaseException:
        await log.close()
        raise
    return log


def log_closed_error(location: str) -> BackendUnavailable:
    """The error that a closed log raises."""
    return BackendUnavailable(f"the log in {location} was closed: open it again")
