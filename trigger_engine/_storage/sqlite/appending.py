"""The append: one transaction that stores the accepted entries and moves the run queue.

It first assumes that every id is new. A repeated entry then violates a unique index or is refused, and the transaction
is rolled back and run again with all ids looked up. Looking them up every time costs 4 % of a run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain

import msgspec

from trigger_engine._model.encoding import encode_entry
from trigger_engine._model.entries import AnyEntry, Position, StatusEntry
from trigger_engine._storage.sqlite.apps import App, load_app
from trigger_engine._storage.sqlite.database import Database
from trigger_engine._storage.sqlite.invocations import (
    StoredInvocation,
    insert_invocations,
    load_stored,
    move_invocations,
)
from trigger_engine._storage.sqlite.rows import insert_rows, json_list
from trigger_engine.backend._append_validation import (
    REGISTRATIONS,
    AppendValidation,
    LogState,
    check_status_entries_alone,
    is_keyed,
    is_leader_entry,
    validate_append,
)
from trigger_engine.backend._contract import Part, Refused

EncodedEntries = Mapping[int, bytes]
"""The bytes of entries by `id(entry)`: a batch may hold different entries with the same entry id."""


class Appended(msgspec.Struct, frozen=True):
    """What a transaction stored, in which log; `size` is the number of bytes of the batch."""

    log_id: str
    validation: AppendValidation
    size: int


class _IdsNeeded(Exception):
    """An entry may be stored already: nothing may be committed before the ids are looked up."""


def encode_parts(parts: Sequence[Part]) -> EncodedEntries:
    """Encodes every entry. Raises SerializationError, and ValueError for an invalid part."""
    check_status_entries_alone(parts)
    return {id(entry): encode_entry(entry) for entry in chain.from_iterable(parts)}


def append(database: Database, app_id: str, parts: Sequence[Part], encoded: EncodedEntries, now: float) -> Appended:
    """Stores the accepted parts in one transaction; an entry that is stored already keeps its position."""
    transaction = partial(_append, app_id=app_id, parts=parts, encoded=encoded, now=now)
    try:
        return database.write(partial(transaction, look_up_ids=False))
    except _IdsNeeded:
        return database.write(partial(transaction, look_up_ids=True))


def _append(
    connection: sqlite3.Connection,
    *,
    app_id: str,
    parts: Sequence[Part],
    encoded: EncodedEntries,
    now: float,
    look_up_ids: bool,
) -> Appended:
    app = load_app(connection, app_id)
    entries = list(chain.from_iterable(parts))
    moved = {entry.invocation_id for entry in entries if isinstance(entry, StatusEntry)}
    registered = {entry.invocation_id for entry in entries if isinstance(entry, REGISTRATIONS)}
    ids = _load_kept_keys(connection, app, entries)
    if look_up_ids:
        ids.update(_load_positions(connection, app, entries))
    invocations = load_stored(connection, app, moved | registered if look_up_ids else moved - registered)
    try:
        appended = store(connection, app, parts, ids=ids, invocations=invocations, encoded=encoded, now=now)
    except sqlite3.IntegrityError as exc:
        if look_up_ids:
            raise
        raise _IdsNeeded from exc
    if not look_up_ids and any(isinstance(outcome, Refused) for outcome in appended.validation.outcomes):
        raise _IdsNeeded
    return appended


def store(
    connection: sqlite3.Connection,
    app: App,
    parts: Sequence[Part],
    *,
    ids: dict[str, Position],
    invocations: Mapping[str, StoredInvocation],
    encoded: EncodedEntries,
    now: float,
) -> Appended:
    """Validates parts and stores the accepted ones, in the open transaction.

    `ids`: positions of entries that are stored already. `invocations`: those that the parts refer to. Raises
    sqlite3.IntegrityError for an id that is stored but missing in these.
    """
    log_state = LogState(
        tail=app.tail,
        ids=ids,
        terms=_load_terms(connection, app) if any(map(is_leader_entry, chain.from_iterable(parts))) else {},
        states={invocation_id: stored.state for invocation_id, stored in invocations.items()},
        registered_at={invocation_id: app.position(stored.place) for invocation_id, stored in invocations.items()},
    )
    validation = validate_append(parts, log_state)
    if validation.accepted:
        _store_entries(connection, app, validation, encoded)
        _store_terms(connection, app, validation)
        _store_states(connection, app, validation, invocations, now)
        connection.execute("UPDATE apps SET tail = ? WHERE number = ?", (log_state.tail, app.number))
    return Appended(app.log_id, validation, sum(map(len, encoded.values())))


def _store_entries(
    connection: sqlite3.Connection, app: App, validation: AppendValidation, encoded: EncodedEntries
) -> None:
    insert_rows(
        connection,
        "entries (place, app, id, key_used_at, data)",
        [
            (app.place(position), app.number, entry.id, entry.time if is_keyed(entry) else None, encoded[id(entry)])
            for position, entry in validation.accepted
        ],
    )


def _store_terms(connection: sqlite3.Connection, app: App, validation: AppendValidation) -> None:
    for name, position in validation.elected.items():
        connection.execute(
            "INSERT INTO terms (app, name, position) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET position = excluded.position",
            (app.number, name, position),
        )


def _store_states(
    connection: sqlite3.Connection,
    app: App,
    validation: AppendValidation,
    invocations: Mapping[str, StoredInvocation],
    now: float,
) -> None:
    states = validation.moved
    if not states:
        return
    move_invocations(
        connection, [(invocations[each], state) for each, state in states.items() if each in invocations], now
    )
    registered = [
        (entry, app.place(position), states[entry.invocation_id])
        for position, entry in validation.accepted
        if isinstance(entry, REGISTRATIONS)
    ]
    insert_invocations(connection, app, registered, now)


def _load_positions(connection: sqlite3.Connection, app: App, entries: Sequence[AnyEntry]) -> dict[str, Position]:
    """Positions of the entries that are stored already."""
    found = connection.execute(
        "SELECT id, place FROM entries WHERE app = ? AND id IN (SELECT value FROM json_each(?))",
        (app.number, json_list(entry.id for entry in entries)),
    )
    return {entry_id: app.position(place) for entry_id, place in found}


def _load_kept_keys(connection: sqlite3.Connection, app: App, entries: Sequence[AnyEntry]) -> dict[str, Position]:
    """Positions of keyed entries that were trimmed."""
    keyed = [entry.id for entry in entries if is_keyed(entry)]
    if not keyed:
        return {}
    found = connection.execute(
        "SELECT id, position FROM keys WHERE app = ? AND id IN (SELECT value FROM json_each(?))",
        (app.number, json_list(keyed)),
    )
    return dict(found.fetchall())


def _load_terms(connection: sqlite3.Connection, app: App) -> dict[str, Position]:
    return dict(connection.execute("SELECT name, position FROM terms WHERE app = ?", (app.number,)).fetchall())
