"""Wakes the waiters of one event loop, from any thread."""

from __future__ import annotations

import asyncio


class Notifier:
    """Tells waiters that something may have happened, so that they look again.

    A waiter reads `last` *before* it looks and passes it to `wait`: a notification in between is not lost.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: set[asyncio.Future[None]] = set()
        self._waking = False
        self.last: object = object()
        """Identifies the newest notification; another object after each."""

    def notify(self) -> None:
        """Wakes every waiter; may be called from any thread, and after the loop was closed."""
        self.last = object()
        if self._waiters and not self._waking:
            self._waking = True
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:
                self._waiters.clear()

    async def wait(self, last: object, seconds: float) -> None:
        """Returns at the first notification after `last`, or after `seconds`."""
        waiter = self._loop.create_future()
        self._waiters.add(waiter)
        timer = self._loop.call_later(seconds, _finish, waiter)
        try:
            if self.last is last:
                await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)

    def _wake(self) -> None:
        self._waking = False
        for waiter in self._waiters:
            _finish(waiter)


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
