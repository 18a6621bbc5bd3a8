"""Finds the end of a stream: RabbitMQ reveals it only by a message that is written and read back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.abc import AbstractChannel, DeliveredMessage

from trigger_engine.backend import fresh_id
from trigger_engine_rabbitmq.messages import Barrier, Message, encode_message
from trigger_engine_rabbitmq.receiver import offset_of

CLOSING_SECONDS = 2.0
"""How many seconds a server has to confirm the close of a connection or channel."""

PAUSE_SECONDS = 0.05
"""Seconds after which a task that ignored its cancellation is cancelled again."""

PERSISTENT = spec.Basic.Properties(delivery_mode=2)


async def offset_of_next_message(connection: AbstractConnection, name: str) -> int:
    """The offset of a message that is written now. Raises what aiormq raises, ConnectionError."""
    body = encode_message(Message(fresh_id(), 1, fresh_id(), Barrier()))
    opened = await connection.channel(publisher_confirms=False)
    channel = await opened.get_underlay_channel()
    try:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def receive(message: DeliveredMessage) -> None:
            if bytes(message.body) == body and not found.done():
                found.set_result(offset_of(message))

        await opened.set_qos(10_000)
        await channel.basic_consume(name, receive, no_ack=False, arguments={"x-stream-offset": "next"})
        await channel.basic_publish(body, routing_key=name, properties=PERSISTENT)
        return await unless_closed(found, channel)
    finally:
        await close_within(opened.close(), CLOSING_SECONDS)


async def close_within(closing: Awaitable[object], seconds: float) -> None:
    """Awaits `closing` for at most `seconds`, then cancels it: the connection may be lost, or its server may hang."""
    task = asyncio.ensure_future(closing)
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        # Not `wait_for`: the task may swallow the cancellation.
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        _cancel(task)
        raise
    _cancel(task)


def _cancel(task: asyncio.Future[object]) -> None:
    """Cancels until the task ends: after one cancellation an aio-pika connection waits on, and with it the loop."""
    if not task.done():
        task.cancel()
        task.get_loop().call_later(PAUSE_SECONDS, _cancel, task)


async def unless_closed(found: asyncio.Future[int], channel: AbstractChannel) -> int:
    """The result of a future. Raises ConnectionError when the channel is closed first."""
    await asyncio.wait([found, channel.closing], return_when=asyncio.FIRST_COMPLETED)
    if not found.done():
        raise ConnectionError("the channel was closed")
    return found.result()
