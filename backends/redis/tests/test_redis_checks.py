"""Doctor reports server settings that break the promises of the backend."""

import time
from pathlib import Path

import pytest
from trigger_engine_redis.backend import RedisTrigger
from trigger_engine_redis.settings import RedisSettings

from tests.support.servers.redis_servers import RedisServer, ValkeyServer
from trigger_engine.backend import Check, fresh_id
from trigger_engine.errors import BackendUnavailable
from trigger_engine.testing.conformance._harness import append, ids
from trigger_engine.testing.conformance._sample_entries import event

pytestmark = pytest.mark.servers


async def check(server: ValkeyServer, *, wait_replicas: int = 0, max_entries: int = 0) -> list[Check]:
    settings = RedisSettings(server.url, wait_replicas=wait_replicas, max_entries=max_entries)
    return await RedisTrigger(settings, app_id="shop").check()


def texts(checks: list[Check], level: str) -> list[str]:
    return [check.text for check in checks if check.level == level]


@pytest.mark.parametrize(("kind", "name"), [(ValkeyServer, "Valkey 9."), (RedisServer, "Redis 7.")])
async def test_a_durable_server_passes_all_checks(kind: type[ValkeyServer], name: str, tmp_path: Path) -> None:
    with kind(tmp_path / "server", appendfsync="always") as server:
        checks = await check(server, max_entries=100)
    assert {check.level for check in checks} == {"ok"}
    assert checks[0].text.startswith(name)
    assert texts(checks, "ok")[1:] == [
        "acknowledged writes are on the server's disk (appendfsync always)",
        "the log holds 0 entries, its limit is 100",
    ]


async def test_everysec_is_a_warning(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "server") as server:
        checks = await check(server)
    (text,) = texts(checks, "warning")
    assert "a power failure may lose the last second of acknowledged writes" in text
    assert texts(checks, "failed") == []


async def test_a_server_without_an_append_only_file_fails(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "server", appendonly="no") as server:
        checks = await check(server)
    (text,) = texts(checks, "failed")
    assert "no append-only file (appendonly no)" in text


async def test_a_server_that_evicts_fails(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "server", maxmemory="100mb", maxmemory_policy="allkeys-lru") as server:
        checks = await check(server)
    (failed,) = [check for check in checks if check.level == "failed"]
    assert failed.text.startswith("maxmemory-policy allkeys-lru: the server evicts keys")
    assert failed.fix == "set `maxmemory-policy noeviction`"


async def test_missing_replicas_fail(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "server") as server:
        checks = await check(server, wait_replicas=2)
    assert texts(checks, "failed") == ["0 replicas are connected, wait_replicas requires 2: every append fails"]


async def test_a_replica_fails(tmp_path: Path) -> None:
    with (
        ValkeyServer(tmp_path / "primary") as primary,
        ValkeyServer(tmp_path / "replica", replicaof=f"127.0.0.1 {primary.port}") as replica,
    ):
        checks = await check(replica)
    assert "the server is a replica and accepts no writes" in texts(checks, "failed")


async def test_a_log_near_its_limit_and_nearly_full_memory_are_warnings(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "server", maxmemory="20mb") as server:
        backend = RedisTrigger(RedisSettings(server.url), app_id="shop")
        async with await backend.open(clock=time.time) as log:
            with pytest.raises(BackendUnavailable, match="no memory left"):
                while True:
                    await append(log, event(fresh_id(), {"text": "x" * 900_000}))
            size = len(await ids(log))
        warnings = texts(await check(server, max_entries=size + 1), "warning")
    assert (
        f"the log holds {size} entries, its limit is {size + 1}: at the limit, events and calls are refused" in warnings
    )
    assert any("of maxmemory is in use" in text for text in warnings)
