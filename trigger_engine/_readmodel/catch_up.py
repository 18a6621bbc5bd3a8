"""Brings the read model up to the end of the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from trigger_engine._engine.checkpoint import decode_snapshot
from trigger_engine._readmodel.projection.bootstrap import Bootstrap
from trigger_engine._readmodel.store.database import CacheBusy, Database
from trigger_engine.backend._contract import Batch, Cursor, EventLog, Invocation
from trigger_engine.errors import LogReplaced, LogTrimmed, SerializationError

logger = logging.getLogger(__name__)
_LEASE = "match"
_BATCH = 5_000
_WAIT = 5.0
_RETRY_DELAY = 0.02
_MAX_OPEN = 10_000
_CONCURRENCY = 100


class CatchUp:
    """Projects one log into one database."""

    def __init__(self, log: EventLog, database: Database) -> None:
        self._log = log
        self._database = database
        self._lock = asyncio.Lock()

    async def to_tail(self) -> Cursor:
        """Projects everything that is in the log now. Returns the cursor that was reached.

        Raises BackendUnavailable, CacheLost.
        """
        async with self._lock:
            reached: Cursor | None = None
            tail = await self._log.tail()
            while reached is None:
                try:
                    reached = await self._step(tail)
                except CacheBusy:
                    await asyncio.sleep(_RETRY_DELAY)
                except LogReplaced:
                    tail = await self._log.tail()
            return reached

    async def _step(self, tail: Cursor) -> Cursor | None:
        """Advances towards the tail. Returns the cursor once it is reached, else None."""
        cursor = await self._database.update(lambda projection: projection.cursor())
        at_tail = cursor is not None and cursor.log_id == tail.log_id and cursor.position >= tail.position
        if at_tail and await self._is_in_this_log(cursor):
            return cursor
        with self._database.projection_lock() as held:
            if held:
                return await self._advance(cursor)
        await asyncio.sleep(_RETRY_DELAY)
        return None

    async def _is_in_this_log(self, cursor: Cursor | None) -> bool:
        """Detects a log restored from a backup: its tail is lower, or it has another entry at the cursor."""
        if cursor is None:
            return False
        try:
            await self._log.follow(cursor, limit=1)
        except (LogReplaced, LogTrimmed):
            return False
        return True

    async def _advance(self, cursor: Cursor | None) -> Cursor | None:
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
        if not batch.entries and batch.cursor == cursor:
            return cursor
        void_only = await self._find_void_only(batch)
        await self._database.update(lambda projection: projection.apply(cursor, batch, void_only))
        return None

    async def _find_void_only(self, batch: Batch) -> Collection[str]:
        """Returns the invocations in the batch of which the log has only void entries left."""
        if self._log.refuses_void:
            return ()
        unregistered = await self._database.update(lambda projection: projection.unregistered(batch))
        return [name for name, found in (await self._invocations(unregistered)).items() if found is None]

    async def _begin(self, expected: Cursor | None) -> None:
        start = await self._log.start()
        bootstrap = await self._load_bootstrap(start)
        await self._database.update(lambda projection: projection.begin(start, bootstrap, expected))

    async def _skip(self, after: Cursor) -> None:
        start = await self._log.start()
        bootstrap = await self._load_bootstrap(start)
        known = await self._invocations(await self._database.update(lambda projection: projection.open_invocations()))
        await self._database.update(lambda projection: projection.skip(start, bootstrap, after, known))

    async def _load_bootstrap(self, start: Cursor) -> Bootstrap | None:
        """Loads what a checkpoint still knows about the trimmed entries."""
        checkpoint = await self._log.load_checkpoint(_LEASE) if start.position else None
        if checkpoint is None:
            return None
        try:
            snapshot = decode_snapshot(checkpoint.data)
        except SerializationError as exc:
            logger.warning("history: work that was open before position %d is not shown: %s", start.position, exc)
            return None
        invocations = (await self._invocations(list(snapshot.validity.open)[:_MAX_OPEN])).values()
        return Bootstrap(
            snapshot, [one for one in invocations if one is not None and one.registered_at <= start.position]
        )

    async def _invocations(self, ids: list[str]) -> dict[str, Invocation | None]:
        found: dict[str, Invocation | None] = {}
        for at in range(0, len(ids), _CONCURRENCY):
            part = ids[at : at + _CONCURRENCY]
            found |= zip(part, await asyncio.gather(*map(self._log.invocation, part)), strict=True)
        return found
