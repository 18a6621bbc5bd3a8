"""Reads entries after a cursor, and checks that the cursor is of this log."""

from __future__ import annotations

from typing import Any

from trigger_engine.backend import AnyEntry, Batch, Cursor, Position, check_cursor, decode_entry
from trigger_engine_redis.server import Command

MAX_BATCH_BYTES = 16 * 1024 * 1024
_FIRST_SIZE_ESTIMATE = 16 * 1024


class Reader:
    """Builds the commands that read entries, and decodes the answers. It learns how large entries are."""

    def __init__(self, meta: str, ids: str, entries: str, *, location: str) -> None:
        self._meta = meta
        self._ids = ids
        self._entries = entries
        self._location = location
        self._average_size = float(_FIRST_SIZE_ESTIMATE)

    def commands(self, after: Cursor, limit: int) -> list[Command]:
        """The commands for the next entries. The cursor is checked after the read, in case the log is restored."""
        count = max(1, min(limit, int(MAX_BATCH_BYTES / self._average_size)))
        return [
            ("XRANGE", self._entries, f"({after.position}-0", "+", "COUNT", count),
            ("HMGET", self._meta, "log_id", "trimmed", "tail"),
            ("HGET", self._ids, after.entry_id),
        ]

    def batch(self, after: Cursor, answers: list[Any]) -> Batch:
        """Decodes the answers. Raises LogReplaced, LogTrimmed."""
        found, (log_id, trimmed, tail), known = answers
        check_cursor(
            after,
            log_id="" if log_id is None else log_id.decode(),
            trimmed=int(trimmed or 0),
            tail=int(tail or 0),
            entry_id=after.entry_id if known is not None and int(known) == after.position else None,
            location=self._location,
        )
        if not found:
            return Batch([], after)
        entries = [self._entry(message) for message in found]
        size = sum(len(fields[1]) for _, fields in found) / len(found)
        self._average_size = max(1.0, 0.5 * self._average_size + 0.5 * size)
        position, entry = entries[-1]
        return Batch(entries, Cursor(after.log_id, position, entry.id))

    @staticmethod
    def _entry(message: tuple[bytes, tuple[bytes, bytes]]) -> tuple[Position, AnyEntry]:
        message_id, fields = message
        return int(message_id[:-2]), decode_entry(fields[1])
