"""Wakes those who wait on one open log: a change stream of the log's head, or polls where there is none."""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import Any

from pymongo import errors as failures

from trigger_engine.log.bell import Bell
from trigger_engine_mongodb.store import Store

SLICE = 2.0
"""Seconds after which a waiter looks again though no bell rang: a log that was replaced may be silent."""
POLL = 0.05
"""Seconds between looks where the server has no change streams."""


class Wakeup:
    """`bell` rings when an append, or a change of the log's identity, was seen."""

    def __init__(self, store: Store, *, slice_seconds: float = SLICE) -> None:
        self.bell = Bell(asyncio.get_running_loop())
        self._store = store
        self._slice = slice_seconds
        self._task: asyncio.Task[None] | None = None
        self._listens = False
        self._closed = False

    def listen(self) -> None:
        """Lets the bell ring for what other processes do, too; called before the look that comes before a wait."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen(), name="trigger-engine mongodb wake-up")

    async def wait(self, last: object, seconds: float) -> None:
        """Returns when the bell rings after `last`, when it is time to look again, or after `seconds`."""
        await self.bell.wait(last, min(seconds, self._slice if self._listens else POLL))

    def ring(self) -> None:
        """Wakes every waiter."""
        self.bell.ring()

    async def aclose(self) -> None:
        """Ends the listening; waiters look once more, and find the log closed."""
        self._closed = True  # PyMongo may swallow a cancellation, or make a lost connection of it
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.ring()

    async def _listen(self) -> None:
        while not self._closed:
            try:
                await self._watch()
            except failures.OperationFailure as exc:
                if exc.code == 40573:
                    return  # not a replica set: polls go on
            except RuntimeError:
                return  # the interpreter ends: motor's threads take no more
            except (failures.PyMongoError, OSError):
                pass
            finally:
                self._listens = False
            self.ring()
            await asyncio.sleep(POLL)

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
            self.ring()
            while not self._closed:
                await stream.try_next()
                self.ring()
