"""Projects batches into a store. Rows and cursor are written in one transaction, so processes can share a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from trigger_engine._model.entries import RetentionApplied, StatusEntry
from trigger_engine._readmodel.projection.bootstrap import Bootstrap, apply_bootstrap
from trigger_engine._readmodel.projection.gap_recovery import open_invocations, recover_invocations
from trigger_engine._readmodel.projection.lookups import RowLookup
from trigger_engine._readmodel.projection.projection_state import ProjectionState
from trigger_engine._readmodel.projection.projector import Projector
from trigger_engine._readmodel.projection.unit_of_work import UnitOfWork
from trigger_engine._readmodel.store.row_retention import Caps, enforce, purge
from trigger_engine._readmodel.store.row_store import Store
from trigger_engine._readmodel.store.rows import Progress
from trigger_engine.backend._append_validation import REGISTRATIONS
from trigger_engine.backend._contract import Batch, Cursor, Invocation


class Projection:
    """Projects into one store. The state is kept between batches unless another process advances the projection."""

    def __init__(self, store: Store, caps: Caps, max_contributions: int) -> None:
        self._store = store
        self._caps = caps
        self._max_contributions = max_contributions
        self._changes = UnitOfWork(RowLookup(store.connection))
        self._state: ProjectionState | None = None

    def cursor(self) -> Cursor | None:
        """Returns where to continue reading, or None before the first batch."""
        progress = self._store.progress()
        return None if progress is None else cursor_of(progress)

    def begin(self, start: Cursor, bootstrap: Bootstrap | None, expected: Cursor | None) -> bool:
        """Empties the read model and begins at the start of a log. Returns False if the cursor is not `expected`."""
        self._state = None
        with self._store.transaction():
            if self.cursor() != expected:
                return False
            self._store.reset()
            self._begin_at(ProjectionState(Progress(start.log_id), self._max_contributions), start, bootstrap)
        return True

    def open_invocations(self) -> list[str]:
        """Returns the ids of the invocations that have not ended so far."""
        return open_invocations(self._store.connection)

    def skip(
        self, start: Cursor, bootstrap: Bootstrap | None, after: Cursor, known: Mapping[str, Invocation | None]
    ) -> bool:
        """Continues at the start of the log after unread entries were trimmed.

        Returns False if the cursor is not `after`. `known`: the log's current view of the invocations that were open.
        """
        with self._store.transaction():
            state = self._load(after)
            if state is None:
                return False
            self._state = None
            recover_invocations(known, start.position, self._store.connection, self._changes)
            self._begin_at(state, start, bootstrap)
        return True

    def unregistered(self, batch: Batch) -> list[str]:
        """Returns the invocations that a batch moves and whose registration was trimmed before it was read."""
        progress = self._store.progress()
        if progress is None or progress.gap_at == 0:
            return []
        registered = {entry.invocation_id for _, entry in batch.entries if isinstance(entry, REGISTRATIONS)}
        moved = {entry.invocation_id for _, entry in batch.entries if isinstance(entry, StatusEntry)}
        known = {row.invocation_id for row in self._changes.lookup.invocations(moved - registered)}
        return sorted(moved - registered - known)

    def apply(self, after: Cursor, batch: Batch, void_only: Collection[str] = ()) -> bool:
        """Projects a batch read after a cursor. Returns False and does nothing if the cursor has moved.

        Entries of `void_only` invocations are void.
        """
        try:
            with self._store.transaction():
                state = self._load(after)
                if state is None:
                    return False
                self._state = self._project(state, batch, void_only)
        except BaseException:
            self._state = None
            raise
        finally:
            self._changes.clear()
        return True

    def _load(self, at: Cursor) -> ProjectionState | None:
        progress = self._store.progress()
        if progress is None or cursor_of(progress) != at:
            return None
        if self._state is not None and self._state.progress == progress:
            return self._state
        return self._store.load_state(progress, self._max_contributions)

    def _project(self, state: ProjectionState, batch: Batch, void_only: Collection[str]) -> ProjectionState:
        projector = Projector(state, self._changes, void_only)
        self._changes.prepare(batch.entries)
        for position, entry in batch.entries:
            is_valid = projector.apply(position, entry)
            if is_valid and isinstance(entry, RetentionApplied):
                self._store.flush(state, self._changes)
                purge(self._store.connection, entry)
                state = self._store.load_state(state.progress, self._max_contributions)
                projector = Projector(state, self._changes, void_only)
        state.progress.position, state.progress.entry_id = batch.cursor.position, batch.cursor.entry_id
        self._store.flush(state, self._changes)
        enforce(self._store.connection, self._caps)
        return state

    def _begin_at(self, state: ProjectionState, start: Cursor, bootstrap: Bootstrap | None) -> None:
        state.progress.position, state.progress.entry_id = start.position, start.entry_id
        if start.position:
            state.progress.gap_at = start.position
            state.elected.clear()
            self._store.connection.execute("DELETE FROM elected")
            if bootstrap is not None:
                apply_bootstrap(bootstrap, start.position, state, self._changes)
        self._store.flush(state, self._changes)


def cursor_of(progress: Progress) -> Cursor:
    """Returns the cursor up to which the log is projected."""
    return Cursor(progress.log_id, progress.position, progress.entry_id)
