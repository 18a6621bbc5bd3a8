"""Retention: which entries go in one step, and what the script must know of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from trigger_engine.entries.facts import AnyEntry, Position, StatusEntry
from trigger_engine.errors import LogReplaced, LogTrimmed
from trigger_engine.log.admission import REGISTRATIONS, is_keyed
from trigger_engine.log.contract import Bookmark
from trigger_engine_redis.encoding import pack
from trigger_engine_redis.reading import Reader
from trigger_engine_redis.scripts import TRIM
from trigger_engine_redis.server import Server

STEP = 1_000
"""Entries removed at once: others wait no longer than for that."""

Entries = Sequence[tuple[Position, AnyEntry]]


async def trim_step(
    server: Server, reader: Reader, start: Bookmark, before: Bookmark, *, keys_before: float, limit: int
) -> int:
    """Removes some of the first entries before a bookmark, and keys that are old enough. Raises LogReplaced."""
    entries: list[tuple[Position, AnyEntry]] = []
    if limit > 0 and before.log_id == start.log_id and before.position - 1 > start.position:
        with suppress(LogTrimmed):  # by another at the same time
            batch = reader.batch(start, await server.ask(*reader.commands(start, min(limit, STEP))))
            entries = [(position, entry) for position, entry in batch.entries if position < before.position]
    last = entries[-1][0] if entries else start.position
    done = await server.run(
        TRIM,
        *(start.log_id, before.log_id, before.position, before.entry_id, start.position, last, repr(keys_before)),
        pack(_told(entries)),
    )
    if done < 0:
        raise LogReplaced(f"the place {before.position} is not of the log {start.log_id}: read it from its start")
    return len(entries) if done else 0


def _told(entries: Entries) -> tuple[Any, ...]:
    plain = [entry.id for _, entry in entries if not is_keyed(entry)]
    keyed = [entry for _, entry in entries if is_keyed(entry)]
    registered = [(entry.invocation_id, position) for position, entry in entries if isinstance(entry, REGISTRATIONS)]
    moved = [(entry.invocation_id, position) for position, entry in entries if isinstance(entry, StatusEntry)]
    return plain, [entry.id for entry in keyed], [entry.time for entry in keyed], registered, moved
