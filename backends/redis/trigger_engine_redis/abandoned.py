"""Connections that nobody closed: their loop ended, or their log was dropped. They are closed without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from redis.asyncio.connection import AbstractConnection


def abandon(connections: Iterable[AbstractConnection], loop: asyncio.AbstractEventLoop) -> None:
    """Closes what is still open, from any thread; in a forked child only the child's copies."""
    for connection in list(connections):
        # Without its streams a connection of redis-py has nothing to warn of.
        writer, connection._writer, connection._reader = connection._writer, None, None
        if writer is None:
            continue
        if loop.is_running():
            loop.call_soon_threadsafe(_abort, writer)
        else:
            _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    transport: Any = writer.transport
    try:
        transport.abort()
    except RuntimeError:
        # The loop is closed, and can do nothing more for its transports.
        close = getattr(transport, "_call_connection_lost", None)
        if close is not None:
            close(None)
