"""The bytes of checkpoints, in chunks in their own stream; the log's stream says which checkpoints are valid."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelInvalidStateError

from trigger_engine.backend import fresh_id
from trigger_engine_rabbitmq.messages import Chunks
from trigger_engine_rabbitmq.probing import CLOSING_SECONDS, PERSISTENT, close_within, unless_closed
from trigger_engine_rabbitmq.receiver import offset_of, tag_of
from trigger_engine_rabbitmq.server import Server

CHUNK_BYTES = 1024 * 1024
STREAM_BYTES = 512 * 1024 * 1024
SEGMENT_BYTES = 64 * 1024 * 1024


class _Chunk(msgspec.Struct, frozen=True, array_like=True):
    key: str
    number: int
    data: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Chunk)


class ChunkStream:
    """The stream of checkpoint chunks; the server drops its oldest segments."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._name = name

    async def store(self, data: bytes) -> Chunks:
        """Writes the chunks of a checkpoint. Raises BackendUnavailable, ConfigError."""

        async def attempt() -> Chunks:
            key = fresh_id()
            starts = range(0, max(len(data), 1), CHUNK_BYTES)
            bodies = [_encoder.encode(_Chunk(key, n, data[at : at + CHUNK_BYTES])) for n, at in enumerate(starts)]
            first, _ = await self._read("next", key, len(bodies), publish=bodies)
            return Chunks(key, first, len(bodies))

        found: Chunks = await self._server.retry(attempt)
        return found

    async def load(self, chunks: Chunks) -> bytes:
        """Reads a checkpoint. Raises BackendUnavailable, also when the stream no longer has the chunks; ConfigError."""

        async def attempt() -> bytes:
            return (await self._read(chunks.offset, chunks.key, chunks.count))[1]

        found: bytes = await self._server.retry(attempt)
        return found

    async def _read(
        self, offset: int | str, key: str, count: int, *, publish: list[bytes] | None = None
    ) -> tuple[int, bytes]:
        """Publishes chunks if given, then reads all chunks of a key: the offset of the first, and the data."""
        channel = await self._server.channel()
        try:
            await channel.queue_declare(
                self._name,
                durable=True,
                arguments={
                    "x-queue-type": "stream",
                    "x-max-length-bytes": STREAM_BYTES,
                    "x-stream-max-segment-size-bytes": SEGMENT_BYTES,
                },
            )
            await channel.basic_qos(prefetch_count=count + 1)
            found: dict[int, tuple[int, bytes]] = {}
            first: asyncio.Future[int] = asyncio.get_running_loop().create_future()

            async def receive(message: DeliveredMessage) -> None:
                chunk = _decoder.decode(bytes(message.body))
                if chunk.key == key:
                    found[chunk.number] = (offset_of(message), chunk.data)
                    if len(found) == count and not first.done():
                        first.set_result(found[0][0])
                with suppress(ChannelInvalidStateError):
                    await channel.basic_ack(tag_of(message), wait=False)

            await channel.basic_consume(self._name, receive, no_ack=False, arguments={"x-stream-offset": offset})
            for body in publish or []:
                await channel.basic_publish(body, routing_key=self._name, properties=PERSISTENT, mandatory=True)
            return await unless_closed(first, channel), b"".join(found[number][1] for number in range(count))
        finally:
            await close_within(channel.close(), CLOSING_SECONDS)
