"""The matcher's state as bytes: everything that a fold needs to go on, whatever is trimmed before it."""

from __future__ import annotations

import msgspec

from trigger_engine.core.declarations import TriggerInForce
from trigger_engine.core.joins import JoinState
from trigger_engine.core.validity import ValidityState
from trigger_engine.entries.encoding import decode_entry, encode_entry
from trigger_engine.entries.facts import AnyEntry, Position
from trigger_engine.errors import SerializationError

VERSION = 1
_PREFIX = bytes([VERSION])


class Snapshot(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A `Matcher` as data. Fields are only ever added at the end, with defaults; entries are named by position.

    `entries`: what the others name, encoded as in a log. `queue`: read and not judged, with the statuses that an
    invocation's entry stands for (None: it changes the triggers in force). `outputs`: runs and ended chains read whose
    `Judged` is not read yet.
    """

    judged: Position
    recorded: Position
    read_upto: Position
    newest_unqueued: Position
    declared: bool
    declared_first: str | None
    validity: ValidityState
    last_ticks: dict[str, float]
    triggers: list[TriggerInForce]
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
    """The snapshot of a checkpoint's bytes.

    Raises SerializationError where they are damaged or of another version of this package.
    """
    mend = "upgrade trigger-engine if a newer one has written it, else it is damaged: restore a backup of the log"
    if data[:1] != _PREFIX:
        found = data[0] if data else "none"
        raise SerializationError(f"the matcher's checkpoint has version {found}, this package reads {VERSION}: {mend}")
    try:
        return _decoder.decode(memoryview(data)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise SerializationError(f"the matcher's checkpoint cannot be read ({exc}): {mend}") from exc


def encode_entries(entries: dict[Position, AnyEntry]) -> list[tuple[Position, bytes]]:
    """Entries by position as a snapshot keeps them, in order."""
    return [(position, encode_entry(entries[position])) for position in sorted(entries)]


def decode_entries(encoded: list[tuple[Position, bytes]]) -> dict[Position, tuple[AnyEntry, int]]:
    """Entries with their sizes in bytes, by position. Raises SerializationError where one cannot be read."""
    return {position: (decode_entry(data), len(data)) for position, data in encoded}
