"""The server is stopped, killed, paused, cut off or replaced: no acknowledged entry is lost or stored twice."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from trigger_engine_redis import scripts
from trigger_engine_redis.backend import RedisTrigger
from trigger_engine_redis.log import RedisLog
from trigger_engine_redis.settings import RedisSettings

from tests.support.servers.proxy import proxied
from tests.support.servers.redis_servers import ValkeyServer
from tests.support.servers.shared import SharedServers
from tests.support.waiting import wait_until
from trigger_engine import InvocationStatus, TriggerBuilder, TriggerEngine
from trigger_engine.backend import HELD, Claims, EventLog, fresh_id
from trigger_engine.errors import BackendUnavailable, ConfigError, LogReplaced
from trigger_engine.testing.conformance._claiming import claim, claim_one, names
from trigger_engine.testing.conformance._harness import append, ids, read_all
from trigger_engine.testing.conformance._sample_entries import elected, evaluated, event, registration

pytestmark = pytest.mark.servers


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server for one test."""
    with ValkeyServer(tmp_path / "server") as server:
        yield server


def pause_for_10_s(server: ValkeyServer) -> None:
    server.pause()
    time.sleep(10)
    server.resume()


async def open_log(url: str, *, timeout: float = 20.0, wait_replicas: int = 0, max_entries: int = 0) -> EventLog:
    settings = RedisSettings(url=url, timeout=timeout, wait_replicas=wait_replicas, max_entries=max_entries)
    return await RedisTrigger(settings, app_id="shop").open(clock=time.time)


async def replica_of(server: ValkeyServer, folder: Path) -> ValkeyServer:
    """A replica that has caught up with the server."""
    replica = ValkeyServer(folder, replicaof=f"127.0.0.1 {server.port}").start()
    await wait_until(lambda: b"master_link_status:up" in ask_server(replica, "INFO", "replication"))
    return replica


