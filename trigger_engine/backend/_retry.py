"""Retries calls to a server that cannot be reached, until a deadline; then raises BackendUnavailable."""

from __future__ import annotations

import asyncio
import random
from typing import ClassVar

from trigger_engine.errors import BackendUnavailable


class Backoff:
    """The pauses between attempts: none at first, because a connection may have died while idle; then they double."""

    SHORTEST_SECONDS: ClassVar[float] = 0.02
    LONGEST_SECONDS: ClassVar[float] = 1.0

    def __init__(self) -> None:
        self._seconds = 0.0

    def next(self) -> float:
        """Seconds until the next attempt, with jitter so that clients of one server spread out."""
        # Spreads retries; nothing here is secret.
        seconds = self._seconds * random.uniform(0.5, 1.0)  # nosec B311
        self._seconds = min(max(2 * self._seconds, self.SHORTEST_SECONDS), self.LONGEST_SECONDS)
        return seconds

    def reset(self) -> None:
        """Starts over, after an attempt that went well for a while."""
        self._seconds = 0.0


class Retries:
    """The retries of one call. `location`: where the log is, for people; `seconds`: the time limit for all attempts."""

    def __init__(self, location: str, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._location = location
        self._seconds = seconds
        self._cause: Exception | None = None
        self._backoff = Backoff()
        self.deadline: float = self._loop.time() + seconds
        """When the last attempt ends, by the loop's clock."""

    async def wait_after(self, exc: Exception, server: str) -> None:
        """Waits until the next attempt after a failed one. Raises BackendUnavailable when the time is up."""
        if self._cause is None or not isinstance(exc, TimeoutError):
            # A timeout says less than the error before it.
            self._cause = exc
        left = self.deadline - self._loop.time()
        if left <= 0:
            raise unavailable_error(server, self._location, self._seconds, self._cause) from self._cause
        await asyncio.sleep(min(left, self._backoff.next()))


def unavailable_error(server: str, location: str, seconds: float, cause: BaseException | None) -> BackendUnavailable:
    """The error to raise when the time is up. `cause`: None when the server simply did not answer."""
    reason = "it does not answer" if cause is None else str(cause) or type(cause).__name__
    return BackendUnavailable(
        f"{server} cannot be used, tried for {seconds:g} s ({reason}): check that it runs where url says, {location}"
    )
