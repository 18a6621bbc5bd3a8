"""The table `apps`: an app's number in this file, the identity of its log, and where its log begins and ends."""

from __future__ import annotations

import sqlite3

import msgspec

from trigger_engine._model.entries import Position
from trigger_engine._storage.sqlite.failures import AppIsGone
from trigger_engine._storage.sqlite.rows import stored_row
from trigger_engine._storage.sqlite.schema import POSITIONS_PER_APP
from trigger_engine.backend._contract import Cursor
from trigger_engine.backend._cursor import check_cursor
from trigger_engine.backend._ids import fresh_id


class App(msgspec.Struct, frozen=True, array_like=True):
    """An app as one transaction sees it. `tail`, `trimmed`: the newest positions assigned and removed."""

    number: int
    log_id: str
    tail: Position
    trimmed: Position

    def place(self, position: Position) -> int:
        """The key of this position in the tables."""
        return self.number * POSITIONS_PER_APP + position

    def position(self, place: int) -> Position:
        """The position of a key of this app."""
        return place - self.number * POSITIONS_PER_APP


def load_app(connection: sqlite3.Connection, app_id: str) -> App:
    """The app's row, which `ensure_app` has created. Raises AppIsGone, SerializationError."""
    row = connection.execute("SELECT number, log_id, tail, trimmed FROM apps WHERE app_id = ?", (app_id,)).fetchone()
    if row is None:
        raise AppIsGone(f"another program has removed the app {app_id!r}")
    return stored_row(row, App, f"the row of the app {app_id!r}")


def ensure_app(connection: sqlite3.Connection, app_id: str) -> None:
    """Creates the app's row if there is none."""
    if connection.execute("SELECT 1 FROM apps WHERE app_id = ?", (app_id,)).fetchone() is None:
        connection.execute(
            "INSERT INTO apps (app_id, log_id, tail, trimmed) VALUES (?, ?, 0, 0) ON CONFLICT DO NOTHING",
            (app_id, fresh_id()),
        )


def cursor_at(connection: sqlite3.Connection, app: App, position: Position) -> Cursor:
    """A cursor after the entry at a position; it names that entry."""
    return Cursor(app.log_id, position, _entry_id(connection, app, position) or "")


def check(connection: sqlite3.Connection, app: App, cursor: Cursor, path: str) -> None:
    """Raises LogReplaced or LogTrimmed when reading on after the cursor would miss entries."""
    check_cursor(
        cursor,
        log_id=app.log_id,
        trimmed=app.trimmed,
        tail=app.tail,
        entry_id=_entry_id(connection, app, cursor.position),
        location=path,
    )


def _entry_id(connection: sqlite3.Connection, app: App, position: Position) -> str | None:
    row = connection.execute("SELECT id FROM entries WHERE place = ?", (app.place(position),)).fetchone()
    return None if row is None else str(row[0])
