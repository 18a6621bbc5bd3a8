"""Removes old rows, by the retention recorded in the log and by caps on their number."""

from __future__ import annotations

import sqlite3

import msgspec

from trigger_engine._engine.lifecycle import FINAL
from trigger_engine._model.entries import Position, RetentionApplied
from trigger_engine._readmodel.store.rows import microseconds

_FINAL = "status IN ({})".format(", ".join(f"'{status.value}'" for status in sorted(FINAL)))

_KEEP_KEYS = f"""
INSERT OR REPLACE INTO used_keys SELECT event_id, time FROM events WHERE position < :before AND keyed;
INSERT OR REPLACE INTO used_keys SELECT entry_id, time FROM ticks WHERE position < :before;
INSERT OR REPLACE INTO used_keys SELECT invocation_id, coalesce(time, changed_time) FROM invocations
    WHERE position < :before AND changed_at < :before AND {_FINAL} AND keyed;
DELETE FROM used_keys WHERE time < :keys_before
"""
_PURGE = f"""
DELETE FROM events WHERE position < :before;
DELETE FROM ticks WHERE position < :before;
DELETE FROM participants WHERE run_position < :before;
DELETE FROM runs WHERE position < :before;
DELETE FROM statuses WHERE invocation_position IN (
    SELECT position FROM invocations WHERE position < :before AND changed_at < :before AND {_FINAL});
DELETE FROM invocations WHERE position < :before AND changed_at < :before AND {_FINAL};
DELETE FROM kept WHERE position < :before AND NOT waiting;
DELETE FROM listening WHERE stopped < :before;
DELETE FROM triggers WHERE state IN ('replaced', 'retired') AND state_position < :before;
DELETE FROM notices WHERE position < :before;
DELETE FROM void WHERE position < :before;
DELETE FROM blocks WHERE last_position < :before;
DELETE FROM activity WHERE last_position < :before
"""
_COUNT = """
DELETE FROM tallies;
INSERT INTO tallies SELECT 'event', outcome, count(*) FROM events GROUP BY outcome;
INSERT INTO tallies SELECT 'run', rejected, count(*) FROM runs GROUP BY rejected;
INSERT INTO tallies SELECT 'invocation', status, count(*) FROM invocations GROUP BY status;
INSERT INTO tallies SELECT 'void', '', count(*) FROM void
"""


class Caps(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the newest records are kept; 0 for all."""

    events: int = 0
    trigger_runs: int = 0


def purge(connection: sqlite3.Connection, entry: RetentionApplied) -> None:
    """Removes rows before the position recorded by retention. Open invocations and waiting contributions stay."""
    bounds = {"before": entry.before, "keys_before": microseconds(entry.keys_before)}
    for statement in (_KEEP_KEYS + ";" + _PURGE).split(";"):
        connection.execute(statement, bounds)
    recount(connection)


def recount(connection: sqlite3.Connection) -> None:
    """Recounts the rows after some were removed."""
    for statement in _COUNT.split(";"):
        connection.execute(statement)


def enforce(connection: sqlite3.Connection, caps: Caps) -> None:
    """Removes the oldest events and trigger runs beyond the caps."""
    last = _last_beyond(connection, "event", "events", caps.events)
    if last is not None:
        connection.execute(
            "INSERT OR REPLACE INTO used_keys SELECT event_id, time FROM events WHERE position <= ? AND keyed", (last,)
        )
        _remove(connection, "event", "events", "outcome", last)
    last = _last_beyond(connection, "run", "runs", caps.trigger_runs)
    if last is not None:
        connection.execute("DELETE FROM participants WHERE run_position <= ?", (last,))
        _remove(connection, "run", "runs", "rejected", last)


def _last_beyond(connection: sqlite3.Connection, kind: str, table: str, cap: int) -> Position | None:
    """Returns the newest position beyond the cap, or None if the cap is not exceeded."""
    ((count,),) = connection.execute("SELECT total(count) FROM tallies WHERE kind = ?", (kind,)).fetchall()
    if not cap or count <= cap:
        return None
    ((last,),) = connection.execute(
        f"SELECT position FROM {table} ORDER BY position LIMIT 1 OFFSET ?", (int(count) - cap - 1,)
    ).fetchall()
    return int(last)


def _remove(connection: sqlite3.Connection, kind: str, table: str, value: str, last: Position) -> None:
    connection.execute(
        f"""INSERT INTO tallies SELECT '{kind}', {value}, -count(*) FROM {table} WHERE position <= ? GROUP BY {value}
        ON CONFLICT (kind, value) DO UPDATE SET count = count + excluded.count""",
        (last,),
    )
    connection.execute(f"DELETE FROM {table} WHERE position <= ?", (last,))
