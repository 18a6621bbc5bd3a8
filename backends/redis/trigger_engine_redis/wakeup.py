"""Wakes the waiters of one open log: one connection listens to the app's notifications for all of them."""

from __future__ import annotations

import asyncio
from typing import Any

import redis.exceptions as failures

from trigger_engine.backend import Notifier
from trigger_engine_redis.server import Server

SLICE = 2.0
"""Seconds after which a waiter looks again without a notification: a replaced log may send none."""

FAILURE_PAUSE = 0.1
"""Seconds after a lost connection until waiters are woken."""


class Wakeup:
    """`entries` notifies of every append, `queue` of new work and revoked claims."""

    def __init__(self, server: Server, notifier_key: str, *, slice_seconds: float = SLICE) -> None:
        loop = asyncio.get_running_loop()
        self.entries = Notifier(loop)
        self.queue = Notifier(loop)
        self._slice = slice_seconds
        self._server = server
        self._key = notifier_key
        self._waiters = 0
        self._task: asyncio.Task[None] | None = None
        self._known: tuple[int, int] = (-1, -1)

    def listen(self) -> None:
        """Makes the notifiers report what other processes do, too. Call it before the look that precedes a wait."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen(), name="trigger-engine redis wake-up")
            self._task.add_done_callback(self._ended)

    async def wait(self, notifier: Notifier, last: object, seconds: float) -> None:
        """Returns at a notification after `last`, when it is time to look again, or after `seconds`."""
        self._waiters += 1
        try:
            await notifier.wait(last, min(seconds, self._slice))
        finally:
            self._waiters -= 1

    def update(self, tail: int, queue_changes: int) -> None:
        """Notifies if the log has a new tail, or a new count of queue changes that concern waiting runners."""
        known_tail, known_changes = self._known
        self._known = (tail, queue_changes)
        if tail != known_tail:
            self.entries.notify()
        if queue_changes != known_changes:
            self.queue.notify()

    async def aclose(self) -> None:
        """Stops listening; waiters look once more, and find the log closed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._notify()

    def _notify(self) -> None:
        self.entries.notify()
        self.queue.notify()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None

    async def _listen(self) -> None:
        """Runs until nobody has waited for a whole slice, or the connection is lost."""
        seen: Any = "0"
        block = str(int(self._slice * 1000))
        while True:
            try:
                found = await self._server.wait_for(("XREAD", "BLOCK", block, "STREAMS", self._key, seen), self._slice)
            except (OSError, failures.RedisError):
                # Waiters look for themselves, get the error, and listen again.
                await asyncio.sleep(FAILURE_PAUSE)
                self._notify()
                return
            if found:
                ((seen, fields),) = found[0][1]
                self.update(int(fields[1]), int(fields[3]))
            elif self._waiters == 0:
                return
