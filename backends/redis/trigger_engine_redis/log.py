"""The Redis log: each step is one script, which runs atomically on the server."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import msgspec

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
    fresh_id,
    log_closed_error,
)
from trigger_engine_redis import checkpoints, scripts
from trigger_engine_redis.encoding import decode_invocation, decode_names, decode_outcomes, encode_parts, pack
from trigger_engine_redis.locator import Locator
from trigger_engine_redis.reading import Reader
from trigger_engine_redis.server import Server
from trigger_engine_redis.settings import RedisSettings
from trigger_engine_redis.trimming import trim_step
from trigger_engine_redis.urls import parse_url
from trigger_engine_redis.wakeup import SLICE, Wakeup

LOST_RUNNERS_KEPT = 86_400.0
"""How many seconds a runner stays listed after its heartbeat has expired."""

_facts_encoder = msgspec.msgpack.Encoder()
_facts_decoder = msgspec.msgpack.Decoder(RunnerFacts)


def connect(settings: RedisSettings, *, app_id: str, location: str) -> Server:
    """A client for the server that has the app's keys; it connects when it is used."""
    keys = scripts.keys_of(settings.key_prefix, app_id)
    locator = Locator(parse_url(settings.url), keys[0], seconds=settings.timeout / 2)
    return Server(locator, keys, location=location, seconds=settings.timeout)


class RedisLog(EventLog):
    """One app's log on one server, opened for one event loop."""

    refuses_void = True
    resends = True

    def __init__(self, settings: RedisSettings, *, app_id: str, location: str, clock: Clock) -> None:
        self.log_id = ""
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._location = location
        self._settings = settings
        self._keys = dict(zip(scripts.NAMES, scripts.keys_of(settings.key_prefix, app_id), strict=True))
        self._server = connect(settings, app_id=app_id, location=location)
        keys = self._keys
        self._reader = Reader(keys["meta"], keys["ids"], keys["entries"], location=location)
        self._wakeup = Wakeup(self._server, keys["bell"], slice_seconds=SLICE)
        self._reported = ReportedClaims()
        # The log id to use if a script has to create the log.
        self._candidate = fresh_id()
        self._closed = False

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        described, data = encode_parts(parts)
        replicas = self._settings.wait_replicas
        command = self._server.call(
            scripts.APPEND, self._candidate, described, self._settings.max_entries, 1 if replicas else 0, *data
        )
        # WAIT covers the last write of this connection, so each attempt must write something.
        waiting = [("WAIT", replicas, int(self._settings.timeout * 300))] if replicas else []
        answers = await self._server.ask(command, *waiting, script=scripts.APPEND, needs_replicas=replicas)
        _, tail, queue_changes, outcomes = answers[0]
        self._wakeup.update(tail, queue_changes)
        return decode_outcomes(outcomes)

    async def follow(self, after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        deadline = self._loop.time() + wait
        while True:
            last = self._wakeup.entries.last
            if wait > 0:
                self._listen()
            batch = await self._read(after, limit)
            left = deadline - self._loop.time()
            if batch.entries or left <= 0:
                return batch
            await self._wakeup.wait(self._wakeup.entries, last, left)

    async def tail(self) -> Cursor:
        log_id, tail, last, trimmed = await self._meta("log_id", "tail", "last", "trimmed")
        return Cursor(log_id, int(tail), last if int(tail) > int(trimmed) else "")

    async def start(self) -> Cursor:
        log_id, trimmed = await self._meta("log_id", "trimmed")
        return Cursor(log_id, int(trimmed))

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
        packed_tasks, packed_queues = pack(list(tasks)), pack(list(queues))
        deadline = self._loop.time() + wait
        while True:
            last = self._wakeup.queue.last
            if wait > 0:
                self._listen()
            answer = await self._server.run(
                scripts.CLAIM,
                *(self._candidate, runner_id, packed_tasks, packed_queues, pack(list(holding))),
                *(limit, fresh_id(), repr(self._clock())),
            )
            _, tail, queue_changes, started, stranded, revoked, unknown, next_due = answer
            self._wakeup.update(tail, queue_changes)
            claims = Claims(
                started=[decode_invocation(each) for each in started],
                stranded=sorted(map(decode_invocation, stranded), key=lambda each: each.registered_at),
                revoked=decode_names(revoked),
                unknown=decode_names(unknown),
            )
            left = deadline - self._loop.time()
            if left <= 0 or self._reported.is_news(runner_id, claims):
                self._reported.record(runner_id, claims)
                return claims
            await self._wakeup.wait(self._wakeup.queue, last, left if next_due is None else min(left, float(next_due)))

    async def heartbeat(self, facts: RunnerFacts, *, ttl: float) -> None:
        encoded = _facts_encoder.encode(facts)
        await self._server.run(
            scripts.HEARTBEAT, self._candidate, facts.runner_id, repr(ttl), repr(LOST_RUNNERS_KEPT), encoded
        )

    async def leave(self, runner_id: str) -> None:
        await self._server.ask(("HDEL", self._keys["runners"], runner_id))

    async def runners(self) -> list[RunnerRow]:
        rows = await self._server.run(scripts.RUNNERS, self._candidate)
        return [RunnerRow(_facts_decoder.decode(facts), float(seen), bool(alive)) for facts, seen, alive in rows]

    async def orphans(self, *, limit: int = 1000) -> list[Invocation]:
        return [decode_invocation(each) for each in await self._server.run(scripts.ORPHANS, self._candidate, limit)]

    async def acquire(self, name: str, owner: str, *, ttl: float) -> bool:
        return bool(await self._server.run(scripts.ACQUIRE, self._candidate, name, owner, repr(ttl)))

    async def release(self, name: str, owner: str) -> None:
        await self._server.run(scripts.RELEASE, self._candidate, name, owner)

    async def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> bool:
        key = self._keys["checkpoints"]
        return await checkpoints.save_checkpoint(self._server, key, self._candidate, name, checkpoint)

    async def load_checkpoint(self, name: str) -> Checkpoint | None:
        return await checkpoints.load_checkpoint(self._server, (self._keys["meta"], self._keys["checkpoints"]), name)

    async def invocation(self, invocation_id: str) -> Invocation | None:
        found = await self._server.run(scripts.INVOCATION, self._candidate, invocation_id)
        return None if found is None else decode_invocation(found)

    async def trim(self, before: Cursor, *, keys_before: float, limit: int = 10_000) -> int:
        removed = 0
        while True:
            start = await self.start()
            step = await trim_step(
                self._server, self._reader, start, before, keys_before=keys_before, limit=limit - removed
            )
            removed += step
            if step == 0 or removed >= limit:
                return removed

    async def clear(self) -> None:
        old = (await self.tail()).log_id
        self.log_id = (await self._server.run(scripts.CLEAR, fresh_id(), old)).decode()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._wakeup.aclose()
            await self._server.aclose()

    async def _read(self, after: Cursor, limit: int) -> Batch:
        return self._reader.batch(after, await self._server.ask(*self._reader.commands(after, limit)))

    async def _meta(self, *fields: str) -> list[str]:
        """Fields of the app's `meta` key; creates the log if there is none."""
        command = ("HMGET", self._keys["meta"], *fields)
        (found,) = await self._server.ask(command)
        if found[0] is None:
            await self._server.run(scripts.INVOCATION, self._candidate, "")
            (found,) = await self._server.ask(command)
        self.log_id = found[0].decode()
        return [value.decode() for value in found]

    def _listen(self) -> None:
        if self._closed:
            raise log_closed_error(self._location)
        self._wakeup.listen()
