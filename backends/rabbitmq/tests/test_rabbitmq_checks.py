"""What doctor says of a server."""

import asyncio
import gc
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from trigger_engine_rabbitmq.backend import RabbitMQSettings, RabbitMQTrigger

from tests.support.servers.private_server import free_port
from tests.support.servers.shared import SharedServers
from trigger_engine.errors import BackendUnavailable, ConfigError

pytestmark = pytest.mark.servers


async def test_the_version_and_what_a_loss_of_power_may_take_are_told(servers: SharedServers) -> None:
    settings = RabbitMQSettings(servers.url("rabbitmq"))
    version, disk, size = await RabbitMQTrigger(settings, app_id="shop").check()
    assert version.level == "ok"
    assert version.text.startswith("RabbitMQ ")
    assert disk.level == "warning"
    assert "a loss of power only where other nodes of a cluster have it" in disk.text
    assert size.level == "ok"
    assert size.text == "0 MB stand in the log's stream and no snapshot yet"


async def test_a_server_that_is_not_there_is_told() -> None:
    port = free_port()
    settings = RabbitMQSettings(f"amqp://guest:guest@127.0.0.1:{port}/", timeout=1)
    with pytest.raises(BackendUnavailable, match=rf"127\.0\.0\.1:{port}/ cannot be used"):
        await RabbitMQTrigger(settings, app_id="shop").check()


def test_what_could_not_be_connected_leaves_nothing_behind() -> None:
    settings = RabbitMQSettings(f"amqp://guest:guest@127.0.0.1:{free_port()}/", timeout=0.2)

    async def open_and_check() -> None:
        backend = RabbitMQTrigger(settings, app_id="shop")
        with pytest.raises(BackendUnavailable):
            await backend.open(clock=time.time)
        with pytest.raises(BackendUnavailable):
            await backend.check()

    gc.disable()
    try:
        with asyncio.Runner() as runner, ThreadPoolExecutor(1) as executor:
            runner.run(open_and_check())
            # What is found there and not closed becomes a warning, for that thread has no loop.
            executor.submit(gc.collect).result()
    finally:
        gc.enable()


async def test_a_wrong_password_is_told(servers: SharedServers) -> None:
    settings = RabbitMQSettings(servers.url("rabbitmq").replace("guest:guest", "guest:wrong"))
    with pytest.raises(ConfigError, match="refuses this user"):
        await RabbitMQTrigger(settings, app_id="shop").check()
