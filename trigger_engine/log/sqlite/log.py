"""The SQLite log: each call is one hop to a thread, and waiting costs nothing."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from trigger_engine.log.claims import ReportedClaims
from trigger_engine.log.contract import (
    Batch,
    Bookmark,
    Checkpoint,
    Claims,
    Clock,
    EventLog,
    Invocation,
    Outcome,
    Part,
    RunnerFacts,
    RunnerRow,
)
from trigger_engine.log.sqlite import appending, checkpoints, claiming, leases, reading, runners, trimming
from trigger_engine.log.sqlite.apps import ensure_app
from trigger_engine.log.sqlite.boot_clock import BootClock
from trigger_engine.log.sqlite.channel import Channel
from trigger_engine.log.sqlite.database import Database, identity
from trigger_engine.log.sqlite.file_system import check_file_system
from trigger_engine.log.sqlite.schema import prepare
from trigger_engine.log.sqlite.turnstile import Turnstile
from trigger_engine.log.sqlite.wakeup import Wakeup, notify
from trigger_engine.log.sqlite.writing import Writing, Written

if TYPE_CHECKING:
    from trigger_engine.log.sqlite.backend import SQLiteSettings

T = TypeVar("T")


class SQLiteLog(EventLog):
    """One app's log in one file, opened for one event loop.

    Writes and claims go through one connection and thread, reads through another: these never wait for a commit.
    """

    refuses_void = True
    dense_positions = True

    def __init__(self, path: str, settings: SQLiteSettings, *, app_id: str, clock: Clock) -> None:
        self.log_id = ""
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._path = path
        self._app_id = app_id
        self._clock = clock
        self._boot_clock = BootClock()
        # SQLite gives up first, and says more.
        self._patience = 2 * settings.busy_timeout
        prepare_file = partial(_prepare, app_id=app_id)
        self._writer = Channel(Database(path, settings, prepare_file))
        self._reader = Channel(Database(path, settings, prepare_file))
        self._wakeup = Wakeup(path, app_id)
        self._locks = leases.LeaseLocks(path)
        self._reported = ReportedClaims()
        self._written = Written()
        self._writing = Writing(app_id, self._wakeup, self._written)

    async def prepare(self) -> None:
        """Opens the file, or makes it. Raises BackendUnavailable, ConfigError."""
        check_file_system(self._path)
        await self.tail()

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        encoded = appending.encode_parts(parts)
        return await self._writer.run(
            partial(self._writing.append, parts=parts, encoded=encoded, now=self._clock()),
            seconds=self._patience,
        )

    async def follow(self, after: Bookmark, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        deadline = self._loop.time() + wait
        with self._wakeup.listening() if wait > 0 else nullcontext():
            while True:
                last, others = self._wakeup.entries.last, self._wakeup.others
                batch = self._written.after(after, limit, others, identity(self._path))
                if batch is None or wait <= 0:
                    batch = await self._read(reading.read, after, limit, self._path)
                    self._written.read(batch, others)
                left = deadline - self._loop.time()
                if batch.entries or left <= 0:
                    return batch
                await self._wakeup.entries.wait(last, left)

    async def tail(self) -> Bookmark:
        return self._noted(await self._read(reading.tail))

    async def start(self) -> Bookmark:
        return self._noted(await self._read(reading.start))

    async def claim(
        self,
        runner_id: str,
        *,
        tasks: Collection[str],
        queues: Collection[str],
        holding: Collection[str],
        limit: int,
        wait: float = 0.0,
    ) -> Claims:
        of_tasks, of_queues = frozenset(tasks), frozenset(queues)
        deadline = self._loop.time() + wait
        with self._wakeup.listening() if wait > 0 else nullcontext():
            while True:
                last = self._wakeup.queue.last
                now = self._clock()
                request = claiming.Request(runner_id, of_tasks, of_queues, frozenset(holding), limit)
                found = await self._writer.run(
                    partial(self._writing.claim, request=request, now=now),
                    seconds=self._patience,
                )
                left = deadline - self._loop.time()
                if left <= 0 or self._reported.is_news(runner_id, found.claims):
                    self._reported.told(runner_id, found.claims)
                    return found.claims
                if found.next_due is not None:
                    left = min(left, max(found.next_due - now, 0.0))
                await self._wakeup.queue.wait(last, left)

    async def heartbeat(self, facts: RunnerFacts, *, ttl: float) -> None:
        expiry = self._boot_clock.expiry(ttl)
        await self._write(runners.heartbeat, facts, expiry, now=self._clock(), clock=self._boot_clock)

    async def leave(self, runner_id: str) -> None:
        await self._write(runners.leave, runner_id)

    async def runners(self) -> list[RunnerRow]:
        return await self._read(runners.load_runners, self._boot_clock)

    async def orphans(self, *, limit: int = 1000) -> list[Invocation]:
        return await self._read(runners.load_orphans, limit, self._boot_clock)

    async def acquire(self, name: str, owner: str, *, ttl: float) -> bool:
        expiry = self._boot_clock.expiry(ttl)
        return await self._write(leases.acquire, name, owner, expiry=expiry, clock=self._boot_clock, locks=self._locks)

    async def release(self, name: str, owner: str) -> None:
        await self._write(leases.release, name, owner)
        self._locks.unlock(self._app_id, name, owner)

    async def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> bool:
        return await self._write(checkpoints.save_checkpoint, name, checkpoint, self._path)

    async def load_checkpoint(self, name: str) -> Checkpoint | None:
        return await self._read(checkpoints.load_checkpoint, name)

    async def invocation(self, invocation_id: str) -> Invocation | None:
        return await self._read(reading.invocation, invocation_id)

    async def trim(self, before: Bookmark, *, keys_before: float, limit: int = 10_000) -> int:
        removed = 0
        while True:
            step = min(trimming.STEP, limit - removed)
            now_removed = await self._write(trimming.trim, before, keys_before=keys_before, limit=step, path=self._path)
            removed += now_removed
            self._written.forget()
            if now_removed < step or removed >= limit:
                await self._sweep()
                return removed

    async def clear(self) -> None:
        await self._write(trimming.clear)
        self._written.forget()
        notify(self._wakeup, queue=True)
        await self.tail()
        await self._sweep()

    async def close(self) -> None:
        if self._pid != os.getpid():
            return
        self._wakeup.close()
        try:
            await self._writer.close()
        finally:
            try:
                await self._reader.close()
            finally:
                self._locks.close()

    async def _sweep(self) -> None:
        while await self._read(trimming.has_leftovers):
            await self._write(trimming.sweep)

    async def _write(self, work: Callable[..., T], *args: Any, **options: Any) -> T:
        bound = partial(_bound, work=work, app_id=self._app_id, args=args, options=options)
        return await self._writer.run(lambda database: database.write(bound), seconds=self._patience)

    async def _read(self, work: Callable[..., T], *args: Any) -> T:
        bound = partial(_bound, work=work, app_id=self._app_id, args=args, options={})
        return await self._reader.run(lambda database: database.read(bound))

    def _noted(self, bookmark: Bookmark) -> Bookmark:
        self.log_id = bookmark.log_id
        return bookmark


def _prepare(connection: sqlite3.Connection, turnstile: Turnstile, path: str, *, app_id: str) -> None:
    prepare(connection, turnstile, path)
    ensure_app(connection, app_id)


def _bound(
    connection: sqlite3.Connection,
    *,
    work: Callable[..., T],
    app_id: str,
    args: tuple[Any, ...],
    options: dict[str, Any],
) -> T:
    return work(connection, app_id, *args, **options)
