"""A thread of its own for a database: each call runs one function there, which is one transaction or more."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, NoReturn, TypeVar

import aiosqlite

from trigger_engine._storage.sqlite.database import Database
from trigger_engine.backend._log_lifecycle import log_closed_error
from trigger_engine.errors import BackendUnavailable

T = TypeVar("T")
R = TypeVar("R")

CLOSE_SECONDS = 5.0


class DatabaseThread:
    """Runs functions on a database, one after the other, without blocking the event loop.

    Cancelling a caller removes its function from the queue; a function that has begun takes effect.
    """

    def __init__(self, database: Database) -> None:
        self._path = database.path
        self._database = database
        self._pid = os.getpid()
        self._closed = False
        self._thread = _start_thread()
        self._drop = weakref.finalize(self, _end, self._thread, database, self._pid)
        self._drop.atexit = False

    async def run(self, work: Callable[[Database], T], *, seconds: float | None = None) -> T:
        """Returns what `work` returns. After `seconds` it raises BackendUnavailable, and the effect is unknown."""
        if self._closed:
            raise log_closed_error(self._path)
        if self._pid != os.getpid():
            raise BackendUnavailable(
                f"the log in {self._path} was opened by the process {self._pid}, of which this is a fork: open it again"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        _put(self._thread, _Call(partial(work, self._database), loop, future))
        if seconds is None:
            return await future
        timer = loop.call_later(seconds, _give_up, future, self._path, seconds)
        try:
            return await future
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Closes the database and ends the thread; may be called twice. A thread that hangs is abandoned."""
        if self._closed or self._pid != os.getpid():
            self._closed = True
            return
        try:
            await self.run(Database.close, seconds=CLOSE_SECONDS)
        except BackendUnavailable:
            pass
        finally:
            self._closed = True
            self._drop()


class _Call(Generic[T]):
    """A function to run in the thread and the future for its result."""

    __slots__ = ("_parts",)

    def __init__(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop, future: asyncio.Future[T]) -> None:
        self._parts = [(work, loop, future)]

    def __call__(self) -> None:
        # The thread keeps its last job until the next one comes, and must not keep objects of a dead loop alive.
        work, loop, future = self._parts.pop()
        if future.done():
            return
        try:
            result = work()
        except BaseException as exc:
            _deliver(loop, _fail, future, exc)
        else:
            _deliver(loop, _finish, future, result)


def _start_thread() -> aiosqlite.Connection:
    """Starts aiosqlite's thread without letting it open a connection.

    The queue and the thread are private to aiosqlite, hence its version limit in pyproject.toml. The public interface
    makes one round trip for each statement, its thread dies when the caller's loop is closed, and the thread keeps the
    interpreter from exiting because it is not a daemon.
    """
    thread = aiosqlite.Connection(_connects_nothing, 0)
    thread._thread.daemon = True
    thread._thread.start()
    return thread


def _connects_nothing() -> NoReturn:
    raise sqlite3.ProgrammingError("this thread's database opens its own connection")


def _put(thread: aiosqlite.Connection, job: Callable[[], object]) -> None:
    thread._tx.put_nowait((None, job))


def _end(thread: aiosqlite.Connection, database: Database, pid: int) -> None:
    if os.getpid() == pid:
        _put(thread, partial(_end_thread, thread, database))


def _end_thread(thread: aiosqlite.Connection, database: Database) -> None:
    try:
        database.close()
    finally:
        thread.stop()


def _deliver(
    loop: asyncio.AbstractEventLoop,
    settle: Callable[[asyncio.Future[T], R], None],
    future: asyncio.Future[T],
    outcome: R,
) -> None:
    with suppress(RuntimeError):  # The loop was closed, so nobody waits.
        loop.call_soon_threadsafe(settle, future, outcome)


def _finish(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], exc: BaseException) -> None:
    if not future.done():
        future.set_exception(exc)


def _give_up(future: asyncio.Future[T], path: str, seconds: float) -> None:
    _fail(
        future,
        BackendUnavailable(
            f"{path} was not written within {seconds:g} s, the effect is unknown: another process holds its lock "
            "(look for one that is stopped or being debugged), or the disk is overloaded"
        ),
    )
