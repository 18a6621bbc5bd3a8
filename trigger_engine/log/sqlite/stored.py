"""What the tables give back: every value is checked, for the file may be damaged or changed by another program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from trigger_engine.core.lifecycle import InvocationState
from trigger_engine.entries.encoding import decode_entry
from trigger_engine.entries.facts import AnyEntry, Position
from trigger_engine.errors import SerializationError

T = TypeVar("T")
_MEND = "stop every program that uses the file, keep a copy, then restore a backup"


def stored_entry(data: object, position: Position) -> AnyEntry:
    """The entry of a position. Raises SerializationError, as all functions here."""
    try:
        if not isinstance(data, bytes):
            raise SerializationError(f"it is no log entry but {type(data).__name__}: {_MEND}")
        return decode_entry(data)
    except SerializationError as exc:
        raise SerializationError(f"position {position}: {exc}") from exc


def stored_state(columns: Sequence[Any], position: Position) -> InvocationState:
    """The state of the invocation that was registered at a position."""
    return stored_row(columns, InvocationState, f"the invocation registered at position {position}")


def stored_row(columns: Sequence[Any], kind: type[T], what: str) -> T:
    """Columns as a struct or tuple. `what`: the row, for the message."""
    try:
        return msgspec.convert(columns, kind)
    except msgspec.ValidationError as exc:
        raise SerializationError(f"{what} cannot be read ({exc}): {_MEND}") from exc


def stored_bytes(data: object, decoder: msgspec.msgpack.Decoder[T], what: str) -> T:
    """What some msgpack holds."""
    try:
        return decoder.decode(data)  # type: ignore[arg-type]
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError, RecursionError) as exc:
        raise SerializationError(f"{what} cannot be read ({exc}): {_MEND}") from exc
