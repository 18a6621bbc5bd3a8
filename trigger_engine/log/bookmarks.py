"""Whether a bookmark is a place of a log as it is now."""

from __future__ import annotations

from trigger_engine.entries.facts import Position
from trigger_engine.errors import LogReplaced, LogTrimmed
from trigger_engine.log.contract import Bookmark


def check_bookmark(
    bookmark: Bookmark, *, log_id: str, trimmed: Position, tail: Position, entry_id: str | None, location: str
) -> None:
    """Raises LogReplaced or LogTrimmed unless reading on after the bookmark misses nothing.

    `trimmed`: the last position that is gone, 0 for none. `entry_id`: what stands at the bookmark's position now.
    """
    if bookmark.log_id != log_id:
        raise LogReplaced(f"the log in {location} is now {log_id}, not {bookmark.log_id}: read it from its start")
    if bookmark.position > tail:
        raise LogReplaced(
            f"the log in {location} ends at {tail}, before the place {bookmark.position} that had been read: "
            "it was restored from an older state; read it from its start"
        )
    if bookmark.position < trimmed:
        raise LogTrimmed(
            f"the log in {location} begins after {trimmed}, the entries after {bookmark.position} are removed: "
            "start from the newest checkpoint"
        )
    if bookmark.entry_id and bookmark.position > trimmed and entry_id != bookmark.entry_id:
        raise LogReplaced(
            f"the log in {location} has another entry at {bookmark.position} than the one that had been read: "
            "it was restored from an older state; read it from its start"
        )
