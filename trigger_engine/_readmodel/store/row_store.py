"""Opens the read model's database and writes row changes. Used on one thread only."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from trigger_engine._readmodel.projection.lookups import RowLookup
from trigger_engine._readmodel.projection.projection_state import ProjectionState, listened_to
from trigger_engine._readmodel.projection.unit_of_work import UnitOfWork
from trigger_engine._readmodel.store.rows import (
    ElectedRow,
    EventRow,
    InvocationRow,
    KeptRow,
    NoticeRow,
    ParticipantRow,
    Progress,
    RunRow,
    StatusRow,
    TableRow,
    TickRow,
    TriggerRow,
    VoidRow,
)
from trigger_engine._readmodel.store.schema import SCHEMA_VERSION, TABLES

_BUSY_TIMEOUT = 10.0
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -65536",
    "PRAGMA wal_autocheckpoint = 8000",
)


def _insert(table: str, row_type: type[TableRow], verb: str = "INSERT") -> str:
    columns = row_type.__struct_fields__
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


_INSERT_EVENT = _insert("events", EventRow)
_INSERT_TICK = _insert("ticks", TickRow)
_INSERT_INVOCATION = _insert("invocations", InvocationRow)
_INSERT_STATUS = _insert("statuses", StatusRow)
_INSERT_RUN = _insert("runs", RunRow)
_INSERT_PARTICIPANT = _insert("participants", ParticipantRow)
_INSERT_NOTICE = _insert("notices", NoticeRow)
_INSERT_VOID = _insert("void", VoidRow)
_PUT_KEPT = _insert("kept", KeptRow, "INSERT OR REPLACE")
_PUT_TRIGGER = _insert("triggers", TriggerRow, "INSERT OR REPLACE")
_PUT_ELECTED = _insert("elected", ElectedRow, "INSERT OR REPLACE")
_PUT_PROGRESS = _insert("progress", Progress, "INSERT OR REPLACE")
_UPDATE_INVOCATION = """
    UPDATE invocations SET status = ?, attempt = ?, claim_id = ?, runner_id = ?, recoveries = ?, not_before = ?,
        changed_at = ?, changed_time = ?, result = coalesce(?, result), exception = coalesce(?, exception)
    WHERE position = ?"""
_START_LISTENING = "INSERT INTO listening (event_code, condition_id, trigger_id, started) VALUES (?, ?, ?, ?)"
_STOP_LISTENING = "UPDATE listening SET stopped = ? WHERE trigger_id = ? AND stopped IS NULL"
_ADD_ACTIVITY = """
    INSERT INTO activity (minute, kind, count, last_position) VALUES (?, ?, ?, ?)
    ON CONFLICT (minute, kind) DO UPDATE SET count = count + excluded.count, last_position = excluded.last_position"""
_ADD_TALLY = """
    INSERT INTO tallies (kind, value, count) VALUES (?, ?, ?)
    ON CONFLICT (kind, value) DO UPDATE SET count = count + excluded.count"""
_ADD_TOTAL = """
    INSERT INTO totals (kind, count) VALUES (?, ?) ON CONFLICT (kind) DO UPDATE SET count = count + excluded.count"""
_WIDEN_BLOCK = """
    INSERT INTO blocks (block, first_position, last_position, min_time, max_time) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (block) DO UPDATE SET last_position = excluded.last_position,
        min_time = min(min_time, excluded.min_time), max_time = max(max_time, excluded.max_time)"""


class Store:
    """One connection to a read model, in a file or in memory (`path` ":memory:").

    Every method may raise sqlite3.Error.
    """

    def __init__(self, path: str) -> None:
        self.connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                self.connection.execute(pragma)
            self._prepare()
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self) -> None:
        if self._version() == SCHEMA_VERSION:
            return
        with self.transaction():
            if self._version() != SCHEMA_VERSION:
                self.reset()

    def _version(self) -> int:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def close(self) -> None:
        """Closes the connection. Closing twice is harmless."""
        self.connection.close()

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[None]:
        """Runs a transaction. Without `write`, all reads see the same state."""
        self.connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def reset(self) -> None:
        """Empties the read model of any schema version. Call inside a transaction."""
        names = self.connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        for (name,) in names:
            self.connection.execute(f'DROP TABLE "{name}"')
        for statement in TABLES.split(";"):
            self.connection.execute(statement)
        self.connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def progress(self) -> Progress | None:
        """Returns how far the log is projected, or None before the first batch."""
        columns = ", ".join(Progress.__struct_fields__)
        row = self.connection.execute(f"SELECT {columns} FROM progress").fetchone()
        return None if row is None else Progress(*row)

    def load_state(self, progress: Progress, max_contributions: int) -> ProjectionState:
        """Loads the state needed to continue the projection."""
        state = ProjectionState(progress, max_contributions)
        lookup = RowLookup(self.connection)
        for elected in self._rows("elected", ElectedRow, "position"):
            state.elect(elected)
        for trigger in self._rows("triggers", TriggerRow, "position"):
            state.load_trigger(trigger)
        for kept in self._rows("kept", KeptRow, "coalesce(settled_at, position), position", "WHERE waiting"):
            state.restore_kept(kept, lookup)
        return state

    def _rows(self, table: str, row_type: Any, order: str, where: str = "") -> Iterable[Any]:
        columns = ", ".join(row_type.__struct_fields__)
        for row in self.connection.execute(f"SELECT {columns} FROM {table} {where} ORDER BY {order}").fetchall():
            yield row_type(*row)

    def flush(self, state: ProjectionState, changes: UnitOfWork) -> None:
        """Writes all changes and clears `changes`. Call inside a transaction."""
        self._write_new(changes)
        self._write_changed(changes)
        self._write_kept(changes)
        self._write_state(state)
        changes.clear()

    def _write_new(self, changes: UnitOfWork) -> None:
        self._many(_INSERT_EVENT, _tuples(changes.new_events))
        self._many(_INSERT_TICK, _tuples(changes.new_ticks.values()))
        self._many(_INSERT_INVOCATION, _tuples(changes.new_invocations))
        self._many(_INSERT_STATUS, _tuples(changes.new_statuses))
        self._many(_INSERT_RUN, _tuples(changes.new_runs))
        self._many(_INSERT_PARTICIPANT, _tuples(changes.new_participants))
        self._many(_INSERT_NOTICE, _tuples(changes.new_notices.values()))
        self._many(_INSERT_VOID, _tuples(changes.new_voids))
        self._many(_ADD_ACTIVITY, [(*minute, *counted) for minute, counted in changes.activity.items()])
        totals: Counter[str] = Counter()
        for (_, kind), (count, _) in changes.activity.items():
            totals[kind] += count
        self._many(_ADD_TOTAL, list(totals.items()))
        self._many(_ADD_TALLY, [(*key, difference) for key, difference in changes.tally.items()])
        self._many(_WIDEN_BLOCK, [(block, *span) for block, span in changes.blocks.items()])

    def _write_changed(self, changes: UnitOfWork) -> None:
        new = {row.position for row in changes.new_events}
        raised = [(row.outcome, at) for at, row in changes.changed_events.items() if at not in new]
        self._many("UPDATE events SET outcome = ? WHERE position = ?", raised)
        new = {row.position for row in changes.new_invocations}
        moved = [_moved(row) for at, row in changes.changed_invocations.items() if at not in new]
        self._many(_UPDATE_INVOCATION, moved)

    def _write_kept(self, changes: UnitOfWork) -> None:
        removed = [key for key, row in changes.kept.items() if row is None]
        self._many("DELETE FROM kept WHERE trigger_id = ? AND condition_id = ? AND entry_id = ?", removed)
        self._many(_PUT_KEPT, _tuples(row for row in changes.kept.values() if row is not None))

    def _write_state(self, state: ProjectionState) -> None:
        for trigger_id, position, starts in state.listening:
            self._set_listening(state, trigger_id, position, starts=starts)
        self._many(_PUT_TRIGGER, _tuples(state.triggers[trigger_id] for trigger_id in state.changed_triggers))
        self._many(_PUT_ELECTED, _tuples(state.elected.values()))
        state.changed_triggers.clear()
        state.listening.clear()
        state.save()
        self.connection.execute(_PUT_PROGRESS, msgspec.structs.astuple(state.progress))

    def _set_listening(self, state: ProjectionState, trigger_id: str, position: int, *, starts: bool) -> None:
        if starts:
            rows = [(*pair, trigger_id, position) for pair in listened_to(state.definitions[trigger_id])]
            self._many(_START_LISTENING, rows)
        else:
            self._many(_STOP_LISTENING, [(position, trigger_id)])

    def _many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self.connection.executemany(sql, rows)


def _tuples(rows: Iterable[TableRow]) -> list[tuple[Any, ...]]:
    astuple = msgspec.structs.astuple
    return [astuple(row) for row in rows]


def _moved(row: InvocationRow) -> tuple[Any, ...]:
    return (
        row.status,
        row.attempt,
        row.claim_id,
        row.runner_id,
        row.recoveries,
        row.not_before,
        row.changed_at,
        row.changed_time,
        row.result,
        row.exception,
        row.position,
    )
