"""The backend for Redis 7 and Valkey: one server, a cluster, or what Sentinels watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from trigger_engine.log.attempts import ServerTimeout
from trigger_engine.log.contract import Backend, Check, Clock
from trigger_engine.log.opening import opened
from trigger_engine_redis.urls import parse_url

if TYPE_CHECKING:
    from trigger_engine_redis.log import RedisLog


class RedisSettings(msgspec.Struct, frozen=True):
    """The section `redis`."""

    url: Annotated[
        str,
        Meta(
            description="`redis://`, `rediss://` (TLS) or `unix://` with the options of redis-py; a node of a cluster; "
            "or `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB`"
        ),
    ] = "redis://localhost:6379"
    key_prefix: Annotated[
        str,
        Meta(
            pattern=r"\A[^\s{}\x00-\x1f]+\Z",
            max_length=100,
            description="What the names of all keys begin with: `{PREFIX:APP}:…`, so that an app has one hash slot",
        ),
    ] = "trigger-engine"
    timeout: ServerTimeout = 10.0
    wait_replicas: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="Replicas that must have an append before the call returns",
            extra={"unit": "replicas"},
        ),
    ] = 0
    max_entries: Annotated[
        int,
        Meta(
            ge=0,
            le=10**12,
            description="Entries in the log beyond which events and calls raise BackendUnavailable; 0: no cap",
            extra={"unit": "entries"},
        ),
    ] = 10_000_000

    def __post_init__(self) -> None:
        parse_url(self.url)


class RedisTrigger(Backend):
    """Keeps an app's data in Redis or Valkey, for the processes of many hosts."""

    name = "RedisTrigger"
    family = "Redis"
    section = "redis"
    settings_type = RedisSettings
    needs_app_id = True

    def location(self) -> str:
        return f"{parse_url(self.settings.url).shown} (keys {{{self.settings.key_prefix}:{self.app_id}}}:*)"

    async def open(self, *, clock: Clock) -> RedisLog:
        """Opens the log. Raises BackendUnavailable when the server stays away for `timeout`, ConfigError."""
        from trigger_engine_redis.log import RedisLog

        log = RedisLog(self.settings, app_id=self.app_id, location=self.location(), clock=clock)
        return await opened(log, log.tail())

    async def check(self) -> list[Check]:
        """What the server's settings put at risk."""
        from trigger_engine_redis.checks import check_server

        return await check_server(self.settings, app_id=self.app_id, location=self.location())
