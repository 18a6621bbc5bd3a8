"""One app's row: its number in this file, the identity of its log, and where that begins and ends."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

import msgspec

from trigger_engine.entries.facts import Position
from trigger_engine.log.bookmarks import check_bookmark
from trigger_engine.log.contract import Bookmark
from trigger_engine.log.fresh import fresh_id
from trigger_engine.log.sqlite.failures import AppIsGone
from trigger_engine.log.sqlite.schema import POSITIONS_PER_APP
from trigger_engine.log.sqlite.stored import stored_row


class App(msgspec.Struct, frozen=True, array_like=True):
    """An app as it stands in one transaction. `tail`, `trimmed`: the newest positions given and removed."""

    number: int
    log_id: str
    tail: Position
    trimmed: Position

    def place(self, position: Position) -> int:
        """Where an entry of this position stands in the tables."""
        return self.number * POSITIONS_PER_APP + position

    def position(self, place: int) -> Position:
        """The position of a place of this app."""
        return place - self.number * POSITIONS_PER_APP


def load_app(connection: sqlite3.Connection, app_id: str) -> App:
    """The app's row as it is now; `ensure_app` has made it. Raises AppIsGone, SerializationError."""
    row = connection.execute("SELECT number, log_id, tail, trimmed FROM apps WHERE app_id = ?", (app_id,)).fetchone()
    if row is None:
        raise AppIsGone(f"another program has removed the app {app_id!r}")
    return stored_row(row, App, f"the row of the app {app_id!r}")


def ensure_app(connection: sqlite3.Connection, app_id: str) -> None:
    """Makes the app's row if there is none."""
    if connection.execute("SELECT 1 FROM apps WHERE app_id = ?", (app_id,)).fetchone() is None:
        connection.execute(
            "INSERT INTO apps (app_id, log_id, tail, trimmed) VALUES (?, ?, 0, 0) ON CONFLICT DO NOTHING",
            (app_id, fresh_id()),
        )


def bookmark_at(connection: sqlite3.Connection, app: App, position: Position) -> Bookmark:
    """A bookmark that names the entry at its position."""
    return Bookmark(app.log_id, position, _entry_id(connection, app, position) or "")


def check(connection: sqlite3.Connection, app: App, bookmark: Bookmark, path: str) -> None:
    """Raises LogReplaced or LogTrimmed unless reading on after the bookmark misses nothing."""
    check_bookmark(
        bookmark,
        log_id=app.log_id,
        trimmed=app.trimmed,
        tail=app.tail,
        entry_id=_entry_id(connection, app, bookmark.position),
        location=path,
    )


def listed(values: Iterable[object]) -> str:
    """The parameter for `IN (SELECT value FROM json_each(?))`: one statement for lists of any length."""
    return json.dumps(list(values))


def _entry_id(connection: sqlite3.Connection, app: App, position: Position) -> str | None:
    row = connection.execute("SELECT id FROM entries WHERE place = ?", (app.place(position),)).fetchone()
    return None if row is None else str(row[0])
