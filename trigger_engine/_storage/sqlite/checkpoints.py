"""Checkpoints: the newest one and its predecessor are kept."""

from __future__ import annotations

import sqlite3

import msgspec

from trigger_engine._model.entries import Position
from trigger_engine._storage.sqlite.apps import check, load_app
from trigger_engine._storage.sqlite.rows import stored_row
from trigger_engine.backend._contract import Checkpoint, Cursor
from trigger_engine.errors import LogReplaced, LogTrimmed


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    term: Position
    position: Position
    entry_id: str
    data: bytes


def save_checkpoint(connection: sqlite3.Connection, app_id: str, name: str, checkpoint: Checkpoint, path: str) -> bool:
    """False when its term is over, or when its cursor is not newer or not of this log."""
    app = load_app(connection, app_id)
    cursor = checkpoint.cursor
    try:
        check(connection, app, cursor, path)
    except (LogReplaced, LogTrimmed):
        return False
    current = connection.execute(
        "SELECT 1 FROM terms WHERE app = ? AND position = ?", (app.number, checkpoint.term)
    ).fetchone()
    kept = [
        position
        for (position,) in connection.execute(
            "SELECT position FROM checkpoints WHERE app = ? AND name = ? ORDER BY position DESC", (app.number, name)
        )
    ]
    if current is None or (kept and cursor.position <= kept[0]):
        return False
    connection.execute(
        "INSERT INTO checkpoints (app, name, position, entry_id, term, data) VALUES (?, ?, ?, ?, ?, ?)",
        (app.number, name, cursor.position, cursor.entry_id, checkpoint.term, checkpoint.data),
    )
    connection.execute(
        "DELETE FROM checkpoints WHERE app = ? AND name = ? AND position < ?",
        (app.number, name, kept[0] if kept else 0),
    )
    return True


def load_checkpoint(connection: sqlite3.Connection, app_id: str, name: str) -> Checkpoint | None:
    """The newest checkpoint, None when there is none."""
    app = load_app(connection, app_id)
    row = connection.execute(
        "SELECT term, position, entry_id, data FROM checkpoints WHERE app = ? AND name = ? "
        "ORDER BY position DESC LIMIT 1",
        (app.number, name),
    ).fetchone()
    if row is None:
        return None
    saved = stored_row(row, _Saved, f"the checkpoint {name!r}")
    return Checkpoint(saved.term, Cursor(app.log_id, saved.position, saved.entry_id), saved.data)
