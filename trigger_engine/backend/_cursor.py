"""Checks whether a cursor is still a place in the log."""

from __future__ import annotations

from trigger_engine._model.entries import Position
from trigger_engine.backend._contract import Cursor
from trigger_engine.errors import LogReplaced, LogTrimmed


def check_cursor(
    cursor: Cursor, *, log_id: str, trimmed: Position, tail: Position, entry_id: str | None, location: str
) -> None:
    """Raises LogReplaced or LogTrimmed unless reading on from the cursor misses nothing.

    `trimmed`: the last position that was removed, 0 for none. `entry_id`: the entry at the cursor's position now.
    """
    if cursor.log_id != log_id:
        raise LogReplaced(f"the log in {location} is now {log_id}, not {cursor.log_id}: read it from its start")
    if cursor.position > tail:
        raise LogReplaced(
            f"the log in {location} ends at {tail}, before position {cursor.position} which was already read: "
            "it was restored to an older state; read it from its start"
        )
    if cursor.position < trimmed:
        raise LogTrimmed(
            f"the log in {location} begins after {trimmed}; the entries after {cursor.position} were removed: "
            "start from the newest checkpoint"
        )
    if cursor.entry_id and cursor.position > trimmed and entry_id != cursor.entry_id:
        raise LogReplaced(
            f"the log in {location} has another entry at {cursor.position} than the one already read: "
            "it was restored to an older state; read it from its start"
        )
