"""Checkpoints: the newest and the one before it, in chunks far below the document size limit."""

from __future__ import annotations

from contextlib import suppress
from hashlib import blake2b

from bson.int64 import Int64
from pymongo import errors as failures

from trigger_engine.backend import Checkpoint, Cursor
from trigger_engine.errors import LogReplaced, LogTrimmed
from trigger_engine_mongodb.client import Document
from trigger_engine_mongodb.reading import Reader
from trigger_engine_mongodb.store import Store

CHUNK_BYTES = 1024 * 1024


class Checkpoints:
    """The checkpoints of one log. The `_id` of a chunk has name, term, position, digest and number, so it is unique."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader

    async def save(self, name: str, checkpoint: Checkpoint) -> bool:
        """False when its term is over, or its cursor is not higher or not of this log. Repeating it is harmless."""
        cursor = checkpoint.cursor
        head = await self._store.head()
        try:
            await self._reader.read(cursor, 1, patient=False)
        except (LogReplaced, LogTrimmed):
            return False
        if checkpoint.term not in head.terms:
            return False
        digest = blake2b(checkpoint.data, digest_size=16).hexdigest()
        starts = range(0, max(len(checkpoint.data), 1), CHUNK_BYTES)
        header: Document = {
            "term": Int64(checkpoint.term),
            "position": Int64(cursor.position),
            "entry_id": cursor.entry_id,
            "chunks": len(starts),
            "digest": digest,
        }
        collection = self._store.server.collection(self._store.checkpoints)
        for chunk, start in zip(_chunks(name, header), starts, strict=True):
            data = {"_id": chunk, "data": checkpoint.data[start : start + CHUNK_BYTES]}
            await self._store.server.ask(lambda: collection.replace_one({"_id": data["_id"]}, data, upsert=True))  # noqa: B023
        before = await self._kept(name)
        kept = [*before[-1:], header]
        lower = {"_id": f"h:{name}", "position": {"$lt": header["position"]}}
        change = {"$set": {"position": header["position"], "kept": kept}}
        with suppress(failures.DuplicateKeyError):  # the saved one is as high or higher
            await self._store.server.ask(lambda: collection.update_one(lower, change, upsert=True))
        now = await self._kept(name)
        saved = header in now
        unused = [chunk for each in [*before, header] if each not in now for chunk in _chunks(name, each)]
        if unused:
            await self._store.server.ask(lambda: collection.delete_many({"_id": {"$in": unused}}))
        return saved and header not in before

    async def load(self, name: str) -> Checkpoint | None:
        """The newest complete one."""
        await self._store.head()
        kept: list[Document] = []
        while (newest := await self._kept(name)) != kept:
            kept = newest
            for header in reversed(kept):
                wanted = _chunks(name, header)
                found = await self._store.server.find(self._store.checkpoints, {"_id": {"$in": wanted}})
                by_id = {each["_id"]: each["data"] for each in found}
                data = b"".join(by_id.get(each, b"") for each in wanted)
                # It may be removed while it is read, when newer ones are saved.
                if blake2b(data, digest_size=16).hexdigest() == header["digest"]:
                    cursor = Cursor(self._store.log_id, int(header["position"]), header["entry_id"])
                    return Checkpoint(int(header["term"]), cursor, data)
        return None

    async def _kept(self, name: str) -> list[Document]:
        found = await self._store.server.find(self._store.checkpoints, {"_id": f"h:{name}"})
        return list(found[0]["kept"]) if found else []


def _chunks(name: str, header: Document) -> list[str]:
    checkpoint = f"{header['term']}:{header['position']}:{header['digest']}"
    return [f"d:{checkpoint}:{number}:{name}" for number in range(header["chunks"])]
