"""Looks up rows by id in the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from typing import TypeVar

import msgspec

from trigger_engine._readmodel.store.rows import EventRow, InvocationRow, RunRow, Source, TickRow

R = TypeVar("R")
_EVENT_COLUMNS = ", ".join(EventRow.__struct_fields__[:9])
_INVOCATION_COLUMNS = ", ".join(
    {"result": "NULL", "exception": "NULL", "arguments": "x''"}.get(name, name)
    for name in InvocationRow.__struct_fields__
)
_RUN_COLUMNS = ", ".join(RunRow.__struct_fields__)
_TICK_COLUMNS = ", ".join(TickRow.__struct_fields__)
_CONTRIBUTED = """
    SELECT 1 FROM kept WHERE trigger_id = :trigger AND condition_id = :condition AND entry_id = :entry
    UNION ALL
    SELECT 1 FROM participants JOIN runs ON runs.position = run_position
    WHERE entry_id = :entry AND trigger_id = :trigger LIMIT 1"""
_STATUS = """
    SELECT statuses.position, 'status', statuses.time, NULL, invocation_id, statuses.status
    FROM statuses JOIN invocations ON invocations.position = invocation_position WHERE entry_id = ?"""


class RowLookup:
    """Looks up rows. Large columns (payloads, arguments, results) are not loaded."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def event(self, event_id: str) -> EventRow | None:
        """Returns an event, or None."""
        return next(iter(self.events([event_id])), None)

    def events(self, event_ids: Collection[str]) -> list[EventRow]:
        """Returns the existing events with these ids."""
        return self._all("events", "event_id", _EVENT_COLUMNS, EventRow, event_ids)

    def key_used(self, entry_id: str) -> bool:
        """Returns whether a purged entry had this id, which must not be reused."""
        return self._execute("SELECT 1 FROM used_keys WHERE entry_id = ?", (entry_id,)).fetchone() is not None

    def tick(self, entry_id: str) -> TickRow | None:
        """Returns a cron tick, or None."""
        row = self._execute(f"SELECT {_TICK_COLUMNS} FROM ticks WHERE entry_id = ?", (entry_id,)).fetchone()
        return None if row is None else TickRow(*row)

    def run(self, run_id: str) -> RunRow | None:
        """Returns a trigger run, or None."""
        return next(iter(self.runs([run_id])), None)

    def runs(self, run_ids: Collection[str]) -> list[RunRow]:
        """Returns the existing trigger runs with these ids."""
        return self._all("runs", "run_id", _RUN_COLUMNS, RunRow, run_ids)

    def invocation(self, invocation_id: str) -> InvocationRow | None:
        """Returns an invocation, or None."""
        return next(iter(self.invocations([invocation_id])), None)

    def invocations(self, invocation_ids: Collection[str]) -> list[InvocationRow]:
        """Returns the existing invocations with these ids."""
        return self._all("invocations", "invocation_id", _INVOCATION_COLUMNS, InvocationRow, invocation_ids)

    def status(self, entry_id: str) -> Source | None:
        """Returns the source that a status entry is, or None."""
        row = self._execute(_STATUS, (entry_id,)).fetchone()
        return None if row is None else Source(*row)

    def has_notice(self, entry_id: str) -> bool:
        """Returns whether a notice with this id exists."""
        return self._execute("SELECT 1 FROM notices WHERE entry_id = ?", (entry_id,)).fetchone() is not None

    def has_contribution(self, trigger_id: str, condition_id: str, entry_id: str) -> bool:
        """Returns whether an entry was kept for a condition or took part in a run of the trigger."""
        ids = {"trigger": trigger_id, "condition": condition_id, "entry": entry_id}
        return self._execute(_CONTRIBUTED, ids).fetchone() is not None

    def _all(self, table: str, key: str, columns: str, row_type: Callable[..., R], ids: Collection[str]) -> list[R]:
        sql = f"SELECT {columns} FROM {table} WHERE {key} IN (SELECT value FROM json_each(?))"
        return [row_type(*row) for row in self._execute(sql, (msgspec.json.encode(list(ids)).decode(),)).fetchall()]
