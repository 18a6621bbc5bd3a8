"""Reading entries after a bookmark, and whether that is a place of this log."""

from __future__ import annotations

from typing import Any

from trigger_engine.entries.encoding import decode_entry
from trigger_engine.entries.facts import AnyEntry, Position
from trigger_engine.log.bookmarks import check_bookmark
from trigger_engine.log.contract import Batch, Bookmark
from trigger_engine_redis.server import Command

MAX_BATCH_BYTES = 16 * 1024 * 1024
_FIRST_GUESS = 16 * 1024


class Reader:
    """Says what to ask the server, and what the answers mean. It learns how large entries are."""

    def __init__(self, meta: str, ids: str, entries: str, *, location: str) -> None:
        self._meta = meta
        self._ids = ids
        self._entries = entries
        self._location = location
        self._usual_size = float(_FIRST_GUESS)

    def commands(self, after: Bookmark, limit: int) -> list[Command]:
        """What brings the next entries. The place is checked after they are read: a log put back meanwhile is seen."""
        at_most = max(1, min(limit, int(MAX_BATCH_BYTES / self._usual_size)))
        return [
            ("XRANGE", self._entries, f"({after.position}-0", "+", "COUNT", at_most),
            ("HMGET", self._meta, "log_id", "trimmed", "tail"),
            ("HGET", self._ids, after.entry_id),
        ]

    def batch(self, after: Bookmark, answers: list[Any]) -> Batch:
        """The entries. Raises LogReplaced, LogTrimmed."""
        found, (log_id, trimmed, tail), place = answers
        check_bookmark(
            after,
            log_id="" if log_id is None else log_id.decode(),
            trimmed=int(trimmed or 0),
            tail=int(tail or 0),
            entry_id=after.entry_id if place is not None and int(place) == after.position else None,
            location=self._location,
        )
        if not found:
            return Batch([], after)
        entries = [self._entry(message) for message in found]
        size = sum(len(fields[1]) for _, fields in found) / len(found)
        self._usual_size = max(1.0, 0.5 * self._usual_size + 0.5 * size)
        position, entry = entries[-1]
        return Batch(entries, Bookmark(after.log_id, position, entry.id))

    @staticmethod
    def _entry(message: tuple[bytes, tuple[bytes, bytes]]) -> tuple[Position, AnyEntry]:
        place, fields = message
        return int(place[:-2]), decode_entry(fields[1])
