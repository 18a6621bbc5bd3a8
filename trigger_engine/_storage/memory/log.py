"""The memory log: used by tests, and the reference for the other logs. Its data lasts as long as the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence

import msgspec

from trigger_engine._storage.memory.roles import MemoryRoles
from trigger_engine.backend._claim_tracking import ReportedClaims
from trigger_engine.backend._contract import (
    Backend,
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
from trigger_engine.backend._memory_store import LOCATION, LogNotifiers, MemoryStore
from trigger_engine.backend._notifier import Notifier
from trigger_engine.errors import BackendUnavailable


class MemorySettings(msgspec.Struct, frozen=True):
    """The memory backend has no settings."""


class MemTrigger(Backend):
    """Keeps an app's data in this object; every loop and thread of the process that opens it sees the same data."""

    name = "MemTrigger"
    family = "Mem"
    section = "memory"
    settings_type = MemorySettings
    shared_between_processes = False

    def __init__(self, settings: MemorySettings | None = None, *, app_id: str, steady: Clock = time.monotonic) -> None:
        super().__init__(settings or MemorySettings(), app_id=app_id)
        self._steady = steady
        self.store = MemoryStore()
        self.roles = MemoryRoles()

    def location(self) -> str:
        return LOCATION

    async def open(self, *, clock: Clock) -> MemoryLog:
        """Opens the log for the running event loop; `clock` decides when work is due."""
        return MemoryLog(self.store, self.roles, clock, self._steady)


class MemoryLog(EventLog):
    """One event loop's view of the memory store. Leases and heartbeats use `steady`, because `clock` may jump."""

    refuses_void = True
    dense_positions = True

    def __init__(self, store: MemoryStore, roles: MemoryRoles, clock: Clock, steady: Clock) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._store = store
        self._roles = roles
        self._clock = clock
        self._steady = steady
        self._notifiers = LogNotifiers(Notifier(loop), Notifier(loop))
        self._reported = ReportedClaims()
        self._closed = False
        store.listen(self._notifiers)

    @property
    def log_id(self) -> str:  # type: ignore[override]
        """The current identity of the log."""
        return self._store.log_id

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        return self._open_store.append(parts)

    async def follow(self, after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        deadline = self._loop.time() + wait
        while True:
            last = self._notifiers.entries.last
            batch = self._open_store.read(after, limit)
            left = deadline - self._loop.time()
            if batch.entries or left <= 0:
                return batch
            await self._notifiers.entries.wait(last, left)

    async def tail(self) -> Cursor:
        return self._open_store.tail()

    async def start(self) -> Cursor:
        return self._open_store.start()

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
        deadline = self._loop.time() + wait
        while True:
            last = self._notifiers.queue.last
            now = self._clock()
            claims = self._open_store.claim(
                runner_id, tasks=tasks, queues=queues, holding=holding, limit=limit, now=now
            )
            left = deadline - self._loop.time()
            if left <= 0 or self._reported.is_news(runner_id, claims):
                self._reported.record(runner_id, claims)
                return claims
            due = self._store.next_due() if limit > 0 else None
            await self._notifiers.queue.wait(last, left if due is None else min(left, max(due - now, 0.0)))

    def next_due(self) -> float | None:
        """The earliest `not_before` of delayed work, for tests that control the clock."""
        return self._store.next_due()

    async def heartbeat(self, facts: RunnerFacts, *, ttl: float) -> None:
        self._check_open()
        self._roles.heartbeat(facts, ttl=ttl, now=self._steady(), wall=self._clock())

    async def leave(self, runner_id: str) -> None:
        self._check_open()
        self._roles.leave(runner_id)

    async def runners(self) -> list[RunnerRow]:
        self._check_open()
        return self._roles.rows(self._steady())

    async def orphans(self, *, limit: int = 1000) -> list[Invocation]:
        alive = {row.facts.runner_id for row in await self.runners() if row.alive}
        return self._open_store.held_by_others(alive, limit)

    async def acquire(self, name: str, owner: str, *, ttl: float) -> bool:
        self._check_open()
        return self._roles.acquire(name, owner, ttl=ttl, now=self._steady())

    async def release(self, name: str, owner: str) -> None:
        self._check_open()
        self._roles.release(name, owner)

    async def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> bool:
        return self._open_store.save_checkpoint(name, checkpoint)

    async def load_checkpoint(self, name: str) -> Checkpoint | None:
        return self._open_store.load_checkpoint(name)

    async def invocation(self, invocation_id: str) -> Invocation | None:
        return self._open_store.invocation(invocation_id)

    async def trim(self, before: Cursor, *, keys_before: float, limit: int = 10_000) -> int:
        return self._open_store.trim(before, keys_before=keys_before, limit=limit)

    async def clear(self) -> None:
        self._open_store.clear()
        self._roles.release_all()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._store.unlisten(self._notifiers)
            self._notifiers.entries.notify()
            self._notifiers.queue.notify()

    @property
    def _open_store(self) -> MemoryStore:
        self._check_open()
        return self._store

    def _check_open(self) -> None:
        if self._closed:
            raise BackendUnavailable("this log was closed: open it again")
