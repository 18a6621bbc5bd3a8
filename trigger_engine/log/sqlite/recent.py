"""The newest entries as this process wrote them: a follower that is close to the end need not read them back."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from threading import Lock

from trigger_engine.entries.facts import AnyEntry, Position
from trigger_engine.log.contract import Batch, Bookmark

MAX_ENTRIES = 4_000
MAX_BYTES = 4 * 1024 * 1024

Source = tuple[str, object]
"""A log's id, and which file it is in: both change when another one takes its place."""


class RecentEntries:
    """An unbroken run of entries of one log; positions have no gaps, so it shows when others wrote in between."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._entries: deque[tuple[Position, AnyEntry]] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._source: Source | None = None
        self._lock = Lock()

    def add(self, source: Source, entries: Sequence[tuple[Position, AnyEntry]], sizes: Sequence[int]) -> None:
        """Takes entries that were just committed, in order, with their sizes in bytes; called from any thread."""
        with self._lock:
            if source != self._source or (self._entries and self._entries[-1][0] + 1 != entries[0][0]):
                self._clear()
                self._source = source
            self._entries.extend(entries)
            self._sizes.extend(sizes)
            self._bytes += sum(sizes)
            while self._entries and (len(self._entries) > self._max_entries or self._bytes > self._max_bytes):
                self._entries.popleft()
                self._bytes -= self._sizes.popleft()

    def after(self, bookmark: Bookmark, limit: int, file: object) -> Batch | None:
        """The entries after a bookmark that lies within, or right before, what is known of that file; else None."""
        with self._lock:
            if not self._entries or self._source != (bookmark.log_id, file):
                return None
            place = bookmark.position + 1 - self._entries[0][0]
            if not 0 <= place < len(self._entries) or not self._agrees(bookmark, place):
                return None
            entries = list(islice(self._entries, place, place + limit))
        position, entry = entries[-1]
        return Batch(entries, Bookmark(bookmark.log_id, position, entry.id))

    def forget(self) -> None:
        """Drops everything."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        self._entries.clear()
        self._sizes.clear()
        self._bytes = 0

    def _agrees(self, bookmark: Bookmark, place: int) -> bool:
        return place == 0 or self._entries[place - 1][1].id == bookmark.entry_id
