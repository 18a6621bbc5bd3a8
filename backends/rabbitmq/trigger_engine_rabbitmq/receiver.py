"""Reads a stream on one connection: passes each message on, and acknowledges it."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from aiormq.abc import AbstractChannel, DeliveredMessage

from trigger_engine_rabbitmq.stream import Stream

PREFETCH = 2_000
"""Messages that the server sends ahead of the acknowledgements."""
ACKNOWLEDGE_COUNT = 500
ACKNOWLEDGE_SECONDS = 5.0
"""Seconds after which messages are acknowledged in any case: otherwise the server would close the channel."""


class End(Protocol):
    """Ends the connection, with the error as the reason."""

    def __call__(self, exc: BaseException | None = None) -> None: ...


class Receiver:
    """Reads until a message cannot be processed; then ends the connection and ignores the rest."""

    def __init__(self, stream: Stream, channel: AbstractChannel, end: End) -> None:
        self._stream = stream
        self._channel = channel
        self._end = end
        self._ended = False
        self._unacknowledged = 0
        self._tag = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Future[None]] = set()

    async def receive(self, message: DeliveredMessage) -> None:
        """Processes the next message."""
        if self._ended:
            return
        try:
            self._stream.receive(offset_of(message), bytes(message.body))
        except Exception as exc:
            self._ended = True
            self._end(exc)
            return
        self._tag = tag_of(message)
        self._unacknowledged += 1
        if self._unacknowledged >= ACKNOWLEDGE_COUNT:
            self._acknowledge()
        elif self._timer is None:
            # One timer for many messages: they come in thousands.
            self._timer = asyncio.get_running_loop().call_later(ACKNOWLEDGE_SECONDS, self._acknowledge_rest)

    def _acknowledge_rest(self) -> None:
        self._timer = None
        if self._unacknowledged:
            self._acknowledge()

    def _acknowledge(self) -> None:
        self._unacknowledged = 0
        if not self._channel.is_closed:
            task = asyncio.ensure_future(self._channel.basic_ack(self._tag, multiple=True, wait=False))
            self._tasks.add(task)
            task.add_done_callback(self._acknowledged)

    def _acknowledged(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # A closed channel is reported elsewhere.
            task.exception()


def offset_of(message: DeliveredMessage) -> int:
    """The offset of a message in its stream."""
    return cast(int, (message.header.properties.headers or {})["x-stream-offset"])


def tag_of(message: DeliveredMessage) -> int:
    """The tag that acknowledges a message."""
    return cast(int, message.delivery.delivery_tag)  # type: ignore[union-attr]
