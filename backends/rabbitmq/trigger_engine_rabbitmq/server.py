"""The connection of one open log: made anew whenever it is lost, until the log is closed."""

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

from trigger_engine.errors import BackendUnavailable, TriggerEngineError
from trigger_engine.log.attempts import FIRST_PAUSE, LONGEST_PAUSE, Pauses, unavailable
from trigger_engine.log.opening import log_closed
from trigger_engine.log.shared_look import SharedLook
from trigger_engine_rabbitmq import driver
from trigger_engine_rabbitmq.driver import LOST, REFUSED, close_quietly, connected, refusal
from trigger_engine_rabbitmq.messages import Barrier, Content
from trigger_engine_rabbitmq.probing import CLOSING_SECONDS, offset_of_next_message
from trigger_engine_rabbitmq.receiver import PREFETCH, End, Receiver
from trigger_engine_rabbitmq.stream import Stream, StreamReplaced

LONGEST_STEP = 10.0
"""Seconds after which a connection, or its reading of a stream, is not waited for, but made anew."""

LAST_SECONDS = 0.1
"""Seconds that a server has to take part in the end of a connection, also when the loop itself ends."""

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
        self._barriers = {stream.name: SharedLook(partial(self.write, stream, Barrier())) for stream in streams}
        self._connection: AbstractConnection | None = None
        self._task = asyncio.create_task(self._keep_connected(), name="trigger-engine rabbitmq")

    async def write(self, stream: Stream, content: Content) -> Any:
        """Writes a message and returns what it led to. Raises BackendUnavailable, ConfigError."""
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
        # A server that hangs gets another chance, by another connection.
        self._lost.set()
        raise self.unavailable()

    async def _wait_for(self, future: asyncio.Future[Any], stream: Stream) -> None:
        """Gives up when nothing new was read for as long as a call may wait: before it much may have to be read.

        A server that is slow to connect is waited for, too, as long as that comes on.
        """
        begun = time.monotonic()
        while (left := max(begun, stream.read_at, self._answered_at) + self._seconds - time.monotonic()) > 0:
            done, _ = await asyncio.wait([future], timeout=left)
            if done:
                return

    async def sync(self, *streams: Stream) -> None:
        """Returns when everything was read that stood in the streams when this was called. Calls share one message."""
        for stream in streams:
            await self._barriers[stream.name].take()

    def check(self) -> None:
        """Raises what keeps the log from being used at all."""
        if self._closed:
            raise log_closed(self._location)
        if self._refusal is not None:
            raise self._refusal

    def unavailable(self) -> BackendUnavailable:
        """What to raise when the time is up."""
        return unavailable(self._shown, self._location, self._seconds, self._cause)

    async def channel(self) -> AbstractChannel:
        """A channel of its own on the connection, for the caller to close. Raises what aiormq raises."""
        self.check()
        if self._connection is None:
            raise ConnectionError("not connected")
        channel = await self._connection.channel(publisher_confirms=True)
        return await channel.get_underlay_channel()

    async def insist(self, attempt: Any) -> Any:
        """What `attempt` returns, made again while connections break. Raises BackendUnavailable, ConfigError."""
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
                await asyncio.sleep(FIRST_PAUSE)

    def abandon(self) -> None:
        """Ends everything, from any thread, without a word: nobody can use it any more."""
        self._closed = True
        # A loop that is closed has ended the task.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def aclose(self) -> None:
        """Ends everything; twice is harmless."""
        self._closed = True
        for future in list(self._waiting):
            if not future.done():
                future.set_result(None)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _keep_connected(self) -> None:
        this = asyncio.current_task()
        assert this is not None
        pauses = Pauses()
        # aiormq swallows cancellations now and then: what was asked for is looked up.
        while not this.cancelling():
            began = self._loop.time()
            try:
                await self._connect(this)
            except StreamReplaced:
                continue
            except REFUSED as exc:
                self._refuse(refusal(exc, shown=self._shown, location=self._location))
                return
            except TriggerEngineError as exc:
                self._refuse(exc)
                return
            except asyncio.CancelledError as exc:
                # aiormq cancels what waits on a connection that ends.
                if this.cancelling():
                    raise
                self._cause = exc
            except Exception as exc:
                self._cause = exc
            if self._loop.time() - began > LONGEST_PAUSE:
                pauses.reset()
            await asyncio.sleep(pauses.next())

    def _refuse(self, exc: TriggerEngineError) -> None:
        self._refusal = exc
        for future in list(self._waiting):
            if not future.done():
                future.set_result(None)

    async def _connect(self, this: asyncio.Task[None]) -> None:
        """One connection, from its beginning to its end."""
        self._lost.clear()
        connection = await connected(self._url, min(self._seconds / 2, LONGEST_STEP))
        self._taken(1)
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
                self._taken(step)
                sending = asyncio.create_task(self._send(stream, channel, end))
                # However it ends, also when aiormq cancels it.
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
                self._tell_loss()
            if isinstance(self._cause, (StreamReplaced, TriggerEngineError, ChannelAccessRefused)):
                raise self._cause
        finally:
            self._connection = None
            for task in tasks:
                task.cancel()
            if not ended.cancel():
                ended.exception()
            await asyncio.gather(*tasks, return_exceptions=True)
            # Where nobody has closed the log the loop ends, and with it what the connection needs for a farewell.
            is_farewell = self._closed or not this.cancelling()
            await close_quietly(connection, CLOSING_SECONDS if is_farewell else LAST_SECONDS)

    def _tell_loss(self) -> None:
        cause = "it does not answer" if self._cause is None else str(self._cause) or type(self._cause).__name__
        logger.warning("the connection to %s was given up, another one is made: %s", self._shown, cause)

    def _taken(self, step: int) -> None:
        """A step of connecting: counts only where no attempt since the last call that ended well came as far."""
        if step > self._steps:
            self._steps, self._answered_at = step, time.monotonic()

    async def _subscribe(self, connection: AbstractConnection, stream: Stream, end: End) -> AbstractChannel:
        opened = await connection.channel(publisher_confirms=False)
        await opened.declare_queue(stream.name, durable=True, arguments=stream.arguments)
        try:
            return await self._consume(connection, opened, stream, end)
        except ChannelPreconditionFailed as exc:
            # Another process is still making the stream; one that is not as wanted was refused above.
            raise ConnectionError(str(exc)) from exc

    async def _consume(
        self, connection: AbstractConnection, opened: AbstractOpenedChannel, stream: Stream, end: End
    ) -> AbstractChannel:
        if (place := stream.place()) and await offset_of_next_message(connection, stream.name) <= place:
            # To read on from a place behind the end would be to wait for ever.
            stream.ends_before_place()
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
