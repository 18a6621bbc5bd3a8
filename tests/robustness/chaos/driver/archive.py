"""A copy of a whole log, made while it grows, so that nothing that a purge removes is out of sight."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter

from tests.integration.readmodel.stored_log import StoredLog
from trigger_engine._model.encoding import encode_entry
from trigger_engine._model.entries import AnyEntry, Position
from trigger_engine.backend._contract import Batch, Checkpoint, Cursor, EventLog
from trigger_engine.testing._faults import Faults
from trigger_engine.testing._faulty_log import FaultyLog

_WAIT = 0.2


class Archive(StoredLog):
    """Every entry of a log from its first on; can be read, audited and folded as the log itself, untrimmed.

    `items`: all entries with their positions; `counts` and `newest` by type.
    """

    def __init__(self, log: EventLog) -> None:
        super().__init__(log.log_id)
        self.refuses_void = log.refuses_void  # type: ignore[misc]
        self.dense_positions = log.dense_positions  # type: ignore[misc]
        self._log = log
        self._positions: list[Position] = []
        self.items: list[tuple[Position, AnyEntry]] = []
        self.counts: Counter[type[AnyEntry]] = Counter()
        self.newest: dict[type[AnyEntry], AnyEntry] = {}
        self._at: Cursor | None = None
        self._grown = asyncio.Condition()

    async def keep_up(self) -> None:
        """Copies until cancelled."""
        while True:
            await self._copy(_WAIT)

    async def reach(self, position: Position) -> None:
        """Returns when everything up to a position is copied; somebody must `keep_up`."""
        async with self._grown:
            await self._grown.wait_for(lambda: self.last >= position)

    async def _copy(self, wait: float) -> None:
        at = self._at or await self._log.start()
        batch = await self._log.follow(at, wait=wait)
        for position, entry in batch.entries:
            self._positions.append(position)
            self.items.append((position, entry))
            self.counts[type(entry)] += 1
            self.newest[type(entry)] = entry
            self.entries[position] = encode_entry(entry)
            self.ids[position] = entry.id
            self.last = position
        self._at = batch.cursor
        async with self._grown:
            self._grown.notify_all()

    async def follow(self, after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        begin = bisect_right(self._positions, after.position)
        found = self.items[begin : begin + limit]
        return Batch(found, self.cursor(found[-1][0]) if found else after)


class ArchivedFirst(FaultyLog):
    """A log whose checkpoints are shown only when an archive has all that they allow to be trimmed."""

    def __init__(self, inner: EventLog, archive: Archive) -> None:
        super().__init__(inner, Faults())
        self._archive = archive

    async def load_checkpoint(self, name: str) -> Checkpoint | None:
        checkpoint = await self.inner.load_checkpoint(name)
        if checkpoint is not None:
            await self._archive.reach(checkpoint.cursor.position)
        return checkpoint
