"""A log whose server has dropped its beginning, and one that keeps too much."""

import asyncio
import time

import pytest
from trigger_engine_rabbitmq.backend import RabbitMQSettings, RabbitMQTrigger
from trigger_engine_rabbitmq.log import RabbitMQLog

from tests.support.servers.private_server import HOST, free_port
from tests.support.servers.proxy import proxied
from tests.support.servers.rabbitmq_streams import first_offset
from tests.support.servers.shared import SharedServers
from tests.support.waiting import wait_until
from trigger_engine.errors import ConfigError, LogTrimmed, NothingStored
from trigger_engine.log.fresh import fresh_id
from trigger_engine.testing.conformance.claiming import claim
from trigger_engine.testing.conformance.harness import append, ids, read_all
from trigger_engine.testing.conformance.sample_entries import (
    elected,
    event,
    judged,
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
    """Appends as much, and lets all but the newest entries go."""
    for _ in range(megabytes):
        await log.append([(event(fresh_id(), {"text": KILOBYTES_256}),) for _ in range(4)])
        await log.trim(await log.tail(), keys_before=0.0)


async def until_it_has_lost_its_beginning(log: RabbitMQLog, url: str, prefix: str) -> None:
    for _ in range(20):
        await fill_and_trim(log, 8)
        if await first_offset(url, f"{prefix}.shop.log") > 0:
            return
    raise AssertionError("the server keeps everything")


async def test_the_server_drops_what_is_trimmed_and_all_else_is_there_for_who_opens_the_log(
    servers: SharedServers,
) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix) as log:
        await log.append([(elected("l"),), (registration("i1"),), (event("k", keyed=True),)])
        held = (await claim(log, "runner-1", limit=1)).started
        await until_it_has_lost_its_beginning(log, url, prefix)
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
            # Then it is opened from where the heartbeat says.
            await log.heartbeat(runner_facts("runner-1"), ttl=60)


async def test_who_was_cut_off_while_the_server_dropped_messages_goes_on_from_a_snapshot(
    servers: SharedServers,
) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with proxied(url) as proxy, await open_log(proxy.url, prefix) as log, await open_log(url, prefix) as other:
        await append(log, event("a"))
        bookmark = await log.tail()
        place = proxy.lead_to(HOST, free_port())
        waiting = asyncio.create_task(log.follow(bookmark, wait=60))
        await until_it_has_lost_its_beginning(other, url, prefix)
        await append(other, event("last"))
        proxy.lead_to(*place)
        await wait_until(lambda: log.log_id == other.log_id)
        await append(log, event("b"))
        assert (await ids(other))[-2:] == (await ids(log))[-2:] == ["last", "b"]
        with pytest.raises(LogTrimmed):
            await waiting


async def test_a_log_without_anybody_who_writes_snapshots_takes_no_more_work_before_any_is_lost(
    servers: SharedServers,
) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix) as log:
        await append(log, elected("l"))
        stored = 0
        with pytest.raises(NothingStored, match="is full, nothing was stored: see that a runner works"):
            while True:
                await append(log, event(f"e{stored}", {"text": KILOBYTES_256}))
                stored += 1
        size = (await backend_of(url, prefix).check())[-1]
        assert size.level == "warning"
        assert "at 8 MB, half of max_length_bytes, events and calls are refused" in size.text
        await append(log, judged("j", 1))
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


async def test_a_stream_that_was_made_with_another_length_is_told(servers: SharedServers) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix):
        pass
    longer = RabbitMQSettings(url, prefix, max_length_bytes=2 * SMALLEST)
    with pytest.raises(ConfigError, match=r"'16777216'.*give max_length_bytes as it was when the stream was made"):
        await RabbitMQTrigger(longer, app_id="shop").open(clock=time.time)


async def test_a_log_that_keeps_too_much_for_a_snapshot_says_so(
    servers: SharedServers, caplog: pytest.LogCaptureFixture
) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix) as log:
        for number in range(20):
            await append(log, event(f"e{number}", {"text": KILOBYTES_256}))
        await log.trim(await log.start(), keys_before=0.0)
        await wait_until(lambda: "more than a quarter of max_length_bytes" in caplog.text)
        assert "lower event_retention_days" in caplog.text
