"""Writes snapshots into the log's stream, so that the server may drop the messages that they replace."""

from __future__ import annotations

import asyncio
import logging

from trigger_engine.backend import fresh_id
from trigger_engine_rabbitmq.checkpoints import CHUNK_BYTES
from trigger_engine_rabbitmq.fold import LogFold
from trigger_engine_rabbitmq.log_stream import LogStream
from trigger_engine_rabbitmq.messages import SnapshotBegun, SnapshotChunk
from trigger_engine_rabbitmq.server import Server
from trigger_engine_rabbitmq.snapshots import Copy

logger = logging.getLogger(__name__)

DUE_DIVISOR = 256
"""A snapshot is due when max_length_bytes divided by this follows the last one, and twice the size of the last one."""
SNAPSHOT_DIVISOR = 4
"""A snapshot may take max_length_bytes divided by this: it must be complete before the server drops the one before."""
FULL_DIVISOR = 2
"""The log refuses new work when max_length_bytes divided by this follows the last snapshot."""
HOW_TO_KEEP_LESS = "lower event_retention_days, or create a new log with a larger max_length_bytes"
WHEN_FULL = (
    "check that a runner is running: it writes the snapshots that let RabbitMQ drop old messages; if one is, "
    + HOW_TO_KEEP_LESS
)


def full_at(max_length_bytes: int) -> int:
    """How many bytes may follow the last snapshot: the server might soon drop some of more."""
    return max_length_bytes // FULL_DIVISOR


class SnapshotWriter:
    """Writes at most one snapshot at a time; a failed one is retried when the next one is due."""

    def __init__(self, server: Server, stream: LogStream, fold: LogFold, *, max_length_bytes: int) -> None:
        self._server = server
        self._stream = stream
        self._fold = fold
        self._max_length_bytes = max_length_bytes
        self._min_bytes = 0
        self._writing: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """True when the log must refuse new work."""
        return self._stream.snapshots.bytes_since > full_at(self._max_length_bytes)

    def start_if_due(self) -> None:
        """Starts writing a snapshot in the background if one is due."""
        snapshots = self._stream.snapshots
        due = min(
            max(self._max_length_bytes // DUE_DIVISOR, 2 * snapshots.size), self._max_length_bytes // SNAPSHOT_DIVISOR
        )
        if self._writing is None and snapshots.bytes_since >= max(due, self._min_bytes):
            self._writing = asyncio.create_task(self._write(), name="trigger-engine snapshot")
            self._writing.add_done_callback(self._written)

    async def aclose(self) -> None:
        """Stops writing."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing = None
        if task.cancelled() or (exc := task.exception()) is None:
            return
        logger.warning("could not write a snapshot of the log, will retry later: %s", exc)

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
        if len(data) > self._max_length_bytes // SNAPSHOT_DIVISOR:
            self._warn_of_size(len(data))
            return
        self._min_bytes = 0
        await self._write_chunks(key, data)

    def _warn_of_size(self, size: int) -> None:
        self._min_bytes = self._stream.snapshots.bytes_since + self._max_length_bytes // 16
        logger.warning(
            "the log holds %d MB, more than a quarter of max_length_bytes (%d MB): %s",
            size >> 20,
            self._max_length_bytes >> 20,
            HOW_TO_KEEP_LESS,
        )

    async def _write_chunks(self, key: str, data: bytes) -> None:
        starts = range(0, len(data), CHUNK_BYTES)
        for number, start in enumerate(starts):
            begun_at = self._stream.snapshots.begun_at(key)
            if begun_at is None:
                # Another snapshot was completed meanwhile, or the stream was replaced.
                return
            chunk = SnapshotChunk(key, begun_at, number, len(starts), data[start : start + CHUNK_BYTES])
            await self._server.write(self._stream, chunk)
