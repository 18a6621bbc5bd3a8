"""The messages in the streams. Fields may only be added at the end, with a default."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from trigger_engine.backend import Cursor, Part, Position, RunnerFacts, decode_entry, encode_entry
from trigger_engine.errors import SerializationError

VERSION = b"\x01"


class Barrier(msgspec.Struct, frozen=True, array_like=True, tag="barrier"):
    """No content: a process that reads it back has read everything before it."""


class Append(msgspec.Struct, frozen=True, array_like=True, tag="append"):
    """Appends parts, each a list of encoded entries."""

    parts: list[list[bytes]]


class Trim(msgspec.Struct, frozen=True, array_like=True, tag="trim"):
    """Removes up to `limit` entries before a cursor."""

    before: Cursor
    keys_before: float
    limit: int


class Clear(msgspec.Struct, frozen=True, array_like=True, tag="clear"):
    """Removes everything before this message; the log is `log_id` from here on."""

    log_id: str


class Chunks(msgspec.Struct, frozen=True, array_like=True):
    """Where a checkpoint's bytes are: `count` messages with this `key`, the first at `offset` of their stream."""

    key: str
    offset: int
    count: int


class Saved(msgspec.Struct, frozen=True, array_like=True, tag="checkpoint"):
    """Saves a checkpoint whose bytes are already stored."""

    name: str
    term: Position
    cursor: Cursor
    chunks: Chunks


class SnapshotBegun(msgspec.Struct, frozen=True, array_like=True, tag="snapshot"):
    """The chunks with this key hold the state of the log at this message."""

    key: str


class SnapshotChunk(msgspec.Struct, frozen=True, array_like=True, tag="snapshot-chunk"):
    """The `number`-th of `count` chunks of a snapshot, from 0; `begun_at`: the offset of its `SnapshotBegun`."""

    key: str
    begun_at: int
    number: int
    count: int
    data: bytes


class Acquired(msgspec.Struct, frozen=True, array_like=True, tag="acquired"):
    """An owner takes or keeps a lease. `grant`: counts the owners of the lease; `sent`: seconds since 1970 UTC."""

    name: str
    owner: str
    ttl: float
    grant: int
    sent: float


class Released(msgspec.Struct, frozen=True, array_like=True, tag="released"):
    """An owner frees a lease; without a name all leases are freed."""

    name: str | None = None
    owner: str = ""


class Heartbeat(msgspec.Struct, frozen=True, array_like=True, tag="heartbeat"):
    """A runner is alive for `ttl` more seconds; `sent`: seconds since 1970 UTC.

    `snapshot`: the offset of the newest snapshot in the log's stream that the runner knows, 0 for none.
    """

    facts: RunnerFacts
    ttl: float
    sent: float
    snapshot: int = 0


class Left(msgspec.Struct, frozen=True, array_like=True, tag="left"):
    """A runner stopped cleanly."""

    runner_id: str


Content = (
    Barrier | Append | Trim | Clear | Saved | SnapshotBegun | SnapshotChunk | Acquired | Released | Heartbeat | Left
)


class Message(msgspec.Struct, frozen=True, array_like=True):
    """The writer's `number`-th message. `candidate`: the log's identity if this is the first message."""

    writer: str
    number: int
    candidate: str
    content: Content


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def encode_message(message: Message) -> bytes:
    """The body of a message."""
    return VERSION + _encoder.encode(message)


def decode_message(body: bytes) -> Message:
    """Raises SerializationError when the message is damaged or of a newer version of this package."""
    try:
        if body[:1] != VERSION:
            raise msgspec.DecodeError(f"version {body[:1]!r}")
        return _decoder.decode(memoryview(body)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise SerializationError(
            f"a message of the log's stream cannot be read ({exc}): it was written by a newer trigger-engine-rabbitmq "
            "(upgrade), or by another program"
        ) from exc


def encode_parts(parts: Sequence[Part]) -> Append:
    """Raises SerializationError when an entry cannot be encoded."""
    return Append([[encode_entry(entry) for entry in part] for part in parts])


def decode_parts(append: Append) -> list[Part]:
    """Raises SerializationError when an entry is damaged or of a newer version."""
    return [tuple(map(decode_entry, part)) for part in append.parts]
