"""Connects, publishes and closes with aio-pika and aiormq, and works around their gaps."""

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
from trigger_engine_rabbitmq.probing import CLOSING_SECONDS, PERSISTENT, close_within

REFUSED = (AuthenticationError, ProbableAuthenticationError, ChannelAccessRefused, ChannelPreconditionFailed)
LOST = (AMQPError, OSError, TimeoutError, RuntimeError)
_REPORTED_ELSEWHERE = ("error when creating transport", "Unexpected connection close", "Cancelling cause reader exited")
# A failed connection is raised by the caller, or logged in one line.
logging.getLogger("aiormq.connection").addFilter(lambda record: not record.getMessage().startswith(_REPORTED_ELSEWHERE))


def refusal_error(exc: AMQPError, *, shown: str, location: str) -> ConfigError:
    """The error to raise for one of REFUSED."""
    if isinstance(exc, ChannelPreconditionFailed):
        return ConfigError(
            f"{shown} has a stream of this name with other settings ({exc}): set max_length_bytes as it was when the "
            "stream was created, or delete the stream when all work has ended"
        )
    return ConfigError(
        f"{shown} refuses this user ({exc}): correct user and password in url, or its rights, {location}"
    )


async def connect(url: str, seconds: float) -> AbstractConnection:
    """A new connection. Raises what aiormq raises, OSError, TimeoutError."""
    connection = Connection(make_url(url))
    connecting = asyncio.ensure_future(connection.connect(timeout=seconds))
    try:
        await asyncio.shield(connecting)
    except asyncio.CancelledError:
        # aiormq cleans up badly when it is cancelled while connecting.
        await asyncio.wait([connecting], timeout=CLOSING_SECONDS)
        connecting.cancel()
        await close_quietly(connection)
        raise
    except BaseException:
        # Otherwise the garbage collector closes it, without a loop and with a warning.
        await close_quietly(connection)
        raise
    return connection


async def publish(channel: AbstractChannel, name: str, body: bytes) -> None:
    """Sends a message to a stream; reading it back shows that it arrived. Raises what aiormq raises."""
    await channel.basic_publish(body, routing_key=name, properties=PERSISTENT)


async def close_quietly(connection: AbstractConnection, seconds: float = CLOSING_SECONDS) -> None:
    """Closes a connection that may be lost or may hang."""
    await close_within(connection.close(), seconds)
