"""The invocations as they stand: a fold of the log, kept in rows, taken further by whoever needs it.

Each process folds the same entries in the same order, so that what two of them write is the same; a row changes only
for a higher position.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bson.int64 import Int64
from pymongo import UpdateOne
from pymongo import errors as failures

from trigger_engine.core.lifecycle import HELD, move
from trigger_engine.entries.encoding import encode_entry
from trigger_engine.entries.facts import AnyEntry, Position, StatusEntry
from trigger_engine.errors import LogReplaced, LogTrimmed
from trigger_engine.log.admission import REGISTRATIONS, Registration, registered_state
from trigger_engine.log.contract import Bookmark, Invocation
from trigger_engine_mongodb.client import Document
from trigger_engine_mongodb.documents import invocation_of, moved, row_of, state_of
from trigger_engine_mongodb.reading import Reader
from trigger_engine_mongodb.run_queue import Open
from trigger_engine_mongodb.store import PROJECTION, Head, Store

STEP = 2_000
"""Entries folded at once: of an invocation that begins and ends in them, one row is written."""
KEEP_UP_SECONDS = 10.0
"""Rows are behind the log by no more than about this while somebody looks for orphans: opening reads the rest."""


class Projection:
    """The rows of one open log."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader

    async def follow(self, upto: Position | None = None) -> Head:
        """Takes the rows up to a position at least, or to the end of what can be read now."""
        while True:
            head = await self._store.head()
            if upto is not None and head.projected >= upto:
                return head
            place = Bookmark(head.log_id, max(head.projected, head.trimmed if head.projected == 0 else 0))
            try:
                batch = await self._reader.read(place, STEP)
            except (LogReplaced, LogTrimmed):
                continue  # since the head was read
            if batch.bookmark.position <= place.position:
                return head
            await self._fold(batch.entries)
            await self._note(batch.bookmark)

    async def keep_up(self) -> None:
        """Takes the rows to the log's end when nobody has for a while."""
        head = await self._store.head()
        if head.now - head.projected_at >= KEEP_UP_SECONDS:
            await self.follow()

    async def held(self, wanted: Mapping[str, Open]) -> list[Invocation]:
        """Those that are still held by the claims they are given with, oldest first."""
        found = map(invocation_of, await self._rows(wanted.values()))
        return [each for each in found if each.state.status in HELD and each.state.claim_id in wanted]

    async def registrations(self, wanted: Collection[Open]) -> dict[str, Registration]:
        """Registrations by invocation, but of those that are forgotten."""
        return {row["_id"]: invocation_of(row).registration for row in await self._rows(wanted)}

    async def _rows(self, wanted: Collection[Open]) -> list[Document]:
        if not wanted:
            return []
        await self.follow(max(each.state.changed_at for each in wanted))
        query = {"_id": {"$in": [each.invocation_id for each in wanted]}, "gone": False}
        return await self._store.server.find(self._store.rows, query, sort=("at", 1))

    async def _note(self, bookmark: Bookmark) -> None:
        meta = self._store.server.collection(self._store.meta)
        place = {"log_id": bookmark.log_id, "upto": Int64(bookmark.position)}
        query = {
            "_id": PROJECTION,
            "$or": [{"log_id": {"$ne": bookmark.log_id}}, {"upto": {"$lt": bookmark.position}}],
        }
        try:
            await self._store.server.ask(
                lambda: meta.update_one(query, {"$set": place, "$currentDate": {"at": True}}, upsert=True)
            )
        except failures.DuplicateKeyError:
            return  # another has taken it as far

    async def _fold(self, entries: list[tuple[Position, AnyEntry]]) -> None:
        names = {entry.invocation_id for _, entry in entries if isinstance(entry, (*REGISTRATIONS, StatusEntry))}
        if not names:
            return
        found = await self._store.server.find(self._store.rows, {"_id": {"$in": sorted(names)}})
        rows = {row["_id"]: row for row in found}
        changed: dict[str, Document] = {}
        for position, entry in entries:
            if isinstance(entry, (*REGISTRATIONS, StatusEntry)):
                row = _next(rows.get(entry.invocation_id), entry, position)
                if row is not None:
                    rows[entry.invocation_id] = changed[entry.invocation_id] = row
        if changed:
            await self._write(changed)

    async def _write(self, changed: dict[str, Document]) -> None:
        rows = self._store.server.collection(self._store.rows)
        updates, further = [], []
        for name, row in changed.items():
            fields = {key: value for key, value in row.items() if key not in {"_id", "gone_at"}}
            query = {"_id": name, "changed": {"$lt": row["changed"]}}
            change = {"$set": fields, "$unset": {"gone_at": ""}}
            updates.append(UpdateOne(query, change, upsert=True))
            further.append(UpdateOne(query, change))
        try:
            await self._store.server.ask(lambda: rows.bulk_write(updates, ordered=False))
        except failures.BulkWriteError as exc:
            found: Any = (exc.details or {}).get("writeErrors", ())
            # Rows that are there already: as far or further, or another has just made them, and not so far.
            again = [further[each["index"]] for each in found]
            await self._store.server.ask(lambda: rows.bulk_write(again, ordered=False))


def _next(row: Document | None, entry: AnyEntry, position: Position) -> Document | None:
    """The row after an entry, None where the entry changes nothing."""
    if row is not None and row["changed"] >= position:
        return None
    gone = row is None or row["gone"]
    if isinstance(entry, REGISTRATIONS):
        return row_of(entry, encode_entry(entry), position, registered_state(entry, position)) if gone else None
    assert isinstance(entry, StatusEntry)
    if row is None or gone:
        return None
    state = move(state_of(row), entry, position)
    return None if isinstance(state, str) else row | moved(state, encode_entry(entry))
