"""The MongoDB log keeps the contract; with the other driver, too."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from pymongo import MongoClient
from trigger_engine_mongodb.backend import MongoSettings, MongoTrigger

from tests.support.servers.shared import SharedServers
from trigger_engine.log.fresh import fresh_id
from trigger_engine.testing.conformance import LogConformance, LogHarness
from trigger_engine.testing.conformance.appending import AppendingSuite
from trigger_engine.testing.conformance.comparison import COMPARISON, STEPS, Step, compare_with_memory
from trigger_engine.testing.conformance.settling import SettlingSuite

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
        await asyncio.sleep(seconds)

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


async def opened(url: str, driver: str) -> AsyncIterator[MongoHarness]:
    harness = MongoHarness(url, driver)
    yield harness
    await harness.aclose()


class TestMongoLog(LogConformance):
    @pytest.fixture
    async def harness(self, servers: SharedServers) -> AsyncIterator[MongoHarness]:
        async for harness in opened(servers.url("mongodb"), "motor"):
            yield harness

    @settings(COMPARISON, max_examples=15)
    @given(steps=STEPS)
    async def test_any_sequence_of_calls_is_as_on_the_memory_log(self, harness: LogHarness, steps: list[Step]) -> None:
        await compare_with_memory(harness, steps)


class TestMongoLogWithPymongo(AppendingSuite, SettlingSuite):
    """A part of it: all that differs is the client."""

    @pytest.fixture
    async def harness(self, servers: SharedServers) -> AsyncIterator[MongoHarness]:
        async for harness in opened(servers.url("mongodb"), "pymongo"):
            yield harness
