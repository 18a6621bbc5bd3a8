"""Encodes entries to bytes and decodes them: one version byte, then msgpack of the tagged array."""

from __future__ import annotations

import msgspec

from trigger_engine._model.entries import AnyEntry
from trigger_engine.errors import SerializationError

VERSION = 1
_PREFIX = bytes([VERSION])
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyEntry] = msgspec.msgpack.Decoder(AnyEntry)


def encode_entry(entry: AnyEntry) -> bytes:
    """The bytes that logs store.

    Raises SerializationError if the entry holds a value that cannot be encoded.
    """
    try:
        return _PREFIX + _encoder.encode(entry)
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise SerializationError(f"entry {entry.id} cannot be encoded: {exc}") from exc


def decode_entry(data: bytes) -> AnyEntry:
    """Decodes stored bytes.

    Raises SerializationError if they are damaged or were written by a newer version of this package.
    """
    if data[:1] != _PREFIX:
        found = data[0] if data else "none"
        raise SerializationError(
            f"a log entry has encoding version {found}, but this package reads version {VERSION}: "
            "upgrade trigger-engine, or restore the log from a backup if it is damaged"
        )
    try:
        return _decoder.decode(data[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise SerializationError(
            f"a log entry cannot be decoded ({exc}): upgrade trigger-engine if a newer version wrote it; "
            "otherwise it is damaged: restore the log from a backup"
        ) from exc
