"""The server is stopped, killed, paused or cut off: no acknowledged entry is lost or stored twice."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiormq.abc import AbstractChannel
from trigger_engine_rabbitmq import driver
from trigger_engine_rabbitmq.backend import RabbitMQTrigger
from trigger_engine_rabbitmq.settings import RabbitMQSettings

from tests.support.servers.private_server import HOST, free_port
from tests.support.servers.proxy import proxied
from tests.support.servers.rabbitmq_servers import RabbitMQServer
from tests.support.servers.rabbitmq_streams import delete_stream, publish
from tests.support.servers.shared import SharedServers
from tests.support.waiting import wait_until
from trigger_engine.backend import EventLog, Started, fresh_id
from trigger_engine.errors import BackendUnavailable, ConfigError, LogReplaced, SerializationError
from trigger_engine.testing.conformance._claiming import claim
from trigger_engine.testing.conformance._harness import append, ids, read_all
from trigger_engine.testing.conformance._sample_entries import event, registration

pytestmark = [pytest.mark.servers, pytest.mark.slow]
Operate = Callable[[Callable[[], object]], Awaitable[object]]


async def open_log(url: str, *, timeout: float = 60.0, prefix: str | None = None) -> EventLog:
    settings = RabbitMQSettings(url=url, timeout=timeout, stream_prefix=prefix or f"test-{fresh_id()}")
    return await RabbitMQTrigger(settings, app_id="shop").open(clock=time.time)


async def test_acknowledged_entries_survive_a_server_kill(server: RabbitMQServer, operate: Operate) -> None:
    acknowledged: list[str] = []

    async def append_forever(log: EventLog, name: str) -> None:
        for number in range(100_000):
            await append(log, event(f"{name}-{number}"))
            acknowledged.append(f"{name}-{number}")

    prefix = f"test-{fresh_id()}"
    async with await open_log(server.url, prefix=prefix) as log:
        waiting = asyncio.create_task(log.follow(await log.tail(), wait=60))
        writers = [asyncio.create_task(append_forever(log, name)) for name in "abc"]
        await wait_until(lambda: len(acknowledged) > 100)
        await operate(server.kill)
        before = len(acknowledged)
        await operate(server.start)
        await wait_until(lambda: len(acknowledged) > before + 100, deadline=60)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        assert (await waiting).entries
        found = await ids(log)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    async with await open_log(server.url, prefix=prefix) as log:
        assert await ids(log) == found


@pytest.mark.parametrize("fault", ["swallow_answers", "halve_requests"])
async def test_an_interrupted_append_is_completed_once(fault: str, servers: SharedServers) -> None:
    async with proxied(servers.url("rabbitmq")) as proxy:
        async with await open_log(proxy.url, prefix=f"test-{fresh_id()}") as log:
            await append(log, event("a"))
            getattr(proxy, fault)(3)
            await log.append([(event(f"b{n}"),) for n in range(100)])
            assert await ids(log) == ["a", *(f"b{n}" for n in range(100))]
        assert proxy.cuts >= 3


async def test_a_lost_connection_is_logged_in_one_line(
    server: RabbitMQServer, operate: Operate, caplog: pytest.LogCaptureFixture
) -> None:
    async with await open_log(server.url) as log:
        await operate(server.stop)
        await wait_until(lambda: "reconnecting" in caplog.text)
        await operate(server.start)
        await append(log, event("a"))
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert record.name == "trigger_engine_rabbitmq.server"
    assert f"127.0.0.1:{server.port}/" in record.message
    assert "shutdown" in record.message


async def test_a_hanging_server_raises_within_the_timeout_and_is_used_again(server: RabbitMQServer) -> None:
    async with await open_log(server.url, timeout=3) as log:
        server.pause()
        try:
            with pytest.raises(BackendUnavailable, match="tried for 3 s"):
                await append(log, event("a"))
        finally:
            server.resume()
        await append(log, event("b"))
        assert (await ids(log))[-1] == "b"


async def test_a_wrong_password_is_a_config_error(servers: SharedServers) -> None:
    url = servers.url("rabbitmq").replace("guest:guest", "guest:wrong")
    with pytest.raises(ConfigError, match="user and password"):
        await open_log(url)


async def test_a_user_without_write_permission_is_a_config_error(servers: SharedServers, monkeypatch: Any) -> None:
    async def publish(channel: AbstractChannel, name: str, body: bytes) -> None:
        # Nobody may write to this exchange; the server reports it as for any other one.
        await channel.basic_publish(body, exchange="amq.rabbitmq.trace", routing_key=name)

    monkeypatch.setattr(driver, "publish", publish)
    with pytest.raises(ConfigError, match=r"refuses this user.*ACCESS_REFUSED.*its rights"):
        await open_log(servers.url("rabbitmq"))


async def test_a_deleted_stream_is_a_replaced_log(servers: SharedServers) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix=prefix) as log:
        await append(log, event("a"))
        read = await log.tail()
        waiting = asyncio.create_task(log.follow(read, wait=60))
        await delete_stream(url, f"{prefix}.shop.log")
        with pytest.raises(LogReplaced, match="read it from its start"):
            await waiting
        await append(log, event("b"))
        assert await ids(log) == ["b"]
        with pytest.raises(LogReplaced):
            await log.follow(read)


async def test_a_stream_replaced_while_disconnected_is_a_replaced_log(servers: SharedServers) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with proxied(url) as proxy, await open_log(proxy.url, prefix=prefix) as log:
        await append(log, event("a"))
        read = await log.tail()
        place = proxy.lead_to(HOST, free_port())
        await delete_stream(url, f"{prefix}.shop.log")
        async with await open_log(url, prefix=prefix) as other:
            for number in range(20):
                await append(other, event(f"b{number}"))
        proxy.lead_to(*place)
        with pytest.raises(LogReplaced):
            await log.follow(read)
        assert await ids(log) == [f"b{number}" for number in range(20)]


async def test_leases_survive_the_deletion_of_the_log_but_not_of_their_own_stream(
    servers: SharedServers,
) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix=prefix) as log:
        assert await log.acquire("match", "runner-1", ttl=60)
        await delete_stream(url, f"{prefix}.shop.log")
        await append(log, event("a"))
        assert not await log.acquire("match", "runner-2", ttl=60)
        await delete_stream(url, f"{prefix}.shop.roles")
        await wait_until(lambda: log.acquire("match", "runner-2", ttl=60))


async def test_a_lease_taken_before_opening_expires_by_its_own_time(servers: SharedServers) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix=prefix) as log:
        assert await log.acquire("match", "runner-1", ttl=60)
        assert await log.acquire("cron", "runner-1", ttl=0.2)
        await asyncio.sleep(0.2)  # It expires by the time that passes.
        async with await open_log(url, prefix=prefix) as other:
            assert not await other.acquire("match", "runner-2", ttl=60)
            assert await other.acquire("cron", "runner-2", ttl=60)


async def test_a_fast_clock_does_not_take_over_leases(servers: SharedServers, monkeypatch: Any) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix=prefix) as ahead, await open_log(url, prefix=prefix) as log:
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 3600)
        assert await log.acquire("match", "runner-1", ttl=60)
        monkeypatch.setattr(time, "time", lambda: now + 7200)
        assert not await ahead.acquire("match", "runner-2", ttl=60)


@pytest.mark.parametrize("body", [b"\x02of a newer version", b"\x01nonsense", b""], ids=["newer", "damaged", "empty"])
async def test_an_unreadable_message_stops_all_processes(body: bytes, servers: SharedServers) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with await open_log(url, prefix=prefix) as log:
        await append(log, event("a"))
        await publish(url, f"{prefix}.shop.log", [body])
        for call in (lambda: append(log, event("b")), log.tail, log.runners):
            with pytest.raises(SerializationError, match="newer trigger-engine-rabbitmq"):
                await call()
    with pytest.raises(SerializationError, match="newer trigger-engine-rabbitmq"):
        await open_log(url, prefix=prefix)


async def test_many_runners_share_the_work_without_duplicates(servers: SharedServers) -> None:
    url, prefix = servers.url("rabbitmq"), f"test-{fresh_id()}"
    async with AsyncExitStack() as stack:
        logs = [await stack.enter_async_context(await open_log(url, prefix=prefix)) for _ in range(5)]
        await logs[0].append([(registration(f"i{n}"),) for n in range(100)])

        async def work(log: EventLog, runner_id: str) -> list[str]:
            taken: list[str] = []
            while started := (await claim(log, runner_id, limit=3, holding=taken)).started:
                taken += [each.state.claim_id or "" for each in started]
            return taken

        taken = await asyncio.gather(*(work(log, f"runner-{n}") for n, log in enumerate(logs)))
        assert sum(map(len, taken)) == 100
        held = [entry for _, entry in await read_all(logs[0]) if isinstance(entry, Started)]
        assert sorted(entry.id for entry in held) == sorted({entry.id for entry in held})
        assert len({entry.invocation_id for entry in held}) == len(held) == 100


async def test_error_names_host_and_port_of_an_unreachable_server(server: RabbitMQServer, operate: Operate) -> None:
    async with await open_log(server.url) as log:
        await append(log, event("a"))
    async with await open_log(server.url, timeout=3) as log:
        await operate(server.kill)
        with pytest.raises(BackendUnavailable, match=rf"127\.0\.0\.1:{server.port}/ cannot be used, tried for 3 s"):
            await append(log, event("b"))
    with pytest.raises(BackendUnavailable, match=rf"127\.0\.0\.1:{server.port}"):
        await open_log(server.url, timeout=0.5)
