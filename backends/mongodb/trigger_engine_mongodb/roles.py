"""Leases and heartbeats, by the server's clock."""

from __future__ import annotations

from typing import Any

import msgspec
from pymongo import ReturnDocument
from pymongo import errors as failures

from trigger_engine.backend import RunnerFacts, RunnerRow
from trigger_engine_mongodb.client import Document
from trigger_engine_mongodb.store import Store

LOST_RUNNERS_KEPT = 86_400.0
"""How many seconds a runner stays listed after its heartbeat has expired."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RunnerFacts)


def _in(seconds: float) -> Document:
    return {"$add": ["$$NOW", int(seconds * 1000)]}


class Roles:
    """The leases and heartbeats of one app."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def acquire(self, name: str, owner: str, ttl: float) -> bool:
        """Takes or keeps a lease."""
        leases = self._store.server.collection(self._store.leases)
        mine = {"$or": [{"$eq": ["$owner", {"$literal": owner}]}, {"$lte": ["$until", "$$NOW"]}]}
        taken = {
            "owner": {"$cond": [mine, {"$literal": owner}, "$owner"]},
            "until": {"$cond": [mine, _in(ttl), "$until"]},
        }

        async def attempt() -> Any:
            return await leases.find_one_and_update(
                {"_id": name}, [{"$set": taken}], upsert=True, return_document=ReturnDocument.AFTER
            )

        try:
            found = await self._store.server.ask(attempt)
        except failures.DuplicateKeyError:
            return False  # another owner created it at the same moment
        return bool(found["owner"] == owner)

    async def release(self, name: str, owner: str) -> None:
        """Frees the lease if this owner has it."""
        leases = self._store.server.collection(self._store.leases)
        await self._store.server.ask(lambda: leases.delete_one({"_id": name, "owner": owner}))

    async def heartbeat(self, facts: RunnerFacts, ttl: float) -> None:
        """Writes the runner's row, and removes the rows of runners lost for long."""
        runners = self._store.server.collection(self._store.runners)
        row = {"facts": {"$literal": _encoder.encode(facts)}, "seen": "$$NOW", "until": _in(ttl)}
        await self._store.server.ask(lambda: runners.update_one({"_id": facts.runner_id}, [{"$set": row}], upsert=True))
        lost = {"$expr": {"$lt": [{"$add": ["$until", int(LOST_RUNNERS_KEPT * 1000)]}, "$$NOW"]}}
        await self._store.server.ask(lambda: runners.delete_many(lost))

    async def leave(self, runner_id: str) -> None:
        """Removes the runner's row."""
        runners = self._store.server.collection(self._store.runners)
        await self._store.server.ask(lambda: runners.delete_one({"_id": runner_id}))

    async def runners(self) -> list[RunnerRow]:
        """Every row."""
        alive = {"$set": {"alive": {"$gt": ["$until", "$$NOW"]}}}
        found = await self._store.server.aggregate(self._store.runners, [alive])
        return [RunnerRow(_decoder.decode(each["facts"]), each["seen"].timestamp(), each["alive"]) for each in found]
