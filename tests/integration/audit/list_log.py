"""A log in a list, and helpers that change it."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from trigger_engine._model.entries import AnyEntry, Judged, Position
from trigger_engine._model.ids import derive
from trigger_engine.backend._contract import Batch, Cursor

Entries = list[tuple[Position, AnyEntry]]
STEP = 10


class ListLog:
    """A read-only log."""

    def __init__(
        self,
        entries: Sequence[tuple[Position, AnyEntry]],
        *,
        start: Position = 0,
        refuses_void: bool = True,
        dense_positions: bool = False,
    ) -> None:
        self.entries = list(entries)
        self.first = start
        self.refuses_void = refuses_void
        self.dense_positions = dense_positions

    async def start(self) -> Cursor:
        return Cursor("list", self.first)

    async def tail(self) -> Cursor:
        return Cursor("list", self.entries[-1][0])

    async def follow(self, after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        found = [item for item in self.entries if item[0] > after.position][:limit]
        return Batch(found, Cursor("list", found[-1][0], found[-1][1].id) if found else after)


def spread(entries: Entries) -> Entries:
    """Returns the same log with gaps between its positions."""
    found: Entries = []
    for position, entry in entries:
        changes: dict[str, Any] = {}
        if hasattr(entry, "term"):
            changes["term"] = entry.term * STEP
        if isinstance(entry, Judged):
            changes["upto"] = entry.upto * STEP
            changes["id"] = derive("judged", entry.term * STEP, entry.upto * STEP)
        found.append((position * STEP, msgspec.structs.replace(entry, **changes)))
    return found


def find(entries: Entries, kind: type[Any], matches: Callable[[Any], bool] = lambda entry: True) -> int:
    """Returns the index of the first matching entry."""
    return next(at for at, (_, entry) in enumerate(entries) if isinstance(entry, kind) and matches(entry))


def change(entries: Entries, at: int, **changes: Any) -> None:
    """Changes one entry."""
    position, entry = entries[at]
    entries[at] = (position, msgspec.structs.replace(entry, **changes))


def insert(entries: Entries, at: int, entry: AnyEntry) -> Position:
    """Inserts an entry right before another one and returns its position."""
    position = entries[at][0] - 1
    entries.insert(at, (position, entry))
    return position
