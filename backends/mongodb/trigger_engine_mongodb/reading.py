"""Reads the log in order, and fills the holes that dead writers leave."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from pymongo import errors as failures

from trigger_engine.backend import AnyEntry, Batch, Cursor, Position, check_cursor
from trigger_engine_mongodb.client import Document
from trigger_engine_mongodb.documents import entries_of, entry_id_at, first_position, last_position, number_of
from trigger_engine_mongodb.store import Head, Store

MAX_DOCUMENTS = 200
"""How many documents are read at once at most."""
POLL_SECONDS = 0.002
"""How often a hole is looked at."""


class Reader:
    """Reads one open log."""

    def __init__(self, store: Store, *, location: str, hole_timeout: float) -> None:
        self._store = store
        self._location = location
        self._hole_timeout = hole_timeout
        self._holes: dict[tuple[str, int], float] = {}
        self._entries_per_document = 1.0

    async def read(self, after: Cursor, limit: int, *, patient: bool = True) -> Batch:
        """The next entries; `patient`: waits when the next position is a hole.

        Raises LogReplaced, LogTrimmed.
        """
        return (await self.read_on(after, limit, patient=patient))[0]

    async def read_on(self, after: Cursor, limit: int, *, patient: bool = True) -> tuple[Batch, bool]:
        """Like `read`, and whether there may be more after a hole or beyond the limit."""
        while True:
            wanted = self._document_count(limit)
            documents, trimmed = await self._load(after, wanted)
            entries: list[tuple[Position, AnyEntry]] = []
            cursor = after
            expected = number_of(after.position)
            for document in documents:
                number = int(document["_id"])
                if number > expected:
                    break
                expected = number + 1
                new = list(entries_of(document, max(after.position, trimmed)))
                entries += new[: limit - len(entries)]
                if entries:
                    cursor = Cursor(after.log_id, entries[-1][0], entries[-1][1].id)
                elif first_position(document) > cursor.position and "data" not in document:
                    cursor = Cursor(after.log_id, first_position(document))
                if len(entries) == limit:
                    break
            # A document after a hole shows that a writer reserved the hole.
            has_hole = bool(documents) and int(documents[-1]["_id"]) >= expected and len(entries) < limit
            if has_hole:
                await self._fill_old_holes(after.log_id, expected, documents)
            if entries or not has_hole or not patient:
                if not entries and cursor != after and len(documents) > wanted:
                    after = cursor
                    continue
                return Batch(entries, cursor), has_hole or len(entries) == limit or len(documents) > wanted
            await asyncio.sleep(POLL_SECONDS)

    async def _load(self, after: Cursor, wanted: int) -> tuple[list[Document], Position]:
        """The documents from the cursor's on, and the last trimmed position.

        The first document is the cursor's, or an empty substitute for it.
        """
        if not self._store.log_id:
            await self._store.head()
        first = number_of(after.position)
        query = {"_id": {"$gte": first}}
        found = await self._store.server.find(self._store.log, query, limit=wanted + 1)
        self._learn_size(found)
        if after.log_id == self._store.log_id and _proves_cursor(found, after):
            return found, after.position
        # Read after the documents, to notice what was trimmed meanwhile.
        head = await self._store.head()
        own = found[0] if found and int(found[0]["_id"]) == first else None
        documents = found if own is not None else [{"_id": first}, *found]
        tail = max((last_position(each) for each in found), default=0)
        if after.position > tail:
            tail = max(tail, await self.tail_position(head))
        check_cursor(
            after,
            log_id=head.log_id,
            trimmed=head.trimmed,
            tail=tail,
            entry_id=entry_id_at(own, after.position),
            location=self._location,
        )
        return documents, head.trimmed

    def _document_count(self, limit: int) -> int:
        """The number of documents to read for `limit` entries, in addition to the cursor's."""
        return max(1, min(int(limit / self._entries_per_document) + 1, MAX_DOCUMENTS))

    def _learn_size(self, documents: list[Document]) -> None:
        """Learns how many entries a document holds: those read beyond the limit are read again."""
        if documents:
            found = sum(len(each.get("data", ())) for each in documents) / len(documents)
            self._entries_per_document = max(1.0, (self._entries_per_document + found) / 2)

    async def tail(self) -> Cursor:
        """The cursor of the highest position that can be read."""
        head = await self._store.head()
        (newest,) = await self._newest({"data": {"$exists": True}}) or [{"_id": 0}]
        position = max(last_position(newest), head.trimmed)
        known = position > head.trimmed
        return Cursor(head.log_id, position, (entry_id_at(newest, position) or "") if known else "")

    async def tail_position(self, head: Head) -> Position:
        """The highest position that can be read or was trimmed."""
        return max([head.trimmed, *(last_position(each) for each in await self._newest({}))])

    async def _newest(self, query: Document) -> list[Document]:
        return await self._store.server.find(self._store.log, query, sort=("_id", -1), limit=1)

    async def _fill_old_holes(self, log_id: str, first: int, documents: list[Document]) -> None:
        """Remembers holes, and fills those that are older than `hole_timeout`."""
        now = asyncio.get_running_loop().time()
        there = {int(each["_id"]) for each in documents}
        holes = {(log_id, number) for number in range(first, int(documents[-1]["_id"])) if number not in there}
        self._holes = {hole: self._holes.get(hole, now) for hole in holes}
        for hole, seen in self._holes.items():
            if now - seen >= self._hole_timeout:
                await fill(self._store, hole[1])


def _proves_cursor(documents: list[Document], after: Cursor) -> bool:
    """True when the documents themselves show that nothing after the cursor was trimmed, and the log is the same."""
    if not after.entry_id or not documents or entry_id_at(documents[0], after.position) != after.entry_id:
        return False
    first = int(documents[0]["_id"])
    return all(
        int(each["_id"]) == first + index and "keys" not in each and "cut" not in each
        for index, each in enumerate(documents)
    )


async def fill(store: Store, number: int) -> None:
    """Marks a position as empty, unless its writer has just filled it."""
    log = store.server.collection(store.log)
    with suppress(failures.DuplicateKeyError):
        await store.server.ask(lambda: log.insert_one({"_id": number, "w": ""}))
