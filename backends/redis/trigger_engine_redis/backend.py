"""The backend for Redis 7 and Valkey: a single server, a cluster, or servers watched by Sentinels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trigger_engine.backend import Backend, Check, Clock, open_or_close
from trigger_engine_redis.settings import RedisSettings
from trigger_engine_redis.urls import parse_url

if TYPE_CHECKING:
    from trigger_engine_redis.log import RedisLog


class RedisTrigger(Backend):
    """Keeps an app's data in Redis or Valkey, for processes on many hosts."""

    name = "RedisTrigger"
    family = "Redis"
    section = "redis"
    settings_type = RedisSettings
    needs_app_id = True

    def location(self) -> str:
        return f"{parse_url(self.settings.url).shown} (keys {{{self.settings.key_prefix}:{self.app_id}}}:*)"

    async def open(self, *, clock: Clock) -> RedisLog:
        """Opens the log. Raises BackendUnavailable when the server cannot be used for `timeout`, ConfigError."""
        from trigger_engine_redis.log import RedisLog

        log = RedisLog(self.settings, app_id=self.app_id, location=self.location(), clock=clock)
        return await open_or_close(log, log.tail())

    async def check(self) -> list[Check]:
        """Findings about the server's settings."""
        from trigger_engine_redis.checks import check_server

        return await check_server(self.settings, app_id=self.app_id, location=self.location())
