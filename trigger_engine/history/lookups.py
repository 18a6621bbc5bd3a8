"""Single rows by their ids: what a fold asks of the rows that were written before."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from typing import TypeVar

import msgspec

from trigger_engine.history.rows import EventRow, InvocationRow, RunRow, Source, TickRow

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
    """Looks rows up. What is large in them (payloads, arguments, results) is left out."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def event(self, event_id: str) -> EventRow | None:
        """An event."""
        return next(iter(self.events([event_id])), None)

    def events(self, event_ids: Collection[str]) -> list[EventRow]:
        """The events with these ids that there are."""
        return self._all("events", "event_id", _EVENT_COLUMNS, EventRow, event_ids)

    def key_used(self, entry_id: str) -> bool:
        """Whether a purged entry had this id, which may not come again."""
        return self._execute("SELECT 1 FROM used_keys WHERE entry_id = ?", (entry_id,)).fetchone() is not None

    def tick(self, entry_id: str) -> TickRow | None:
        """A cron tick."""
        row = self._execute(f"SELECT {_TICK_COLUMNS} FROM ticks WHERE entry_id = ?", (entry_id,)).fetchone()
        return None if row is None else TickRow(*row)

    def run(self, run_id: str) -> RunRow | None:
        """A trigger run."""
        return next(iter(self.runs([run_id])), None)

    def runs(self, run_ids: Collection[str]) -> list[RunRow]:
        """The trigger runs with these ids that there are."""
        return self._all("runs", "run_id", _RUN_COLUMNS, RunRow, run_ids)

    def invocation(self, invocation_id: str) -> InvocationRow | None:
        """An invocation."""
        return next(iter(self.invocations([invocation_id])), None)

    def invocations(self, invocation_ids: Collection[str]) -> list[InvocationRow]:
        """The invocations with these ids that there are."""
        return self._all("invocations", "invocation_id", _INVOCATION_COLUMNS, InvocationRow, invocation_ids)

    def status(self, entry_id: str) -> Source | None:
        """What a status entry was."""
        row = self._execute(_STATUS, (entry_id,)).fetchone()
        return None if row is None else Source(*row)

    def noted(self, entry_id: str) -> bool:
        """Whether a leader's notice with this id is there."""
        return self._execute("SELECT 1 FROM notices WHERE entry_id = ?", (entry_id,)).fetchone() is not None

    def contributed(self, trigger_id: str, condition_id: str, entry_id: str) -> bool:
        """Whether an entry was kept for a condition, or took part in a run of the trigger."""
        ids = {"trigger": trigger_id, "condition": condition_id, "entry": entry_id}
        return self._execute(_CONTRIBUTED, ids).fetchone() is not None

    def _all(self, table: str, key: str, columns: str, row_type: Callable[..., R], ids: Collection[str]) -> list[R]:
        sql = f"SELECT {columns} FROM {table} WHERE {key} IN (SELECT value FROM json_each(?))"
        return [row_type(*row) for row in self._execute(sql, (msgspec.json.encode(list(ids)).decode(),)).fetchall()]
