"""The RabbitMQ log: one stream that every process folds, so that all agree on the result of each message."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from trigger_engine.backend import (
    Accepted,
    Batch,
    Checkpoint,
    Claims,
    Clock,
    Cursor,
    EventEmitted,
    EventLog,
    Invocation,
    InvocationRegistered,
    LogNotifiers,
    Notifier,
    Outcome,
    Part,
    ReportedClaims,
    RunnerFacts,
    RunnerRow,
    check_status_entries_alone,
    fresh_id,
)
from trigger_engine.errors import LogReplaced, NothingStored
from trigger_engine_rabbitmq.checkpoints import ChunkStream
from trigger_engine_rabbitmq.fold import LogFold
from trigger_engine_rabbitmq.log_stream import LogStream, Snapshots
from trigger_engine_rabbitmq.messages import (
    Acquired,
    Clear,
    Heartbeat,
    Left,
    Released,
    Saved,
    Trim,
    encode_parts,
)
from trigger_engine_rabbitmq.roles import RolesFold
from trigger_engine_rabbitmq.server import Server
from trigger_engine_rabbitmq.settings import RabbitMQSettings
from trigger_engine_rabbitmq.snapshot_writer import WHEN_FULL, SnapshotWriter
from trigger_engine_rabbitmq.stream import Stream
from trigger_engine_rabbitmq.urls import shown

ROLES_BYTES = 4 * 1024 * 1024
"""The size of the stream of leases and heartbeats: small, because opening reads it, and they are repeated often."""
ROLES_SEGMENT_BYTES = 1024 * 1024
NEW_WORK = (EventEmitted, InvocationRegistered)


def log_arguments(max_length_bytes: int) -> dict[str, int]:
    """The arguments that declare the log's stream. The server drops whole segments, so segments are small."""
    return {"x-max-length-bytes": max_length_bytes, "x-stream-max-segment-size-bytes": max_length_bytes // 32}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a runner asks for."""

    runner_id: str
    tasks: Collection[str]
    queues: Collection[str]
    limit: int


class RabbitMQLog(EventLog):
    """One app's log in one server's streams, opened for one event loop."""

    refuses_void = True
    dense_positions = True
    resends = True

    def __init__(self, settings: RabbitMQSettings, *, app_id: str, location: str, clock: Clock) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._fold = LogFold(location)
        self._roles_fold = RolesFold()
        prefix = f"{settings.stream_prefix}.{app_id}"
        self._log_stream = LogStream(
            f"{prefix}.log",
            log_arguments(settings.max_length_bytes),
            fold=self._fold,
            hint=self._roles_fold.newest_snapshot,
        )
        self._roles_stream = Stream(
            f"{prefix}.roles",
            {"x-max-length-bytes": ROLES_BYTES, "x-stream-max-segment-size-bytes": ROLES_SEGMENT_BYTES},
            fold=self._roles_fold,
        )
        self._server = Server(
            settings.url,
            # In this order: heartbeats name the snapshot from which the log is read.
            (self._roles_stream, self._log_stream),
            shown=shown(settings.url),
            location=location,
            seconds=settings.timeout,
        )
        self._location = location
        self._snapshot_writer = SnapshotWriter(
            self._server, self._log_stream, self._fold, max_length_bytes=settings.max_length_bytes
        )
        weakref.finalize(self, self._server.abandon).atexit = False
        self._chunks = ChunkStream(self._server, f"{prefix}.checkpoints")
        self._notifiers = LogNotifiers(Notifier(self._loop), Notifier(self._loop))
        self._fold.listen(self._notifiers)
        self._reported = ReportedClaims()
        self._claiming: dict[str, asyncio.Task[list[str]]] = {}

    @property
    def log_id(self) -> str:  # type: ignore[override]
        """The log's identity, as far as the stream was read."""
        return self._fold.log_id

    @property
    def snapshots(self) -> Snapshots:
        """The snapshots in the log's stream, as far as it was read."""
        return self._log_stream.snapshots

    async def catch_up(self) -> None:
        """Returns when both streams are connected and read to their end. Raises BackendUnavailable, ConfigError."""
        await self._server.sync(self._log_stream, self._roles_stream)

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        check_status_entries_alone(parts)
        content = encode_parts(parts)
        if not parts:
            return []
        if self._snapshot_writer.is_full and any(isinstance(entry, NEW_WORK) for part in parts for entry in part):
            raise NothingStored(f"the log in {self._location} is full, nothing was stored: {WHEN_FULL}")
        outcomes: list[Outcome] = await self._server.write(self._log_stream, content)
        return outcomes

    async def follow(self, after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        deadline = self._loop.time() + wait
        is_synced = False
        while True:
            self._server.check()
            last = self._notifiers.entries.last
            try:
                batch = self._fold.read(after, limit)
            except LogReplaced:
                # This process may only be behind the one that made the cursor.
                if is_synced:
                    raise
                batch = Batch([], after)
                deadline = min(deadline, self._loop.time())
                wait = 0.0
            left = deadline - self._loop.time()
            if batch.entries or (left <= 0 and (is_synced or wait > 0)):
                return batch
            if left <= 0:
                await self._server.sync(self._log_stream)
                is_synced = True
            else:
                await self._notifiers.entries.wait(last, left)

    async def tail(self) -> Cursor:
        await self._server.sync(self._log_stream)
        return self._fold.tail()

    async def start(self) -> Cursor:
        await self._server.sync(self._log_stream)
        return self._fold.start()

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
        wanted = _Wanted(runner_id, tasks, queues, limit)
        while True:
            last = self._notifiers.queue.last
            now = self._clock()
            claims = await self._claim(wanted, holding, now)
            left = deadline - self._loop.time()
            if left <= 0 or self._reported.is_news(runner_id, claims):
                self._reported.record(runner_id, claims)
                return claims
            due = self._fold.next_due() if limit > 0 else None
            await self._notifiers.queue.wait(last, left if due is None else min(left, max(due - now, 0.0)))

    async def _claim(self, wanted: _Wanted, holding: Collection[str], now: float) -> Claims:
        while (before := self._claiming.get(wanted.runner_id)) is not None:
            # The task of a cancelled call; its claims will be stranded.
            await asyncio.wait([before])
        self._server.check()
        if wanted.limit <= 0:
            return self._fold.held(wanted.runner_id, holding, ())
        task = asyncio.create_task(self._start(wanted, now))
        self._claiming[wanted.runner_id] = task
        task.add_done_callback(lambda _: self._claiming.pop(wanted.runner_id, None))
        task.add_done_callback(_retrieve)
        claims = self._fold.held(wanted.runner_id, holding, await asyncio.shield(task))
        return msgspec.structs.replace(claims, unknown=self._fold.unknown(wanted.tasks, wanted.queues, now))

    async def _start(self, wanted: _Wanted, now: float) -> list[str]:
        """Starts due work until a start is accepted or nothing is left; returns the claim ids."""
        while chosen := self._fold.choose(
            wanted.runner_id, tasks=wanted.tasks, queues=wanted.queues, limit=wanted.limit, now=now
        ):
            try:
                outcomes = await self.append([(entry,) for entry in chosen.values()])
            finally:
                for registered_at in chosen:
                    self._fold.put_back(registered_at)
            if any(isinstance(outcome, Accepted) for outcome in outcomes):
                return [entry.claim_id for entry in chosen.values()]
        return []

    async def heartbeat(self, facts: RunnerFacts, *, ttl: float) -> None:
        beat = Heartbeat(facts, ttl, time.time(), self.snapshots.newest)
        await self._server.write(self._roles_stream, beat)

    async def leave(self, runner_id: str) -> None:
        await self._server.write(self._roles_stream, Left(runner_id))

    async def runners(self) -> list[RunnerRow]:
        await self._server.sync(self._roles_stream)
        return self._roles_fold.rows()

    async def orphans(self, *, limit: int = 1000) -> list[Invocation]:
        await self._server.sync(self._log_stream)
        alive = {row.facts.runner_id for row in await self.runners() if row.alive}
        return self._fold.held_by_others(alive, limit)

    async def acquire(self, name: str, owner: str, *, ttl: float) -> bool:
        await self._server.sync(self._roles_stream)
        grant = self._roles_fold.next_grant(name, owner)
        if grant is None:
            return False
        return bool(await self._server.write(self._roles_stream, Acquired(name, owner, ttl, grant, time.time())))

    async def release(self, name: str, owner: str) -> None:
        await self._server.write(self._roles_stream, Released(name, owner))

    async def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> bool:
        chunks = await self._chunks.store(checkpoint.data)
        saved = Saved(name, checkpoint.term, checkpoint.cursor, chunks)
        is_saved = bool(await self._server.write(self._log_stream, saved))
        self._snapshot_writer.start_if_due()
        return is_saved

    async def load_checkpoint(self, name: str) -> Checkpoint | None:
        await self._server.sync(self._log_stream)
        found = self._fold.checkpoint(name)
        if found is None:
            return None
        checkpoint, chunks = found
        return msgspec.structs.replace(checkpoint, data=await self._chunks.load(chunks))

    async def invocation(self, invocation_id: str) -> Invocation | None:
        await self._server.sync(self._log_stream)
        return self._fold.invocation(invocation_id)

    async def trim(self, before: Cursor, *, keys_before: float, limit: int = 10_000) -> int:
        result: int | LogReplaced | None = await self._server.write(self._log_stream, Trim(before, keys_before, limit))
        if isinstance(result, LogReplaced):
            raise result
        self._snapshot_writer.start_if_due()
        return result or 0

    async def clear(self) -> None:
        await self._server.write(self._log_stream, Clear(fresh_id()))
        await self._server.write(self._roles_stream, Released())

    async def close(self) -> None:
        self._fold.unlisten(self._notifiers)
        await self._snapshot_writer.aclose()
        await self._server.aclose()
        self._notifiers.entries.notify()
        self._notifiers.queue.notify()


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
