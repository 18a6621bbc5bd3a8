"""Retention in small steps, and clearing an app."""

from __future__ import annotations

import sqlite3

from trigger_engine._storage.sqlite.apps import App, check, load_app
from trigger_engine._storage.sqlite.schema import POSITIONS_PER_APP
from trigger_engine.backend._contract import Cursor
from trigger_engine.backend._ids import fresh_id
from trigger_engine.errors import LogTrimmed

STEP = 2_000
"""Rows removed in one transaction; it limits how long other writers wait."""

_ENDED = "status IN ('success', 'failed', 'cancelled')"


def trim(
    connection: sqlite3.Connection, app_id: str, before: Cursor, *, keys_before: float, limit: int, path: str
) -> int:
    """Removes up to `limit` of the oldest entries before a cursor, and keys older than `keys_before`."""
    app = load_app(connection, app_id)
    try:
        check(connection, app, before, path)
    except LogTrimmed:
        limit = 0
    last = min(app.trimmed + limit, before.position - 1)
    if last > app.trimmed:
        _keep_open_invocations(connection, app, last)
        _keep_keys(connection, app, last, keys_before)
        connection.execute("DELETE FROM entries WHERE place > ? AND place <= ?", (app.place(0), app.place(last)))
        connection.execute("UPDATE apps SET trimmed = ? WHERE number = ?", (last, app.number))
    connection.execute("DELETE FROM keys WHERE app = ? AND used_at < ?", (app.number, keys_before))
    return max(last - app.trimmed, 0)


def _keep_open_invocations(connection: sqlite3.Connection, app: App, last: int) -> None:
    """Copies entries that open invocations need into their rows; removes ended invocations with all entries trimmed."""
    among = (app.place(0), app.place(last))
    connection.execute(
        f"DELETE FROM invocations WHERE place > ? AND place <= ? AND changed_at <= ? AND {_ENDED}", (*among, last)
    )
    connection.execute(
        "UPDATE invocations SET registration = (SELECT data FROM entries WHERE place = invocations.place) "
        "WHERE place > ? AND place <= ? AND registration IS NULL",
        among,
    )
    connection.execute(
        f"UPDATE invocations SET latest = (SELECT data FROM entries "
        f"WHERE place = invocations.app * {POSITIONS_PER_APP} + changed_at) "
        "WHERE place > ? AND place <= ? AND latest IS NULL AND changed_at <= ?",
        (*among, last),
    )


def _keep_keys(connection: sqlite3.Connection, app: App, last: int, keys_before: float) -> None:
    connection.execute(
        "INSERT INTO keys (app, id, position, used_at) SELECT app, id, place - ?, key_used_at FROM entries "
        "WHERE place > ? AND place <= ? AND key_used_at >= ? ON CONFLICT DO NOTHING",
        (app.place(0), app.place(0), app.place(last), keys_before),
    )


def clear(connection: sqlite3.Connection, app_id: str) -> None:
    """Gives the app a new, empty log; positions keep rising. `sweep` removes the rows of the old log."""
    app = load_app(connection, app_id)
    connection.execute("UPDATE apps SET app_id = NULL WHERE number = ?", (app.number,))
    (number,) = connection.execute(
        "INSERT INTO apps (app_id, log_id, tail, trimmed) VALUES (?, ?, ?, ?) RETURNING number",
        (app_id, fresh_id(), app.tail, app.tail),
    ).fetchone()
    connection.execute("UPDATE runners SET app = ? WHERE app = ?", (number, app.number))


def has_leftovers(connection: sqlite3.Connection, app_id: str) -> bool:
    """True when `sweep` has something to do."""
    return connection.execute("SELECT 1 FROM apps WHERE app_id IS NULL").fetchone() is not None


def sweep(connection: sqlite3.Connection, app_id: str) -> None:
    """Removes some rows of cleared logs."""
    row = connection.execute("SELECT number FROM apps WHERE app_id IS NULL LIMIT 1").fetchone()
    if row is None:
        return
    for table in ("entries", "invocations"):
        removed = connection.execute(
            f"DELETE FROM {table} WHERE place IN (SELECT place FROM {table} WHERE app = ? LIMIT ?)", (*row, STEP)
        )
        if removed.rowcount:
            return
    for table in ("keys", "terms", "leases", "checkpoints"):
        connection.execute(f"DELETE FROM {table} WHERE app = ?", row)
    connection.execute("DELETE FROM apps WHERE number = ?", row)
