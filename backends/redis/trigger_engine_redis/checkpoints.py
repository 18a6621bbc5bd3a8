"""Checkpoints: the newest and the one before it, in chunks small enough not to block the server."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from trigger_engine.backend import Checkpoint, Cursor
from trigger_engine_redis.scripts import SAVE_CHECKPOINT
from trigger_engine_redis.server import Server

CHUNK_BYTES = 1024 * 1024


class _Header(msgspec.Struct, frozen=True, array_like=True):
    term: int
    position: int
    entry_id: str
    chunks: int
    digest: str


_decoder = msgspec.msgpack.Decoder(list[_Header])


async def save_checkpoint(server: Server, key: str, candidate: str, name: str, checkpoint: Checkpoint) -> bool:
    """False when its term is over, or its cursor is not higher or not of this log. Repeating the call is harmless."""
    data, cursor = checkpoint.data, checkpoint.cursor
    starts = range(0, max(len(data), 1), CHUNK_BYTES)
    digest = blake2b(data, digest_size=16).hexdigest()
    header = _Header(checkpoint.term, cursor.position, cursor.entry_id, len(starts), digest)
    fields = _fields(name, header)
    for field, start in zip(fields, starts, strict=True):
        await server.ask(("HSET", key, field, data[start : start + CHUNK_BYTES]))
    saved = await server.run(
        SAVE_CHECKPOINT,
        *(candidate, name, header.term, header.position, header.entry_id, cursor.log_id, header.chunks, digest),
    )
    if not saved and header not in await _kept(server, key, name):
        await server.ask(("HDEL", key, *fields))
    return bool(saved)


async def load_checkpoint(server: Server, keys: tuple[str, str], name: str) -> Checkpoint | None:
    """The newest complete one. `keys`: the app's `meta` and `checkpoints` keys."""
    meta, key = keys
    kept: list[_Header] = []
    while (newest := await _kept(server, key, name)) != kept:
        kept = newest
        (log_id,) = await server.ask(("HGET", meta, "log_id"))
        for header in kept:
            chunks = [(await server.ask(("HGET", key, field)))[0] or b"" for field in _fields(name, header)]
            data = b"".join(chunks)
            # It may be removed while it is read, when newer ones are saved.
            if blake2b(data, digest_size=16).hexdigest() == header.digest and log_id is not None:
                return Checkpoint(header.term, Cursor(log_id.decode(), header.position, header.entry_id), data)
    return None


async def _kept(server: Server, key: str, name: str) -> list[_Header]:
    (packed,) = await server.ask(("HGET", key, f"h:{name}"))
    return [] if packed is None else _decoder.decode(packed)


def _fields(name: str, header: _Header) -> list[str]:
    checkpoint = f"{header.term}:{header.position}:{header.digest}"
    return [f"d:{checkpoint}:{number}:{name}" for number in range(header.chunks)]
