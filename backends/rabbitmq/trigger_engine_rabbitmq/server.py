"""The connection of one open log: reconnects whenever it is lost, until the log is closed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from aio_pika.abc import AbstractChannel as AbstractOpenedChannel
from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed

from trigger_engine.backend import Backoff, SingleFlight, log_closed_error, unavailable_error
from trigger_engine.errors import BackendUnavailable, TriggerEngineError
from trigger_engine_rabbitmq import driver
from trigger_engine_rabbitmq.driver import LOST, REFUSED, close_quietly, connect, refusal_error
from trigger_engine_rabbitmq.messages import Barrier, Content
from trigger_engine_rabbitmq.probing import CLOSING_SECONDS, offset_of_next_message
from trigger_engine_rabbitmq.receiver import PREFETCH, End, Receiver
from trigger_engine_rabbitmq.stream import Stream, StreamReplaced

LONGEST_STEP = 10.0
"""How many seconds connecting, or subscribing to a stream, may take before another attempt."""

LAST_SECONDS = 0.1
"""How many seconds a server has to confirm the close of a connection when the loop ends."""

logger = logging.getLogger(__name__)


class Server:
    """Keeps the streams of one open log connected."""

    def __init__(self, url: str, streams: Sequence[Stream], *, shown: str, location: str, seconds: float) -> None:
        self._url = url
        self._streams = streams
        self._shown = shown
        self._location = location
        self._seconds = seconds
        self._steps = 0
        self._answered_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._lost = asyncio.Event()
        self._cause: BaseException | None = None
        self._refusal: TriggerEngineError | None = None
        self._closed = False
        self._waiting: set[asyncio.Future[Any]] = set()
        self._barriers = {stream.name: SingleFlight(partial(self.write, stream, Barrier())) for stream in streams}
        self._connection: AbstractConnection | None = None
        self._task = asyncio.create_task(self._keep_connected(), name="trigger-engine rabbitmq")

    async def write(self, stream: Stream, content: Content) -> Any:
        """Writes a message and returns the fold's result for it. Raises BackendUnavailable, ConfigError."""
        self.check()
        number, future = stream.write(content)
        self._waiting.add(future)
        try:
            await self._wait_for(future, stream)
        finally:
            self._waiting.discard(future)
        self.check()
        if future.done():
            self._steps = 0
            return future.result()
        stream.withdraw(number)
        # The server may hang: try another connection.
        self._lost.set()
        raise self.unavailable()

    async def _wait_for(self, future: asyncio.Future[Any], stream: Stream) -> None:
        """Gives up when nothing new was read for as long as a call may wait: the log may have to be read first.

        Also waits for a slow connection, as long as it makes progress.
        """
        began = time.monotonic()
        while (left := max(began, stream.read_at, self._answered_at) + self._seconds - time.monotonic()) > 0:
            done, _ = await asyncio.wait([future], timeout=left)
            if done:
                return

    async def sync(self, *streams: Stream) -> None:
        """Returns when everything written to the streams before this call was read. Calls share one message."""
        for stream in streams:
            await self._barriers[stream.name].run()

    def check(self) -> None:
        """Raises if the log was closed or the server refused it."""
        if self._closed:
            raise log_closed_error(self._location)
        if self._refusal is not None:
            raise self._refusal

    def unavailable(self) -> BackendUnavailable:
        """The error to raise when the time is up."""
        return unavailable_error(self._shown, self._location, self._seconds, self._cause)

    async def channel(self) -> AbstractChannel:
        """A new channel on the connection; the caller closes it. Raises what aiormq raises."""
        self.check()
        if self._connection is None:
            raise ConnectionError("not connected")
        channel = await self._connection.channel(publisher_confirms=True)
        return await channel.get_underlay_channel()

    async def retry(self, attempt: Any) -> Any:
        """The result of `attempt`, which is retried while connections break. Raises BackendUnavailable, ConfigError."""
        deadline = self._loop.time() + self._seconds
        while True:
            self.check()
            try:
                async with asyncio.timeout_at(deadline):
                    return await attempt()
            except LOST as exc:
                if self._loop.time() >= deadline:
                    self._cause = self._cause or exc
                    raise self.unavailable() from exc
                await asyncio.sleep(Backoff.SHORTEST_SECONDS)

    def abandon(self) -> None:
        """Silently ends the connection, from any thread, when nobody can use it any more."""
        self._closed = True
        # A closed loop has ended the task already.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def aclose(self) -> None:
        """Closes the connection; closing twice is harmless."""
        self._closed = True
        for future in list(self._waiting):
            if not future.done():
                future.set_result(None)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _keep_connected(self) -> None:
        this = asyncio.current_task()
        assert this is not None
        backoff = Backoff()
        # aiormq sometimes swallows cancellations, so ask the task.
        while not this.cancelling():
            began = self._loop.time()
            try:
                await self._connect(this)
            except StreamReplaced:
                continue
            except REFUSED as exc:
                self._refuse(refusal_error(exc, shown=self._shown, location=self._location))
                return
            except TriggerEngineError as exc:
                self._refuse(exc)
                return
            except asyncio.CancelledError as exc:
                # aiormq cancels its waiters when a connection ends.
                if this.cancelling():
                    raise
                self._cause = exc
            except Exception as exc:
                self._cause = exc
            if self._loop.time() - began > Backoff.LONGEST_SECONDS:
                backoff.reset()
            await asyncio.sleep(backoff.next())

    def _refuse(self, exc: TriggerEngineError) -> None:
        self._refusal = exc
        for future in list(self._waiting):
            if not future.done():
                future.set_result(None)

    async def _connect(self, this: asyncio.Task[None]) -> None:
        """Runs one connection from its beginning to its end."""
        self._lost.clear()
        connection = await connect(self._url, min(self._seconds / 2, LONGEST_STEP))
        self._record_step(1)
        ended: asyncio.Future[Any] = self._loop.create_future()

        def end(exc: BaseException | None = None) -> None:
            if not ended.done():
                ended.set_exception(exc or ConnectionError("the connection was closed"))

        lost: asyncio.Future[Any] = asyncio.ensure_future(self._lost.wait())
        tasks: list[asyncio.Future[Any]] = [lost]
        try:
            connection.close_callbacks.add(lambda _, exc: end(exc))
            for step, stream in enumerate(self._streams, 2):
                async with asyncio.timeout(min(self._seconds, LONGEST_STEP)):
                    channel = await self._subscribe(connection, stream, end)
                self._record_step(step)
                sending = asyncio.create_task(self._send(stream, channel, end))
                # Also if aiormq cancels the task.
                sending.add_done_callback(lambda _: end())
                tasks.append(sending)
                if this.cancelling():
                    return
                if stream is not self._streams[-1]:
                    tasks.append(read := asyncio.ensure_future(stream.is_read.wait()))
                    await asyncio.wait({ended, lost, read}, return_when=asyncio.FIRST_COMPLETED)
                    if not read.done():
                        break
            self._connection = connection
            await asyncio.wait({ended, lost}, return_when=asyncio.FIRST_COMPLETED)
            self._cause = ended.exception() if ended.done() else None
            if not self._closed and not isinstance(self._cause, TriggerEngineError):
                self._log_loss()
            if isinstance(self._cause, (StreamReplaced, TriggerEngineError, ChannelAccessRefused)):
                raise self._cause
        finally:
            self._connection = None
            for task in tasks:
                task.cancel()
            if not ended.cancel():
                ended.exception()
            await asyncio.gather(*tasks, return_exceptions=True)
            # If the log was not closed the loop is ending, and a clean close would not complete.
            is_orderly = self._closed or not this.cancelling()
            await close_quietly(connection, CLOSING_SECONDS if is_orderly else LAST_SECONDS)

    def _log_loss(self) -> None:
        cause = "it does not answer" if self._cause is None else str(self._cause) or type(self._cause).__name__
        logger.warning("lost the connection to %s, reconnecting: %s", self._shown, cause)

    def _record_step(self, step: int) -> None:
        """Records a step of connecting. It is progress only if no attempt since the last successful call got as far."""
        if step > self._steps:
            self._steps, self._answered_at = step, time.monotonic()

    async def _subscribe(self, connection: AbstractConnection, stream: Stream, end: End) -> AbstractChannel:
        opened = await connection.channel(publisher_confirms=False)
        await opened.declare_queue(stream.name, durable=True, arguments=stream.arguments)
        try:
            return await self._consume(connection, opened, stream, end)
        except ChannelPreconditionFailed as exc:
            # Another process is still creating the stream; a stream with other settings was refused above.
            raise ConnectionError(str(exc)) from exc

    async def _consume(
        self, connection: AbstractConnection, opened: AbstractOpenedChannel, stream: Stream, end: End
    ) -> AbstractChannel:
        if (start_offset := stream.start_offset()) and await offset_of_next_message(
            connection, stream.name
        ) <= start_offset:
            # Reading from an offset after the end would wait forever.
            stream.ends_before_start()
        await opened.set_qos(PREFETCH)
        channel = await opened.get_underlay_channel()
        channel.closing.add_done_callback(lambda closing: end(None if closing.cancelled() else closing.exception()))
        channel.on_consumer_cancel_callbacks.add(lambda _: end(ConnectionError(f"{stream.name} was deleted")))
        receiver = Receiver(stream, channel, end)
        await channel.basic_consume(
            stream.name, receiver.receive, no_ack=False, arguments={"x-stream-offset": stream.reconnect()}
        )
        return channel

    async def _send(self, stream: Stream, channel: AbstractChannel, end: End) -> None:
        try:
            while True:
                stream.changed.clear()
                while (unsent := stream.unsent()) is not None:
                    await driver.publish(channel, stream.name, unsent[1])
                await stream.changed.wait()
        except LOST as exc:
            end(exc)
