"""The state of the matcher as bytes. It is complete: the log before a checkpoint may be trimmed."""

from __future__ import annotations

import msgspec

from trigger_engine._engine.active_declarations import ActiveTrigger
from trigger_engine._engine.joins import JoinState
from trigger_engine._engine.validity import ValidityState
from trigger_engine._model.encoding import decode_entry, encode_entry
from trigger_engine._model.entries import AnyEntry, Position
from trigger_engine.errors import SerializationError

VERSION = 1
_PREFIX = bytes([VERSION])


class Snapshot(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A `Matcher` as data. New fields are only added at the end, with defaults. Entries are referenced by position.

    `entries`: the referenced entries, encoded as in a log. `queue`: entries read but not evaluated, with the statuses
    that they stand for (None: the entry changes the active triggers). `outputs`: runs and ended chains whose `Judged`
    has not been read yet.
    """

    evaluated: Position
    recorded: Position
    read_upto: Position
    newest_unqueued: Position
    declared: bool
    declared_first: str | None
    validity: ValidityState
    last_ticks: dict[str, float]
    triggers: list[ActiveTrigger]
    cron_since: dict[str, float]
    joins: list[JoinState]
    queue: list[tuple[Position, tuple[str, ...] | None]]
    outputs: list[Position]
    entries: list[tuple[Position, bytes]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """The bytes of a checkpoint: one version byte, then msgpack."""
    return _PREFIX + _encoder.encode(snapshot)


def decode_snapshot(data: bytes) -> Snapshot:
    """Decodes the bytes of a checkpoint.

    Raises SerializationError if they are damaged or were written by another version of this package.
    """
    fix = "upgrade trigger-engine if a newer version wrote it; otherwise it is damaged: restore the log from a backup"
    if data[:1] != _PREFIX:
        found = data[0] if data else "none"
        raise SerializationError(
            f"the checkpoint of the matcher has version {found}, but this package reads version {VERSION}: {fix}"
        )
    try:
        return _decoder.decode(memoryview(data)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise SerializationError(f"the checkpoint of the matcher cannot be decoded ({exc}): {fix}") from exc


def encode_entries(entries: dict[Position, AnyEntry]) -> list[tuple[Position, bytes]]:
    """Encodes entries as a snapshot keeps them, ordered by position."""
    return [(position, encode_entry(entries[position])) for position in sorted(entries)]


def decode_entries(encoded: list[tuple[Position, bytes]]) -> dict[Position, tuple[AnyEntry, int]]:
    """Entries with their sizes in bytes, by position. Raises SerializationError if one cannot be decoded."""
    return {position: (decode_entry(data), len(data)) for position, data in encoded}
