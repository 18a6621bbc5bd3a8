"""What tests do to streams behind the backs of those who read them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import AMQPError
from pamqp.common import FieldTable
from trigger_engine_rabbitmq.backend import RabbitMQTrigger
from trigger_engine_rabbitmq.log import RabbitMQLog, log_arguments
from trigger_engine_rabbitmq.messages import Barrier, Message, encode_message
from trigger_engine_rabbitmq.receiver import offset_of
from trigger_engine_rabbitmq.settings import RabbitMQSettings

from trigger_engine.backend._contract import Clock
from trigger_engine.backend._ids import fresh_id


def arguments_of(name: str) -> FieldTable:
    """As the log's stream is made by default, else of a plain stream."""
    of_log = log_arguments(RabbitMQSettings().max_length_bytes) if name.endswith(".log") else {}
    return {"x-queue-type": "stream", **of_log}


async def delete_stream(url: str, name: str) -> None:
    """As an administrator would."""
    async with await aio_pika.connect(url) as connection:
        await (await connection.channel()).queue_delete(name)


async def declared(url: str, name: str) -> AbstractConnection:
    """A connection to a server that has the stream; for a moment after it was deleted it cannot be made."""
    while True:
        connection = await aio_pika.connect(url)
        try:
            await (await connection.channel()).declare_queue(name, durable=True, arguments=arguments_of(name))
        except AMQPError:
            await connection.close()
        else:
            return connection


async def publish(url: str, name: str, bodies: list[bytes]) -> None:
    """Makes the stream if need be."""
    async with await declared(url, name) as connection:
        channel = await connection.channel()
        for body in bodies:
            await channel.default_exchange.publish(aio_pika.Message(body), routing_key=name)


async def bodies_of(url: str, name: str) -> list[bytes]:
    """Every message of a stream, after one is added that changes nothing."""
    last = encode_message(Message(fresh_id(), 1, fresh_id(), Barrier()))
    found: list[bytes] = []
    done = asyncio.Event()

    async def receive(message: DeliveredMessage) -> None:
        found.append(bytes(message.body))
        if found[-1] == last:
            done.set()

    await publish(url, name, [last])
    async with _read_by(receive, url, name):
        await done.wait()
    return found[:-1]


async def first_offset(url: str, name: str) -> int:
    """Of the oldest message that the server still has."""
    found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def receive(message: DeliveredMessage) -> None:
        if not found.done():
            found.set_result(offset_of(message))

    async with _read_by(receive, url, name):
        return await found


@asynccontextmanager
async def _read_by(
    receive: Callable[[DeliveredMessage], Coroutine[Any, Any, None]], url: str, name: str
) -> AsyncIterator[None]:
    """Hands a stream's messages on, from the oldest on, for 30 seconds at most."""
    async with await aio_pika.connect(url) as connection:
        opened = await connection.channel()
        await opened.set_qos(10_000)
        channel = await opened.get_underlay_channel()
        await channel.basic_consume(name, receive, arguments={"x-stream-offset": "first"})
        async with asyncio.timeout(30):
            yield


KINDS = ("log", "roles", "checkpoints")


@contextmanager
def removed_afterwards(url: str) -> Iterator[None]:
    """Deletes the streams of every app that this process has opened meanwhile: thousands slow a node down."""
    prefixes: set[str] = set()
    opening = RabbitMQTrigger.open

    async def open_and_remember(self: RabbitMQTrigger, *, clock: Clock) -> RabbitMQLog:
        prefixes.add(f"{self.settings.stream_prefix}.{self.app_id}")
        return await opening(self, clock=clock)

    RabbitMQTrigger.open = open_and_remember  # type: ignore[method-assign]
    try:
        yield
    finally:
        RabbitMQTrigger.open = opening  # type: ignore[method-assign]
        asyncio.run(_delete([f"{prefix}.{kind}" for prefix in prefixes for kind in KINDS], url))


async def _delete(names: list[str], url: str) -> None:
    if names:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            for name in names:
                await channel.queue_delete(name)
