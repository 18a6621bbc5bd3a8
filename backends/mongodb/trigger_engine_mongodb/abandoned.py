"""Silently closes clients that nobody closed: their loop ended, or their log was dropped."""

from __future__ import annotations

import _thread
import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

_closing: set[asyncio.Task[None]] = set()


def abandon(client: Any, loop: asyncio.AbstractEventLoop, pid: int) -> None:
    """Closes a client of either driver, from any thread; a forked child leaves its parent's connections alone."""
    blocking = vars(client).get("delegate")  # motor's
    if os.getpid() != pid:
        (blocking or client)._closed = True
    elif blocking is not None:
        # Closing may talk to the server. Starting a `Thread` takes a lock that the interrupted code may hold.
        _thread.start_new_thread(_close_blocking, (blocking,))
    elif loop.is_running():
        loop.call_soon_threadsafe(_close_soon, client)
    else:
        client._closed = True
        for transport in _transports(client):
            # The loop is closed and cannot close its transports.
            transport._call_connection_lost(None)


def _close_blocking(client: Any) -> None:
    with suppress(Exception):  # nobody is left to handle it
        client.close()
    client._closed = True


def _close_soon(client: Any) -> None:
    task = asyncio.get_running_loop().create_task(client.close())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


def _transports(client: Any) -> Iterator[Any]:
    servers = [] if client._topology is None else list(client._topology._servers.values())
    for server in servers:
        for pool in (server._pool, server._monitor._pool, server._monitor._rtt_monitor._pool):
            for connection in list(pool.conns):
                transport = connection.conn.conn[0]
                if getattr(transport, "_sock", None) is not None and hasattr(transport, "_call_connection_lost"):
                    yield transport
