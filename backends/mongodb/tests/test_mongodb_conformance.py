"""The MongoDB log keeps the contract, with both drivers."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from pymongo import MongoClient
from trigger_engine_mongodb.backend import MongoTrigger
from trigger_engine_mongodb.settings import MongoSettings

from tests.support.servers.shared import SharedServers
from trigger_engine.backend import fresh_id
from trigger_engine.testing.conformance import (
    COMPARISON_SETTINGS,
    COMPARISON_STEPS,
    ComparisonStep,
    LogConformance,
    LogHarness,
    compare_with_memory,
)
from trigger_engine.testing.conformance._appending import AppendingSuite
from trigger_engine.testing.conformance._settling import SettlingSuite

pytestmark = pytest.mark.servers


class MongoHarness(LogHarness):
    steered = False
    moment = 2.0

    def __init__(self, url: str, driver: str) -> None:
        self.clock = time.time
        self._settings = MongoSettings(url=url, database=f"test-{fresh_id()}", driver=driver)  # type: ignore[arg-type]
        self._client: MongoClient[dict[str, object]] = MongoClient(url, tz_aware=True)
        self._database = self._client[self._settings.database]

    def backend(self, app_id: str) -> MongoTrigger:
        return MongoTrigger(self._settings, app_id=app_id)

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # Leases expire by the clock of the server.

    async def save(self) -> dict[str, list[dict[str, object]]]:
        return {name: list(self._database[name].find()) for name in self._database.list_collection_names()}

    async def restore(self, saved: object) -> None:
        assert isinstance(saved, dict)
        for name in self._database.list_collection_names():
            self._database[name].delete_many({})
            if saved.get(name):
                self._database[name].insert_many(saved[name])

    async def aclose(self) -> None:
        self._client.drop_database(self._settings.database)
        self._client.close()


async def harness_on(url: str, driver: str) -> AsyncIterator[MongoHarness]:
    harness = MongoHarness(url, driver)
    yield harness
    await harness.aclose()


class TestMongoLog(LogConformance):
    @pytest.fixture
    async def harness(self, servers: SharedServers) -> AsyncIterator[MongoHarness]:
        async for harness in harness_on(servers.url("mongodb"), "motor"):
            yield harness

    @settings(COMPARISON_SETTINGS, max_examples=15)
    @given(steps=COMPARISON_STEPS)
    async def test_any_calls_have_the_same_effects_as_on_the_memory_log(
        self, harness: LogHarness, steps: list[ComparisonStep]
    ) -> None:
        await compare_with_memory(harness, steps)


class TestMongoLogWithPymongo(AppendingSuite, SettlingSuite):
    """A part of the suite: only the client differs."""

    @pytest.fixture
    async def harness(self, servers: SharedServers) -> AsyncIterator[MongoHarness]:
        async for harness in harness_on(servers.url("mongodb"), "pymongo"):
            yield harness
