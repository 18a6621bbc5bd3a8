"""The RabbitMQ log keeps the contract."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from trigger_engine_rabbitmq.backend import RabbitMQTrigger
from trigger_engine_rabbitmq.settings import RabbitMQSettings

from tests.support.servers.private_server import HOST, free_port
from tests.support.servers.proxy import Proxy, proxied
from tests.support.servers.rabbitmq_streams import bodies_of, delete_stream, publish
from tests.support.servers.shared import SharedServers
from trigger_engine.backend import fresh_id
from trigger_engine.testing.conformance import LogConformance, LogHarness

pytestmark = pytest.mark.servers


class RabbitMQHarness(LogHarness):
    steered = False
    moment = 0.5

    def __init__(self, url: str, proxy: Proxy) -> None:
        self.clock = time.time
        self._url = url
        self._proxy = proxy
        self._settings = RabbitMQSettings(url=proxy.url, stream_prefix=f"test-{fresh_id()}")
        self._stream = f"{self._settings.stream_prefix}.shop.log"

    def backend(self, app_id: str) -> RabbitMQTrigger:
        return RabbitMQTrigger(self._settings, app_id=app_id)

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # Leases expire by the time that has passed in each process.

    async def save(self) -> list[bytes]:
        return await bodies_of(self._url, self._stream)

    async def restore(self, saved: object) -> None:
        assert isinstance(saved, list)
        host, port = self._proxy.lead_to(HOST, free_port())
        await delete_stream(self._url, self._stream)
        await publish(self._url, self._stream, saved)
        self._proxy.lead_to(host, port)


@pytest.fixture
async def harness(servers: SharedServers) -> AsyncIterator[RabbitMQHarness]:
    url = servers.url("rabbitmq")
    async with proxied(url) as proxy:
        yield RabbitMQHarness(url, proxy)


class TestRabbitMQLog(LogConformance):
    pass
