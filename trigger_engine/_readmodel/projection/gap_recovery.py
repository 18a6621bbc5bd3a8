"""Recovers open invocations after entries were trimmed before they were read."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

import msgspec

from trigger_engine._engine.lifecycle import FINAL
from trigger_engine._model.entries import Failed, Position, Retried, StatusEntry, Succeeded
from trigger_engine._readmodel.projection.entry_rows import set_state
from trigger_engine._readmodel.projection.unit_of_work import UnitOfWork
from trigger_engine._readmodel.store.row_retention import recount
from trigger_engine._readmodel.store.rows import InvocationRow, microseconds
from trigger_engine.backend._contract import Invocation

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
    """Returns the ids of all invocations that have not ended so far."""
    marks = ", ".join("?" * len(FINAL))
    rows = connection.execute(
        f"SELECT invocation_id FROM invocations WHERE status NOT IN ({marks})", [status.value for status in FINAL]
    )
    return [invocation_id for (invocation_id,) in rows.fetchall()]


def recover_invocations(
    known: Mapping[str, Invocation | None], start: Position, connection: sqlite3.Connection, changes: UnitOfWork
) -> None:
    """Updates invocations that were open to their state at the start of the log.

    `known`: the log's current view of each. An invocation unknown to the log has ended and all its entries were
    trimmed; it is removed, as retention would have done. Moves after `start` are in the log.
    """
    remove_invocations([invocation_id for invocation_id, one in known.items() if one is None], connection)
    for invocation_id, invocation in known.items():
        row = changes.invocation(invocation_id)
        if invocation is not None and row is not None and row.changed_at < invocation.state.changed_at <= start:
            _move(row, invocation, changes)


def remove_invocations(invocation_ids: Collection[str], connection: sqlite3.Connection) -> None:
    """Removes invocations and the runs that started them."""
    ids = msgspec.json.encode(list(invocation_ids)).decode()
    for statement in _FORGET.split(";"):
        connection.execute(statement, (ids,))
    recount(connection)


def _move(row: InvocationRow, invocation: Invocation, changes: UnitOfWork) -> None:
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
