"""Raw limits: storing the same bytes as durably in a bare store, without an engine."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import aiosqlite

from trigger_engine.backend._ids import fresh_id

_INSERT = "INSERT INTO entries (data) VALUES (?)"
_SET_UP = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "CREATE TABLE entries (place INTEGER PRIMARY KEY, data BLOB NOT NULL)",
)
_SET_UP_IDS = ("ALTER TABLE entries ADD COLUMN id TEXT", "CREATE UNIQUE INDEX entries_by_id ON entries (id)")
_INSERT_WITH_ID = "INSERT INTO entries (data, id) VALUES (?, ?)"
_XADD = "for _, row in ipairs(ARGV) do redis.call('XADD', KEYS[1], '*', 'e', row) end"
ROW_BYTES = 200
Append = Callable[[Sequence[bytes]], Awaitable[object]]
"""Stores rows together; they are durable when it returns."""

Bare = AbstractAsyncContextManager[Append]
"""An empty store without an engine."""


def plain_rate(path: Path, rows: Sequence[bytes], *, per_commit: int) -> float:
    """Rows per second of the standard library's sqlite3, with `per_commit` rows in a transaction."""
    connection = _connect(path)
    begun = time.perf_counter()
    for first in range(0, len(rows), per_commit):
        _insert(connection, rows[first : first + per_commit])
    taken = time.perf_counter() - begun
    connection.close()
    return len(rows) / taken


def plain_commit_milliseconds(path: Path, commits: int, pause: float) -> float:
    """The median of a durable commit of one row with the standard library's sqlite3."""
    connection = _connect(path)
    taken = []
    for _ in range(commits):
        time.sleep(pause)
        begun = time.perf_counter()
        _insert(connection, [os.urandom(ROW_BYTES)])
        taken.append((time.perf_counter() - begun) * 1_000)
    connection.close()
    return median(taken)


@asynccontextmanager
async def bare_sqlite(path: Path, *, ids: bool = False) -> AsyncIterator[Append]:
    """A new file through aiosqlite, one call of its thread per transaction. `ids`: each row has a unique id."""
    insert = _insert_with_ids if ids else _insert
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        for statement in (*_SET_UP, *(_SET_UP_IDS if ids else ())):
            await connection.execute(statement)
        # aiosqlite has no public way to run a whole transaction in one call of its thread.
        yield lambda rows: connection._execute(insert, connection._conn, rows)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def bare_redis(url: str) -> AsyncIterator[Append]:
    """A stream to which one script call adds all rows, emptied first."""
    from redis.asyncio import Redis

    client = Redis.from_url(url)
    script, stream = await client.script_load(_XADD), "bare"
    await client.delete(stream)
    try:
        yield lambda rows: client.evalsha(script, 1, stream, *rows)
    finally:
        await client.aclose()


@asynccontextmanager
async def bare_mongodb(url: str) -> AsyncIterator[Append]:
    """A collection, emptied first; rows stored together are one document, durable on a majority."""
    from motor.motor_asyncio import AsyncIOMotorClient

    client: Any = AsyncIOMotorClient(url, w="majority", journal=True)
    documents = client["bare"]["documents"]
    await documents.drop()
    try:
        yield lambda rows: documents.insert_one({"rows": list(rows)})
    finally:
        client.close()


async def group_commit_rate(bare: Bare, rows: Sequence[bytes], *, producers: int, per_call: int = 1) -> float:
    """Rows per second, one append at a time.

    Each producer waits until its `per_call` rows are durable. Rows that wait when an append ends share the next one.
    """
    async with bare as append:
        commits = _GroupCommit(append)
        waiting = iter([rows[at : at + per_call] for at in range(0, len(rows), per_call)])

        async def produce() -> None:
            for call in waiting:
                await commits.append(call)

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(producers):
                group.create_task(produce())
        return len(rows) / (time.perf_counter() - begun)


async def commit_milliseconds(bare: Bare, commits: int, pause: float) -> float:
    """The median of a durable append of one row."""
    taken = []
    async with bare as append:
        for _ in range(commits):
            await asyncio.sleep(pause)
            begun = time.perf_counter()
            await append([os.urandom(ROW_BYTES)])
            taken.append((time.perf_counter() - begun) * 1_000)
    return median(taken)


class _GroupCommit:
    def __init__(self, append: Append) -> None:
        self._append = append
        self._rows: list[bytes] = []
        self._callers: list[asyncio.Future[None]] = []
        self._committing: asyncio.Task[None] | None = None

    async def append(self, rows: Sequence[bytes]) -> None:
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
            await self._append(rows)
            for caller in callers:
                caller.set_result(None)
        self._committing = None


def _connect(path: Path) -> sqlite3.Connection:
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in _SET_UP:
        connection.execute(statement)
    return connection


def _insert(connection: sqlite3.Connection, rows: Sequence[bytes]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT, zip(rows))
    connection.execute("COMMIT")


def _insert_with_ids(connection: sqlite3.Connection, rows: Sequence[bytes]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_INSERT_WITH_ID, [(row, fresh_id()) for row in rows])
    connection.execute("COMMIT")
