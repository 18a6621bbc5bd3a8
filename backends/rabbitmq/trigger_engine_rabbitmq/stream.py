"""One stream: what this process writes to it, and where it reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from trigger_engine.errors import ConfigError
from trigger_engine.log.fresh import fresh_id
from trigger_engine_rabbitmq.messages import Barrier, Content, Message, decode_message, encode_message


class StreamReplaced(Exception):
    """The stream is not the one that was read before."""


class Stream:
    """A stream that is read from its first message on, each of which goes to `fold`; `begin` empties the fold.

    `fold` is also told whether the message comes as it is sent, so that it is as old as it looks; what was sent while
    this process was not connected is older.
    `next` is the offset of what was not read yet, `read_at` when the newest was read (time.monotonic). What is written
    is sent in the order of its numbers, and again by each new connection, until it was read back.
    """

    def __init__(
        self,
        name: str,
        arguments: dict[str, Any],
        *,
        fold: Callable[[Message, bool], object],
        begin: Callable[[], None],
        loses_its_beginning: bool = False,
    ) -> None:
        self.name = name
        self.arguments = {"x-queue-type": "stream", **arguments}
        self.changed = asyncio.Event()
        self._fold = fold
        self._begin = begin
        self._loses_its_beginning = loses_its_beginning
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

    def reconnect(self) -> int | str:
        """A new connection begins: where it must read from."""
        self._sent = 0
        self._verified = self.next == 0
        # Shows at once where the stream ends, and that it is still the same.
        self._is_live = False
        self._live_from, _ = self.write(Barrier())
        return "first" if self._verified else self.next - 1

    def start_anew(self) -> None:
        """Forgets what was read: the stream is another one."""
        self._begin()
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
            is_same = offset == self.next - 1 and body == self._last
            if not is_same and not (self._loses_its_beginning and offset >= self.next):
                self.start_anew()
                raise StreamReplaced(f"the stream {self.name} is another one")
        if offset < self.next:
            return
        if offset and self.next == 0 and not self._loses_its_beginning:
            # From there on this process would come to something else than those who have read all.
            raise ConfigError(
                f"the stream {self.name} has lost its first {offset} messages, from which all others follow: take away "
                "the policy that gives it a maximum length or age, and delete the stream to begin anew"
            )
        message = decode_message(body)
        said = self._fold(message, self._is_live)
        self.next, self._last, self.read_at = offset + 1, body, time.monotonic()
        self._is_live |= message.writer == self._writer and message.number == self._live_from
        if message.writer == self._writer:
            _, future = self._pending.pop(message.number, (b"", None))
            if future is not None and not future.done():
                future.set_result(said)
