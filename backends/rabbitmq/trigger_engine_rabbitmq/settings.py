"""The settings of the RabbitMQ backend."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from trigger_engine.backend import ServerSettings
from trigger_engine_rabbitmq.urls import shown


class RabbitMQSettings(ServerSettings, frozen=True):
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
            description="The prefix of all streams: `PREFIX.APP.log` and so on",
        ),
    ] = "trigger-engine"
    max_length_bytes: Annotated[
        int,
        Meta(
            ge=16 * 1024 * 1024,
            le=1024**4,
            description="How much of the log's stream the server keeps, fixed when the stream is created; the data "
            "within retention must fit into a quarter of it",
            extra={"unit": "bytes"},
        ),
    ] = 2 * 1024**3

    def __post_init__(self) -> None:
        shown(self.url)
