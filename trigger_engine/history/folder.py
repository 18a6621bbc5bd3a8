"""Folding batches into a store: rows and cursor in one transaction, whoever else folds the same file."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from trigger_engine.entries.facts import RetentionApplied, StatusEntry
from trigger_engine.history.board import Board
from trigger_engine.history.changes import Changes
from trigger_engine.history.fold import Fold
from trigger_engine.history.gap import bridge, open_invocations
from trigger_engine.history.lookups import RowLookup
from trigger_engine.history.retention import Caps, enforce, purge
from trigger_engine.history.rows import Progress
from trigger_engine.history.seed import Seed, plant
from trigger_engine.history.store import Store
from trigger_engine.log.admission import REGISTRATIONS
from trigger_engine.log.contract import Batch, Bookmark, Invocation


class Folder:
    """Folds into one store. Its board stays between batches while nobody else has folded meanwhile."""

    def __init__(self, store: Store, caps: Caps, max_contributions: int) -> None:
        self._store = store
        self._caps = caps
        self._max_contributions = max_contributions
        self._changes = Changes(RowLookup(store.connection))
        self._board: Board | None = None

    def cursor(self) -> Bookmark | None:
        """Where to read on; None before the first fold."""
        progress = self._store.progress()
        return None if progress is None else bookmark_of(progress)

    def begin(self, start: Bookmark, seed: Seed | None, instead_of: Bookmark | None) -> bool:
        """Empties the read model and begins at a log's start; False when the cursor is not `instead_of` any more."""
        self._board = None
        with self._store.transaction():
            if self.cursor() != instead_of:
                return False
            self._store.reset()
            self._begin_at(Board(Progress(start.log_id), self._max_contributions), start, seed)
        return True

    def open_invocations(self) -> list[str]:
        """What has not ended, as far as was read."""
        return open_invocations(self._store.connection)

    def skip(self, start: Bookmark, seed: Seed | None, after: Bookmark, known: Mapping[str, Invocation | None]) -> bool:
        """Goes on at a log's start, past entries that were trimmed unread; False when the cursor is not `after`.

        `known`: what the log knows of the invocations that were open.
        """
        with self._store.transaction():
            board = self._load(after)
            if board is None:
                return False
            self._board = None
            bridge(known, start.position, self._store.connection, self._changes)
            self._begin_at(board, start, seed)
        return True

    def strangers(self, batch: Batch) -> list[str]:
        """Invocations that a batch moves, and whose registration was trimmed before it was read."""
        progress = self._store.progress()
        if progress is None or progress.gap_at == 0:
            return []
        registered = {entry.invocation_id for _, entry in batch.entries if isinstance(entry, REGISTRATIONS)}
        moved = {entry.invocation_id for _, entry in batch.entries if isinstance(entry, StatusEntry)}
        known = {row.invocation_id for row in self._changes.lookup.invocations(moved - registered)}
        return sorted(moved - registered - known)

    def apply(self, after: Bookmark, batch: Batch, forgotten: Collection[str] = ()) -> bool:
        """Folds a batch read after a bookmark; False, with nothing done, when the cursor is not there any more.

        Entries of `forgotten` invocations do not count.
        """
        try:
            with self._store.transaction():
                board = self._load(after)
                if board is None:
                    return False
                self._board = self._fold(board, batch, forgotten)
        except BaseException:
            self._board = None
            raise
        finally:
            self._changes.clear()
        return True

    def _load(self, at: Bookmark) -> Board | None:
        progress = self._store.progress()
        if progress is None or bookmark_of(progress) != at:
            return None
        if self._board is not None and self._board.progress == progress:
            return self._board
        return self._store.load_board(progress, self._max_contributions)

    def _fold(self, board: Board, batch: Batch, forgotten: Collection[str]) -> Board:
        fold = Fold(board, self._changes, forgotten)
        self._changes.prepare(batch.entries)
        for position, entry in batch.entries:
            counts = fold.fold(position, entry)
            if counts and isinstance(entry, RetentionApplied):
                self._store.flush(board, self._changes)
                purge(self._store.connection, entry)
                board = self._store.load_board(board.progress, self._max_contributions)
                fold = Fold(board, self._changes, forgotten)
        board.progress.position, board.progress.entry_id = batch.bookmark.position, batch.bookmark.entry_id
        self._store.flush(board, self._changes)
        enforce(self._store.connection, self._caps)
        return board

    def _begin_at(self, board: Board, start: Bookmark, seed: Seed | None) -> None:
        board.progress.position, board.progress.entry_id = start.position, start.entry_id
        if start.position:
            board.progress.gap_at = start.position
            board.elected.clear()
            self._store.connection.execute("DELETE FROM elected")
            if seed is not None:
                plant(seed, start.position, board, self._changes)
        self._store.flush(board, self._changes)


def bookmark_of(progress: Progress) -> Bookmark:
    """The place up to which the log is folded."""
    return Bookmark(progress.log_id, progress.position, progress.entry_id)
