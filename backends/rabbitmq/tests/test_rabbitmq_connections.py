"""Connections are cut, loops end, logs are dropped: nothing hangs, warns or is lost.

These tests cut connections at some frames; `nox -s faults` cuts them at every frame.
"""

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvloop
from aio_pika import Channel
from trigger_engine_rabbitmq.backend import RabbitMQTrigger
from trigger_engine_rabbitmq.fold import FoldResult, LogFold
from trigger_engine_rabbitmq.messages import Message
from trigger_engine_rabbitmq.probing import close_within
from trigger_engine_rabbitmq.settings import RabbitMQSettings

from tests.support.servers.rabbitmq_cuts import cutting, some_are_cut, some_are_given_up
from tests.support.servers.shared import SharedServers
from tests.support.waiting import is_quick, wait_until
from trigger_engine.backend import EventLog, fresh_id
from trigger_engine.errors import BackendUnavailable
from trigger_engine.testing.conformance._harness import PATIENCE, append, ids
from trigger_engine.testing.conformance._sample_entries import event

pytestmark = pytest.mark.servers

EMIT_WITHOUT_CLOSING = """
import asyncio, sys, time
from trigger_engine_rabbitmq.backend import RabbitMQTrigger
from trigger_engine_rabbitmq.settings import RabbitMQSettings
from trigger_engine.testing.conformance._sample_entries import event

async def main():
    global log
    settings = RabbitMQSettings(sys.argv[1], stream_prefix=sys.argv[2])
    log = await RabbitMQTrigger(settings, app_id="shop").open(clock=time.time)
    await log.append([(event("a"),)])
    waiting = asyncio.create_task(log.follow(await log.tail(), wait=60))
    await asyncio.sleep(0)

asyncio.run(main())
print(time.time())
"""


async def open_log(url: str, prefix: str) -> EventLog:
    return await RabbitMQTrigger(RabbitMQSettings(url, prefix, timeout=30.0), app_id="shop").open(clock=time.time)


@pytest.mark.slow
async def test_two_connections_in_a_row_may_be_cut_before_a_frame(servers: SharedServers) -> None:
    assert await some_are_cut(servers.url("rabbitmq"), range(3, 51, 6), connections=2)


@pytest.mark.slow
@pytest.mark.parametrize("frame", [1, 6, 11, 16])
async def test_opening_a_log_may_be_cancelled_at_a_frame(frame: int, servers: SharedServers) -> None:
    assert await some_are_given_up(servers.url("rabbitmq"), frame)


async def test_dropping_an_unclosed_log_ends_its_connection(servers: SharedServers) -> None:
    async with cutting(servers.url("rabbitmq"), frame=0, connections=0) as proxy:
        log = await open_log(proxy.url, f"test-{fresh_id()}")
        await append(log, event("a"))
        assert proxy._writers
        del log
        gc.collect()
        await wait_until(lambda: not proxy._writers)


@pytest.mark.slow
async def test_many_may_create_a_log_at_once(servers: SharedServers) -> None:
    for _ in range(10):
        prefix = f"test-{fresh_id()}"
        async with AsyncExitStack() as stack:
            logs = await asyncio.gather(*(open_log(servers.url("rabbitmq"), prefix) for _ in range(12)))
            for log in logs:
                await stack.enter_async_context(log)
            await asyncio.gather(*(append(log, event(f"e{n}")) for n, log in enumerate(logs)))
            assert sorted(await ids(logs[0])) == sorted(f"e{n}" for n in range(12))


@pytest.mark.slow
async def test_reading_a_log_may_take_longer_than_the_timeout(servers: SharedServers, monkeypatch: Any) -> None:
    prefix, messages = f"test-{fresh_id()}", 40
    settings = RabbitMQSettings(servers.url("rabbitmq"), prefix, timeout=2.0)
    async with await open_log(servers.url("rabbitmq"), prefix) as log:
        for number in range(messages):
            await append(log, event(f"e{number}"))
    fold = LogFold.fold

    def fold_slowly(self: LogFold, message: Message, is_live: bool) -> FoldResult:
        time.sleep(2 * settings.timeout / messages)
        return fold(self, message, is_live)

    monkeypatch.setattr(LogFold, "fold", fold_slowly)
    async with await RabbitMQTrigger(settings, app_id="shop").open(clock=time.time) as log:
        monkeypatch.setattr(LogFold, "fold", fold)
        assert len(await ids(log)) == messages


@pytest.mark.slow
async def test_a_slow_connection_may_take_longer_than_the_timeout_if_it_progresses(
    servers: SharedServers, monkeypatch: Any
) -> None:
    settings = RabbitMQSettings(servers.url("rabbitmq"), f"test-{fresh_id()}", timeout=4.0)
    declare = Channel.declare_queue

    async def declare_slowly(self: Channel, *args: Any, **named: Any) -> Any:
        await asyncio.sleep(0.6 * settings.timeout)
        return await declare(self, *args, **named)

    monkeypatch.setattr(Channel, "declare_queue", declare_slowly)
    async with await RabbitMQTrigger(settings, app_id="shop").open(clock=time.time) as log:
        await append(log, event("a"))


@pytest.mark.slow
async def test_a_connection_without_progress_times_out(servers: SharedServers, monkeypatch: Any) -> None:
    settings = RabbitMQSettings(servers.url("rabbitmq"), f"test-{fresh_id()}", timeout=1.0)

    async def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("not now")

    monkeypatch.setattr(Channel, "declare_queue", refuse)
    with pytest.raises(BackendUnavailable, match="cannot be used, tried for 1 s"):
        await RabbitMQTrigger(settings, app_id="shop").open(clock=time.time)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_loop_may_end_before_its_log_is_closed(run: Callable[..., None], servers: SharedServers) -> None:
    prefix = f"test-{fresh_id()}"
    logs = []

    async def leave() -> None:
        log = await open_log(servers.url("rabbitmq"), prefix)
        logs.append(log)
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(append(log, event(f"e{n}"))) for n in range(50)]
        tasks.append(asyncio.create_task(log.follow(await log.tail(), wait=60)))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    async def read() -> list[str]:
        async with await open_log(servers.url("rabbitmq"), prefix) as log:
            return await ids(log)

    run(asyncio.wait_for(leave(), PATIENCE))
    logs.clear()
    gc.collect()
    assert asyncio.run(read())


async def stubborn_close() -> None:
    """Like aio-pika's close, which waits again when it is cancelled."""
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.Event().wait()


async def test_an_abandoned_close_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    await close_within(stubborn_close(), 0.0)
    await wait_until(lambda: asyncio.all_tasks() == before)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_loop_ends_while_a_connection_is_being_closed(steps: int) -> None:
    async def leave() -> asyncio.Task[None]:
        closing = asyncio.create_task(close_within(stubborn_close(), PATIENCE))
        for _ in range(steps):
            await asyncio.sleep(0)
        return closing

    assert asyncio.run(leave()).cancelled()


def test_a_program_that_emits_without_closing_exits_at_once(servers: SharedServers) -> None:
    def ended() -> float:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", EMIT_WITHOUT_CLOSING, servers.url("rabbitmq"), f"test-{fresh_id()}"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        assert done.returncode == 0
        return float(done.stdout)

    assert is_quick(ended)
