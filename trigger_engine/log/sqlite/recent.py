"""The newest entries as this process wrote them: a follower that is close to the end need not read them back."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

from trigger_engine.entries.facts import AnyEntry, Position
from trigger_engine.log.contract import Batch, Bookmark

MAX_ENTRIES = 4_000
MAX_BYTES = 4 * 1024 * 1024

Source = tuple[str, object]
"""A log's id, and which file it is in: both change when another one takes its place."""


class _Commit(NamedTuple):
    """What one transaction has written. `first`: the position of its first entry."""

    first: Position
    entries: Sequence[tuple[Position, AnyEntry]]
    size: int


class RecentEntries:
    """An unbroken run of entries of one log; positions have no gaps, so it shows when others wrote in between.

    Whole commits leave it, the oldest first, when it holds more than `max_entries` or `max_bytes`.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._commits: deque[_Commit] = deque()
        self._next: Position = 0
        self._bytes = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._source: Source | None = None
        self._lock = Lock()

    def add(self, source: Source, entries: Sequence[tuple[Position, AnyEntry]], size: int) -> None:
        """Takes entries that were just committed, in order, and their size in bytes; called from any thread."""
        first = entries[0][0]
        with self._lock:
            if source != self._source or first != self._next:
                self._clear()
                self._source = source
            self._commits.append(_Commit(first, entries, size))
            self._next = first + len(entries)
            self._bytes += size
            while self._commits and self._is_too_large():
                self._bytes -= self._commits.popleft().size

    def after(self, bookmark: Bookmark, limit: int, file: object) -> Batch | None:
        """The entries after a bookmark that lies within, or right before, what is known of that file; else None."""
        with self._lock:
            if self._source != (bookmark.log_id, file) or not self._is_known(bookmark):
                return None
            entries = self._entries(bookmark.position + 1, limit)
        position, entry = entries[-1]
        return Batch(entries, Bookmark(bookmark.log_id, position, entry.id))

    def forget(self) -> None:
        """Drops everything."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        self._commits.clear()
        self._next = 0
        self._bytes = 0

    def _is_too_large(self) -> bool:
        return self._bytes > self._max_bytes or self._next - self._commits[0].first > self._max_entries

    def _is_known(self, bookmark: Bookmark) -> bool:
        """True when something is known right behind the bookmark, and nothing that contradicts it."""
        if not self._commits or not self._commits[0].first <= bookmark.position + 1 < self._next:
            return False
        if bookmark.position < self._commits[0].first:
            return True
        ((_, entry),) = self._entries(bookmark.position, 1)
        return entry.id == bookmark.entry_id

    def _entries(self, first: Position, limit: int) -> list[tuple[Position, AnyEntry]]:
        """Up to `limit` entries from a known position on."""
        newer: list[_Commit] = []
        for commit in reversed(self._commits):
            newer.append(commit)
            if commit.first <= first:
                break
        start = first - newer[-1].first
        entries = list(newer[-1].entries[start : start + limit])
        for commit in reversed(newer[:-1]):
            entries += commit.entries[: limit - len(entries)]
            if len(entries) == limit:
                break
        return entries
