"""A runner and many processes whose server is killed and hangs. Takes minutes, so only `nox -s faults` runs it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from tests.robustness.chaos.test_chaos import disturb
from tests.support.servers.rabbitmq_servers import RabbitMQServer
from tests.support.waiting import wait_until
from trigger_engine import InvocationStatus, TriggerBuilder, TriggerEngine
from trigger_engine.backend import fresh_id

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(600)]
Operate = Callable[[Callable[[], object]], Awaitable[object]]


def kill_and_start(server: RabbitMQServer) -> None:
    server.kill()
    server.start()


def pause(server: RabbitMQServer) -> None:
    server.pause()
    time.sleep(5)
    server.resume()


@pytest.mark.parametrize("fault", [kill_and_start, pause])
async def test_a_runner_survives_the_fault(
    fault: Callable[[RabbitMQServer], None], server: RabbitMQServer, operate: Operate
) -> None:
    app = TriggerEngine(
        app_id="shop",
        trigger_cls="RabbitMQTrigger",
        rabbitmq={"url": server.url, "timeout": 100.0, "stream_prefix": f"test-{fresh_id()}"},
        heartbeat_interval=0.2,
        heartbeat_ttl=2.0,
        lease_ttl=1.0,
    )

    @app.task(triggers=TriggerBuilder().on_event("ping"))
    async def pong() -> None:
        pass

    async with app, app.runner(), app.history() as history:
        emitted = 0
        disturbed = asyncio.ensure_future(operate(partial(fault, server)))
        while not disturbed.done() or emitted < 50:
            await app.emit_event("ping", {"number": emitted})
            emitted += 1
            await asyncio.sleep(0.001)
        await disturbed

        async def all_ran() -> bool:
            return (await history.overview()).invocations.get(InvocationStatus.SUCCESS, 0) == emitted

        await wait_until(all_ran, deadline=60)
        assert (await history.overview()).events == emitted


async def test_faults_of_processes_and_server_lose_and_repeat_nothing(tmp_path: Path) -> None:
    await disturb("rabbitmq", tmp_path / "run")
