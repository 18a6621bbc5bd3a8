"""The stream of leases and heartbeats keeps only the newest ones."""

import time
from typing import Any

import pytest
from trigger_engine_rabbitmq.backend import RabbitMQTrigger
from trigger_engine_rabbitmq.messages import Message
from trigger_engine_rabbitmq.roles import RolesFold
from trigger_engine_rabbitmq.settings import RabbitMQSettings

from tests.support.servers.shared import SharedServers
from trigger_engine.backend import EventLog, fresh_id
from trigger_engine.testing.conformance._sample_entries import runner_facts

WRITTEN = 150
KILOBYTES_64 = "x" * 65_536


@pytest.mark.servers
async def test_opening_reads_only_the_newest_leases_and_heartbeats(servers: SharedServers, monkeypatch: Any) -> None:
    settings = RabbitMQSettings(servers.url("rabbitmq"), f"test-{fresh_id()}")

    async def open_log() -> EventLog:
        return await RabbitMQTrigger(settings, app_id="shop").open(clock=time.time)

    read = 0
    fold = RolesFold.fold

    def count(self: RolesFold, message: Message, is_live: bool) -> bool | None:
        nonlocal read
        read += 1
        return fold(self, message, is_live)

    async with await open_log() as log:
        assert await log.acquire("match", "runner-1", ttl=60)
        for number in range(WRITTEN):
            await log.leave(f"{KILOBYTES_64}{number}")
        assert await log.acquire("match", "runner-1", ttl=60)
        await log.heartbeat(runner_facts("runner-1"), ttl=60)
        monkeypatch.setattr(RolesFold, "fold", count)
        async with await open_log() as other:
            assert 0 < read < 100
            assert [row.facts.runner_id for row in await other.runners() if row.alive] == ["runner-1"]
            assert not await other.acquire("match", "runner-2", ttl=60)
            assert await log.acquire("match", "runner-1", ttl=60)
