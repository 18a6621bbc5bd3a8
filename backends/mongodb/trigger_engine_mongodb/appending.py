"""Appending: a place is taken on the head, in one step with the look at the term, and then filled."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from bson.int64 import Int64
from pymongo import ReturnDocument
from pymongo import errors as failures

from trigger_engine.entries.encoding import encode_entry
from trigger_engine.entries.facts import AnyEntry, Judged, LeaderElected, Position, StatusEntry
from trigger_engine.errors import SerializationError
from trigger_engine.log.admission import REGISTRATIONS, check_parts, is_keyed, is_of_a_term
from trigger_engine.log.contract import Accepted, Outcome, Part, Refused
from trigger_engine_mongodb.client import Document
from trigger_engine_mongodb.documents import (
    BITS,
    LARGEST_ENTRY,
    LARGEST_PART,
    MOST_BYTES,
    MOST_ENTRIES,
    first_position,
    number_of,
)
from trigger_engine_mongodb.reading import LOOK_AGAIN, fill
from trigger_engine_mongodb.store import HEAD, Head, Store

_ELECTION_BITS = 19


class Writer:
    """Writes one open log."""

    def __init__(self, store: Store, *, hole_timeout: float) -> None:
        self._store = store
        self._hole_timeout = hole_timeout

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        """Stores what is not there and not void by its term. Raises SerializationError before anything is stored."""
        check_parts(parts)
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
            if len(data) > LARGEST_ENTRY and isinstance(entry, (*REGISTRATIONS, StatusEntry)):
                raise SerializationError(
                    f"{entry.id} takes {len(data):,} bytes, and MongoDB can keep {LARGEST_ENTRY:,} in one entry "
                    "(arguments, result): keep large data elsewhere, and pass its name"
                )
        if sum(map(len, all_data)) > LARGEST_PART:
            raise SerializationError(
                f"what belongs together takes {sum(map(len, all_data)):,} bytes, and MongoDB can keep "
                f"{LARGEST_PART:,} in one document: append less at once, or keep large data elsewhere"
            )


def _groups(parts: Sequence[Part], encoded: Sequence[Sequence[bytes]]) -> Iterator[list[tuple[Part, Sequence[bytes]]]]:
    """What goes into one document each: an election has its own, for it ends the term of what stands before it."""
    group: list[tuple[Part, Sequence[bytes]]] = []
    entries = size = 0
    for part, data in zip(parts, encoded, strict=True):
        elects = any(isinstance(entry, LeaderElected) for entry in part)
        length = sum(map(len, data))
        if group and (elects or size + length > MOST_BYTES or entries + len(part) > MOST_ENTRIES):
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
    """One document on its way."""

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
        """Returns the outcomes of its parts."""
        self._refuse_moves()
        if any(isinstance(entry, LeaderElected) or is_keyed(entry) for entry in self._left()):
            # An election's place becomes the term, which must not happen for one that is there already. Keys are
            # used again, and a place that is taken for nothing stays empty.
            await self._learn()
        while left := self._left():
            begun = asyncio.get_running_loop().time()
            taken = await self._take(left)
            if taken is None:
                await self._drop_void()
                continue
            if await self._fill(*taken, left) and await self._stays(taken[0], begun):
                break
        return [self._outcome(number, part) for number, part in enumerate(self._parts)]

    def _left(self) -> list[AnyEntry]:
        """What is to be stored, each id once."""
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

    async def _take(self, left: list[AnyEntry]) -> tuple[int, int] | None:
        """Number and base of a new document, None where the log is another one now or something is void."""
        if not self._store.log_id:
            await self._store.head()
        query: Document = {"_id": HEAD, "log_id": self._store.log_id}
        terms = {entry.term for entry in left if is_of_a_term(entry)}  # type: ignore[union-attr]
        if terms:
            query["terms.term"] = {"$all": sorted(map(Int64, terms))}
        judged = [entry.upto for entry in left if isinstance(entry, Judged)]
        if judged:
            query["number"] = {"$gte": number_of(max(judged))}
        base, update = 0, [{"$set": {"number": {"$add": ["$number", Int64(1)]}}}]
        elected = [entry.name for entry in left if isinstance(entry, LeaderElected)]
        if elected:
            # Drawn, so that no election after a loss of data has the place, and so the term, of a lost one.
            base = secrets.randbelow(1 << _ELECTION_BITS)
            update.append({"$set": {"terms": _elect(elected, base, left)}})
        # A failover may lose a place before it is filled, so that an election gets it or a lower one: what counts only
        # before that election waits for the majority. All else may stand wherever its place is free.
        server, name = self._store.server, self._store.meta
        meta = server.collection(name) if terms or elected else server.hasty_collection(name)

        async def attempt() -> Any:
            return await meta.find_one_and_update(
                query, update, projection={"number": 1}, return_document=ReturnDocument.AFTER
            )

        found = await server.ask(attempt)
        return None if found is None else (int(found["number"]), base)

    async def _drop_void(self) -> None:
        """Finds out why no place was given."""
        head = await self._store.reach(await self._store.head())
        await self._learn()
        for number, part in enumerate(self._parts):
            reason = next(filter(None, (_void(entry, head) for entry in part if entry.id not in self._known)), None)
            if reason is not None:
                self._refused.setdefault(number, reason)
                new = [entry for entry in part if entry.id not in self._known]
                self._unregistered.update(entry.invocation_id for entry in new if isinstance(entry, REGISTRATIONS))
        self._refuse_moves()

    def _refuse_moves(self) -> None:
        """Of invocations whose registration was refused in the same append: stored alone they would mislead folds."""
        for number, part in enumerate(self._parts):
            for entry in part:
                if isinstance(entry, StatusEntry) and entry.invocation_id in self._unregistered:
                    self._refused.setdefault(number, f"no invocation {entry.invocation_id} is registered")

    async def _fill(self, number: int, base: int, left: list[AnyEntry]) -> bool:
        """False when the place was lost, or when entries turned out to be there already."""
        store, log = self._store, self._store.server.collection(self._store.log)
        while left:
            document: Document = {"_id": number, "w": self._token, "ids": [entry.id for entry in left]}
            document |= {"base": base} if base else {}
            document["data"] = [self._data[entry.id] for entry in left]
            try:
                await store.server.ask(lambda: log.insert_one(document))  # noqa: B023 (awaited at once)
            except failures.DuplicateKeyError as exc:
                by_place = "_id" in ((exc.details or {}).get("keyPattern") or {})
                if by_place and not await self._is_own(number):
                    return False
                if not by_place:
                    await self._learn(certainly=True)
                    left = self._left()
                    continue
            for index, entry in enumerate(left):
                self._known[entry.id] = (number << BITS) + base + index
            return True
        await fill(store, number)
        return True

    async def _is_own(self, number: int) -> bool:
        """True when this document stands there: an earlier attempt whose answer was lost."""
        while True:
            found = await self._store.server.find(self._store.log, {"_id": number}, only={"w": 1})
            if found:
                return found[0].get("w") == self._token
            head = await self._store.head()
            if number_of(head.trimmed) >= number:
                return False
            await asyncio.sleep(LOOK_AGAIN)

    async def _stays(self, number: int, begun: float) -> bool:
        """False when the place was given up and trimmed before it was filled: nobody reads it."""
        if asyncio.get_running_loop().time() - begun < self._hole_timeout:
            return True
        head = await self._store.head()
        if head.trimmed < (number << BITS):
            return True
        log = self._store.server.collection(self._store.log)
        await self._store.server.ask(lambda: log.delete_one({"_id": number, "w": self._token}))
        self._known = {name: at for name, at in self._known.items() if number_of(at) != number}
        return False

    async def _learn(self, *, certainly: bool = False) -> None:
        """Which entries are there already. `certainly`: some are, though a majority may not have them yet."""
        wanted = [entry.id for entry in self._left()]
        while wanted:
            found = await self._store.server.find(self._store.log, {"ids": {"$in": wanted}}, only={"data": 0})
            for document in found:
                first, kept = first_position(document), "keys" in document
                for index, entry_id in enumerate(document["ids"]):
                    if entry_id in wanted:
                        self._known[entry_id] = first if kept else first + index
            if found or not certainly:
                return
            await asyncio.sleep(LOOK_AGAIN)


def _void(entry: AnyEntry, head: Head) -> str | None:
    if is_of_a_term(entry) and entry.term not in head.terms:  # type: ignore[union-attr]
        return f"the leader of term {entry.term} was replaced"  # type: ignore[union-attr]
    if isinstance(entry, Judged) and number_of(entry.upto) > head.number:
        return f"it judges up to {entry.upto}, and the log ends before: it was made for another one"
    return None


def _elect(names: list[str], base: int, left: list[AnyEntry]) -> Document:
    """The terms with new ones, each the place of its election."""
    others = {
        "$filter": {"input": "$terms", "cond": {"$not": [{"$in": ["$$this.name", {"$literal": names}]}]}},
    }
    first = {"$add": [{"$multiply": ["$number", Int64(1 << BITS)]}, base]}
    newest = {entry.name: index for index, entry in enumerate(left) if isinstance(entry, LeaderElected)}
    new = [{"name": {"$literal": name}, "term": {"$add": [first, index]}} for name, index in newest.items()]
    return {"$concatArrays": [others, new]}
