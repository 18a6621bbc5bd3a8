"""RabbitMQ under chaos: a node of the run's own, which is restarted, killed and paused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiormq import spec
from aiormq.abc import AbstractChannel, ChannelFrame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader
from trigger_engine_rabbitmq import server
from trigger_engine_rabbitmq.messages import Append, decode_message

from tests.support.servers.rabbitmq_servers import RabbitMQServer

_TIMEOUT = 90.0
_PAUSE = 3.0
_servers: dict[Path, RabbitMQServer] = {}


def settings(folder: Path) -> dict[str, Any]:
    """Keywords of an app on the node of a folder."""
    url = (folder / "rabbitmq.url").read_text()
    return {"trigger_cls": "RabbitMQTrigger", "rabbitmq": {"url": url, "timeout": _TIMEOUT}}


@contextmanager
def running_server(folder: Path) -> Iterator[None]:
    """The node, which keeps everything over an end of its process."""
    with RabbitMQServer(folder / "server") as started:
        _servers[folder] = started
        (folder / "rabbitmq.url").write_text(started.url)
        try:
            yield
        finally:
            del _servers[folder]


def die_in_append(mark: Path) -> None:
    """In the middle of a message: half of it has left this process."""
    publish = server.publish

    async def publish_and_die(channel: AbstractChannel, name: str, body: bytes) -> None:
        if os.path.exists(mark) and isinstance(decode_message(body).content, Append):  # noqa: ASYNC240 (at once)
            from tests.chaos.driver.stores import die_on

            await _send_half(channel, name, body)
            die_on(mark)
            raise ConnectionError("another process has died of the mark, half of a message is under way")
        await publish(channel, name, body)

    server.publish = publish_and_die


async def _send_half(channel: Any, name: str, body: bytes) -> None:
    header = ContentHeader(properties=spec.Basic.Properties(delivery_mode=2), body_size=len(body))
    frames: list[Any] = [spec.Basic.Publish(exchange="", routing_key=name), header, ContentBody(body)]
    payload = ChannelFrame.marshall(channel.number, frames).payload
    sent = asyncio.get_running_loop().create_future()
    await channel.write_queue.put(ChannelFrame(payload[: len(payload) // 2], should_close=False, drain_future=sent))
    await sent


async def _restart(folder: Path) -> None:
    await asyncio.to_thread(_servers[folder].stop)
    await asyncio.to_thread(_servers[folder].start)


async def _kill(folder: Path) -> None:
    await asyncio.to_thread(_servers[folder].kill)
    await asyncio.to_thread(_servers[folder].start)


async def _pause(folder: Path) -> None:
    _servers[folder].pause()
    try:
        await asyncio.sleep(_PAUSE)
    finally:
        _servers[folder].resume()


FAULTS: Mapping[str, Callable[[Path], Awaitable[None]]] = {
    "restart the server": _restart,
    "kill the server": _kill,
    "pause the server": _pause,
}
