"""Appends: one step reserves a position in the head and checks the term; the next stores the document there."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from bson.int64 import Int64
from pymongo import ReturnDocument
from pymongo import errors as failures

from trigger_engine.backend import (
    REGISTRATIONS,
    Accepted,
    AnyEntry,
    Judged,
    LeaderElected,
    Outcome,
    Part,
    Position,
    Refused,
    StatusEntry,
    check_status_entries_alone,
    encode_entry,
    is_keyed,
    is_leader_entry,
)
from trigger_engine.errors import SerializationError
from trigger_engine_mongodb.client import Document
from trigger_engine_mongodb.documents import (
    BITS,
    MAX_ENTRIES,
    MAX_ENTRY_BYTES,
    MAX_PART_BYTES,
    TARGET_BYTES,
    first_position,
    number_of,
)
from trigger_engine_mongodb.reading import POLL_SECONDS, fill
from trigger_engine_mongodb.store import HEAD, Head, Store

_ELECTION_BITS = 19


class Writer:
    """Appends to one open log."""

    def __init__(self, store: Store, *, hole_timeout: float) -> None:
        self._store = store
        self._hole_timeout = hole_timeout

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        """Stores entries that are new and not void by term. Raises SerializationError before anything is stored."""
        check_status_entries_alone(parts)
        encoded = [[encode_entry(entry) for entry in part] for part in parts]
        _check_sizes(parts, encoded)
        outcomes: list[Outcome] = []
        known: dict[str, Position] = {}
        unregistered: set[str] = set()
        for group in _groups(parts, encoded):
            outcomes += await _Append(self._store, group, known, unregistered, self._hole_timeout).run()
        return outcomes


def _check_sizes(parts: Sequence[Part], encoded: Sequence[Sequence[bytes]]) -> None:
    for part, all_data in zip(parts, encoded, strict=True):
        for entry, data in zip(part, all_data, strict=True):
            if len(data) > MAX_ENTRY_BYTES and isinstance(entry, (*REGISTRATIONS, StatusEntry)):
                raise SerializationError(
                    f"{entry.id} takes {len(data):,} bytes, and MongoDB can store {MAX_ENTRY_BYTES:,} in one entry "
                    "(arguments, result): keep large data elsewhere, and pass a reference"
                )
        if sum(map(len, all_data)) > MAX_PART_BYTES:
            raise SerializationError(
                f"one part takes {sum(map(len, all_data)):,} bytes, and MongoDB can store {MAX_PART_BYTES:,} in one "
                "document: append less at once, or keep large data elsewhere"
            )


def _groups(parts: Sequence[Part], encoded: Sequence[Sequence[bytes]]) -> Iterator[list[tuple[Part, Sequence[bytes]]]]:
    """Splits parts into documents. An election has its own document, because it ends the term of earlier entries."""
    group: list[tuple[Part, Sequence[bytes]]] = []
    entries = size = 0
    for part, data in zip(parts, encoded, strict=True):
        elects = any(isinstance(entry, LeaderElected) for entry in part)
        length = sum(map(len, data))
        if group and (elects or size + length > TARGET_BYTES or entries + len(part) > MAX_ENTRIES):
            yield group
            group, entries, size = [], 0, 0
        group.append((part, data))
        entries, size = entries + len(part), size + length
        if elects:
            yield group
            group, entries, size = [], 0, 0
    if group:
        yield group


class _Append:
    """The append of one document."""

    def __init__(
        self,
        store: Store,
        group: list[tuple[Part, Sequence[bytes]]],
        known: dict[str, Position],
        unregistered: set[str],
        hole_timeout: float,
    ) -> None:
        self._store = store
        self._parts = [part for part, _ in group]
        self._data: dict[str, bytes] = {}
        for part, all_data in group:
            for entry, data in zip(part, all_data, strict=True):
                self._data.setdefault(entry.id, data)
        self._known = known
        self._unregistered = unregistered
        self._refused: dict[int, str] = {}
        self._hole_timeout = hole_timeout
        self._token = secrets.token_hex(8)

    async def run(self) -> list[Outcome]:
        """Stores the document and returns the outcomes of its parts."""
        self._refuse_moves()
        if any(isinstance(entry, LeaderElected) or is_keyed(entry) for entry in self._missing()):
            # The position of an election becomes the term, so one that is already stored must not get another. Keys
            # are reused, and a position reserved for nothing stays empty.
            await self._learn()
        while missing := self._missing():
            began = asyncio.get_running_loop().time()
            reserved = await self._reserve(missing)
            if reserved is None:
                await self._drop_void()
                continue
            if await self._fill(*reserved, missing) and await self._is_readable(reserved[0], began):
                break
        return [self._outcome(number, part) for number, part in enumerate(self._parts)]

    def _missing(self) -> list[AnyEntry]:
        """The entries that are still to be stored, each id once."""
        found: dict[str, AnyEntry] = {}
        for number, part in enumerate(self._parts):
            if number not in self._refused:
                for entry in part:
                    if entry.id not in self._known:
                        found.setdefault(entry.id, entry)
        return list(found.values())

    def _outcome(self, number: int, part: Part) -> Outcome:
        if number in self._refused:
            return Refused(self._refused[number])
        return Accepted(min((self._known[entry.id] for entry in part), default=0))

    async def _reserve(self, missing: list[AnyEntry]) -> tuple[int, int] | None:
        """Reserves a document: its number and base. None when the log was replaced or an entry is void."""
        if not self._store.log_id:
            await self._store.head()
        query: Document = {"_id": HEAD, "log_id": self._store.log_id}
        terms = {entry.term for entry in missing if is_leader_entry(entry)}  # type: ignore[union-attr]
        if terms:
            query["terms.term"] = {"$all": sorted(map(Int64, terms))}
        evaluated = [entry.upto for entry in missing if isinstance(entry, Judged)]
        if evaluated:
            query["number"] = {"$gte": number_of(max(evaluated))}
        base, update = 0, [{"$set": {"number": {"$add": ["$number", Int64(1)]}}}]
        elected = [entry.name for entry in missing if isinstance(entry, LeaderElected)]
        if elected:
            # Random, so that after a loss of data no election gets the position, and so the term, of a lost one.
            base = secrets.randbelow(1 << _ELECTION_BITS)
            update.append({"$set": {"terms": _with_new_terms(elected, base, missing)}})
        # A failover may lose a reservation before it is filled, and give an election that position or a lower one.
        # So elections and leader entries wait for the majority; other entries may go wherever a position is free.
        server, name = self._store.server, self._store.meta
        meta = server.collection(name) if terms or elected else server.unsafe_collection(name)

        async def attempt() -> Any:
            return await meta.find_one_and_update(
                query, update, projection={"number": 1}, return_document=ReturnDocument.AFTER
            )

        found = await server.ask(attempt)
        return None if found is None else (int(found["number"]), base)

    async def _drop_void(self) -> None:
        """Refuses the parts that kept the reservation from being made."""
        head = await self._store.repair(await self._store.head())
        await self._learn()
        for number, part in enumerate(self._parts):
            reason = next(
                filter(None, (_void_reason(entry, head) for entry in part if entry.id not in self._known)), None
            )
            if reason is not None:
                self._refused.setdefault(number, reason)
                new = [entry for entry in part if entry.id not in self._known]
                self._unregistered.update(entry.invocation_id for entry in new if isinstance(entry, REGISTRATIONS))
        self._refuse_moves()

    def _refuse_moves(self) -> None:
        """Refuses status entries of invocations whose registration was refused: alone they would mislead folds."""
        for number, part in enumerate(self._parts):
            for entry in part:
                if isinstance(entry, StatusEntry) and entry.invocation_id in self._unregistered:
                    self._refused.setdefault(number, f"no invocation {entry.invocation_id} is registered")

    async def _fill(self, number: int, base: int, missing: list[AnyEntry]) -> bool:
        """False when the reservation was lost, or when entries turned out to be stored already."""
        store, log = self._store, self._store.server.collection(self._store.log)
        while missing:
            document: Document = {"_id": number, "w": self._token, "ids": [entry.id for entry in missing]}
            document |= {"base": base} if base else {}
            document["data"] = [self._data[entry.id] for entry in missing]
            try:
                await store.server.ask(lambda: log.insert_one(document))  # noqa: B023 (awaited at once)
            except failures.DuplicateKeyError as exc:
                by_number = "_id" in ((exc.details or {}).get("keyPattern") or {})
                if by_number and not await self._is_own(number):
                    return False
                if not by_number:
                    await self._learn(certainly=True)
                    missing = self._missing()
                    continue
            for index, entry in enumerate(missing):
                self._known[entry.id] = (number << BITS) + base + index
            return True
        await fill(store, number)
        return True

    async def _is_own(self, number: int) -> bool:
        """True when the stored document is this one: the answer to an earlier attempt was lost."""
        while True:
            found = await self._store.server.find(self._store.log, {"_id": number}, only={"w": 1})
            if found:
                return found[0].get("w") == self._token
            head = await self._store.head()
            if number_of(head.trimmed) >= number:
                return False
            await asyncio.sleep(POLL_SECONDS)

    async def _is_readable(self, number: int, began: float) -> bool:
        """False when the position was given up and trimmed before it was filled: nobody would read it."""
        if asyncio.get_running_loop().time() - began < self._hole_timeout:
            return True
        head = await self._store.head()
        if head.trimmed < (number << BITS):
            return True
        log = self._store.server.collection(self._store.log)
        await self._store.server.ask(lambda: log.delete_one({"_id": number, "w": self._token}))
        self._known = {name: at for name, at in self._known.items() if number_of(at) != number}
        return False

    async def _learn(self, *, certainly: bool = False) -> None:
        """Finds out which entries are stored already. `certainly`: some are, even if no majority has them yet."""
        wanted = [entry.id for entry in self._missing()]
        while wanted:
            found = await self._store.server.find(self._store.log, {"ids": {"$in": wanted}}, only={"data": 0})
            for document in found:
                first, kept = first_position(document), "keys" in document
                for index, entry_id in enumerate(document["ids"]):
                    if entry_id in wanted:
                        self._known[entry_id] = first if kept else first + index
            if found or not certainly:
                return
            await asyncio.sleep(POLL_SECONDS)


def _void_reason(entry: AnyEntry, head: Head) -> str | None:
    if is_leader_entry(entry) and entry.term not in head.terms:  # type: ignore[union-attr]
        return f"the leader of term {entry.term} was replaced"  # type: ignore[union-attr]
    if isinstance(entry, Judged) and number_of(entry.upto) > head.number:
        return f"it evaluates entries up to {entry.upto}, but the log ends before: it was made for another state of it"
    return None


def _with_new_terms(names: list[str], base: int, missing: list[AnyEntry]) -> Document:
    """The list of terms with the new ones, each the position of its election."""
    others = {
        "$filter": {"input": "$terms", "cond": {"$not": [{"$in": ["$$this.name", {"$literal": names}]}]}},
    }
    first = {"$add": [{"$multiply": ["$number", Int64(1 << BITS)]}, base]}
    newest = {entry.name: index for index, entry in enumerate(missing) if isinstance(entry, LeaderElected)}
    new = [{"name": {"$literal": name}, "term": {"$add": [first, index]}} for name, index in newest.items()]
    return {"$concatArrays": [others, new]}
