"""Bringing the read model to where the log ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from trigger_engine.core.checkpoint import decode_snapshot
from trigger_engine.errors import LogReplaced, LogTrimmed, SerializationError
from trigger_engine.history.database import CacheBusy, Database
from trigger_engine.history.seed import Seed
from trigger_engine.log.contract import Batch, Bookmark, EventLog, Invocation

logger = logging.getLogger(__name__)
_LEASE = "match"
_BATCH = 5_000
_WAIT = 5.0
_OTHERS_STEP = 0.02
_MOST_OPEN = 10_000
_AT_ONCE = 100


class CatchUp:
    """Follows one log into one database."""

    def __init__(self, log: EventLog, database: Database) -> None:
        self._log = log
        self._database = database
        self._lock = asyncio.Lock()

    async def to_tail(self) -> Bookmark:
        """Folds everything that is in the log now, and returns a place that the fold has reached.

        Raises BackendUnavailable, CacheLost.
        """
        async with self._lock:
            reached: Bookmark | None = None
            tail = await self._log.tail()
            while reached is None:
                try:
                    reached = await self._step(tail)
                except CacheBusy:
                    await asyncio.sleep(_OTHERS_STEP)
                except LogReplaced:
                    tail = await self._log.tail()
            return reached

    async def _step(self, tail: Bookmark) -> Bookmark | None:
        """Goes on towards the tail; the place reached once nothing is left to do."""
        cursor = await self._database.fold(lambda folder: folder.cursor())
        is_there = cursor is not None and cursor.log_id == tail.log_id and cursor.position >= tail.position
        if is_there and await self._is_of_this_log(cursor):
            return cursor
        with self._database.folding_lock() as held:
            if held:
                return await self._advance(cursor)
        await asyncio.sleep(_OTHERS_STEP)
        return None

    async def _is_of_this_log(self, cursor: Bookmark | None) -> bool:
        """A log restored from an older state has a lower tail, or another entry at the cursor."""
        if cursor is None:
            return False
        try:
            await self._log.follow(cursor, limit=1)
        except (LogReplaced, LogTrimmed):
            return False
        return True

    async def _advance(self, cursor: Bookmark | None) -> Bookmark | None:
        if cursor is None:
            await self._begin(None)
            return None
        try:
            batch = await self._log.follow(cursor, limit=_BATCH, wait=_WAIT)
        except LogReplaced as exc:
            logger.info("history: %s", exc)
            await self._begin(cursor)
            raise
        except LogTrimmed as exc:
            logger.info("history: %s", exc)
            await self._skip(cursor)
            return None
        if not batch.entries and batch.bookmark == cursor:
            return cursor
        forgotten = await self._forgotten(batch)
        await self._database.fold(lambda folder: folder.apply(cursor, batch, forgotten))
        return None

    async def _forgotten(self, batch: Batch) -> Collection[str]:
        """Invocations of which void entries are left behind the log's start, and nothing else."""
        if self._log.refuses_void:
            return ()
        strangers = await self._database.fold(lambda folder: folder.strangers(batch))
        return [name for name, found in (await self._invocations(strangers)).items() if found is None]

    async def _begin(self, instead_of: Bookmark | None) -> None:
        start = await self._log.start()
        seed = await self._seed(start)
        await self._database.fold(lambda folder: folder.begin(start, seed, instead_of))

    async def _skip(self, after: Bookmark) -> None:
        start = await self._log.start()
        seed = await self._seed(start)
        known = await self._invocations(await self._database.fold(lambda folder: folder.open_invocations()))
        await self._database.fold(lambda folder: folder.skip(start, seed, after, known))

    async def _seed(self, start: Bookmark) -> Seed | None:
        """What the entries before the log's start said, as far as a checkpoint still has it."""
        checkpoint = await self._log.load_checkpoint(_LEASE) if start.position else None
        if checkpoint is None:
            return None
        try:
            snapshot = decode_snapshot(checkpoint.data)
        except SerializationError as exc:
            logger.warning("history: what was open before %d is not shown: %s", start.position, exc)
            return None
        invocations = (await self._invocations(list(snapshot.validity.open)[:_MOST_OPEN])).values()
        return Seed(snapshot, [one for one in invocations if one is not None and one.registered_at <= start.position])

    async def _invocations(self, ids: list[str]) -> dict[str, Invocation | None]:
        found: dict[str, Invocation | None] = {}
        for at in range(0, len(ids), _AT_ONCE):
            part = ids[at : at + _AT_ONCE]
            found |= zip(part, await asyncio.gather(*map(self._log.invocation, part)), strict=True)
        return found
