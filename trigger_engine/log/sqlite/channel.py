"""A database's own thread: one hop to it is one transaction."""

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

from trigger_engine.errors import BackendUnavailable
from trigger_engine.log.opening import log_closed
from trigger_engine.log.sqlite.database import Database

T = TypeVar("T")
R = TypeVar("R")

CLOSE_SECONDS = 5.0


class Channel:
    """Runs functions on a database in the order in which they are asked for, and never blocks the event loop.

    A caller that is cancelled before its turn takes its function back; after that it takes effect.
    """

    def __init__(self, database: Database) -> None:
        self._path = database.path
        self._database = database
        self._pid = os.getpid()
        self._closed = False
        self._worker = _start_worker()
        self._drop = weakref.finalize(self, _end, self._worker, database, self._pid)
        self._drop.atexit = False

    async def run(self, work: Callable[[Database], T], *, seconds: float | None = None) -> T:
        """What `work` returns or raises. After `seconds` it raises BackendUnavailable, and the effect is unknown."""
        if self._closed:
            raise log_closed(self._path)
        if self._pid != os.getpid():
            raise BackendUnavailable(
                f"the log in {self._path} was opened by the process {self._pid}, of which this is a fork: open it again"
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        _put(self._worker, _Hop(partial(work, self._database), loop, future))
        if seconds is None:
            return await future
        timer = loop.call_later(seconds, _give_up, future, self._path, seconds)
        try:
            return await future
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Closes the database and ends the thread; twice is harmless. A thread that hangs is left behind."""
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


class _Hop(Generic[T]):
    """One function on its way to the thread and its result on the way back."""

    __slots__ = ("_parts",)

    def __init__(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop, future: asyncio.Future[T]) -> None:
        self._parts = [(work, loop, future)]

    def __call__(self) -> None:
        # Emptied, for the thread keeps its last job until the next one comes: nothing of a dead loop may hang on it.
        work, loop, future = self._parts.pop()
        if future.done():
            return
        try:
            result = work()
        except BaseException as exc:
            _deliver(loop, _fail, future, exc)
        else:
            _deliver(loop, _finish, future, result)


def _start_worker() -> aiosqlite.Connection:
    """An aiosqlite thread without a connection of its own.

    It is used by its queue, in this file only: it has no public way to run a function in one hop, its own way kills the
    thread when the caller's loop is closed, and a thread that is not daemonic keeps the interpreter from exiting.
    """
    worker = aiosqlite.Connection(_connects_nothing, 0)
    worker._thread.daemon = True
    worker._thread.start()
    return worker


def _connects_nothing() -> NoReturn:
    raise sqlite3.ProgrammingError("this worker's database opens by itself")


def _put(worker: aiosqlite.Connection, job: Callable[[], object]) -> None:
    worker._tx.put_nowait((None, job))


def _end(worker: aiosqlite.Connection, database: Database, pid: int) -> None:
    if os.getpid() == pid:
        _put(worker, partial(_end_thread, worker, database))


def _end_thread(worker: aiosqlite.Connection, database: Database) -> None:
    try:
        database.close()
    finally:
        worker.stop()


def _deliver(
    loop: asyncio.AbstractEventLoop,
    settle: Callable[[asyncio.Future[T], R], None],
    future: asyncio.Future[T],
    outcome: R,
) -> None:
    with suppress(RuntimeError):  # The loop was closed: nobody waits.
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
            f"{path} was not written within {seconds:g} s, the effect is unknown: another process keeps its lock "
            "(look for one that is stopped or debugged), or the disk is overloaded"
        ),
    )
