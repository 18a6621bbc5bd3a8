"""The server has dropped the beginning of the log, or the log holds too much."""

import asyncio
import time

import pytest
from trigger_engine_rabbitmq.backend import RabbitMQTrigger
from trigger_engine_rabbitmq.log import RabbitMQLog
from trigger_engine_rabbitmq.settings import RabbitMQSettings

from tests.support.servers.private_server import HOST, free_port
from tests.support.servers.proxy import proxied
from tests.support.servers.rabbitmq_streams import first_offset
from tests.support.servers.shared import SharedServers
from tests.support.waiting import wait_until
from trigger_engine.backend import fresh_id
from trigger_engine.errors import ConfigError, LogTrimmed, NothingStored
from trigger_engine.testing.conformance._claiming import claim
from trigger_engine.testing.conformance._harness import append, ids, read_all
from trigger_engine.testing.conformance._sample_entries import (
    elected,
    evaluated,
    event,
    registration,
    runner_facts,
)

pytestmark = [pytest.mark.servers, pytest.mark.slow]

SMALLEST = 16 * 1024 * 1024
KILOBYTES_256 = "x" * (256 * 1024)


def backend_of(url: str, prefix: str) -> RabbitMQTrigger:
    return RabbitMQTrigger(RabbitMQSettings(url, prefix, max_length_bytes=SMALLEST), app_id="shop")


async def open_log(url: str, prefix: str) -> RabbitMQLog:
    return await backend_of(url, prefix).open(clock=time.time)


async def fill_and_trim(log: RabbitMQLog, megabytes: int) -> None:
    """Appends so many megabytes, and trims all but the newest entries."""
    for _ in range(megabytes):
        await log.append([(event(fresh_id(), {"text": KILOBYTES_256}),) for _ in range(4)])
        await log.trim(await log.tail(), keys_before=0.0)


async def fill_until_the_beginning_is_dropped(log: RabbitMQLog, url: str, prefix: str) -> None:
    for _ in range(20):
        await fill_and_trim(log, 8)
        if await first_offset(url, f"{prefix}.shop.log") > 0:
            return
    raise AssertionError("the server dropped nothing")


async def test_a_log_without_its_beginning_is_opened_from_a_snapshot(
    servers: SharedServers,
) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix) as log:
        await log.append([(elected("l"),), (registration("i1"),), (event("k", keyed=True),)])
        held = (await claim(log, "runner-1", limit=1)).started
        await fill_until_the_beginning_is_dropped(log, url, prefix)
        for opened in range(2):
            async with await open_log(url, prefix) as other:
                assert await other.tail() == await log.tail()
                assert await read_all(other) == await read_all(log)
                assert await other.invocation("i1") == held[0]
                assert (await other.append([(event("k", keyed=True),)])) == (
                    await log.append([(event("k", keyed=True),)])
                )
                await append(other, event(f"by-another-{opened}"))
                assert (await ids(log))[-1] == f"by-another-{opened}"
            # The second time it is opened from the snapshot that the heartbeat names.
            await log.heartbeat(runner_facts("runner-1"), ttl=60)


async def test_a_disconnected_process_continues_from_a_snapshot(
    servers: SharedServers,
) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with proxied(url) as proxy, await open_log(proxy.url, prefix) as log, await open_log(url, prefix) as other:
        await append(log, event("a"))
        cursor = await log.tail()
        place = proxy.lead_to(HOST, free_port())
        waiting = asyncio.create_task(log.follow(cursor, wait=60))
        await fill_until_the_beginning_is_dropped(other, url, prefix)
        await append(other, event("last"))
        proxy.lead_to(*place)
        await wait_until(lambda: log.log_id == other.log_id)
        await append(log, event("b"))
        assert (await ids(other))[-2:] == (await ids(log))[-2:] == ["last", "b"]
        with pytest.raises(LogTrimmed):
            await waiting


async def test_a_log_without_snapshots_refuses_work_before_any_is_lost(
    servers: SharedServers,
) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix) as log:
        await append(log, elected("l"))
        stored = 0
        with pytest.raises(NothingStored, match="is full, nothing was stored: check that a runner is running"):
            while True:
                await append(log, event(f"e{stored}", {"text": KILOBYTES_256}))
                stored += 1
        size = (await backend_of(url, prefix).check())[-1]
        assert size.level == "warning"
        assert "at 8 MB, half of max_length_bytes, events and calls are refused" in size.text
        await append(log, evaluated("j", 1))
        assert len(await ids(log)) == stored + 2
        await log.trim(await log.tail(), keys_before=0.0)

        async def takes_work() -> bool:
            try:
                await append(log, event("more"))
            except NothingStored:
                return False
            return True

        await wait_until(takes_work)
        assert await ids(log) == ["j", "more"]


async def test_a_stream_with_another_length_is_a_config_error(servers: SharedServers) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix):
        pass
    longer = RabbitMQSettings(url, prefix, max_length_bytes=2 * SMALLEST)
    with pytest.raises(ConfigError, match=r"'16777216'.*set max_length_bytes as it was when the stream was created"):
        await RabbitMQTrigger(longer, app_id="shop").open(clock=time.time)


async def test_a_log_too_large_for_a_snapshot_logs_a_warning(
    servers: SharedServers, caplog: pytest.LogCaptureFixture
) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix) as log:
        for number in range(20):
            await append(log, event(f"e{number}", {"text": KILOBYTES_256}))
        await log.trim(await log.start(), keys_before=0.0)
        await wait_until(lambda: "more than a quarter of max_length_bytes" in caplog.text)
        assert "lower event_retention_days" in caplog.text
