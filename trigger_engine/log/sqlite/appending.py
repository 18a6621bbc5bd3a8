"""The append transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from trigger_engine.entries.encoding import encode_entry
from trigger_engine.entries.facts import AnyEntry, StatusEntry
from trigger_engine.log.admission import REGISTRATIONS, Admission, Standing, admit, check_parts, is_keyed
from trigger_engine.log.contract import Part
from trigger_engine.log.sqlite.apps import App, listed, load_app
from trigger_engine.log.sqlite.invocations import Row, add_invocations, load_rows, move_invocations

_OF_AN_INVOCATION = (StatusEntry, *REGISTRATIONS)

Encoded = dict[int, bytes]
"""The bytes of entries, by the identity of the object: a batch may hold different entries with one id."""


def encode_parts(parts: Sequence[Part]) -> Encoded:
    """Encodes every entry. Raises SerializationError, and ValueError for a part that is none."""
    check_parts(parts)
    return {id(entry): encode_entry(entry) for entry in _entries(parts)}


def append(
    connection: sqlite3.Connection, app_id: str, parts: Sequence[Part], encoded: Encoded, now: float
) -> tuple[str, Admission]:
    """Stores what is admitted and moves the run queue, in the transaction that is open; also tells the log's id."""
    app = load_app(connection, app_id)
    rows = load_rows(connection, app, _invocation_ids(parts))
    return app.log_id, admit_and_store(connection, app, rows, parts, encoded=encoded, now=now)


def admit_and_store(
    connection: sqlite3.Connection,
    app: App,
    rows: dict[str, Row],
    parts: Sequence[Part],
    *,
    encoded: Encoded,
    now: float,
) -> Admission:
    """Appends parts whose invocations' rows are `rows`."""
    standing = Standing(
        tail=app.tail,
        ids=_known_ids(connection, app, parts),
        terms=_terms(connection, app),
        states={invocation_id: row.state for invocation_id, row in rows.items()},
        registered_at={invocation_id: app.position(row.place) for invocation_id, row in rows.items()},
    )
    admission = admit(parts, standing)
    if admission.accepted:
        _store_entries(connection, app, admission, encoded)
        _store_states(connection, app, admission, rows, now)
        connection.execute("UPDATE apps SET tail = ? WHERE number = ?", (standing.tail, app.number))
    return admission


def _store_entries(connection: sqlite3.Connection, app: App, admission: Admission, encoded: Encoded) -> None:
    connection.executemany(
        "INSERT INTO entries (place, app, id, key_used_at, data) VALUES (?, ?, ?, ?, ?)",
        [
            (app.place(position), app.number, entry.id, entry.time if is_keyed(entry) else None, encoded[id(entry)])
            for position, entry in admission.accepted
        ],
    )
    connection.executemany(
        "INSERT INTO terms (app, name, position) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET position = excluded.position",
        [(app.number, name, position) for name, position in admission.elected.items()],
    )


def _store_states(
    connection: sqlite3.Connection,
    app: App,
    admission: Admission,
    rows: dict[str, Row],
    now: float,
) -> None:
    registered = [
        (entry, app.place(position), admission.moved[entry.invocation_id])
        for position, entry in admission.accepted
        if isinstance(entry, REGISTRATIONS)
    ]
    add_invocations(connection, app, registered, now)
    moved = [(rows[each], state) for each, state in admission.moved.items() if each in rows]
    move_invocations(connection, moved, now)


def _known_ids(connection: sqlite3.Connection, app: App, parts: Sequence[Part]) -> dict[str, int]:
    """Positions of those entries that stand in the log already, or whose key outlived its entry."""
    found = connection.execute(
        "SELECT id, place FROM entries WHERE app = ? AND id IN (SELECT value FROM json_each(?))",
        (app.number, listed(entry.id for entry in _entries(parts))),
    )
    known = {entry_id: app.position(place) for entry_id, place in found}
    keyed = [entry.id for entry in _entries(parts) if is_keyed(entry)]
    if keyed:
        known.update(
            connection.execute(
                "SELECT id, position FROM keys WHERE app = ? AND id IN (SELECT value FROM json_each(?))",
                (app.number, listed(keyed)),
            ).fetchall()
        )
    return known


def _terms(connection: sqlite3.Connection, app: App) -> dict[str, int]:
    return dict(connection.execute("SELECT name, position FROM terms WHERE app = ?", (app.number,)).fetchall())


def _invocation_ids(parts: Sequence[Part]) -> set[str]:
    return {entry.invocation_id for entry in _entries(parts) if isinstance(entry, _OF_AN_INVOCATION)}


def _entries(parts: Sequence[Part]) -> Iterator[AnyEntry]:
    return (entry for part in parts for entry in part)
