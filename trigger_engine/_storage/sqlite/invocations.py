"""The table `invocations`: every invocation that the log knows. It is also the run queue."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from trigger_engine._engine.lifecycle import WAITING, InvocationState
from trigger_engine._storage.sqlite.apps import App
from trigger_engine._storage.sqlite.rows import (
    insert_rows,
    json_list,
    stored_bytes,
    stored_entry,
    stored_row,
    stored_state,
    update_rows,
)
from trigger_engine._storage.sqlite.schema import POSITIONS_PER_APP
from trigger_engine.backend._append_validation import REGISTRATIONS, Registration
from trigger_engine.backend._contract import Invocation
from trigger_engine.errors import SerializationError

_STATE = "i.status, i.attempt, i.claim_id, i.runner_id, i.recoveries, i.not_before, i.changed_at"
_STATE_JSON = "json_array(i.status, i.attempt, i.claim_id, i.runner_id, i.recoveries, NULL, i.changed_at)"
_WHOLE = f"""
    SELECT i.place, {_STATE}, coalesce(i.registration, r.data), coalesce(i.latest, l.data)
    FROM invocations AS i
    LEFT JOIN entries AS r ON r.place = i.place
    LEFT JOIN entries AS l ON l.place = i.app * {POSITIONS_PER_APP} + i.changed_at
"""


class StoredInvocation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an append needs to know of an invocation."""

    invocation_id: str
    place: int
    queue: str
    state: InvocationState


_decoder = msgspec.json.Decoder(list[StoredInvocation])


def load_stored(
    connection: sqlite3.Connection, app: App, invocation_ids: Collection[str]
) -> dict[str, StoredInvocation]:
    """The known ones of these invocations, by id."""
    if not invocation_ids:
        return {}
    among = "FROM invocations AS i WHERE i.app = ? AND i.id IN (SELECT value FROM json_each(?))"
    parameters = (app.number, json_list(invocation_ids))
    # All rows in one JSON text: fetching them one by one takes three times as long.
    data, delayed = connection.execute(
        f"SELECT json_group_array(json_array(i.id, i.place, i.queue, {_STATE_JSON})), count(i.not_before) {among}",
        parameters,
    ).fetchone()
    found = {each.invocation_id: each for each in stored_bytes(data, _decoder, "the row of an invocation")}
    if delayed:
        # JSON would round the times.
        for invocation_id, not_before in connection.execute(
            f"SELECT i.id, i.not_before {among} AND i.not_before IS NOT NULL", parameters
        ):
            stored = found[invocation_id]
            time = stored_row(not_before, float, f"the row of the invocation {invocation_id}")
            state = msgspec.structs.replace(stored.state, not_before=time)
            found[invocation_id] = msgspec.structs.replace(stored, state=state)
    return found


def load_invocation(connection: sqlite3.Connection, app: App, invocation_id: str) -> Invocation | None:
    """One invocation by its id, None when the log does not know it."""
    found = connection.execute(f"{_WHOLE} WHERE i.app = ? AND i.id = ?", (app.number, invocation_id))
    return next(_invocations(app, found), None)


def load_invocations(connection: sqlite3.Connection, app: App, places: Sequence[int]) -> list[Invocation]:
    """Invocations by their places, oldest first."""
    if not places:
        return []
    found = connection.execute(
        f"{_WHOLE} WHERE i.place IN (SELECT value FROM json_each(?)) ORDER BY i.place", (json_list(places),)
    )
    return list(_invocations(app, found))


def insert_invocations(
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


def move_invocations(
    connection: sqlite3.Connection, moved: Sequence[tuple[StoredInvocation, InvocationState]], now: float
) -> None:
    """Updates the rows of invocations to their new states."""
    update_rows(
        connection,
        "invocations SET status = new.column2, attempt = new.column3, claim_id = new.column4, runner_id = new.column5, "
        "recoveries = new.column6, not_before = new.column7, changed_at = new.column8, ready_in = new.column9, "
        "delayed_until = new.column10, latest = NULL",
        "invocations.place = new.column1",
        [(stored.place, *_columns(state, stored.queue, now)) for stored, state in moved],
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
        current = stored_state(state, position)
        entry = stored_entry(registration, position)
        if not isinstance(entry, REGISTRATIONS):
            raise SerializationError(
                f"position {position}: an invocation cannot begin with {type(entry).__name__}: the file is damaged, "
                "restore a backup"
            )
        yield Invocation(entry, position, current, stored_entry(latest, current.changed_at))
