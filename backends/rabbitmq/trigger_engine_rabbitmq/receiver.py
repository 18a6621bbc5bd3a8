"""The reading side of a stream on one connection: hands each message on, and acknowledges."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from aiormq.abc import AbstractChannel, DeliveredMessage

from trigger_engine_rabbitmq.stream import Stream

PREFETCH = 2_000
"""Messages that the server sends ahead of the acknowledgements."""
ACKNOWLEDGED_AT_ONCE = 500
ACKNOWLEDGED_AFTER = 5.0
"""Seconds after which what was read is acknowledged in any case, else the server closes the channel some day."""


class End(Protocol):
    """Ends the connection, for a reason."""

    def __call__(self, exc: BaseException | None = None) -> None: ...


class Receiver:
    """Reads until something is wrong with a message; then nothing more of this connection counts."""

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
        """The next message."""
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
        if self._unacknowledged >= ACKNOWLEDGED_AT_ONCE:
            self._acknowledge()
        elif self._timer is None:
            # Not one for each message: they come in thousands.
            self._timer = asyncio.get_running_loop().call_later(ACKNOWLEDGED_AFTER, self._acknowledge_rest)

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
            # That the channel was closed meanwhile is told elsewhere.
            task.exception()


def offset_of(message: DeliveredMessage) -> int:
    """Where a message stands in its stream."""
    return cast(int, (message.header.properties.headers or {})["x-stream-offset"])


def tag_of(message: DeliveredMessage) -> int:
    """What acknowledges a message."""
    return cast(int, message.delivery.delivery_tag)  # type: ignore[union-attr]
