"""How what is asked of a server is tried again while it cannot be used, and what is raised when the time is up."""

from __future__ import annotations

import asyncio
import random
from typing import Annotated

from msgspec import Meta

from trigger_engine.errors import BackendUnavailable

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
"""Seconds between attempts."""

ServerTimeout = Annotated[
    float,
    Meta(
        gt=0,
        le=3600,
        description="How long a call goes on trying while the server cannot be used before it raises "
        "BackendUnavailable",
        extra={"unit": "seconds"},
    ),
]
"""The setting `timeout` of a backend on a server."""


class Pauses:
    """Between attempts: none at first, for a connection may have died while it was idle; then they double."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def next(self) -> float:
        """Seconds until the next attempt, which differ between those who wait for the same server."""
        # This spreads retries, and keeps nothing secret.
        seconds = self._seconds * random.uniform(0.5, 1.0)  # nosec B311
        self._seconds = min(max(2 * self._seconds, FIRST_PAUSE), LONGEST_PAUSE)
        return seconds

    def reset(self) -> None:
        """Begins anew, after an attempt that went well for a while."""
        self._seconds = 0.0


class Attempts:
    """Those of one call. `location`: where the log is, for people; `seconds` for all of them."""

    def __init__(self, location: str, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._location = location
        self._seconds = seconds
        self._cause: Exception | None = None
        self._pauses = Pauses()
        self.deadline = self._loop.time() + seconds
        """When the last one ends, by the loop's clock."""

    async def failed(self, exc: Exception, server: str) -> None:
        """Returns when it is time for another one. Raises BackendUnavailable where none is left."""
        if self._cause is None or not isinstance(exc, TimeoutError):
            # That the time is up says less than what went wrong before.
            self._cause = exc
        left = self.deadline - self._loop.time()
        if left <= 0:
            raise unavailable(server, self._location, self._seconds, self._cause) from self._cause
        await asyncio.sleep(min(left, self._pauses.next()))


def unavailable(server: str, location: str, seconds: float, cause: BaseException | None) -> BackendUnavailable:
    """What to raise when the time is up. `cause`: None where nothing went wrong but that no answer came."""
    told = "it does not answer" if cause is None else str(cause) or type(cause).__name__
    return BackendUnavailable(
        f"{server} cannot be used, tried for {seconds:g} s ({told}): see that it runs where url says, {location}"
    )
