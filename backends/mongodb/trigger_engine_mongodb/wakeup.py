"""Wakes the waiters of one open log: by a change stream, or by polling where the server has none."""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import Any

from pymongo import errors as failures

from trigger_engine.backend import Notifier
from trigger_engine_mongodb.store import Store

SLICE = 2.0
"""Seconds after which a waiter looks again without a notification: a replaced log may send none."""
POLL_SECONDS = 0.05
"""How often waiters look where the server has no change streams."""


class Wakeup:
    """`notifier` notifies of appends, and of a new identity of the log."""

    def __init__(self, store: Store, *, slice_seconds: float = SLICE) -> None:
        self.notifier = Notifier(asyncio.get_running_loop())
        self._store = store
        self._slice = slice_seconds
        self._task: asyncio.Task[None] | None = None
        self._listens = False
        self._closed = False

    def listen(self) -> None:
        """Makes the notifier report what other processes do, too. Call it before the look that precedes a wait."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen(), name="trigger-engine mongodb wake-up")

    async def wait(self, last: object, seconds: float) -> None:
        """Returns at a notification after `last`, when it is time to look again, or after `seconds`."""
        await self.notifier.wait(last, min(seconds, self._slice if self._listens else POLL_SECONDS))

    def notify(self) -> None:
        """Wakes every waiter."""
        self.notifier.notify()

    async def aclose(self) -> None:
        """Stops listening; waiters look once more, and find the log closed."""
        self._closed = True  # PyMongo may swallow a cancellation, or turn it into a lost connection
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.notify()

    async def _listen(self) -> None:
        while not self._closed:
            try:
                await self._watch()
            except failures.OperationFailure as exc:
                if exc.code == 40573:
                    return  # not a replica set: waiters poll
            except RuntimeError:
                return  # the interpreter exits: motor's threads accept no work
            except (failures.PyMongoError, OSError):
                pass
            finally:
                self._listens = False
            self.notify()
            await asyncio.sleep(POLL_SECONDS)

    async def _watch(self) -> None:
        database: Any = self._store.server.database
        pattern = f"^{re.escape(self._store.meta.removesuffix('meta'))}([0-9a-f]+\\.log|meta)$"
        pipeline = [
            {"$match": {"operationType": {"$in": ["insert", "update", "replace"]}, "ns.coll": {"$regex": pattern}}},
            {
                "$match": {
                    "$or": [{"operationType": "insert"}, {"updateDescription.updatedFields.log_id": {"$exists": True}}]
                }
            },
            {"$project": {"_id": 1}},
        ]
        stream = database.watch(pipeline, max_await_time_ms=1000)
        if inspect.isawaitable(stream):
            stream = await stream
        async with stream:
            await stream.try_next()
            self._listens = True
            self.notify()
            while not self._closed:
                await stream.try_next()
                self.notify()
