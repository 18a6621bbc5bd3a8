"""One stream: the messages that this process writes, and how far it has read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Protocol

from trigger_engine.backend import fresh_id
from trigger_engine_rabbitmq.messages import Barrier, Content, Message, decode_message, encode_message

SKIPPED_OFFSETS = 1
"""How many offsets RabbitMQ skips when it begins a new segment of a stream."""


class StreamReplaced(Exception):
    """The stream was replaced, or may have been: a new connection will tell."""


class Fold(Protocol):
    """Folds the messages of a stream."""

    def fold(self, message: Message, is_live: bool) -> object:
        """Folds the next message and returns its result.

        A live message is read as soon as it is sent; others were sent before this process was connected.
        """

    def begin(self) -> None:
        """Starts over: the stream was replaced."""


class Stream:
    """Passes the messages of a stream to a fold, in order, without those that the server has dropped.

    `next`: the offset of the next message to read. `read_at`: when the newest one was read (time.monotonic). Written
    messages are sent in the order of their numbers, and resent by each new connection, until they are read back.
    """

    def __init__(self, name: str, arguments: Mapping[str, int], *, fold: Fold) -> None:
        self.name = name
        self.arguments: dict[str, Any] = {"x-queue-type": "stream", **arguments}
        self.changed = asyncio.Event()
        self.is_read = asyncio.Event()
        """Set when this connection has read everything that was in the stream when it began."""
        self._fold = fold
        self._writer = fresh_id()
        self._number = 0
        self._pending: dict[int, tuple[bytes, asyncio.Future[Any]]] = {}
        self._sent = 0
        self.next = 0
        self.read_at = 0.0
        self._last = b""
        self._verified = True
        self._live_from = 0
        self._is_live = False

    def write(self, content: Content) -> tuple[int, asyncio.Future[Any]]:
        """Queues a message; the future gets the fold's result when the message is read back."""
        self._number += 1
        future = asyncio.get_running_loop().create_future()
        message = Message(self._writer, self._number, fresh_id(), content)
        self._pending[self._number] = (encode_message(message), future)
        self.changed.set()
        return self._number, future

    def withdraw(self, number: int) -> None:
        """Stops sending a message; it may have been sent."""
        self._pending.pop(number, None)

    def start_offset(self) -> int:
        """The offset from which the next connection must read, 0 for the beginning."""
        return max(self.next - 1, 0)

    def ends_before_start(self) -> None:
        """The stream ends before `start_offset`, so it was replaced."""
        self.start_over()

    def reconnect(self) -> int | str:
        """Begins a new connection; returns the offset from which it must read."""
        self._sent = 0
        self._verified = self.next == 0
        # Shows at once where the stream ends, and whether it is the same.
        self._is_live = False
        self.is_read.clear()
        self._live_from, _ = self.write(Barrier())
        return self.start_offset() or "first"

    def start_over(self) -> None:
        """Starts over: the stream was replaced."""
        self._fold.begin()
        self.next = 0

    def unsent(self) -> tuple[int, bytes] | None:
        """The next message for this connection to send."""
        for number, (body, _) in self._pending.items():
            if number > self._sent:
                self._sent = number
                return number, body
        return None

    def receive(self, offset: int, body: bytes) -> None:
        """Processes the next message of this connection. Raises StreamReplaced, SerializationError, ConfigError."""
        if not self._verified:
            self._verified = True
            if not self._continues(offset, body):
                self.start_over()
                raise StreamReplaced(f"the stream {self.name} was replaced")
        if offset < self.next:
            return
        message = decode_message(body)
        self.read_at = time.monotonic()
        if offset > self.next + SKIPPED_OFFSETS:
            self._take_behind_gap(offset, body, message)
        else:
            self._take(offset, body, message)

    def _continues(self, offset: int, body: bytes) -> bool:
        """True when the first message of a new connection shows that the stream is still the same."""
        return offset >= self.next or (offset == self.next - 1 and body == self._last)

    def _take_behind_gap(self, offset: int, body: bytes, message: Message) -> None:
        """Processes a message after a gap."""
        self._take(offset, body, message)

    def _take(self, offset: int, body: bytes, message: Message) -> None:
        result = self._fold.fold(message, self._is_live)
        self.next, self._last = offset + 1, body
        if self._ends_backlog(message):
            self._is_live = True
            self.is_read.set()
        if message.writer == self._writer:
            _, future = self._pending.pop(message.number, (b"", None))
            if future is not None and not future.done():
                future.set_result(result)

    def _ends_backlog(self, message: Message) -> bool:
        return message.writer == self._writer and message.number == self._live_from
