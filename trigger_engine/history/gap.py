"""Going on past entries that were trimmed unread: what became of the invocations that were open before them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

import msgspec

from trigger_engine.core.lifecycle import FINAL
from trigger_engine.entries.facts import Failed, Position, Retried, StatusEntry, Succeeded
from trigger_engine.history.changes import Changes
from trigger_engine.history.invocation_rows import set_state
from trigger_engine.history.retention import count_again
from trigger_engine.history.rows import InvocationRow, microseconds
from trigger_engine.log.contract import Invocation

_ENDED = "SELECT position FROM invocations WHERE invocation_id IN (SELECT value FROM json_each(?))"
_FORGET = f"""
INSERT OR REPLACE INTO used_keys SELECT invocation_id, coalesce(time, changed_time) FROM invocations
    WHERE keyed AND position IN ({_ENDED});
DELETE FROM participants WHERE run_position IN ({_ENDED});
DELETE FROM runs WHERE position IN ({_ENDED});
DELETE FROM statuses WHERE invocation_position IN ({_ENDED});
DELETE FROM invocations WHERE position IN ({_ENDED})
"""
_encode = msgspec.msgpack.Encoder().encode


def open_invocations(connection: sqlite3.Connection) -> list[str]:
    """The ids of all invocations that have not ended, as far as was read."""
    marks = ", ".join("?" * len(FINAL))
    rows = connection.execute(
        f"SELECT invocation_id FROM invocations WHERE status NOT IN ({marks})", [status.value for status in FINAL]
    )
    return [invocation_id for (invocation_id,) in rows.fetchall()]


def bridge(
    known: Mapping[str, Invocation | None], start: Position, connection: sqlite3.Connection, changes: Changes
) -> None:
    """Brings invocations that were open to how they stand at the log's start.

    `known`: what the log knows of each now. Those of which it knows nothing have ended, and all their entries are
    trimmed: they are removed, as retention would have done. What moved after `start` will be folded.
    """
    forget([invocation_id for invocation_id, one in known.items() if one is None], connection)
    for invocation_id, invocation in known.items():
        row = changes.invocation(invocation_id)
        if invocation is not None and row is not None and row.changed_at < invocation.state.changed_at <= start:
            _move(row, invocation, changes)


def forget(invocation_ids: Collection[str], connection: sqlite3.Connection) -> None:
    """Removes invocations, with the runs that began them."""
    ids = msgspec.json.encode(list(invocation_ids)).decode()
    for statement in _FORGET.split(";"):
        connection.execute(statement, (ids,))
    count_again(connection)


def _move(row: InvocationRow, invocation: Invocation, changes: Changes) -> None:
    changes.tally["invocation", row.status] -= 1
    changes.tally["invocation", invocation.state.status.value] += 1
    set_state(row, invocation.state)
    latest = invocation.latest
    if isinstance(latest, StatusEntry):
        row.changed_time = microseconds(latest.time)
    if isinstance(latest, Succeeded):
        row.result = bytes(latest.result)
    elif isinstance(latest, (Failed, Retried)):
        row.exception = _encode(latest.exception)
    changes.changed_invocations[row.position] = row
