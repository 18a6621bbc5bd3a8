"""The invocations as they stand: a fold of the log, kept in rows, taken further by whoever needs it.

Each process folds the same entries in the same order, so that what two of them write is the same; a row changes only
for a higher position.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
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
        """Takes the rows up to a position at least, by default to where the log ends now."""
        while True:
            head = await self._store.head()
            if upto is not None and head.projected >= upto:
                return head
            place = Bookmark(head.log_id, max(head.projected, head.trimmed if head.projected == 0 else 0))
            try:
                batch, is_more = await self._reader.read_on(place, STEP)
            except (LogReplaced, LogTrimmed):
                continue  # since the head was read
            if batch.bookmark.position <= place.position:
                return head
            await self._fold(batch.entries)
            await self._note(batch.bookmark)
            if upto is None and not is_more:
                # What others have appended meanwhile is not waited for: they may never stop.
                return await self._store.head()

    async def keep_up(self) -> None:
        """Takes the rows to the log's end when nobody has for a while."""
        head = await self._store.head()
        if head.now - head.projected_at >= KEEP_UP_SECONDS:
            await self.follow()

    async def held(self, wanted: Mapping[str, Open]) -> list[Invocation]:
        """Those that are still held by the claims they are given with, oldest first."""
        found = [each.invocation() for each in wanted.values()]
        # Rows may be far behind, and whoever asks has the queue wait.
        distant = [each for each, known in zip(wanted.values(), found, strict=True) if known is None]
        found += map(invocation_of, await self._rows(distant))
        held = [each for each in found if each and each.state.status in HELD and each.state.claim_id in wanted]
        return sorted(held, key=lambda each: each.registered_at)

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
        changed = fold_rows(rows, entries)
        await self._insert([changed.pop(name) for name in changed.keys() - rows.keys()])
        await self._update(changed.values())

    async def _insert(self, new: list[Document]) -> None:
        if not new:
            return
        rows = self._store.server.collection(self._store.rows)
        try:
            await self._store.server.ask(lambda: rows.insert_many(new, ordered=False))
        except failures.BulkWriteError as exc:
            found: Any = (exc.details or {}).get("writeErrors", ())
            # Another has made them since, and perhaps not taken them so far.
            await self._update([new[each["index"]] for each in found])

    async def _update(self, changed: Collection[Document]) -> None:
        """Takes rows that are there further."""
        if not changed:
            return
        updates = []
        for row in changed:
            fields = {key: value for key, value in row.items() if key not in {"_id", "gone_at"}}
            query = {"_id": row["_id"], "changed": {"$lt": row["changed"]}}
            updates.append(UpdateOne(query, {"$set": fields, "$unset": {"gone_at": ""}}))
        rows: Any = self._store.server.collection(self._store.rows)
        await self._store.server.ask(lambda: rows.bulk_write(updates, ordered=False))


def fold_rows(rows: Mapping[str, Document], entries: Iterable[tuple[Position, AnyEntry]]) -> dict[str, Document]:
    """Rows that entries change, as they are afterwards, by invocation; `rows`: those that are there."""
    states = {name: state_of(row) for name, row in rows.items() if not row["gone"]}
    latest: dict[str, AnyEntry] = {}
    new: dict[str, Document] = {}
    for position, entry in entries:
        if isinstance(entry, REGISTRATIONS):
            name = entry.invocation_id
            is_passed = name in rows and rows[name]["changed"] >= position
            if name not in states and not is_passed:
                states[name] = registered_state(entry, position)
                new[name] = row_of(entry, encode_entry(entry), position, states[name])
        elif isinstance(entry, StatusEntry):
            name = entry.invocation_id
            state = states.get(name)
            if state is not None and state.changed_at < position:
                after = move(state, entry, position)
                if not isinstance(after, str):
                    states[name], latest[name] = after, entry
    moves = {name: moved(states[name], encode_entry(entry)) for name, entry in latest.items()}
    return {name: (new.get(name) or rows[name]) | moves.get(name, {}) for name in new.keys() | moves.keys()}
