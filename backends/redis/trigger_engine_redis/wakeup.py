"""Wakes those who wait on one open log: one connection listens to the app's bell for all of them."""

from __future__ import annotations

import asyncio
from typing import Any

import redis.exceptions as failures

from trigger_engine.log.bell import Bell
from trigger_engine_redis.server import Server

SLICE = 2.0
"""Seconds after which a waiter looks again though no bell rang: a log that was replaced may be silent."""

AFTER_A_FAILURE = 0.1
"""Seconds until waiters are told to look for themselves."""


class Wakeup:
    """`entries` rings for every append, `queue` when work came or a claim was lost."""

    def __init__(self, server: Server, bell_key: str, *, slice_seconds: float = SLICE) -> None:
        loop = asyncio.get_running_loop()
        self.entries = Bell(loop)
        self.queue = Bell(loop)
        self._slice = slice_seconds
        self._server = server
        self._key = bell_key
        self._waiters = 0
        self._task: asyncio.Task[None] | None = None
        self._known: tuple[int, int] = (-1, -1)

    def listen(self) -> None:
        """Lets the bells ring for what other processes do, too; called before the look that comes before a wait."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen(), name="trigger-engine redis wake-up")
            self._task.add_done_callback(self._ended)

    async def wait(self, bell: Bell, last: object, seconds: float) -> None:
        """Returns when one of the two bells rings after `last`, when it is time to look again, or after `seconds`."""
        self._waiters += 1
        try:
            await bell.wait(last, min(seconds, self._slice))
        finally:
            self._waiters -= 1

    def tell(self, tail: int, stirred: int) -> None:
        """The log ends at `tail` now; `stirred` counts what may interest a waiting runner."""
        known_tail, known_stirred = self._known
        self._known = (tail, stirred)
        if tail != known_tail:
            self.entries.ring()
        if stirred != known_stirred:
            self.queue.ring()

    async def aclose(self) -> None:
        """Ends the listening; waiters look once more, and find the log closed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._ring()

    def _ring(self) -> None:
        self.entries.ring()
        self.queue.ring()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None

    async def _listen(self) -> None:
        """Goes on until a slice has passed in which nobody waited, or the connection is lost."""
        seen: Any = "0"
        block = str(int(self._slice * 1000))
        while True:
            try:
                found = await self._server.wait_for(("XREAD", "BLOCK", block, "STREAMS", self._key, seen), self._slice)
            except (OSError, failures.RedisError):
                # Whoever waits looks by itself, meets what is wrong, and listens anew.
                await asyncio.sleep(AFTER_A_FAILURE)
                self._ring()
                return
            if found:
                ((seen, fields),) = found[0][1]
                self.tell(int(fields[1]), int(fields[3]))
            elif self._waiters == 0:
                return
