"""Rows on their way into the tables and out of them.

In: many rows take one statement, because each statement gives up the interpreter's lock and then waits for the event
loop to release it. Out: every value is checked, because the file may be damaged or changed by another program.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import msgspec

from trigger_engine._engine.lifecycle import InvocationState
from trigger_engine._model.encoding import decode_entry
from trigger_engine._model.entries import AnyEntry, Position
from trigger_engine.errors import SerializationError

T = TypeVar("T")

MAX_ROWS = 256
"""Rows in one statement."""
_STEP = 64
_FIX = "stop every program that uses the file, keep a copy, then restore a backup"


def insert_rows(connection: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Runs `INSERT INTO {into} VALUES …`; `into` names the table and its columns."""
    for chunk in _chunks(rows):
        connection.execute(_insert_statement(into, len(chunk), len(chunk[0])), tuple(chain.from_iterable(chunk)))


def update_rows(connection: sqlite3.Connection, update: str, where: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Runs `UPDATE {update} FROM new WHERE {where}`; the columns of `new` are column1, column2 and so on."""
    for chunk in _chunks(rows):
        statement = _update_statement(update, where, len(chunk), len(chunk[0]))
        connection.execute(statement, tuple(chain.from_iterable(chunk)))


def json_list(values: Iterable[object]) -> str:
    """The parameter for `IN (SELECT value FROM json_each(?))`, one statement for lists of any length."""
    return json.dumps(list(values))


def stored_entry(data: object, position: Position) -> AnyEntry:
    """Decodes the entry at a position. Raises SerializationError, like all functions below."""
    try:
        if not isinstance(data, bytes):
            raise SerializationError(f"expected a log entry, found {type(data).__name__}: {_FIX}")
        return decode_entry(data)
    except SerializationError as exc:
        raise SerializationError(f"position {position}: {exc}") from exc


def stored_state(columns: Sequence[Any], position: Position) -> InvocationState:
    """The state of the invocation that was registered at a position."""
    return stored_row(columns, InvocationState, f"the invocation registered at position {position}")


def stored_row(columns: Sequence[Any], kind: type[T], what: str) -> T:
    """Converts columns to a struct or tuple. `what` names the row in the error message."""
    try:
        return msgspec.convert(columns, kind)
    except msgspec.ValidationError as exc:
        raise SerializationError(f"{what} cannot be read ({exc}): {_FIX}") from exc


def stored_bytes(data: object, decoder: msgspec.msgpack.Decoder[T] | msgspec.json.Decoder[T], what: str) -> T:
    """Decodes msgpack or JSON. `what` names the row in the error message."""
    try:
        return decoder.decode(data)  # type: ignore[arg-type]
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError, RecursionError) as exc:
        raise SerializationError(f"{what} cannot be read ({exc}): {_FIX}") from exc


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Splits rows into chunks. There are few sizes above `_STEP`, so that the statements stay prepared."""
    start = 0
    while start < len(rows):
        left = len(rows) - start
        size = left if left < _STEP else _STEP if left < MAX_ROWS else MAX_ROWS
        yield rows[start : start + size]
        start += size


@cache
def _insert_statement(into: str, count: int, width: int) -> str:
    return f"INSERT INTO {into} VALUES {_placeholders(count, width)}"


@cache
def _update_statement(update: str, where: str, count: int, width: int) -> str:
    return f"UPDATE {update} FROM (VALUES {_placeholders(count, width)}) AS new WHERE {where}"


def _placeholders(count: int, width: int) -> str:
    return ", ".join([f"({', '.join('?' * width)})"] * count)
