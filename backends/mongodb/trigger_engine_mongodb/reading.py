"""Reading in order, and filling the holes that dead writers leave."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from pymongo import errors as failures

from trigger_engine.entries.facts import AnyEntry, Position
from trigger_engine.log.bookmarks import check_bookmark
from trigger_engine.log.contract import Batch, Bookmark
from trigger_engine_mongodb.client import Document
from trigger_engine_mongodb.documents import entries_of, entry_id_at, first_position, last_position, number_of
from trigger_engine_mongodb.store import Head, Store

DOCUMENTS = 200
"""Read at once at most."""
LOOK_AGAIN = 0.002
"""Seconds between looks at a hole."""


class Reader:
    """Reads one open log."""

    def __init__(self, store: Store, *, location: str, hole_timeout: float) -> None:
        self._store = store
        self._location = location
        self._hole_timeout = hole_timeout
        self._holes: dict[tuple[str, int], float] = {}
        self._entries_in_one = 1.0

    async def read(self, after: Bookmark, limit: int, *, patient: bool = True) -> Batch:
        """The next entries; `patient`: waits for a hole before which there are none.

        Raises LogReplaced, LogTrimmed.
        """
        return (await self.read_on(after, limit, patient=patient))[0]

    async def read_on(self, after: Bookmark, limit: int, *, patient: bool = True) -> tuple[Batch, bool]:
        """The same, and whether more may be there, behind a hole or the limit."""
        while True:
            wanted = self._most(limit)
            documents, floor = await self._look(after, wanted)
            entries: list[tuple[Position, AnyEntry]] = []
            bookmark = after
            expected = number_of(after.position)
            for document in documents:
                number = int(document["_id"])
                if number > expected:
                    break
                expected = number + 1
                new = list(entries_of(document, max(after.position, floor)))
                entries += new[: limit - len(entries)]
                if entries:
                    bookmark = Bookmark(after.log_id, entries[-1][0], entries[-1][1].id)
                elif first_position(document) > bookmark.position and "data" not in document:
                    bookmark = Bookmark(after.log_id, first_position(document))
                if len(entries) == limit:
                    break
            # What stands behind a hole shows that its place was taken by a writer.
            holed = bool(documents) and int(documents[-1]["_id"]) >= expected and len(entries) < limit
            if holed:
                await self._meet_hole(after.log_id, expected, documents)
            if entries or not holed or not patient:
                if not entries and bookmark != after and len(documents) > wanted:
                    after = bookmark
                    continue
                return Batch(entries, bookmark), holed or len(entries) == limit or len(documents) > wanted
            await asyncio.sleep(LOOK_AGAIN)

    async def _look(self, after: Bookmark, wanted: int) -> tuple[list[Document], Position]:
        """Documents from the bookmark's on, and the last place that is gone.

        The first document is the bookmark's own, or stands for it.
        """
        if not self._store.log_id:
            await self._store.head()
        first = number_of(after.position)
        query = {"_id": {"$gte": first}}
        found = await self._store.server.find(self._store.log, query, limit=wanted + 1)
        self._learn_size(found)
        if after.log_id == self._store.log_id and _is_whole(found, after):
            return found, after.position
        # Asked for afterwards: what was trimmed while the documents were read shows here.
        head = await self._store.head()
        own = found[0] if found and int(found[0]["_id"]) == first else None
        documents = found if own is not None else [{"_id": first}, *found]
        tail = max((last_position(each) for each in found), default=0)
        if after.position > tail:
            tail = max(tail, await self.tail_position(head))
        check_bookmark(
            after,
            log_id=head.log_id,
            trimmed=head.trimmed,
            tail=tail,
            entry_id=entry_id_at(own, after.position),
            location=self._location,
        )
        return documents, head.trimmed

    def _most(self, limit: int) -> int:
        """Documents to read for so many entries, beside the one in which the bookmark is."""
        return max(1, min(int(limit / self._entries_in_one) + 1, DOCUMENTS))

    def _learn_size(self, documents: list[Document]) -> None:
        """What is read beyond the limit is read again: how much a document holds is taken from those before."""
        if documents:
            found = sum(len(each.get("data", ())) for each in documents) / len(documents)
            self._entries_in_one = max(1.0, (self._entries_in_one + found) / 2)

    async def tail(self) -> Bookmark:
        """The highest place that can be read."""
        head = await self._store.head()
        (newest,) = await self._newest({"data": {"$exists": True}}) or [{"_id": 0}]
        position = max(last_position(newest), head.trimmed)
        known = position > head.trimmed
        return Bookmark(head.log_id, position, (entry_id_at(newest, position) or "") if known else "")

    async def tail_position(self, head: Head) -> Position:
        """The highest place that can be read, or that is gone."""
        return max([head.trimmed, *(last_position(each) for each in await self._newest({}))])

    async def _newest(self, query: Document) -> list[Document]:
        return await self._store.server.find(self._store.log, query, sort=("_id", -1), limit=1)

    async def _meet_hole(self, log_id: str, first: int, documents: list[Document]) -> None:
        """Notes holes, and fills those that are there for long enough."""
        now = asyncio.get_running_loop().time()
        there = {int(each["_id"]) for each in documents}
        holes = {(log_id, number) for number in range(first, int(documents[-1]["_id"])) if number not in there}
        self._holes = {hole: self._holes.get(hole, now) for hole in holes}
        for hole, seen in self._holes.items():
            if now - seen >= self._hole_timeout:
                await fill(self._store, hole[1])


def _is_whole(documents: list[Document], after: Bookmark) -> bool:
    """True where they show by themselves that nothing after the bookmark is trimmed, or of another log."""
    if not after.entry_id or not documents or entry_id_at(documents[0], after.position) != after.entry_id:
        return False
    first = int(documents[0]["_id"])
    return all(
        int(each["_id"]) == first + index and "keys" not in each and "cut" not in each
        for index, each in enumerate(documents)
    )


async def fill(store: Store, number: int) -> None:
    """Lets a place stay empty, unless its writer has just filled it."""
    log = store.server.collection(store.log)
    with suppress(failures.DuplicateKeyError):
        await store.server.ask(lambda: log.insert_one({"_id": number, "w": ""}))
