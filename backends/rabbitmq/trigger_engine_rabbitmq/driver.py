"""How aio-pika and aiormq connect, write and close: with what they leave to do."""

from __future__ import annotations

import asyncio
import logging

from aio_pika.abc import AbstractConnection
from aio_pika.connection import Connection, make_url
from aiormq.abc import AbstractChannel
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelPreconditionFailed,
    ProbableAuthenticationError,
)

from trigger_engine.errors import ConfigError
from trigger_engine_rabbitmq.probing import CLOSING_SECONDS, PERSISTENT, give_up

REFUSED = (AuthenticationError, ProbableAuthenticationError, ChannelAccessRefused, ChannelPreconditionFailed)
LOST = (AMQPError, OSError, TimeoutError, RuntimeError)
_TOLD_HERE = ("error when creating transport", "Unexpected connection close", "Cancelling cause reader exited")
# What failed is raised by whoever connects, or told in one line.
logging.getLogger("aiormq.connection").addFilter(lambda record: not record.getMessage().startswith(_TOLD_HERE))


def refusal(exc: AMQPError, *, shown: str, location: str) -> ConfigError:
    """What to raise for one of REFUSED."""
    if isinstance(exc, ChannelPreconditionFailed):
        return ConfigError(
            f"{shown} has a stream of this name with other settings ({exc}): give max_length_bytes as it was when the "
            "stream was made, or, when all work has ended, delete it"
        )
    return ConfigError(
        f"{shown} refuses this user ({exc}): correct user and password in url, or its rights, {location}"
    )


async def connected(url: str, seconds: float) -> AbstractConnection:
    """A new connection. Raises what aiormq raises, OSError, TimeoutError."""
    connection = Connection(make_url(url))
    connecting = asyncio.ensure_future(connection.connect(timeout=seconds))
    try:
        await asyncio.shield(connecting)
    except asyncio.CancelledError:
        # In the middle of it aiormq leaves much behind.
        await asyncio.wait([connecting], timeout=CLOSING_SECONDS)
        connecting.cancel()
        await close_quietly(connection)
        raise
    except BaseException:
        # Else it is closed by the garbage collector, which has no loop and warns.
        await close_quietly(connection)
        raise
    return connection


async def publish(channel: AbstractChannel, name: str, body: bytes) -> None:
    """Sends a message to a stream; that it arrived is seen by reading it. Raises what aiormq raises."""
    await channel.basic_publish(body, routing_key=name, properties=PERSISTENT)


async def close_quietly(connection: AbstractConnection, seconds: float = CLOSING_SECONDS) -> None:
    """Closes a connection that may be lost, or whose server may hang."""
    await give_up(connection.close(), seconds)
