"""Reading: the entries after a cursor, the two ends of the log, and one invocation."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from trigger_engine._model.entries import AnyEntry, Position
from trigger_engine._storage.sqlite.apps import check, cursor_at, load_app
from trigger_engine._storage.sqlite.invocations import load_invocation
from trigger_engine._storage.sqlite.rows import stored_entry
from trigger_engine.backend._contract import Batch, Cursor, Invocation

MAX_BATCH_BYTES = 16 * 1024 * 1024


def read(connection: sqlite3.Connection, app_id: str, after: Cursor, limit: int, path: str) -> Batch:
    """Up to `limit` entries after a cursor; fewer when they are very large."""
    app = load_app(connection, app_id)
    check(connection, app, after, path)
    if after.position >= app.tail:
        return Batch([], after)
    rows = connection.execute(
        "SELECT place, data FROM entries WHERE place > ? AND place <= ? ORDER BY place LIMIT ?",
        (app.place(after.position), app.place(app.tail), limit),
    )
    entries = _entries(rows, before=app.place(0))
    if not entries:
        return Batch([], after)
    position, entry = entries[-1]
    return Batch(entries, Cursor(app.log_id, position, entry.id))


def _entries(rows: Iterable[tuple[int, bytes]], before: int) -> list[tuple[Position, AnyEntry]]:
    """The entries of rows, up to MAX_BATCH_BYTES. `before`: the place before the app's first."""
    entries: list[tuple[Position, AnyEntry]] = []
    size = 0
    for place, data in rows:
        entries.append((place - before, stored_entry(data, place - before)))
        size += len(data)
        if size >= MAX_BATCH_BYTES:
            break
    return entries


def tail(connection: sqlite3.Connection, app_id: str) -> Cursor:
    """A cursor at the end of the log."""
    app = load_app(connection, app_id)
    return cursor_at(connection, app, app.tail)


def start(connection: sqlite3.Connection, app_id: str) -> Cursor:
    """A cursor before the first entry that is not trimmed."""
    app = load_app(connection, app_id)
    return Cursor(app.log_id, app.trimmed)


def invocation(connection: sqlite3.Connection, app_id: str, invocation_id: str) -> Invocation | None:
    """One invocation; None when it is unknown, or ended and trimmed."""
    return load_invocation(connection, load_app(connection, app_id), invocation_id)
