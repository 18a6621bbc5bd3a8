"""What the machine can do without an engine: the same bytes, as durably, through bare SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import aiosqlite

_INSERT = "INSERT INTO entries (data) VALUES (?)"
_SET_UP = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "CREATE TABLE entries (place INTEGER PRIMARY KEY, data BLOB NOT NULL)",
)
Rows = Sequence[tuple[bytes]]


def plain_rate(path: Path, rows: Sequence[bytes], *, per_commit: int) -> float:
    """Rows a second that the standard library's sqlite3 stores, with so many in a transaction."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in _SET_UP:
        connection.execute(statement)
    begun = time.perf_counter()
    for first in range(0, len(rows), per_commit):
        _insert(connection, [(row,) for row in rows[first : first + per_commit]])
    taken = time.perf_counter() - begun
    connection.close()
    return len(rows) / taken


async def group_commit_rate(path: Path, rows: Sequence[bytes], *, producers: int, per_call: int = 1) -> float:
    """Rows a second through aiosqlite, one hop to its thread for each transaction, into a new file.

    Each producer waits until its `per_call` rows are durable; what waits when a transaction ends goes into the next.
    """
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        for statement in _SET_UP:
            await connection.execute(statement)
        commits = _GroupCommit(connection)
        calls = [[(row,) for row in rows[at : at + per_call]] for at in range(0, len(rows), per_call)]
        waiting = iter(calls)

        async def produce() -> None:
            for call in waiting:
                await commits.append(call)

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(producers):
                group.create_task(produce())
        return len(rows) / (time.perf_counter() - begun)


class _GroupCommit:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._rows: list[tuple[bytes]] = []
        self._callers: list[asyncio.Future[None]] = []
        self._committing: asyncio.Task[None] | None = None

    async def append(self, rows: Rows) -> None:
        self._rows += rows
        caller = asyncio.get_running_loop().create_future()
        self._callers.append(caller)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        await caller

    async def _commit(self) -> None:
        while self._rows:
            rows, self._rows = self._rows, []
            callers, self._callers = self._callers, []
            # aiosqlite offers no public way to do a whole transaction in one hop.
            await self._connection._execute(_insert, self._connection._conn, rows)  # type: ignore[no-untyped-call]
            for caller in callers:
                caller.set_result(None)
        self._committing = None


def _insert(connection: sqlite3.Connection, rows: Rows) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT, rows)
    connection.execute("COMMIT")
