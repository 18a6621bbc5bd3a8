"""Serves a monitor with uvicorn until SIGINT or SIGTERM."""

from __future__ import annotations

import signal
import socket

import uvicorn

from trigger_engine._monitor.application import Monitor

_GRACE = 5


def serve(monitor: Monitor, listener: socket.socket) -> None:
    """Serves until a signal, then shuts down gracefully. Streams of live pages end at once."""
    config = uvicorn.Config(
        monitor, log_level="warning", server_header=False, timeout_graceful_shutdown=_GRACE, ws="none"
    )
    # uvicorn raises the signal again after it has stopped; ignore it.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _Server(config, monitor).run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Server(uvicorn.Server):
    """A server that does not wait for endless streams."""

    def __init__(self, config: uvicorn.Config, monitor: Monitor) -> None:
        super().__init__(config)
        self._monitor = monitor

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._monitor.end_streams()
        await super().shutdown(sockets)
