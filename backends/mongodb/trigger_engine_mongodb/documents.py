"""The stored documents: those of the log, and one row for each invocation.

An append is a document `{_id: number, w: writer's token, base, ids, data}`; the positions of its entries are
`(number << BITS) + base + index`. A number that its writer did not use is `{_id: number, w: ""}`. A trimmed document
with keys leaves `{_id, ids, keys, calls}`, so that the unique index of `ids` still refuses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from trigger_engine.backend import (
    REGISTRATIONS,
    AnyEntry,
    Invocation,
    InvocationState,
    Position,
    Registration,
    decode_entry,
)

Document = dict[str, Any]

BITS = 20
"""The low bits of a position, which distinguish the entries of one document."""
MAX_ENTRIES = 1 << 18
TARGET_BYTES = 8 * 1024 * 1024
"""The size to which parts are gathered into one document; MongoDB's own limit is 16 MB."""
MAX_PART_BYTES = 15_000_000
MAX_ENTRY_BYTES = 7_500_000
"""The row of an invocation holds two entries: its registration and its newest status entry."""

_encoder = msgspec.msgpack.Encoder()
_states = msgspec.msgpack.Decoder(InvocationState)


def number_of(position: Position) -> int:
    """The number of the document that has the position."""
    return position >> BITS


def first_position(document: Document) -> Position:
    """The position of its first entry, even if it has none."""
    return (int(document["_id"]) << BITS) + int(document.get("base", 0))


def last_position(document: Document) -> Position:
    """The position of its last entry."""
    return first_position(document) + max(len(document.get("data", ())) - 1, 0)


def entry_id_at(document: Document | None, position: Position) -> str | None:
    """The id of the entry at a position, None when there is none."""
    if document is None or "data" not in document:
        return None
    index = position - first_position(document)
    return str(document["ids"][index]) if 0 <= index < len(document["ids"]) else None


def entries_of(document: Document, after: Position) -> Iterator[tuple[Position, AnyEntry]]:
    """Its entries after a position."""
    first = first_position(document)
    for index, data in enumerate(document.get("data", ())):
        if first + index > after:
            yield first + index, decode_entry(data)


def row_of(registration: Registration, data: bytes, position: Position, state: InvocationState) -> Document:
    """The row of a new invocation."""
    row: Document = {
        "_id": registration.invocation_id,
        "at": position,
        "queue": registration.queue,
        "task": registration.task_id,
        "registration": data,
    }
    return row | moved(state, data)


def moved(state: InvocationState, latest: bytes) -> Document:
    """The fields of a row that a status entry changes."""
    return {
        "latest": latest,
        "state": _encoder.encode(state),
        "changed": state.changed_at,
        "final": state.status.is_final,
        "gone": False,
    }


def state_of(row: Document) -> InvocationState:
    """The state in a row."""
    return _states.decode(row["state"])


def invocation_of(row: Document) -> Invocation:
    """The invocation of a row."""
    registration = decode_entry(row["registration"])
    assert isinstance(registration, REGISTRATIONS)
    return Invocation(registration, int(row["at"]), state_of(row), decode_entry(row["latest"]))
