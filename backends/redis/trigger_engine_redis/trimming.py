"""Retention: chooses the entries to remove in one step, and describes them to the script."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from trigger_engine.backend import REGISTRATIONS, AnyEntry, Cursor, Position, StatusEntry, is_keyed
from trigger_engine.errors import LogReplaced, LogTrimmed
from trigger_engine_redis.encoding import pack
from trigger_engine_redis.reading import Reader
from trigger_engine_redis.scripts import TRIM
from trigger_engine_redis.server import Server

STEP = 1_000
"""Entries removed at once; other calls wait while the script runs."""

Entries = Sequence[tuple[Position, AnyEntry]]


async def trim_step(
    server: Server, reader: Reader, start: Cursor, before: Cursor, *, keys_before: float, limit: int
) -> int:
    """Removes some of the first entries before a cursor, and old keys. Raises LogReplaced."""
    entries: list[tuple[Position, AnyEntry]] = []
    if limit > 0 and before.log_id == start.log_id and before.position - 1 > start.position:
        with suppress(LogTrimmed):  # another process trimmed them
            batch = reader.batch(start, await server.ask(*reader.commands(start, min(limit, STEP))))
            entries = [(position, entry) for position, entry in batch.entries if position < before.position]
    last = entries[-1][0] if entries else start.position
    done = await server.run(
        TRIM,
        *(start.log_id, before.log_id, before.position, before.entry_id, start.position, last, repr(keys_before)),
        pack(_describe(entries)),
    )
    if done < 0:
        raise LogReplaced(f"position {before.position} is not of the log {start.log_id}: read it from its start")
    return len(entries) if done else 0


def _describe(entries: Entries) -> tuple[Any, ...]:
    plain = [entry.id for _, entry in entries if not is_keyed(entry)]
    keyed = [entry for _, entry in entries if is_keyed(entry)]
    registered = [(entry.invocation_id, position) for position, entry in entries if isinstance(entry, REGISTRATIONS)]
    moved = [(entry.invocation_id, position) for position, entry in entries if isinstance(entry, StatusEntry)]
    return plain, [entry.id for entry in keyed], [entry.time for entry in keyed], registered, moved
