"""What only reads: the entries after a bookmark, and the log's two ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from trigger_engine.entries.facts import AnyEntry, Position
from trigger_engine.log.contract import Batch, Bookmark, Invocation
from trigger_engine.log.sqlite.apps import bookmark_at, check, load_app
from trigger_engine.log.sqlite.invocations import load_invocation
from trigger_engine.log.sqlite.stored import stored_entry

MAX_BATCH_BYTES = 16 * 1024 * 1024


def read(connection: sqlite3.Connection, app_id: str, after: Bookmark, limit: int, path: str) -> Batch:
    """The next entries after a bookmark; fewer than there are when they are very large."""
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
    return Batch(entries, Bookmark(app.log_id, position, entry.id))


def _entries(rows: Iterable[tuple[int, bytes]], before: int) -> list[tuple[Position, AnyEntry]]:
    """The entries of rows up to a size. `before`: the place before the app's first one."""
    entries: list[tuple[Position, AnyEntry]] = []
    size = 0
    for place, data in rows:
        entries.append((place - before, stored_entry(data, place - before)))
        size += len(data)
        if size >= MAX_BATCH_BYTES:
            break
    return entries


def tail(connection: sqlite3.Connection, app_id: str) -> Bookmark:
    """Where the log ends."""
    app = load_app(connection, app_id)
    return bookmark_at(connection, app, app.tail)


def start(connection: sqlite3.Connection, app_id: str) -> Bookmark:
    """Before the first entry that is still there."""
    app = load_app(connection, app_id)
    return Bookmark(app.log_id, app.trimmed)


def invocation(connection: sqlite3.Connection, app_id: str, invocation_id: str) -> Invocation | None:
    """One invocation, until its entries are trimmed."""
    return load_invocation(connection, load_app(connection, app_id), invocation_id)
