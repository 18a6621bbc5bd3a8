"""Retention: raises the head's `trimmed` first, then removes documents; keys stay in a remainder of their document."""

from __future__ import annotations

from bson.int64 import Int64

from trigger_engine.backend import REGISTRATIONS, Cursor, decode_entry, is_keyed
from trigger_engine.errors import LogReplaced, LogTrimmed
from trigger_engine_mongodb.client import Document
from trigger_engine_mongodb.documents import first_position, last_position, number_of
from trigger_engine_mongodb.projection import Projection
from trigger_engine_mongodb.reading import Reader
from trigger_engine_mongodb.store import HEAD, Head, Store

STEP = 500
"""How many documents are cleaned up at once."""


class Trimmer:
    """Trims one open log."""

    def __init__(self, store: Store, reader: Reader, projection: Projection) -> None:
        self._store = store
        self._reader = reader
        self._projection = projection

    async def trim(self, before: Cursor, *, keys_before: float, limit: int) -> int:
        """Returns how many entries were removed. Raises LogReplaced."""
        head = await self._projection.follow()
        if before.log_id != head.log_id:
            raise LogReplaced(f"position {before.position} is not of the log {head.log_id}: read it from its start")
        try:
            await self._reader.read(before, 1, patient=False)
        except LogTrimmed:
            limit = 0
        removed = await self._raise_trimmed(head, before, limit) if limit > 0 else 0
        head = await self._store.head()
        await self._forget_ended(head)
        await self._clean_up(head)
        await self._forget_ids(head)
        await self._forget_keys(keys_before)
        return removed

    async def _raise_trimmed(self, head: Head, before: Cursor, limit: int) -> int:
        removed, trimmed = 0, head.trimmed
        cursor = Cursor(head.log_id, trimmed)
        while removed < limit:
            batch = await self._reader.read(cursor, min(1000, limit - removed), patient=False)
            gone = [position for position, _ in batch.entries if position < min(before.position, head.projected + 1)]
            removed += len(gone)
            trimmed = max([trimmed, *gone])
            if len(gone) < len(batch.entries) or not batch.entries:
                break
            cursor = batch.cursor
        meta = self._store.server.collection(self._store.meta)
        query = {"_id": HEAD, "log_id": head.log_id, "trimmed": Int64(head.trimmed)}
        await self._store.server.ask(lambda: meta.update_one(query, {"$set": {"trimmed": Int64(trimmed)}}))
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
        """Removes trimmed documents, or reduces them to their keys."""
        log = self._store.server.collection(self._store.log)
        below = {"_id": {"$lte": number_of(head.trimmed)}, "keys": {"$exists": False}}
        while found := [
            each
            for each in await self._store.server.find(self._store.log, below, limit=STEP)
            if last_position(each) <= head.trimmed
        ]:
            empty = []
            for document in found:
                remainder = await self._remainder(document)
                if remainder is None:
                    empty.append(document["_id"])
                else:
                    await self._store.server.ask(lambda: log.replace_one({"_id": remainder["_id"]}, remainder))  # noqa: B023
            if empty:
                await self._store.server.ask(lambda: log.delete_many({"_id": {"$in": empty}}))  # noqa: B023

    async def _forget_ids(self, head: Head) -> None:
        """Frees the ids of trimmed entries in a document that is trimmed in part; the others keep their positions."""
        number = number_of(head.trimmed)
        for document in await self._store.server.find(self._store.log, {"_id": number, "data": {"$exists": True}}):
            gone = document["data"][: head.trimmed - first_position(document) + 1]
            remainder = await self._remainder(document | {"data": gone})
            kept = set(remainder["ids"]) if remainder is not None else set()
            ids = [
                each if index >= len(gone) or each in kept else f"{number}.{index}"
                for index, each in enumerate(document["ids"])
            ]
            log = self._store.server.collection(self._store.log)
            await self._store.server.ask(lambda: log.update_one({"_id": number}, {"$set": {"ids": ids, "cut": True}}))  # noqa: B023

    async def _remainder(self, document: Document) -> Document | None:
        keys, calls = [], []
        for entry in map(decode_entry, document.get("data", ())):
            if is_keyed(entry):
                keys.append({"id": entry.id, "at": entry.time})
            elif isinstance(entry, REGISTRATIONS):
                calls.append({"id": entry.id, "invocation": entry.invocation_id})
        calls = await self._still_known(calls)
        return _remainder_document(document["_id"], keys, calls)

    async def _still_known(self, calls: list[Document]) -> list[Document]:
        """The registrations whose invocation is still known."""
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
                calls = await self._still_known(document["calls"])
                remainder = _remainder_document(document["_id"], keys, calls)
                if remainder is None:
                    await self._store.server.ask(lambda: log.delete_one({"_id": document["_id"]}))  # noqa: B023
                elif remainder != document:
                    await self._store.server.ask(lambda: log.replace_one({"_id": remainder["_id"]}, remainder))  # noqa: B023


def _remainder_document(number: int, keys: list[Document], calls: list[Document]) -> Document | None:
    ids = [each["id"] for each in [*keys, *calls]]
    return {"_id": number, "ids": ids, "keys": keys, "calls": calls} if ids else None
