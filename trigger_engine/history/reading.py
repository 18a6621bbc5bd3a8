"""One moment of the read model, for questions: times in and out, cursors, and pages in the order of the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from trigger_engine.core.filters import UNREADABLE
from trigger_engine.core.ids import derive
from trigger_engine.errors import QueryError
from trigger_engine.history.rows import Progress

Decode = Callable[[bytes], Any]
Branch = tuple[str, tuple[Any, ...]]
"""A WHERE condition that one index serves in the order of positions, and its parameters."""

MOST = 10_000
"""The largest limit."""
LARGEST_POSITION = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def instant(time: int) -> datetime:
    """A stored time."""
    return _EPOCH + timedelta(microseconds=time)


def instant_or_none(time: int | None) -> datetime | None:
    """A stored time that may be missing."""
    return None if time is None else instant(time)


def stored(name: str, time: datetime | None) -> int | None:
    """A time as stored. Raises QueryError for one without a zone."""
    if time is None:
        return None
    if time.tzinfo is None or time.utcoffset() is None:
        raise QueryError(f"{name}={time!r} has no time zone: give an aware datetime, such as datetime.now(UTC)")
    return (time - _EPOCH) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Window:
    """Which records a page may hold: positions from `first` to `last`, times from `since` to before `until`."""

    first: int
    last: int
    since: int | None
    until: int | None
    limit: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A connection inside a read transaction. `decode`: stored values to builtins."""

    connection: sqlite3.Connection
    progress: Progress
    decode: Decode

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Every row of a query."""
        return self.connection.execute(sql, parameters).fetchall()

    def rows_for(self, sql: str, keys: Iterable[str | int]) -> list[Any]:
        """Every row of a query with `IN (SELECT value FROM json_each(?))` for these keys."""
        return self.rows(sql, (msgspec.json.encode(list(keys)).decode(),))

    def window(self, *, since: datetime | None, until: datetime | None, limit: int, cursor: str | None) -> Window:
        """The window of a page. Raises QueryError."""
        if isinstance(limit, bool) or not 1 <= limit <= MOST:
            raise QueryError(f"limit={limit!r}: give a number from 1 to {MOST}")
        first, last = 0, LARGEST_POSITION
        since_time, until_time = stored("since", since), stored("until", until)
        if since_time is not None or until_time is not None:
            first, last = self._span(since_time, until_time)
        if cursor is not None:
            last = min(last, self._position(cursor) - 1)
        return Window(first, last, since_time, until_time, limit)

    def cursor(self, position: int) -> str:
        """The cursor of what lies before a position."""
        return f"{position:x}-{self._mark()}"

    def newest(
        self, table: str, row_type: Any, window: Window, branches: Sequence[Branch], also: Sequence[Branch] = ()
    ) -> tuple[list[Any], str | None]:
        """The newest rows in a window that meet one of the branches and all of `also`, and the cursor to go on."""
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
        """The positions between which every entry of a time range lies: clocks differ, so that others may too."""
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
            raise QueryError(f"cursor={cursor!r} is no cursor: give `next_cursor` of a page, unchanged") from None
        if mark != self._mark():
            raise QueryError(
                f"cursor={cursor!r} is of another log, or of one that was replaced: begin without a cursor"
            )
        return min(found, LARGEST_POSITION)

    def _mark(self) -> str:
        return derive("cursor", self.progress.log_id)[:8]


def readable(value: bytes) -> Any:
    """A stored value as builtins; one that cannot be read is a text that says so, and spoils no page."""
    try:
        return msgspec.msgpack.decode(value)
    except UNREADABLE as exc:
        return f"<cannot be read: {exc}>"


ANY: tuple[Branch, ...] = (("TRUE", ()),)
"""The branch of everything, read by position."""
