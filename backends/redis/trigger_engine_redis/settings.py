"""The settings of the Redis backend."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from trigger_engine.backend import ServerSettings
from trigger_engine_redis.urls import parse_url


class RedisLocation(ServerSettings, frozen=True):
    """Where the data is."""

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
            description="The prefix of all keys: `{PREFIX:APP}:…`, so that an app has one hash slot",
        ),
    ] = "trigger-engine"

    def __post_init__(self) -> None:
        parse_url(self.url)


class RedisSettings(RedisLocation, frozen=True, kw_only=True):
    """The section `redis`."""

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
            description="Entries in the log beyond which events and calls raise BackendUnavailable; 0: no limit",
            extra={"unit": "entries"},
        ),
    ] = 10_000_000
