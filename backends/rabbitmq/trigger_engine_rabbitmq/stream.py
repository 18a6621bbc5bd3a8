"""One stream: what this process writes to it, and where it reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Protocol

from trigger_engine.log.fresh import fresh_id
from trigger_engine_rabbitmq.messages import Barrier, Content, Message, decode_message, encode_message

LEFT_OUT = 1
"""Offsets that RabbitMQ leaves out where it begins another segment of a stream."""


class StreamReplaced(Exception):
    """The stream is not the one that was read before, or may be another one: a new connection will see."""


class Fold(Protocol):
    """What the messages of a stream amount to."""

    def fold(self, message: Message, is_live: bool) -> object:
        """The next message; what became of it. A live one comes as it is sent, so that it is as old as it looks.

        What was sent while this process was not connected is older.
        """

    def begin(self) -> None:
        """Forgets everything: the stream is another one."""


class Stream:
    """A stream whose messages go to a fold, one after the other; where the server has dropped some, the next ones.

    `next` is the offset of what was not read yet, `read_at` when the newest was read (time.monotonic). What is written
    is sent in the order of its numbers, and again by each new connection, until it was read back.
    """

    def __init__(self, name: str, arguments: Mapping[str, int], *, fold: Fold) -> None:
        self.name = name
        self.arguments: dict[str, Any] = {"x-queue-type": "stream", **arguments}
        self.changed = asyncio.Event()
        self.is_read = asyncio.Event()
        """Set when this connection has read what stood in the stream when it began."""
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
        """Lets a message be sent; the future is done when it was read back, with what the fold says of it."""
        self._number += 1
        future = asyncio.get_running_loop().create_future()
        message = Message(self._writer, self._number, fresh_id(), content)
        self._pending[self._number] = (encode_message(message), future)
        self.changed.set()
        return self._number, future

    def withdraw(self, number: int) -> None:
        """Sends a message no more; it may have been sent."""
        self._pending.pop(number, None)

    def place(self) -> int:
        """Where the next connection must read from; 0: from the beginning."""
        return max(self.next - 1, 0)

    def ends_before_place(self) -> None:
        """The stream has turned out to be another one, for it ends before `place`."""
        self.start_anew()

    def reconnect(self) -> int | str:
        """A new connection begins: where it must read from."""
        self._sent = 0
        self._verified = self.next == 0
        # Shows at once where the stream ends, and that it is still the same.
        self._is_live = False
        self.is_read.clear()
        self._live_from, _ = self.write(Barrier())
        return self.place() or "first"

    def start_anew(self) -> None:
        """Forgets what was read: the stream is another one."""
        self._fold.begin()
        self.next = 0

    def unsent(self) -> tuple[int, bytes] | None:
        """The next message to send by this connection."""
        for number, (body, _) in self._pending.items():
            if number > self._sent:
                self._sent = number
                return number, body
        return None

    def receive(self, offset: int, body: bytes) -> None:
        """The next message of this connection. Raises StreamReplaced, SerializationError, ConfigError."""
        if not self._verified:
            self._verified = True
            if not self._goes_on(offset, body):
                self.start_anew()
                raise StreamReplaced(f"the stream {self.name} is another one")
        if offset < self.next:
            return
        message = decode_message(body)
        self.read_at = time.monotonic()
        if offset > self.next + LEFT_OUT:
            self._take_behind_gap(offset, body, message)
        else:
            self._take(offset, body, message)

    def _goes_on(self, offset: int, body: bytes) -> bool:
        """True when the first message of a new connection shows that the stream is the one that was read before."""
        return offset >= self.next or (offset == self.next - 1 and body == self._last)

    def _take_behind_gap(self, offset: int, body: bytes, message: Message) -> None:
        """A message before which some are missing."""
        self._take(offset, body, message)

    def _take(self, offset: int, body: bytes, message: Message) -> None:
        said = self._fold.fold(message, self._is_live)
        self.next, self._last = offset + 1, body
        if self._ends_backlog(message):
            self._is_live = True
            self.is_read.set()
        if message.writer == self._writer:
            _, future = self._pending.pop(message.number, (b"", None))
            if future is not None and not future.done():
                future.set_result(said)

    def _ends_backlog(self, message: Message) -> bool:
        return message.writer == self._writer and message.number == self._live_from
