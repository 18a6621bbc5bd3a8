"""Checks of the server's own settings, for `doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trigger_engine.backend import Check
from trigger_engine.errors import BackendUnavailable, ConfigError
from trigger_engine_redis import scripts
from trigger_engine_redis.log import connect
from trigger_engine_redis.server import Server
from trigger_engine_redis.settings import RedisSettings

OLDEST_VERSION = (7, 0)
ENTRIES = scripts.NAMES.index("entries")
_NEARLY_FULL = 0.8

Info = Mapping[str, str]


async def check_server(settings: RedisSettings, *, app_id: str, location: str) -> list[Check]:
    """Checks the server. Raises BackendUnavailable, ConfigError."""
    server = connect(settings, app_id=app_id, location=location)
    try:
        (found,) = await server.ask(("INFO", "everything"))
        info = dict(line.split(":", 1) for line in found.decode().splitlines() if ":" in line)
        (length,) = await server.ask(("XLEN", scripts.keys_of(settings.key_prefix, app_id)[ENTRIES]))
        fsync = await _fsync(server)
    finally:
        await server.aclose()
    return [
        *_version(info),
        *_persistence(info, fsync),
        *_replicas(info, settings),
        *_memory(info),
        *_size(int(length), settings),
    ]


async def _fsync(server: Server) -> str | None:
    """The setting appendfsync; None when this user may not read it."""
    try:
        (found,) = await server.ask(("CONFIG", "GET", "appendfsync"))
    except (ConfigError, BackendUnavailable):
        return None
    return str(found[1].decode()) if found else None


def _version(info: Info) -> Iterator[Check]:
    """Valkey reports a compatible Redis version beside its own."""
    if "valkey_version" in info:
        yield Check("ok", f"Valkey {info['valkey_version']}")
        return
    version = info.get("redis_version", "0")
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
        yield Check("failed", f"Redis {version} is too old", "use Redis 7 or newer, or Valkey")
    else:
        yield Check("ok", f"Redis {version}")


def _persistence(info: Info, fsync: str | None) -> Iterator[Check]:
    if info.get("aof_enabled") != "1":
        yield Check(
            "failed",
            "the server has no append-only file (appendonly no): a restart loses everything written after its last "
            "snapshot, or all data",
            "set `appendonly yes`",
        )
        return
    if info.get("aof_last_write_status") == "err" or info.get("aof_last_bgrewrite_status") == "err":
        yield Check("failed", "the server cannot write its append-only file", "check the server's log and disk")
    if fsync == "always":
        yield Check("ok", "acknowledged writes are on the server's disk (appendfsync always)")
    elif fsync == "everysec":
        yield Check(
            "warning",
            "appendfsync everysec: a power failure may lose the last second of acknowledged writes; a crash of the "
            "server process alone loses nothing",
            "if that is too much, set `appendfsync always`, which slows down every append",
        )
    elif fsync == "no":
        yield Check(
            "warning",
            "appendfsync no: a power failure may lose acknowledged writes of half a minute or more",
            "set `appendfsync everysec` or `always`",
        )
    else:
        yield Check(
            "warning",
            "this user may not read the server's setting appendfsync, which decides what a power failure may lose",
            "check the server's configuration, or let the user call CONFIG GET",
        )


def _replicas(info: Info, settings: RedisSettings) -> Iterator[Check]:
    if info.get("role") != "master":
        yield Check("failed", "the server is a replica and accepts no writes", "let url name the primary, or Sentinels")
    connected = int(info.get("connected_slaves", "0"))
    wanted = settings.wait_replicas
    if connected < wanted:
        yield Check(
            "failed",
            f"{connected} replicas are connected, wait_replicas requires {wanted}: every append fails",
            "start replicas, or lower wait_replicas",
        )
    elif connected > 0 and wanted == 0:
        yield Check(
            "warning",
            "replication is asynchronous: a failover may lose acknowledged writes that the replica has not received",
            "set wait_replicas = 1 to reduce that risk",
        )


def _memory(info: Info) -> Iterator[Check]:
    limit, used = int(info.get("maxmemory", "0")), int(info.get("used_memory", "0"))
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Check(
            "failed",
            f"maxmemory-policy {policy}: the server evicts keys, and with them the app's data, when its memory is full",
            "set `maxmemory-policy noeviction`",
        )
    if limit and used > _NEARLY_FULL * limit:
        yield Check(
            "warning",
            f"{used / limit:.0%} of maxmemory is in use: once it is full, nothing more can be stored",
            "raise maxmemory, or keep less (event_retention_days)",
        )


def _size(length: int, settings: RedisSettings) -> Iterator[Check]:
    cap = settings.max_entries
    if cap and length > _NEARLY_FULL * cap:
        yield Check(
            "warning",
            f"the log holds {length:,} entries, its limit is {cap:,}: at the limit, events and calls are refused",
            "keep less (event_retention_days), check that purging works, or raise max_entries",
        )
    else:
        yield Check("ok", f"the log holds {length:,} entries" + (f", its limit is {cap:,}" if cap else ""))
