"""The MongoDB log."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, TypeVar

from trigger_engine.backend import (
    Batch,
    Checkpoint,
    Claims,
    Clock,
    Cursor,
    EventLog,
    Invocation,
    Outcome,
    Part,
    ReportedClaims,
    RunnerFacts,
    RunnerRow,
    SingleFlight,
    log_closed_error,
)
from trigger_engine_mongodb.appending import Writer
from trigger_engine_mongodb.checkpoints import Checkpoints
from trigger_engine_mongodb.claiming import Claimer, Wanted
from trigger_engine_mongodb.client import Server
from trigger_engine_mongodb.documents import invocation_of
from trigger_engine_mongodb.projection import Projection
from trigger_engine_mongodb.reading import Reader
from trigger_engine_mongodb.roles import Roles
from trigger_engine_mongodb.run_queue import FoldedQueue
from trigger_engine_mongodb.settings import MongoSettings
from trigger_engine_mongodb.settlements import Settlements
from trigger_engine_mongodb.store import Store
from trigger_engine_mongodb.trimming import Trimmer
from trigger_engine_mongodb.wakeup import Wakeup

T = TypeVar("T")


class MongoLog(EventLog):
    """One app's log in one database, opened for one event loop."""

    refuses_void = False
    refuses_stale = True
    resends = True

    def __init__(self, settings: MongoSettings, *, app_id: str, location: str, clock: Clock) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._location = location
        self._server = Server(settings, location=location)
        self._store = Store(self._server, app_id)
        self._reader = Reader(self._store, location=location, hole_timeout=settings.hole_timeout)
        self._writer = Writer(self._store, hole_timeout=settings.hole_timeout)
        self._projection = Projection(self._store, self._reader)
        self._queue = FoldedQueue(self._store, self._reader)
        self._settlements = Settlements()
        self._claimer = Claimer(
            self._store,
            self._reader,
            self._queue,
            self._projection,
            writer=self._writer,
            settlements=self._settlements,
        )
        self._checkpoints = Checkpoints(self._store, self._reader)
        self._trimmer = Trimmer(self._store, self._reader, self._projection)
        self._roles = Roles(self._store)
        self._wakeup = Wakeup(self._store)
        self._reported = ReportedClaims()
        self._claiming = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()
        self._update_rows = SingleFlight(self._projection.follow, self._start)
        self._keeping_up: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def log_id(self) -> str:  # type: ignore[override]
        """The log's identity when it was last read."""
        return self._store.log_id

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        settling = self._settlements.begin(parts)
        try:
            outcomes = await self._complete(self._writer.append(parts))
        finally:
            self._settlements.end(settling)
        self._settlements.note(parts, outcomes)
        self._wakeup.notify()
        return outcomes

    async def follow(self, after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        deadline = self._loop.time() + wait
        while True:
            last = self._wakeup.notifier.last
            if wait > 0:
                self._listen()
            batch = await self._reader.read(after, limit)
            left = deadline - self._loop.time()
            if batch.entries or left <= 0:
                return batch
            after = batch.cursor
            await self._wakeup.wait(last, left)

    async def tail(self) -> Cursor:
        return await self._reader.tail()

    async def start(self) -> Cursor:
        head = await self._store.head()
        return Cursor(head.log_id, head.trimmed)

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
        wanted = Wanted(runner_id, tasks, queues, limit, patient=wait > 0)
        while True:
            last = self._wakeup.notifier.last
            if wait > 0:
                self._listen()
            claims, next_due = await self._complete(self._attempt(wanted, holding))
            if claims.started:
                self._wakeup.notify()
            left = deadline - self._loop.time()
            if left <= 0 or self._reported.is_news(runner_id, claims):
                self._reported.record(runner_id, claims)
                return claims
            await self._wakeup.wait(last, left if next_due is None else max(0.0, min(left, next_due)))

    async def _attempt(self, wanted: Wanted, holding: Collection[str]) -> tuple[Claims, float | None]:
        # One at a time: the next call must see what a cancelled one still claims as stranded.
        async with self._claiming:
            return await self._claimer.claim(wanted, holding=holding, now=self._clock())

    async def heartbeat(self, facts: RunnerFacts, *, ttl: float) -> None:
        await self._roles.heartbeat(facts, ttl)

    async def leave(self, runner_id: str) -> None:
        await self._roles.leave(runner_id)

    async def runners(self) -> list[RunnerRow]:
        return await self._roles.runners()

    async def orphans(self, *, limit: int = 1000) -> list[Invocation]:
        # Read before the log, in case a runner settles and leaves; and after it, in case a new one claims.
        alive = await self._alive()
        await self._queue.follow()
        self._keep_up()
        held = {each.state.claim_id: each for each in self._queue.held_by_others(alive, limit)}
        alive = await self._alive() if held else alive
        lost = {claim: each for claim, each in held.items() if each.state.runner_id not in alive}
        return await self._projection.held(lost)

    def _keep_up(self) -> None:
        """Updates the rows in the background; the next call retries what failed."""
        if self._keeping_up is None or self._keeping_up.done():
            self._keeping_up = self._start(self._projection.keep_up())

    async def _alive(self) -> set[str]:
        return {row.facts.runner_id for row in await self._roles.runners() if row.alive}

    async def acquire(self, name: str, owner: str, *, ttl: float) -> bool:
        return await self._roles.acquire(name, owner, ttl)

    async def release(self, name: str, owner: str) -> None:
        await self._roles.release(name, owner)

    async def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> bool:
        return await self._complete(self._checkpoints.save(name, checkpoint))

    async def load_checkpoint(self, name: str) -> Checkpoint | None:
        return await self._checkpoints.load(name)

    async def invocation(self, invocation_id: str) -> Invocation | None:
        await self._update_rows.run()
        found = await self._server.find(self._store.rows, {"_id": invocation_id, "gone": False})
        return invocation_of(found[0]) if found else None

    async def trim(self, before: Cursor, *, keys_before: float, limit: int = 10_000) -> int:
        return await self._complete(self._trimmer.trim(before, keys_before=keys_before, limit=limit))

    async def clear(self) -> None:
        await self._complete(self._store.replace())
        self._wakeup.notify()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._running:
                await asyncio.wait(set(self._running))
            await self._wakeup.aclose()
            await self._server.aclose()

    async def _complete(self, work: Coroutine[Any, Any, T]) -> T:
        """Completes the work even when the caller is cancelled: others would wait for the missing half."""
        if self._closed:
            work.close()
            raise log_closed_error(self._location)
        return await asyncio.shield(self._start(work))

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # a cancelled caller does not retrieve it

    def _listen(self) -> None:
        if self._closed:
            raise log_closed_error(self._location)
        self._wakeup.listen()
