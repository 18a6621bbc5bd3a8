"""The backend for RabbitMQ 3.10 and newer: the log is a stream."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from trigger_engine.backend import Backend, Check, Clock, open_or_close
from trigger_engine_rabbitmq.settings import RabbitMQSettings
from trigger_engine_rabbitmq.urls import shown

if TYPE_CHECKING:
    from trigger_engine_rabbitmq.log import RabbitMQLog


class RabbitMQTrigger(Backend):
    """Keeps an app's data in RabbitMQ streams, for processes on many hosts."""

    name = "RabbitMQTrigger"
    family = "RabbitMQ"
    section = "rabbitmq"
    settings_type = RabbitMQSettings
    needs_app_id = True

    def location(self) -> str:
        return f"{shown(self.settings.url)} (streams {self.settings.stream_prefix}.{self.app_id}.*)"

    async def open(self, *, clock: Clock) -> RabbitMQLog:
        """Opens the log and reads it. Raises BackendUnavailable when the server cannot be used, ConfigError."""
        from trigger_engine_rabbitmq.log import RabbitMQLog

        log = RabbitMQLog(self.settings, app_id=self.app_id, location=self.location(), clock=clock)
        return await open_or_close(log, log.catch_up())

    async def check(self) -> list[Check]:
        """Findings about the server, and how full the log is."""
        from trigger_engine_rabbitmq.checks import check_server, check_size

        checks = await check_server(self.settings, location=self.location())
        if all(each.level != "failed" for each in checks):
            async with await self.open(clock=time.time) as log:
                checks.append(check_size(log, self.settings.max_length_bytes))
        return checks
