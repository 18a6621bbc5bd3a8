"""The read model's database: opening it, and writing what a fold has changed. Used on one thread only."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from trigger_engine.history.board import Board, listened_to
from trigger_engine.history.changes import Changes
from trigger_engine.history.lookups import RowLookup
from trigger_engine.history.rows import (
    ElectedRow,
    EventRow,
    InvocationRow,
    KeptRow,
    NoticeRow,
    ParticipantRow,
    Progress,
    Row,
    RunRow,
    StatusRow,
    TickRow,
    TriggerRow,
    VoidRow,
)
from trigger_engine.history.schema import SCHEMA_VERSION, TABLES

_BUSY_TIMEOUT = 10.0
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -65536",
    "PRAGMA wal_autocheckpoint = 8000",
)


def _insert(table: str, row_type: type[Row], verb: str = "INSERT") -> str:
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
        """Closes the connection; twice is harmless."""
        self.connection.close()

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[None]:
        """A transaction: all of it or nothing. Without `write`, what is read in it is of one moment."""
        self.connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def reset(self) -> None:
        """Empties the read model, inside a transaction; whatever schema it had."""
        names = self.connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        for (name,) in names:
            self.connection.execute(f'DROP TABLE "{name}"')
        for statement in TABLES.split(";"):
            self.connection.execute(statement)
        self.connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def progress(self) -> Progress | None:
        """How far the log is folded; None before anything is."""
        columns = ", ".join(Progress.__struct_fields__)
        row = self.connection.execute(f"SELECT {columns} FROM progress").fetchone()
        return None if row is None else Progress(*row)

    def load_board(self, progress: Progress, max_contributions: int) -> Board:
        """What a fold needs to go on."""
        board = Board(progress, max_contributions)
        lookup = RowLookup(self.connection)
        for elected in self._rows("elected", ElectedRow, "position"):
            board.elect(elected)
        for trigger in self._rows("triggers", TriggerRow, "position"):
            board.load_trigger(trigger)
        for kept in self._rows("kept", KeptRow, "coalesce(settled_at, position), position", "WHERE waiting"):
            board.restore_kept(kept, lookup)
        return board

    def _rows(self, table: str, row_type: Any, order: str, where: str = "") -> Iterable[Any]:
        columns = ", ".join(row_type.__struct_fields__)
        for row in self.connection.execute(f"SELECT {columns} FROM {table} {where} ORDER BY {order}").fetchall():
            yield row_type(*row)

    def flush(self, board: Board, changes: Changes) -> None:
        """Writes everything that changed, inside a transaction, and clears `changes`."""
        self._write_new(changes)
        self._write_changed(changes)
        self._write_kept(changes)
        self._write_board(board)
        changes.clear()

    def _write_new(self, changes: Changes) -> None:
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

    def _write_changed(self, changes: Changes) -> None:
        new = {row.position for row in changes.new_events}
        raised = [(row.outcome, at) for at, row in changes.changed_events.items() if at not in new]
        self._many("UPDATE events SET outcome = ? WHERE position = ?", raised)
        new = {row.position for row in changes.new_invocations}
        moved = [_moved(row) for at, row in changes.changed_invocations.items() if at not in new]
        self._many(_UPDATE_INVOCATION, moved)

    def _write_kept(self, changes: Changes) -> None:
        gone = [key for key, row in changes.kept.items() if row is None]
        self._many("DELETE FROM kept WHERE trigger_id = ? AND condition_id = ? AND entry_id = ?", gone)
        self._many(_PUT_KEPT, _tuples(row for row in changes.kept.values() if row is not None))

    def _write_board(self, board: Board) -> None:
        for trigger_id, position, starts in board.listening:
            self._set_listening(board, trigger_id, position, starts=starts)
        self._many(_PUT_TRIGGER, _tuples(board.triggers[trigger_id] for trigger_id in board.changed_triggers))
        self._many(_PUT_ELECTED, _tuples(board.elected.values()))
        board.changed_triggers.clear()
        board.listening.clear()
        board.save()
        self.connection.execute(_PUT_PROGRESS, msgspec.structs.astuple(board.progress))

    def _set_listening(self, board: Board, trigger_id: str, position: int, *, starts: bool) -> None:
        if starts:
            rows = [(*pair, trigger_id, position) for pair in listened_to(board.definitions[trigger_id])]
            self._many(_START_LISTENING, rows)
        else:
            self._many(_STOP_LISTENING, [(position, trigger_id)])

    def _many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self.connection.executemany(sql, rows)


def _tuples(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
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
