"""The collections of an app.

`APP.meta`, and collections for each identity of the log, so that late writes to a former log have no effect.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec
from bson.int64 import Int64
from pymongo import IndexModel
from pymongo import errors as failures

from trigger_engine.backend import Position, fresh_id
from trigger_engine_mongodb.client import Document, Server
from trigger_engine_mongodb.documents import BITS

HEAD = "log"
PROJECTION = "projection"
KEPT_SECONDS = 86_400
"""How long the row of a trimmed invocation is kept, so that a slow process does not recreate it."""


class Head(msgspec.Struct, frozen=True):
    """The state of the log. `number`: of the newest document. `projected`: how far the rows follow the log.

    `projected_at`: when `projected` rose (0: never). `now`: the server's time. Both in seconds since 1970 UTC.
    """

    log_id: str
    number: int
    trimmed: Position
    terms: frozenset[int]
    projected: Position
    projected_at: float
    now: float


class Store:
    """The names of an app's collections, and the head of its log."""

    def __init__(self, server: Server, app_id: str) -> None:
        self.server = server
        self._app_id = app_id
        self.log_id = ""

    @property
    def meta(self) -> str:
        return f"{self._app_id}.meta"

    @property
    def runners(self) -> str:
        return f"{self._app_id}.runners"

    @property
    def leases(self) -> str:
        return f"{self._app_id}.leases"

    @property
    def log(self) -> str:
        return self._of(self.log_id, "log")

    @property
    def rows(self) -> str:
        return self._of(self.log_id, "invocations")

    @property
    def checkpoints(self) -> str:
        return self._of(self.log_id, "checkpoints")

    def _of(self, log_id: str, kind: str) -> str:
        return f"{self._app_id}.{log_id}.{kind}"

    async def head(self) -> Head:
        """The current head; creates the log if there is none."""
        while True:
            pipeline: list[Document] = [
                {"$match": {"_id": {"$in": [HEAD, PROJECTION]}}},
                {"$set": {"now": "$$NOW"}},
            ]
            found = {each["_id"]: each for each in await self.server.aggregate(self.meta, pipeline)}
            if HEAD not in found:
                await self._create()
            elif "making" in found[HEAD]:
                await self._complete(found[HEAD]["log_id"])
            else:
                return self._read(found[HEAD], found.get(PROJECTION))

    def _read(self, head: Document, projection: Document | None) -> Head:
        trimmed = int(head["trimmed"])
        follows = projection is not None and projection["log_id"] == head["log_id"]
        projected, projected_at = int(head["begins"]), 0.0
        if follows and projection is not None:
            projected, projected_at = int(projection["upto"]), projection["at"].timestamp()
        self.log_id = head["log_id"]
        terms = frozenset(int(each["term"]) for each in head["terms"])
        now = head["now"].timestamp()
        return Head(self.log_id, int(head["number"]), trimmed, terms, projected, projected_at, now)

    async def repair(self, head: Head) -> Head:
        """Raises the head's number to that of the newest document: a failover may have lost the reservation."""
        newest = await self.server.find(self.log, {}, sort=("_id", -1), limit=1, only={"_id": 1})
        number = max((int(each["_id"]) for each in newest), default=0)
        if number <= head.number:
            return head
        meta = self.server.collection(self.meta)
        behind = {"_id": HEAD, "log_id": head.log_id, "number": {"$lt": number}}
        await self.server.ask(lambda: meta.update_one(behind, {"$set": {"number": Int64(number)}}))
        return msgspec.structs.replace(head, number=number)

    async def _create(self) -> None:
        """Chooses an identity. Processes that create the log at the same time all complete the same one."""
        head: Document = {"_id": HEAD, **_new_head(fresh_id(), 0), "making": True}
        meta = self.server.collection(self.meta)
        with suppress(failures.DuplicateKeyError):
            await self.server.ask(lambda: meta.insert_one(head))

    async def _complete(self, log_id: str) -> None:
        await self._prepare(log_id)
        meta = self.server.collection(self.meta)
        await self.server.ask(lambda: meta.update_one({"_id": HEAD, "log_id": log_id}, {"$unset": {"making": ""}}))

    async def _prepare(self, log_id: str) -> None:
        """Creates the indexes, before anybody writes."""
        log, rows = (self.server.collection(self._of(log_id, kind)) for kind in ("log", "invocations"))
        await self.server.ask(lambda: log.create_index("ids", unique=True, sparse=True))
        indexes = [
            IndexModel([("final", 1), ("changed", 1)]),
            IndexModel([("gone_at", 1)], expireAfterSeconds=KEPT_SECONDS),
        ]
        await self.server.ask(lambda: rows.create_indexes(indexes))

    async def _drop(self, log_id: str) -> None:
        for kind in ("log", "invocations", "checkpoints"):
            await self.server.ask(self.server.collection(self._of(log_id, kind)).drop)

    async def replace(self) -> None:
        """Replaces the log by an empty one with a new identity; positions keep rising."""
        old = await self.head()
        log_id = fresh_id()
        await self._prepare(log_id)
        meta = self.server.collection(self.meta)
        pipeline = [
            {"$set": _new_head(log_id, 0) | {"number": "$number", "trimmed": _LAST_POSITION, "begins": _LAST_POSITION}}
        ]
        await self.server.ask(lambda: meta.update_one({"_id": HEAD, "log_id": old.log_id}, pipeline))
        await self.server.ask(lambda: self.server.collection(self.leases).delete_many({}))
        await self._drop(old.log_id)
        self.log_id = (await self.head()).log_id


_LAST_POSITION = {"$subtract": [{"$multiply": [{"$add": ["$number", 1]}, Int64(1 << BITS)]}, 1]}


def _new_head(log_id: str, number: int) -> Document:
    """The fields of a new head. `begins`: where the projection begins."""
    return {"log_id": log_id, "number": Int64(number), "trimmed": Int64(0), "begins": Int64(0), "terms": []}
