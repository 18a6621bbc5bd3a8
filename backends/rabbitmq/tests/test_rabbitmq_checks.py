"""Doctor checks the server."""

import asyncio
import gc
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from trigger_engine_rabbitmq.backend import RabbitMQTrigger
from trigger_engine_rabbitmq.settings import RabbitMQSettings

from tests.support.servers.private_server import free_port
from tests.support.servers.shared import SharedServers
from trigger_engine.errors import BackendUnavailable, ConfigError

pytestmark = pytest.mark.servers


async def test_checks_report_version_durability_and_size(servers: SharedServers) -> None:
    settings = RabbitMQSettings(servers.url("rabbitmq"))
    version, disk, size = await RabbitMQTrigger(settings, app_id="shop").check()
    assert version.level == "ok"
    assert version.text.startswith("RabbitMQ ")
    assert disk.level == "warning"
    assert "survive a power failure only if other nodes of a cluster have them" in disk.text
    assert size.level == "ok"
    assert size.text == "the log's stream holds 0 MB and no snapshot yet"


async def test_error_names_an_unreachable_server() -> None:
    port = free_port()
    settings = RabbitMQSettings(f"amqp://guest:guest@127.0.0.1:{port}/", timeout=1)
    with pytest.raises(BackendUnavailable, match=rf"127\.0\.0\.1:{port}/ cannot be used"):
        await RabbitMQTrigger(settings, app_id="shop").check()


def test_a_failed_connection_leaves_nothing_to_collect() -> None:
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
            # An unclosed connection becomes a warning here, because this thread has no loop.
            executor.submit(gc.collect).result()
    finally:
        gc.enable()


async def test_a_wrong_password_is_a_config_error(servers: SharedServers) -> None:
    settings = RabbitMQSettings(servers.url("rabbitmq").replace("guest:guest", "guest:wrong"))
    with pytest.raises(ConfigError, match="refuses this user"):
        await RabbitMQTrigger(settings, app_id="shop").check()
