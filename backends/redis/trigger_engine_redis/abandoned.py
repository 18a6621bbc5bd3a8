"""Silently closes connections that nobody closed: their loop ended, or their log was dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from redis.asyncio.connection import AbstractConnection


def abandon(connections: Iterable[AbstractConnection], loop: asyncio.AbstractEventLoop) -> None:
    """Closes the connections that are still open, from any thread; a forked child closes only its own copies."""
    for connection in list(connections):
        # A redis-py connection without streams does not warn when it is collected.
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
        # The loop is closed and cannot close its transports.
        close = getattr(transport, "_call_connection_lost", None)
        if close is not None:
            close(None)
