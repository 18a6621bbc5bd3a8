"""The Redis log keeps the contract, on Valkey and on Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from trigger_engine_redis.backend import RedisTrigger
from trigger_engine_redis.settings import RedisSettings

from tests.support.servers.shared import SharedServers
from trigger_engine.backend import fresh_id
from trigger_engine.testing.conformance import LogConformance, LogHarness

pytestmark = pytest.mark.servers


class RedisHarness(LogHarness):
    steered = False
    moment = 0.5

    def __init__(self, url: str) -> None:
        self.clock = time.time
        self._settings = RedisSettings(url=url, key_prefix=f"test-{fresh_id()}")
        self._client = Redis.from_url(url)

    def backend(self, app_id: str) -> RedisTrigger:
        return RedisTrigger(self._settings, app_id=app_id)

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # Leases expire by the clock of the server.

    async def save(self) -> dict[bytes, Any]:
        return {key: await self._client.dump(key) async for key in self._keys()}

    async def restore(self, saved: object) -> None:
        assert isinstance(saved, dict)
        async for key in self._keys():
            if key not in saved:
                await self._client.delete(key)
        for key, dumped in saved.items():
            await self._client.restore(key, 0, dumped, replace=True)

    def _keys(self) -> AsyncIterator[bytes]:
        return self._client.scan_iter(match=f"{{{self._settings.key_prefix}:*", count=1000)

    async def aclose(self) -> None:
        keys = [key async for key in self._keys()]
        if keys:
            await self._client.unlink(*keys)
        await self._client.aclose()


@pytest.fixture(params=["redis", "redis_7"])
async def harness(request: pytest.FixtureRequest, servers: SharedServers) -> AsyncIterator[RedisHarness]:
    harness = RedisHarness(servers.url(request.param))
    yield harness
    await harness.aclose()


class TestRedisLog(LogConformance):
    pass
