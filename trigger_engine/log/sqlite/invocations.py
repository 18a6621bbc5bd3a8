"""The table `invocations`: every invocation that the log knows, which is also the run queue."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from trigger_engine.core.lifecycle import WAITING, InvocationState
from trigger_engine.errors import SerializationError
from trigger_engine.log.admission import REGISTRATIONS, Registration
from trigger_engine.log.contract import Invocation
from trigger_engine.log.sqlite.apps import App, listed
from trigger_engine.log.sqlite.batches import insert_rows, update_rows
from trigger_engine.log.sqlite.schema import POSITIONS_PER_APP
from trigger_engine.log.sqlite.stored import stored_entry, stored_state

_STATE = "i.status, i.attempt, i.claim_id, i.runner_id, i.recoveries, i.not_before, i.changed_at"
_WHOLE = f"""
    SELECT i.place, {_STATE}, coalesce(i.registration, r.data), coalesce(i.latest, l.data)
    FROM invocations AS i
    LEFT JOIN entries AS r ON r.place = i.place
    LEFT JOIN entries AS l ON l.place = i.app * {POSITIONS_PER_APP} + i.changed_at
"""


class Row(msgspec.Struct, frozen=True, gc=False):
    """What an append needs to know of an invocation."""

    place: int
    queue: str
    state: InvocationState


def load_rows(connection: sqlite3.Connection, app: App, invocation_ids: Iterable[str]) -> dict[str, Row]:
    """Rows by invocation id."""
    found = connection.execute(
        f"SELECT i.id, i.place, i.queue, {_STATE} FROM invocations AS i "
        "WHERE i.app = ? AND i.id IN (SELECT value FROM json_each(?))",
        (app.number, listed(invocation_ids)),
    )
    return {row[0]: Row(row[1], row[2], stored_state(row[3:], app.position(row[1]))) for row in found}


def load_invocation(connection: sqlite3.Connection, app: App, invocation_id: str) -> Invocation | None:
    """One invocation by its id."""
    found = connection.execute(f"{_WHOLE} WHERE i.app = ? AND i.id = ?", (app.number, invocation_id))
    return next(_invocations(app, found), None)


def load_invocations(connection: sqlite3.Connection, app: App, places: Sequence[int]) -> list[Invocation]:
    """Invocations by their places, oldest first."""
    if not places:
        return []
    found = connection.execute(
        f"{_WHOLE} WHERE i.place IN (SELECT value FROM json_each(?)) ORDER BY i.place", (listed(places),)
    )
    return list(_invocations(app, found))


def add_invocations(
    connection: sqlite3.Connection,
    app: App,
    registered: Iterable[tuple[Registration, int, InvocationState]],
    now: float,
) -> None:
    """Inserts newly registered invocations: (registration, place, state)."""
    insert_rows(
        connection,
        "invocations (place, app, id, task_id, queue, status, attempt, claim_id, runner_id, recoveries, not_before, "
        "changed_at, ready_in, delayed_until)",
        [
            (place, app.number, entry.invocation_id, entry.task_id, entry.queue, *_columns(state, entry.queue, now))
            for entry, place, state in registered
        ],
    )


def move_invocations(connection: sqlite3.Connection, moved: Sequence[tuple[Row, InvocationState]], now: float) -> int:
    """Writes new states into rows that stand as they are said to; returns how many do."""
    return update_rows(
        connection,
        "invocations SET status = new.column3, attempt = new.column4, claim_id = new.column5, runner_id = new.column6, "
        "recoveries = new.column7, not_before = new.column8, changed_at = new.column9, ready_in = new.column10, "
        "delayed_until = new.column11, latest = NULL",
        "invocations.place = new.column1 AND invocations.changed_at = new.column2",
        [(row.place, row.state.changed_at, *_columns(state, row.queue, now)) for row, state in moved],
    )


def _columns(state: InvocationState, queue: str, now: float) -> tuple[Any, ...]:
    ready_in = delayed_until = None
    if state.status in WAITING:
        if state.not_before is None or state.not_before <= now:
            ready_in = queue
        else:
            delayed_until = state.not_before
    return (
        state.status.value,
        state.attempt,
        state.claim_id,
        state.runner_id,
        state.recoveries,
        state.not_before,
        state.changed_at,
        ready_in,
        delayed_until,
    )


def _invocations(app: App, rows: Iterable[tuple[Any, ...]]) -> Iterator[Invocation]:
    for place, *state, registration, latest in rows:
        position = app.position(place)
        moved = stored_state(state, position)
        entry = stored_entry(registration, position)
        if not isinstance(entry, REGISTRATIONS):
            raise SerializationError(
                f"position {position}: an invocation cannot begin with {type(entry).__name__}: the file is damaged, "
                "restore a backup"
            )
        yield Invocation(entry, position, moved, stored_entry(latest, moved.changed_at))
