"""What the machine can do without an engine: the same bytes, as durably, through a bare store."""

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

from trigger_engine.log.fresh import fresh_id

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
"""Stores some rows at once; they are durable when it returns."""

Bare = AbstractAsyncContextManager[Append]
"""A new and empty place without an engine, while it is entered."""


def plain_rate(path: Path, rows: Sequence[bytes], *, per_commit: int) -> float:
    """Rows a second that the standard library's sqlite3 stores, with so many in a transaction."""
    connection = _connect(path)
    begun = time.perf_counter()
    for first in range(0, len(rows), per_commit):
        _insert(connection, rows[first : first + per_commit])
    taken = time.perf_counter() - begun
    connection.close()
    return len(rows) / taken


def plain_commit_milliseconds(path: Path, commits: int, pause: float) -> float:
    """What one durable commit of a row takes with the standard library's sqlite3, the median."""
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
    """A new file through aiosqlite, one hop to its thread for each transaction. `ids`: each row has one, unique."""
    insert = _insert_with_ids if ids else _insert
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        for statement in (*_SET_UP, *(_SET_UP_IDS if ids else ())):
            await connection.execute(statement)
        # aiosqlite offers no public way to do a whole transaction in one hop.
        yield lambda rows: connection._execute(insert, connection._conn, rows)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def bare_redis(url: str) -> AsyncIterator[Append]:
    """A stream of its own, to which one script call adds all rows at once."""
    from redis.asyncio import Redis

    client = Redis.from_url(url)
    script, stream = await client.script_load(_XADD), "bare"
    try:
        yield lambda rows: client.evalsha(script, 1, stream, *rows)
    finally:
        await client.delete(stream)
        await client.aclose()


@asynccontextmanager
async def bare_mongodb(url: str) -> AsyncIterator[Append]:
    """A collection of its own; all rows at once are one document, on the disks of a majority."""
    from motor.motor_asyncio import AsyncIOMotorClient

    client: Any = AsyncIOMotorClient(url, w="majority", journal=True)
    documents = client["bare"]["documents"]
    try:
        yield lambda rows: documents.insert_one({"rows": list(rows)})
    finally:
        await documents.drop()
        client.close()


async def group_commit_rate(bare: Bare, rows: Sequence[bytes], *, producers: int, per_call: int = 1) -> float:
    """Rows a second, one append at a time.

    Each producer waits until its `per_call` rows are durable; what waits when an append ends goes into the next.
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
    """What one durable append of a row takes, the median."""
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
