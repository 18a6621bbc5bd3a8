"""RabbitMQ under chaos: a node of the run's own, which is restarted, killed and paused."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from aiormq import spec
from aiormq.abc import AbstractChannel, ChannelFrame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from trigger_engine_rabbitmq import driver
from trigger_engine_rabbitmq.messages import Append, decode_message

from tests.robustness.chaos.driver.harmed_server import HarmedServer
from tests.support.servers.rabbitmq_servers import RabbitMQServer

_TIMEOUT = 90.0
_MAX_LENGTH_BYTES = 512 * 1024 * 1024
"""Small, for the first snapshot is written after a 256th of it; large enough for all that a run keeps."""
SERVER = HarmedServer(RabbitMQServer)


def settings(folder: Path) -> dict[str, Any]:
    """Keywords of an app on the node of a folder."""
    options = {"url": SERVER.url(folder), "timeout": _TIMEOUT, "max_length_bytes": _MAX_LENGTH_BYTES}
    return {"trigger_cls": "RabbitMQTrigger", "rabbitmq": options}


def die_in_append(mark: Path) -> None:
    """In the middle of a message: half of it has left this process."""
    publish = driver.publish

    async def publish_and_die(channel: AbstractChannel, name: str, body: bytes) -> None:
        if os.path.exists(mark) and isinstance(decode_message(body).content, Append):  # noqa: ASYNC240 (at once)
            from tests.robustness.chaos.driver.stores import die_on

            await _send_half(channel, name, body)
            die_on(mark)
            raise ConnectionError("another process has died of the mark, half of a message is under way")
        await publish(channel, name, body)

    driver.publish = publish_and_die


async def _send_half(channel: Any, name: str, body: bytes) -> None:
    header = ContentHeader(properties=spec.Basic.Properties(delivery_mode=2), body_size=len(body))
    frames: list[Any] = [spec.Basic.Publish(exchange="", routing_key=name), header, ContentBody(body)]
    payload = ChannelFrame.marshall(channel.number, frames).payload
    sent = asyncio.get_running_loop().create_future()
    await channel.write_queue.put(ChannelFrame(payload[: len(payload) // 2], should_close=False, drain_future=sent))
    await sent