def ask_server(server: ValkeyServer, *words: str) -> bytes:
    """A server's answer to one command."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"{' '.join(words)}\r\n".encode())
        return connection.recv(100_000)


async def test_log_reconnects_after_a_server_restart(server: ValkeyServer) -> None:
    async with await open_log(server.url) as log:
        await append(log, event("a"))
        waiting = asyncio.create_task(log.follow(await log.tail(), wait=60))
        server.stop()
        appending = asyncio.create_task(append(log, event("b")))
        await asyncio.to_thread(server.start)
        await appending
        assert [entry.id for _, entry in (await waiting).entries] == ["b"]
        assert await ids(log) == ["a", "b"]


async def test_acknowledged_entries_survive_a_server_kill(server: ValkeyServer) -> None:
    acknowledged: list[str] = []

    async def append_forever(log: EventLog, name: str) -> None:
        for number in range(100_000):
            await append(log, event(f"{name}-{number}"))
            acknowledged.append(f"{name}-{number}")

    async with await open_log(server.url) as log:
        writers = [asyncio.create_task(append_forever(log, name)) for name in "abc"]
        await wait_until(lambda: len(acknowledged) > 100)
        await asyncio.to_thread(server.kill)
        before = len(acknowledged)
        await asyncio.to_thread(server.start)
        await wait_until(lambda: len(acknowledged) > before + 100)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        found = await ids(log)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)


@pytest.mark.parametrize("fault", ["swallow_answers", "halve_requests"])
async def test_an_interrupted_append_is_completed_once(fault: str, servers: SharedServers) -> None:
    async with proxied(servers.url("redis")) as proxy:
        settings = RedisSettings(url=proxy.url, key_prefix=f"test-{fresh_id()}", timeout=20.0)
        async with await RedisTrigger(settings, app_id="shop").open(clock=time.time) as log:
            await append(log, event("a"))
            getattr(proxy, fault)(3)
            await log.append([(event(f"b{n}"),) for n in range(100)])
            assert proxy.cuts == 3
            assert await ids(log) == ["a", *(f"b{n}" for n in range(100))]


async def test_a_claim_with_a_lost_answer_strands_nothing(servers: SharedServers) -> None:
    async with proxied(servers.url("redis")) as proxy:
        settings = RedisSettings(url=proxy.url, key_prefix=f"test-{fresh_id()}", timeout=20.0)
        async with await RedisTrigger(settings, app_id="shop").open(clock=time.time) as log:
            assert await claim(log) == Claims()
            await append(log, registration("i1"), registration("i2"))
            proxy.swallow_answers(1)
            claims = await claim(log, limit=1)
            assert proxy.cuts == 1
            assert sorted(names([*claims.started, *claims.stranded])) == ["i1", "i2"]
            assert all(each.state.status in HELD for each in [*claims.started, *claims.stranded])


async def test_a_repeated_clear_keeps_newer_entries(servers: SharedServers) -> None:
    settings = RedisSettings(url=servers.url("redis"), key_prefix=f"test-{fresh_id()}")
    async with await RedisTrigger(settings, app_id="shop").open(clock=time.time) as log:
        assert isinstance(log, RedisLog)
        old = log.log_id
        await log.clear()
        await append(log, event("a"))
        await log._server.run(scripts.CLEAR, fresh_id(), old)
        assert await ids(log) == ["a"]


async def test_error_names_host_and_port_of_an_unreachable_server(server: ValkeyServer) -> None:
    async with await open_log(server.url, timeout=0.3) as log:
        server.stop()
        with pytest.raises(BackendUnavailable, match=rf"127\.0\.0\.1:{server.port} cannot be used, tried for 0\.3 s"):
            await append(log, event("a"))
        with pytest.raises(BackendUnavailable):
            await log.follow(await log.tail(), wait=60)
    with pytest.raises(BackendUnavailable, match=rf"127\.0\.0\.1:{server.port}"):
        await open_log(server.url, timeout=0.3)


async def test_a_hanging_server_raises_within_the_timeout(server: ValkeyServer) -> None:
    async with await open_log(server.url, timeout=0.5) as log:
        server.pause()
        try:
            with pytest.raises(BackendUnavailable, match=r"tried for 0\.5 s"):
                await append(log, event("a"))
        finally:
            server.resume()
        await append(log, event("b"))
        assert (await ids(log))[-1] == "b"


async def test_a_wrong_password_is_a_config_error(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "server", requirepass="secret") as server:
        url = server.url.replace("://", "://:wrong@")
        with pytest.raises(ConfigError, match="refuses this user") as caught:
            await open_log(url)
        assert "wrong" not in str(caught.value)
        async with await open_log(server.url.replace("://", "://:secret@")) as log:
            await append(log, event("a"))


async def test_a_promoted_replica_that_lacks_entries_is_a_replaced_log(server: ValkeyServer, tmp_path: Path) -> None:
    replica = await replica_of(server, tmp_path / "replica")
    try:
        async with proxied(server.url) as address, await open_log(address.url) as log:
            first = await append(log, elected("l1"))
            kept = await log.tail()
            await wait_until(lambda: ask_server(replica, "XLEN", "{trigger-engine:shop}:entries") == b":1\r\n")
            ask_server(replica, "REPLICAOF", "NO", "ONE")
            lost_term = await append(log, elected("l2", runner_id="runner-2"))
            await append(log, event("lost"))
            lost = await log.tail()
            address.lead_to("127.0.0.1", replica.port)
            with pytest.raises(LogReplaced):
                await log.follow(lost)
            assert [entry.id for _, entry in await read_all(log)] == ["l1"]
            new_term = await append(log, elected("l3", runner_id="runner-3"))
            assert first < lost_term != new_term
            outcomes = await log.append([(evaluated("stale", lost_term),), (evaluated("current", new_term),)])
            assert [type(each).__name__ for each in outcomes] == ["Refused", "Accepted"]
            assert [entry.id for _, entry in await read_all(log, kept)] == ["l3", "current"]
    finally:
        replica.kill()


async def test_an_append_waits_for_replicas(server: ValkeyServer, tmp_path: Path) -> None:
    async with await open_log(server.url, timeout=5.0, wait_replicas=1) as log:
        with pytest.raises(BackendUnavailable, match="0 of 1 replicas have it"):
            await append(log, event("a"))
    replica = await replica_of(server, tmp_path / "replica")
    # A replica on a busy machine may take long to follow.
    async with await open_log(server.url, timeout=60.0, wait_replicas=1) as log:
        try:
            await append(log, event("a"))
            assert ask_server(replica, "XLEN", "{trigger-engine:shop}:entries") == b":1\r\n"
        finally:
            replica.kill()


async def test_a_full_log_refuses_events_but_lets_work_finish(server: ValkeyServer) -> None:
    async with await open_log(server.url, max_entries=4) as log:
        term = await append(log, elected("l1"))
        await append(log, registration("i1"), event("a"))
        held = await claim_one(log)
        with pytest.raises(BackendUnavailable, match=r"holds 4 entries, its limit.*max_entries"):
            await append(log, event("b"))
        await append(log, evaluated("j1", term))
        assert held.registration.id == "i1"
        assert await ids(log) == ["l1", "i1", "a", held.latest.id, "j1"]


async def test_a_server_without_memory_refuses_appends_with_a_clear_error(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "server", maxmemory="20mb") as server:
        async with await open_log(server.url) as log:
            with pytest.raises(BackendUnavailable, match="no memory left, nothing was stored"):
                for number in range(40):
                    await append(log, event(f"e{number}", {"text": "x" * 1_000_000}))
            stored = await ids(log)
            assert stored == [f"e{number}" for number in range(len(stored))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda server: (server.stop(), server.start()), id="stopped and started"),
        pytest.param(lambda server: (server.kill(), server.start()), id="killed and started"),
        pytest.param(pause_for_10_s, id="paused for 10 s"),
    ],
)
async def test_a_runner_survives_the_fault(fault: Callable[[ValkeyServer], object], server: ValkeyServer) -> None:
    app = TriggerEngine(
        app_id="shop",
        trigger_cls="RedisTrigger",
        redis={"url": server.url, "timeout": 30.0},
        heartbeat_interval=0.2,
        heartbeat_ttl=2.0,
        lease_ttl=1.0,
    )

    @app.task(triggers=TriggerBuilder().on_event("ping"))
    async def pong() -> None:
        pass

    async with app, app.runner(), app.history() as history:
        emitted = 0
        disturbed = asyncio.create_task(asyncio.to_thread(fault, server))
        while not disturbed.done() or emitted < 50:
            await app.emit_event("ping", {"number": emitted})
            emitted += 1
            await asyncio.sleep(0.001)
        await disturbed

        async def all_ran() -> bool:
            return (await history.overview()).invocations.get(InvocationStatus.SUCCESS, 0) == emitted

        await wait_until(all_ran, deadline=60)
        assert (await history.overview()).events == emitted
