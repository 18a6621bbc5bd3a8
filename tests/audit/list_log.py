"""A log in a list, and what to do to it."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from trigger_engine.core.ids import derive
from trigger_engine.entries.facts import AnyEntry, Judged, Position
from trigger_engine.log.contract import Batch, Bookmark

Entries = list[tuple[Position, AnyEntry]]
STEP = 10


class ListLog:
    """A log that can only be read."""

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

    async def start(self) -> Bookmark:
        return Bookmark("list", self.first)

    async def tail(self) -> Bookmark:
        return Bookmark("list", self.entries[-1][0])

    async def follow(self, after: Bookmark, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        found = [item for item in self.entries if item[0] > after.position][:limit]
        return Batch(found, Bookmark("list", found[-1][0], found[-1][1].id) if found else after)


def spread(entries: Entries) -> Entries:
    """The same log with room between its entries."""
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


def find(entries: Entries, kind: type[Any], said: Callable[[Any], bool] = lambda entry: True) -> int:
    """Where the first entry stands of which something is said."""
    return next(at for at, (_, entry) in enumerate(entries) if isinstance(entry, kind) and said(entry))


def change(entries: Entries, at: int, **changes: Any) -> None:
    """Changes one entry."""
    position, entry = entries[at]
    entries[at] = (position, msgspec.structs.replace(entry, **changes))


def insert(entries: Entries, at: int, entry: AnyEntry) -> Position:
    """Puts an entry right before another one, and gives its position."""
    position = entries[at][0] - 1
    entries.insert(at, (position, entry))
    return position
