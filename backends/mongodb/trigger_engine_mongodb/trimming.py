"""Retention: the floor rises first, then what is below it goes; keys stay in what is left of their documents."""

from __future__ import annotations

from bson.int64 import Int64

from trigger_engine.entries.encoding import decode_entry
from trigger_engine.errors import LogReplaced, LogTrimmed
from trigger_engine.log.admission import REGISTRATIONS, is_keyed
from trigger_engine.log.contract import Bookmark
from trigger_engine_mongodb.client import Document
from trigger_engine_mongodb.documents import first_position, last_position, number_of
from trigger_engine_mongodb.projection import Projection
from trigger_engine_mongodb.reading import Reader
from trigger_engine_mongodb.store import HEAD, Head, Store

STEP = 500
"""Documents cleaned up at once."""


class Trimmer:
    """Removes what is old."""

    def __init__(self, store: Store, reader: Reader, projection: Projection) -> None:
        self._store = store
        self._reader = reader
        self._projection = projection

    async def trim(self, before: Bookmark, *, keys_before: float, limit: int) -> int:
        """Returns how many entries went. Raises LogReplaced."""
        head = await self._projection.follow()
        if before.log_id != head.log_id:
            raise LogReplaced(f"the place {before.position} is not of the log {head.log_id}: read it from its start")
        try:
            await self._reader.read(before, 1, patient=False)
        except LogTrimmed:
            limit = 0
        removed = await self._raise_floor(head, before, limit) if limit > 0 else 0
        head = await self._store.head()
        await self._forget_ended(head)
        await self._clean_up(head)
        await self._forget_ids(head)
        await self._forget_keys(keys_before)
        return removed

    async def _raise_floor(self, head: Head, before: Bookmark, limit: int) -> int:
        removed, floor = 0, head.trimmed
        place = Bookmark(head.log_id, floor)
        while removed < limit:
            batch = await self._reader.read(place, min(1000, limit - removed), patient=False)
            gone = [position for position, _ in batch.entries if position < min(before.position, head.projected + 1)]
            removed += len(gone)
            floor = max([floor, *gone])
            if len(gone) < len(batch.entries) or not batch.entries:
                break
            place = batch.bookmark
        meta = self._store.server.collection(self._store.meta)
        query = {"_id": HEAD, "log_id": head.log_id, "trimmed": Int64(head.trimmed)}
        await self._store.server.ask(lambda: meta.update_one(query, {"$set": {"trimmed": Int64(floor)}}))
        return removed

    async def _forget_ended(self, head: Head) -> None:
        rows = self._store.server.collection(self._store.rows)
        ended = {"final": True, "gone": False, "changed": {"$lte": Int64(head.trimmed)}}
        forget = [
            {"$set": {"gone": True, "changed": Int64(head.trimmed), "gone_at": "$$NOW"}},
            {"$unset": ["registration", "latest"]},
        ]
        await self._store.server.ask(lambda: rows.update_many(ended, forget))

    async def _clean_up(self, head: Head) -> None:
        """Removes documents below the floor, or leaves their keys."""
        log = self._store.server.collection(self._store.log)
        below = {"_id": {"$lte": number_of(head.trimmed)}, "keys": {"$exists": False}}
        while found := [
            each
            for each in await self._store.server.find(self._store.log, below, limit=STEP)
            if last_position(each) <= head.trimmed
        ]:
            empty = []
            for document in found:
                left = await self._left_of(document)
                if left is None:
                    empty.append(document["_id"])
                else:
                    await self._store.server.ask(lambda: log.replace_one({"_id": left["_id"]}, left))  # noqa: B023
            if empty:
                await self._store.server.ask(lambda: log.delete_many({"_id": {"$in": empty}}))  # noqa: B023

    async def _forget_ids(self, head: Head) -> None:
        """Of the document that the floor goes through; its entries keep their places."""
        number = number_of(head.trimmed)
        for document in await self._store.server.find(self._store.log, {"_id": number, "data": {"$exists": True}}):
            gone = document["data"][: head.trimmed - first_position(document) + 1]
            left = await self._left_of(document | {"data": gone})
            kept = set(left["ids"]) if left is not None else set()
            ids = [
                each if index >= len(gone) or each in kept else f"{number}.{index}"
                for index, each in enumerate(document["ids"])
            ]
            log = self._store.server.collection(self._store.log)
            await self._store.server.ask(lambda: log.update_one({"_id": number}, {"$set": {"ids": ids, "cut": True}}))  # noqa: B023

    async def _left_of(self, document: Document) -> Document | None:
        keys, calls = [], []
        for entry in map(decode_entry, document.get("data", ())):
            if is_keyed(entry):
                keys.append({"id": entry.id, "at": entry.time})
            elif isinstance(entry, REGISTRATIONS):
                calls.append({"id": entry.id, "invocation": entry.invocation_id})
        calls = await self._open(calls)
        return _kept(document["_id"], keys, calls)

    async def _open(self, calls: list[Document]) -> list[Document]:
        """Those whose invocation is still known."""
        if not calls:
            return []
        names = [each["invocation"] for each in calls]
        query = {"_id": {"$in": names}, "gone": False}
        known = {each["_id"] for each in await self._store.server.find(self._store.rows, query, only={"_id": 1})}
        return [each for each in calls if each["invocation"] in known]

    async def _forget_keys(self, keys_before: float) -> None:
        log = self._store.server.collection(self._store.log)
        for query in ({"keys.at": {"$lt": keys_before}}, {"calls.id": {"$exists": True}}):
            for document in await self._store.server.find(self._store.log, query):
                keys = [each for each in document["keys"] if each["at"] >= keys_before]
                calls = await self._open(document["calls"])
                left = _kept(document["_id"], keys, calls)
                if left is None:
                    await self._store.server.ask(lambda: log.delete_one({"_id": document["_id"]}))  # noqa: B023
                elif left != document:
                    await self._store.server.ask(lambda: log.replace_one({"_id": left["_id"]}, left))  # noqa: B023


def _kept(number: int, keys: list[Document], calls: list[Document]) -> Document | None:
    ids = [each["id"] for each in [*keys, *calls]]
    return {"_id": number, "ids": ids, "keys": keys, "calls": calls} if ids else None
