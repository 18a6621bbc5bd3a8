"""Connections that are cut, and openings that are given up, at a frame of AMQP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import count

from trigger_engine_rabbitmq.backend import RabbitMQTrigger
from trigger_engine_rabbitmq.settings import RabbitMQSettings

from tests.support.servers.proxy import Proxy
from trigger_engine._engine.lifecycle import HELD
from trigger_engine.backend._contract import Checkpoint, EventLog
from trigger_engine.backend._ids import fresh_id
from trigger_engine.testing.conformance._claiming import claim
from trigger_engine.testing.conformance._harness import append, ids
from trigger_engine.testing.conformance._sample_entries import elected, registration

AT_ONCE = 8
"""Logs that are disturbed side by side."""


class CuttingProxy(Proxy):
    """Cuts each of the first `connections` just before the frame of this number, counted in both directions.

    With `cuts=False` it only tells when the frame is `reached`.
    """

    def __init__(self, url: str, *, frame: int, connections: int, cuts: bool) -> None:
        super().__init__(url)
        self._frame = frame
        self._left = connections
        self._cuts = cuts
        self.reached = asyncio.Event()

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        self._left -= 1
        await (self._serve_until_the_frame if self._left >= 0 else super().serve)(client, answers)

    async def _serve_until_the_frame(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        server, requests = await asyncio.open_connection(*self._target)
        frames = count()

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                head = await reader.readexactly(7)
                rest = await reader.readexactly(int.from_bytes(head[3:7]) + 1)
                if next(frames) == self._frame:
                    self.reached.set()
                    if self._cuts:
                        self.cuts += 1
                        raise ConnectionResetError
                writer.write(head + rest)

        try:
            requests.write(await client.readexactly(8))
            async with asyncio.TaskGroup() as group:
                group.create_task(forward(client, requests))
                group.create_task(forward(server, answers))
        except* (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            answers.transport.abort()
            requests.transport.abort()


@asynccontextmanager
async def cutting(url: str, *, frame: int, connections: int, cuts: bool = True) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(url, frame=frame, connections=connections, cuts=cuts)
    server = await proxy.start()
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()


async def open_log(url: str, prefix: str) -> EventLog:
    return await RabbitMQTrigger(RabbitMQSettings(url, prefix, timeout=30.0), app_id="shop").open(clock=time.time)


async def cuts_while_working(url: str, frame: int, connections: int) -> int:
    """Every kind of call once, on a log whose first connections are cut at a frame; how many were."""
    prefix = f"test-{fresh_id()}"
    async with (
        cutting(url, frame=frame, connections=connections) as proxy,
        asyncio.timeout(60),
        await open_log(proxy.url, prefix) as log,
    ):
        term = await append(log, elected("l1"))
        waiting = asyncio.create_task(log.follow(await log.tail(), wait=60))
        assert await log.acquire("match", "runner-1", ttl=60)
        await append(log, registration("i1"))
        assert [entry.id for _, entry in (await waiting).entries] == ["i1"]
        claims = await claim(log)
        (held,) = [*claims.started, *claims.stranded]
        assert held.state.status in HELD
        saved = Checkpoint(term, await log.tail(), b"saved")
        await log.save_checkpoint("match", saved)
        assert await log.load_checkpoint("match") == saved
        assert await ids(log) == ["l1", "i1", held.latest.id]
        assert not await log.acquire("match", "runner-2", ttl=60)
    async with await open_log(url, prefix) as log:
        assert await ids(log) == ["l1", "i1", held.latest.id]
    return proxy.cuts


async def is_given_up_at(url: str, frame: int, steps: int) -> bool:
    """Gives up opening a log some steps of the loop after a frame; False when it was open before that."""
    async with cutting(url, frame=frame, connections=1, cuts=False) as proxy:
        opening = asyncio.create_task(open_log(proxy.url, f"test-{fresh_id()}"))
        reached = asyncio.create_task(proxy.reached.wait())
        await asyncio.wait([opening, reached], return_when=asyncio.FIRST_COMPLETED)
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        reached.cancel()
        done, _ = await asyncio.wait([opening], timeout=60)
        assert done, f"it hangs when it is given up {steps} steps after frame {frame}"
        if not opening.cancelled():
            async with asyncio.timeout(60):
                await opening.result().close()
        return proxy.reached.is_set()


async def some_are_cut(url: str, frames: Iterable[int], *, connections: int) -> bool:
    """Works on a log for each frame, side by side; whether a connection of any was cut."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(cuts_while_working(url, frame, connections)) for frame in frames]
    return any(task.result() for task in tasks)


async def some_are_given_up(url: str, frame: int) -> bool:
    """Gives up openings of logs at a frame and some steps of the loop after it; whether any was not yet open."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(is_given_up_at(url, frame, steps)) for steps in range(AT_ONCE)]
    return any(task.result() for task in tasks)
