"""The backend for RabbitMQ 3.10 and newer: a stream is the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from trigger_engine.log.attempts import ServerTimeout
from trigger_engine.log.contract import Backend, Check, Clock
from trigger_engine.log.opening import opened
from trigger_engine_rabbitmq.urls import shown

if TYPE_CHECKING:
    from trigger_engine_rabbitmq.log import RabbitMQLog


class RabbitMQSettings(msgspec.Struct, frozen=True):
    """The section `rabbitmq`."""

    url: Annotated[
        str,
        Meta(description="`amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` (TLS), with the options of aio-pika"),
    ] = "amqp://guest:guest@localhost:5672/"
    stream_prefix: Annotated[
        str,
        Meta(
            pattern=r"\A[^\s\x00-\x1f]+\Z",
            max_length=100,
            description="What the names of all streams begin with: `PREFIX.APP.log` and so on",
        ),
    ] = "trigger-engine"
    max_length_bytes: Annotated[
        int,
        Meta(
            ge=16 * 1024 * 1024,
            le=1024**4,
            description="How much of the log's stream the server keeps, fixed when the stream is made; what "
            "retention keeps must fit into a quarter of it",
            extra={"unit": "bytes"},
        ),
    ] = 2 * 1024**3
    timeout: ServerTimeout = 10.0

    def __post_init__(self) -> None:
        shown(self.url)


class RabbitMQTrigger(Backend):
    """Keeps an app's data in streams of RabbitMQ, for the processes of many hosts."""

    name = "RabbitMQTrigger"
    family = "RabbitMQ"
    section = "rabbitmq"
    settings_type = RabbitMQSettings
    needs_app_id = True

    def location(self) -> str:
        return f"{shown(self.settings.url)} (streams {self.settings.stream_prefix}.{self.app_id}.*)"

    async def open(self, *, clock: Clock) -> RabbitMQLog:
        """Opens the log, and reads it. Raises BackendUnavailable when the server stays away, ConfigError."""
        from trigger_engine_rabbitmq.log import RabbitMQLog

        log = RabbitMQLog(self.settings, app_id=self.app_id, location=self.location(), clock=clock)
        return await opened(log, log.catch_up())

    async def check(self) -> list[Check]:
        """What the server's settings put at risk, and how full the log is."""
        from trigger_engine_rabbitmq.checks import check_server, check_size

        checks = await check_server(self.settings, location=self.location())
        if all(each.level != "failed" for each in checks):
            async with await self.open(clock=time.time) as log:
                checks.append(check_size(log, self.settings.max_length_bytes))
        return checks
