"""The projection: a row for each invocation, folded from the log by any process that needs the rows.

All processes fold the same entries in the same order, so they write the same rows; only a higher position changes a
row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bson.int64 import Int64
from pymongo import UpdateOne
from pymongo import errors as failures

from trigger_engine.backend import (
    HELD,
    REGISTRATIONS,
    AnyEntry,
    Cursor,
    Invocation,
    Position,
    Registration,
    encode_entry,
)
from trigger_engine.errors import LogReplaced, LogTrimmed
from trigger_engine_mongodb.client import Document
from trigger_engine_mongodb.documents import invocation_of, moved, row_of, state_of
from trigger_engine_mongodb.folding import INVOCATION_ENTRIES, next_state
from trigger_engine_mongodb.reading import Reader
from trigger_engine_mongodb.run_queue import OpenInvocation
from trigger_engine_mongodb.store import PROJECTION, Head, Store

STEP = 2_000
"""Entries folded at once. A short invocation begins and ends within one step, so its row is written once."""
KEEP_UP_SECONDS = 10.0
"""About how far the rows may fall behind the log while runners look for orphans: opening a log folds the rest."""


class Projection:
    """The rows of one open log."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader

    async def follow(self, upto: Position | None = None) -> Head:
        """Updates the rows up to a position at least, by default to the current end of the log."""
        while True:
            head = await self._store.head()
            if upto is not None and head.projected >= upto:
                return head
            cursor = Cursor(head.log_id, max(head.projected, head.trimmed if head.projected == 0 else 0))
            try:
                batch, is_more = await self._reader.read_on(cursor, STEP)
            except (LogReplaced, LogTrimmed):
                continue  # the log changed since the head was read
            if batch.cursor.position <= cursor.position:
                return head
            await self._fold(batch.entries)
            await self._record_progress(batch.cursor)
            if upto is None and not is_more:
                # Does not wait for later appends: they may never stop.
                return await self._store.head()

    async def keep_up(self) -> None:
        """Updates the rows when nobody has for a while."""
        head = await self._store.head()
        if head.now - head.projected_at >= KEEP_UP_SECONDS:
            await self.follow()

    async def held(self, wanted: Mapping[str, OpenInvocation]) -> list[Invocation]:
        """The invocations that are still held by the given claims, oldest first."""
        found = [each.invocation() for each in wanted.values()]
        # Rows may be far behind, and the caller blocks the queue: use them only where needed.
        missing = [each for each, known in zip(wanted.values(), found, strict=True) if known is None]
        found += map(invocation_of, await self._rows(missing))
        held = [each for each in found if each and each.state.status in HELD and each.state.claim_id in wanted]
        return sorted(held, key=lambda each: each.registered_at)

    async def registrations(self, wanted: Collection[OpenInvocation]) -> dict[str, Registration]:
        """Registrations by invocation id, without those that were trimmed."""
        return {row["_id"]: invocation_of(row).registration for row in await self._rows(wanted)}

    async def _rows(self, wanted: Collection[OpenInvocation]) -> list[Document]:
        if not wanted:
            return []
        await self.follow(max(each.state.changed_at for each in wanted))
        query = {"_id": {"$in": [each.invocation_id for each in wanted]}, "gone": False}
        return await self._store.server.find(self._store.rows, query, sort=("at", 1))

    async def _record_progress(self, cursor: Cursor) -> None:
        meta = self._store.server.collection(self._store.meta)
        progress = {"log_id": cursor.log_id, "upto": Int64(cursor.position)}
        query = {
            "_id": PROJECTION,
            "$or": [{"log_id": {"$ne": cursor.log_id}}, {"upto": {"$lt": cursor.position}}],
        }
        try:
            await self._store.server.ask(
                lambda: meta.update_one(query, {"$set": progress, "$currentDate": {"at": True}}, upsert=True)
            )
        except failures.DuplicateKeyError:
            return  # another process got as far

    async def _fold(self, entries: list[tuple[Position, AnyEntry]]) -> None:
        names = {entry.invocation_id for _, entry in entries if isinstance(entry, INVOCATION_ENTRIES)}
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
            # Another process has inserted them since, perhaps in an earlier state.
            await self._update([new[each["index"]] for each in found])

    async def _update(self, changed: Collection[Document]) -> None:
        """Updates existing rows that are behind."""
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
    """The rows that entries change, in their new state, by invocation id. `rows`: the existing ones."""
    states = {name: state_of(row) for name, row in rows.items() if not row["gone"]}
    latest: dict[str, AnyEntry] = {}
    new: dict[str, Document] = {}
    for position, entry in entries:
        if not isinstance(entry, INVOCATION_ENTRIES):
            continue
        name = entry.invocation_id
        state = next_state(states.get(name), entry, position)
        if state is None:
            continue
        if isinstance(entry, REGISTRATIONS):
            if name in rows and rows[name]["changed"] >= position:
                continue
            new[name] = row_of(entry, encode_entry(entry), position, state)
        else:
            latest[name] = entry
        states[name] = state
    moves = {name: moved(states[name], encode_entry(entry)) for name, entry in latest.items()}
    return {name: (new.get(name) or rows[name]) | moves.get(name, {}) for name in new.keys() | moves.keys()}
