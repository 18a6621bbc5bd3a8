"""What is stored: the log's documents, and one row for each invocation.

An append is a document `{_id: number, w: writer's token, base, ids, data}`; its entries stand at
`(number << BITS) + base + index`. A place that no writer has filled is `{_id: number, w: ""}`. Of a trimmed document
that has keys in it `{_id, ids, keys, calls}` stays, so that the unique index of `ids` refuses them still.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from trigger_engine.core.lifecycle import InvocationState
from trigger_engine.entries.encoding import decode_entry
from trigger_engine.entries.facts import AnyEntry, Position
from trigger_engine.log.admission import REGISTRATIONS, Registration
from trigger_engine.log.contract import Invocation

Document = dict[str, Any]

BITS = 20
"""Bits of a position that tell entries of one document apart."""
MOST_ENTRIES = 1 << 18
MOST_BYTES = 8 * 1024 * 1024
"""What one document gathers; MongoDB's own limit is 16 MB."""
LARGEST_PART = 15_000_000
LARGEST_ENTRY = 7_500_000
"""Bytes. The row of an invocation holds two entries: its registration and its newest one."""

_encoder = msgspec.msgpack.Encoder()
_states = msgspec.msgpack.Decoder(InvocationState)


def number_of(position: Position) -> int:
    """The document in which a position is."""
    return position >> BITS


def first_position(document: Document) -> Position:
    """Where its first entry stands, or would stand."""
    return (int(document["_id"]) << BITS) + int(document.get("base", 0))


def last_position(document: Document) -> Position:
    """Where its last entry stands."""
    return first_position(document) + max(len(document.get("data", ())) - 1, 0)


def entry_id_at(document: Document | None, position: Position) -> str | None:
    """The id of the entry at a position, None when none is there."""
    if document is None or "data" not in document:
        return None
    index = position - first_position(document)
    return str(document["ids"][index]) if 0 <= index < len(document["ids"]) else None


def entries_of(document: Document, after: Position) -> Iterator[tuple[Position, AnyEntry]]:
    """Its entries behind a position."""
    first = first_position(document)
    for index, data in enumerate(document.get("data", ())):
        if first + index > after:
            yield first + index, decode_entry(data)


def row_of(registration: Registration, data: bytes, position: Position, state: InvocationState) -> Document:
    """The row of an invocation that has just been registered."""
    row: Document = {
        "_id": registration.invocation_id,
        "at": position,
        "queue": registration.queue,
        "task": registration.task_id,
        "registration": data,
    }
    return row | moved(state, data)


def moved(state: InvocationState, latest: bytes) -> Document:
    """What a move changes in a row."""
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
