"""Writes snapshots into the log's stream, so that its server may drop what they stand for."""

from __future__ import annotations

import asyncio
import logging

from trigger_engine.log.fresh import fresh_id
from trigger_engine_rabbitmq.checkpoints import CHUNK_BYTES
from trigger_engine_rabbitmq.fold import LogFold
from trigger_engine_rabbitmq.log_stream import LogStream
from trigger_engine_rabbitmq.messages import SnapshotBegun, SnapshotChunk
from trigger_engine_rabbitmq.server import Server
from trigger_engine_rabbitmq.snapshots import Copy

logger = logging.getLogger(__name__)

# One part in so many of what the server keeps:
DUE = 256
"""stands behind the last snapshot when the next one is due, if it is also twice what that one took."""
LARGEST = 4
"""is the most that a snapshot may take: it must be complete before the one before it goes."""
FULL = 2
"""stands behind the last snapshot when the log takes no new work."""
HOW_TO_KEEP_LESS = "lower event_retention_days, or give a larger max_length_bytes to a log that is made anew"
WHEN_FULL = (
    "see that a runner works, for it writes the snapshots that let RabbitMQ drop what is old; if one does, "
    + HOW_TO_KEEP_LESS
)


def full_at(max_length_bytes: int) -> int:
    """How many bytes may stand behind the last snapshot: of more the server might soon drop some."""
    return max_length_bytes // FULL


class SnapshotWriter:
    """At most one at a time; what fails is tried again when one is due the next time."""

    def __init__(self, server: Server, stream: LogStream, fold: LogFold, *, max_length_bytes: int) -> None:
        self._server = server
        self._stream = stream
        self._fold = fold
        self._max_length_bytes = max_length_bytes
        self._not_before = 0
        self._writing: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """True when the log must take no new work."""
        return self._stream.snapshots.bytes_since > full_at(self._max_length_bytes)

    def start_if_due(self) -> None:
        """Begins to write one, beside what else is done."""
        snapshots = self._stream.snapshots
        due = min(max(self._max_length_bytes // DUE, 2 * snapshots.size), self._max_length_bytes // LARGEST)
        if self._writing is None and snapshots.bytes_since >= max(due, self._not_before):
            self._writing = asyncio.create_task(self._write(), name="trigger-engine snapshot")
            self._writing.add_done_callback(self._written)

    async def aclose(self) -> None:
        """Writes no more."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing = None
        if task.cancelled() or (exc := task.exception()) is None:
            return
        logger.warning("a snapshot of the log could not be written, it is tried again later: %s", exc)

    async def _write(self) -> None:
        key = fresh_id()
        self._fold.snapshots_wanted.add(key)
        try:
            copy = await self._server.write(self._stream, SnapshotBegun(key))
        finally:
            self._fold.snapshots_wanted.discard(key)
        if not isinstance(copy, Copy):
            return
        data = await asyncio.to_thread(copy.encode)
        if len(data) > self._max_length_bytes // LARGEST:
            self._tell_size(len(data))
            return
        self._not_before = 0
        await self._write_chunks(key, data)

    def _tell_size(self, size: int) -> None:
        self._not_before = self._stream.snapshots.bytes_since + self._max_length_bytes // 16
        logger.warning(
            "the log keeps %d MB, more than a quarter of max_length_bytes (%d MB): %s",
            size >> 20,
            self._max_length_bytes >> 20,
            HOW_TO_KEEP_LESS,
        )

    async def _write_chunks(self, key: str, data: bytes) -> None:
        starts = range(0, len(data), CHUNK_BYTES)
        for number, start in enumerate(starts):
            place = self._stream.snapshots.place_of(key)
            if place is None:
                # Another one has been completed meanwhile, or the stream is another one.
                return
            chunk = SnapshotChunk(key, place, number, len(starts), data[start : start + CHUNK_BYTES])
            await self._server.write(self._stream, chunk)
