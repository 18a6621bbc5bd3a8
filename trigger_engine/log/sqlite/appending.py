"""The append transaction.

It first trusts what its process knows: that the ids of the entries are new, and where the invocations stand. What it
writes shows whether that was right; if not, it is undone and made again with everything looked up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from trigger_engine.entries.encoding import encode_entry
from trigger_engine.entries.facts import AnyEntry, StatusEntry
from trigger_engine.log.admission import (
    REGISTRATIONS,
    Admission,
    Standing,
    admit,
    check_parts,
    is_keyed,
    is_of_a_term,
)
from trigger_engine.log.contract import Part, Refused
from trigger_engine.log.sqlite.apps import App, listed, load_app
from trigger_engine.log.sqlite.batches import insert_rows
from trigger_engine.log.sqlite.invocations import Row, add_invocations, load_rows, move_invocations
from trigger_engine.log.sqlite.known_rows import KnownRows

_OF_AN_INVOCATION = (StatusEntry, *REGISTRATIONS)

Encoded = dict[int, bytes]
"""The bytes of entries, by the identity of the object: a batch may hold different entries with one id."""


class Stored(msgspec.Struct, frozen=True):
    """What a transaction has stored. `rows`: those of the invocations that it made or moved, as they are now."""

    log_id: str
    admission: Admission
    rows: dict[str, Row]
    encoded: Encoded


class Outdated(Exception):
    """What was trusted is not so: nothing may be committed."""


def encode_parts(parts: Sequence[Part]) -> Encoded:
    """Encodes every entry. Raises SerializationError, and ValueError for a part that is none."""
    check_parts(parts)
    return {id(entry): encode_entry(entry) for entry in _entries(parts)}


def append_trusting(
    connection: sqlite3.Connection,
    app_id: str,
    parts: Sequence[Part],
    *,
    encoded: Encoded,
    now: float,
    known: KnownRows,
    file: object,
) -> Stored:
    """Stores parts and moves the run queue, in the transaction that is open, if all are to be accepted.

    `file`: which one is written to. Raises Outdated when it cannot tell.
    """
    app = load_app(connection, app_id)
    moved = {entry.invocation_id for entry in _entries(parts) if isinstance(entry, StatusEntry)}
    moved -= {entry.invocation_id for entry in _entries(parts) if isinstance(entry, REGISTRATIONS)}
    rows = known.find((app.log_id, file), moved)
    if len(rows) < len(moved):
        rows.update(load_rows(connection, app, moved - rows.keys()))
    try:
        stored = admit_and_store(
            connection, app, rows, _known_keys(connection, app, parts), parts, encoded=encoded, now=now
        )
    except sqlite3.IntegrityError as exc:
        raise Outdated("an entry or an invocation is there already") from exc
    if any(isinstance(outcome, Refused) for outcome in stored.admission.outcomes):
        raise Outdated("a part is not to be accepted, or its invocation has moved")
    return stored


def append(connection: sqlite3.Connection, app_id: str, parts: Sequence[Part], encoded: Encoded, now: float) -> Stored:
    """Stores what is admitted and moves the run queue, in the transaction that is open."""
    app = load_app(connection, app_id)
    rows = load_rows(connection, app, _invocation_ids(parts))
    ids = _known_ids(connection, app, parts) | _known_keys(connection, app, parts)
    return admit_and_store(connection, app, rows, ids, parts, encoded=encoded, now=now)


def admit_and_store(
    connection: sqlite3.Connection,
    app: App,
    rows: dict[str, Row],
    ids: dict[str, int],
    parts: Sequence[Part],
    *,
    encoded: Encoded,
    now: float,
) -> Stored:
    """Appends parts whose invocations' rows are `rows`, and of whose entries those of `ids` have positions already.

    Raises Outdated when a row is not as it is said to be, sqlite3.IntegrityError when an id is taken.
    """
    standing = Standing(
        tail=app.tail,
        ids=ids,
        terms=_terms(connection, app) if any(map(is_of_a_term, _entries(parts))) else {},
        states={invocation_id: row.state for invocation_id, row in rows.items()},
        registered_at={invocation_id: app.position(row.place) for invocation_id, row in rows.items()},
    )
    admission = admit(parts, standing)
    moved: dict[str, Row] = {}
    if admission.accepted:
        _store_entries(connection, app, admission, encoded)
        moved = _store_states(connection, app, admission, rows, now)
        connection.execute("UPDATE apps SET tail = ? WHERE number = ?", (standing.tail, app.number))
    return Stored(app.log_id, admission, moved, encoded)


def _store_entries(connection: sqlite3.Connection, app: App, admission: Admission, encoded: Encoded) -> None:
    insert_rows(
        connection,
        "entries (place, app, id, key_used_at, data)",
        [
            (app.place(position), app.number, entry.id, entry.time if is_keyed(entry) else None, encoded[id(entry)])
            for position, entry in admission.accepted
        ],
    )
    for name, position in admission.elected.items():
        connection.execute(
            "INSERT INTO terms (app, name, position) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET position = excluded.position",
            (app.number, name, position),
        )


def _store_states(
    connection: sqlite3.Connection, app: App, admission: Admission, rows: dict[str, Row], now: float
) -> dict[str, Row]:
    states = admission.moved
    if not states:
        return {}
    moved = {each: (rows[each], state) for each, state in states.items() if each in rows}
    if move_invocations(connection, list(moved.values()), now) < len(moved):
        raise Outdated("an invocation has moved")
    registered = [
        (entry, app.place(position), states[entry.invocation_id])
        for position, entry in admission.accepted
        if isinstance(entry, REGISTRATIONS)
    ]
    add_invocations(connection, app, registered, now)
    changed = {each: Row(row.place, row.queue, state) for each, (row, state) in moved.items()}
    changed.update((entry.invocation_id, Row(place, entry.queue, state)) for entry, place, state in registered)
    return changed


def _known_ids(connection: sqlite3.Connection, app: App, parts: Sequence[Part]) -> dict[str, int]:
    """Positions of those entries that stand in the log already."""
    found = connection.execute(
        "SELECT id, place FROM entries WHERE app = ? AND id IN (SELECT value FROM json_each(?))",
        (app.number, listed(entry.id for entry in _entries(parts))),
    )
    return {entry_id: app.position(place) for entry_id, place in found}


def _known_keys(connection: sqlite3.Connection, app: App, parts: Sequence[Part]) -> dict[str, int]:
    """Positions of those entries whose key has outlived its entry."""
    keyed = [entry.id for entry in _entries(parts) if is_keyed(entry)]
    if not keyed:
        return {}
    found = connection.execute(
        "SELECT id, position FROM keys WHERE app = ? AND id IN (SELECT value FROM json_each(?))",
        (app.number, listed(keyed)),
    )
    return dict(found.fetchall())


def _terms(connection: sqlite3.Connection, app: App) -> dict[str, int]:
    return dict(connection.execute("SELECT name, position FROM terms WHERE app = ?", (app.number,)).fetchall())


def _invocation_ids(parts: Sequence[Part]) -> set[str]:
    return {entry.invocation_id for entry in _entries(parts) if isinstance(entry, _OF_AN_INVOCATION)}


def _entries(parts: Sequence[Part]) -> Iterable[AnyEntry]:
    return chain.from_iterable(parts)
