"""A consistent snapshot of the read model for queries: time conversion, cursors, and pages in log order."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from trigger_engine._engine.filters import UNREADABLE
from trigger_engine._model.ids import derive
from trigger_engine._readmodel.store.rows import Progress
from trigger_engine.errors import QueryError

Decode = Callable[[bytes], Any]
Branch = tuple[str, tuple[Any, ...]]
"""A WHERE condition that one index serves in position order, and its parameters."""

MAX_LIMIT = 10_000
"""The largest page size."""
LARGEST_POSITION = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_datetime(time: int) -> datetime:
    """Converts a stored time."""
    return _EPOCH + timedelta(microseconds=time)


def optional_datetime(time: int | None) -> datetime | None:
    """Converts a stored time that may be None."""
    return None if time is None else to_datetime(time)


def to_microseconds(name: str, time: datetime | None) -> int | None:
    """Converts a time to its stored form. Raises QueryError if it has no time zone."""
    if time is None:
        return None
    if time.tzinfo is None or time.utcoffset() is None:
        raise QueryError(f"{name}={time!r} has no time zone: give an aware datetime, such as datetime.now(UTC)")
    return (time - _EPOCH) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Window:
    """The records a page may contain: positions from `first` to `last`, times from `since` to before `until`."""

    first: int
    last: int
    since: int | None
    until: int | None
    limit: int


@dataclass(frozen=True, slots=True)
class ReadSnapshot:
    """A connection inside a read transaction. `decode`: converts stored values to builtins."""

    connection: sqlite3.Connection
    progress: Progress
    decode: Decode

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Returns all rows of a query."""
        return self.connection.execute(sql, parameters).fetchall()

    def rows_for(self, sql: str, keys: Iterable[str | int]) -> list[Any]:
        """Returns all rows of a query that has `IN (SELECT value FROM json_each(?))` for these keys."""
        return self.rows(sql, (msgspec.json.encode(list(keys)).decode(),))

    def window(self, *, since: datetime | None, until: datetime | None, limit: int, cursor: str | None) -> Window:
        """Returns the window of a page. Raises QueryError."""
        if isinstance(limit, bool) or not 1 <= limit <= MAX_LIMIT:
            raise QueryError(f"limit={limit!r}: give a number from 1 to {MAX_LIMIT}")
        first, last = 0, LARGEST_POSITION
        since_time, until_time = to_microseconds("since", since), to_microseconds("until", until)
        if since_time is not None or until_time is not None:
            first, last = self._span(since_time, until_time)
        if cursor is not None:
            last = min(last, self._position(cursor) - 1)
        return Window(first, last, since_time, until_time, limit)

    def cursor(self, position: int) -> str:
        """Returns the cursor for the records before a position."""
        return f"{position:x}-{self._mark()}"

    def newest(
        self, table: str, row_type: Any, window: Window, branches: Sequence[Branch], also: Sequence[Branch] = ()
    ) -> tuple[list[Any], str | None]:
        """Returns the newest rows in a window that match a branch and all of `also`, and the next cursor."""
        conditions = ["position BETWEEN ? AND ?", *(sql for sql, _ in also)]
        parameters: list[Any] = [window.first, window.last, *(value for _, values in also for value in values)]
        for condition, time in (("time >= ?", window.since), ("time < ?", window.until)):
            if time is not None:
                conditions.append(condition)
                parameters.append(time)
        columns = ", ".join(row_type.__struct_fields__)
        found: list[Any] = []
        for sql, values in branches:
            where = " AND ".join([sql, *conditions])
            query = f"SELECT {columns} FROM {table} WHERE {where} ORDER BY position DESC LIMIT ?"
            found += self.rows(query, (*values, *parameters, window.limit + 1))
        rows = sorted((row_type(*row) for row in found), key=lambda row: -row.position)
        if len(rows) <= window.limit:
            return rows, None
        return rows[: window.limit], self.cursor(rows[window.limit - 1].position)

    def _span(self, since: int | None, until: int | None) -> tuple[int, int]:
        """Returns the bounds of positions for a time range. Clocks differ, so other entries may lie between them."""
        ((first, last),) = self.rows(
            "SELECT min(first_position), max(last_position) FROM blocks WHERE max_time >= ? AND min_time < ?",
            (-LARGEST_POSITION if since is None else since, LARGEST_POSITION if until is None else until),
        )
        return (1, 0) if first is None else (first, last)

    def _position(self, cursor: str) -> int:
        position, _, mark = cursor.partition("-")
        try:
            found = int(position, 16)
        except ValueError:
            raise QueryError(f"cursor={cursor!r} is not a cursor: give the unchanged `next_cursor` of a page") from None
        if mark != self._mark():
            raise QueryError(
                f"cursor={cursor!r} belongs to another log, or to one that was replaced: start without a cursor"
            )
        return min(found, LARGEST_POSITION)

    def _mark(self) -> str:
        return derive("cursor", self.progress.log_id)[:8]


def readable(value: bytes) -> Any:
    """Decodes a stored value. An unreadable one becomes a text with the error, so that its page still works."""
    try:
        return msgspec.msgpack.decode(value)
    except UNREADABLE as exc:
        return f"<unreadable: {exc}>"


ANY: tuple[Branch, ...] = (("TRUE", ()),)
"""The branch that matches everything, read by position."""
