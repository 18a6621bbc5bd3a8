"""The SQLite log: each call runs one function in a thread, and waiting takes no thread."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar

from trigger_engine._storage.sqlite import appending, checkpoints, claiming, leases, reading, runners, trimming
from trigger_engine._storage.sqlite.apps import ensure_app
from trigger_engine._storage.sqlite.boot_clock import BootClock
from trigger_engine._storage.sqlite.database import Database, identity
from trigger_engine._storage.sqlite.fair_lock import FairLock
from trigger_engine._storage.sqlite.file_system import check_file_system
from trigger_engine._storage.sqlite.recent_entries import RecentEntries
from trigger_engine._storage.sqlite.schema import prepare
from trigger_engine._storage.sqlite.settings import SQLiteSettings
from trigger_engine._storage.sqlite.thread import DatabaseThread
from trigger_engine._storage.sqlite.wakeup import Wakeup, notify
from trigger_engine.backend._claim_tracking import ReportedClaims
from trigger_engine.backend._contract import (
    Batch,
    Checkpoint,
    Claims,
    Clock,
    Cursor,
    EventLog,
    Invocation,
    Outcome,
    Part,
    RunnerFacts,
    RunnerRow,
)

T = TypeVar("T")
_MIN_TIMEOUT = 5.0


class SQLiteLog(EventLog):
    """One app's log in one file, opened for one event loop.

    Appends and claims use one connection and thread, reads another: a read never waits for a commit.
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
        # SQLite gives up first, with a more precise error.
        self._timeout = 2 * max(settings.busy_timeout, _MIN_TIMEOUT)
        prepare_file = partial(_prepare, app_id=app_id)
        self._writer = DatabaseThread(Database(path, settings, prepare_file))
        self._reader = DatabaseThread(Database(path, settings, prepare_file))
        self._wakeup = Wakeup(path, app_id)
        self._locks = leases.LeaseLocks(path)
        self._reported = ReportedClaims()
        self._recent = RecentEntries()

    async def prepare(self) -> None:
        """Opens the file or creates it. Raises BackendUnavailable, ConfigError."""
        check_file_system(self._path)
        await self.tail()

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        encoded = appending.encode_parts(parts)
        return await self._writer.run(
            partial(self._append, parts=parts, encoded=encoded, now=self._clock()), seconds=self._timeout
        )

    async def follow(self, after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        deadline = self._loop.time() + wait
        with self._wakeup.listening() if wait > 0 else nullcontext():
            while True:
                last = self._wakeup.entries.last
                batch = self._recent.after(after, limit, identity(self._path)) if wait > 0 else None
                if batch is None:
                    batch = await self._read(reading.read, after, limit, self._path)
                left = deadline - self._loop.time()
                if batch.entries or left <= 0:
                    return batch
                await self._wakeup.entries.wait(last, left)

    async def tail(self) -> Cursor:
        return self._noted(await self._read(reading.tail))

    async def start(self) -> Cursor:
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
                request = claiming.ClaimRequest(runner_id, of_tasks, of_queues, frozenset(holding), limit)
                found = await self._writer.run(partial(self._claim, request=request, now=now), seconds=self._timeout)
                left = deadline - self._loop.time()
                if left <= 0 or self._reported.is_news(runner_id, found.claims):
                    self._reported.record(runner_id, found.claims)
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

    async def trim(self, before: Cursor, *, keys_before: float, limit: int = 10_000) -> int:
        removed = 0
        while True:
            step = min(trimming.STEP, limit - removed)
            now_removed = await self._write(trimming.trim, before, keys_before=keys_before, limit=step, path=self._path)
            removed += now_removed
            self._recent.forget()
            if now_removed < step or removed >= limit:
                await self._sweep()
                return removed

    async def clear(self) -> None:
        await self._write(trimming.clear)
        self._recent.forget()
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

    def _append(
        self, database: Database, *, parts: Sequence[Part], encoded: appending.EncodedEntries, now: float
    ) -> list[Outcome]:
        """Runs in the writer's thread."""
        appended = appending.append(database, self._app_id, parts, encoded, now)
        self._announce(database, appended)
        return appended.validation.outcomes

    def _claim(self, database: Database, *, request: claiming.ClaimRequest, now: float) -> claiming.ClaimResult:
        """Runs in the writer's thread."""
        found, appended = claiming.claim(database, self._app_id, request, now)
        if appended is not None:
            self._announce(database, appended)
        return found

    def _announce(self, database: Database, appended: appending.Appended) -> None:
        """Keeps the committed entries for followers and wakes everyone who waits for them."""
        if appended.validation.accepted:
            self._recent.add((appended.log_id, database.file), appended.validation.accepted, appended.size)
            notify(self._wakeup, queue=appended.validation.wakes_workers)

    async def _write(self, work: Callable[..., T], *args: Any, **options: Any) -> T:
        return await self._writer.run(
            lambda database: database.write(lambda connection: work(connection, self._app_id, *args, **options)),
            seconds=self._timeout,
        )

    async def _read(self, work: Callable[..., T], *args: Any) -> T:
        return await self._reader.run(
            lambda database: database.read(lambda connection: work(connection, self._app_id, *args))
        )

    def _noted(self, cursor: Cursor) -> Cursor:
        self.log_id = cursor.log_id
        return cursor


def _prepare(connection: sqlite3.Connection, fair_lock: FairLock, path: str, *, app_id: str) -> None:
    prepare(connection, fair_lock, path)
    ensure_app(connection, app_id)
