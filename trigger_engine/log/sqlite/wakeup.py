"""How the waiters of all processes hear that the file was written to.

Those of this process are woken directly, those of others by a datagram. A look at the write-ahead log every 250 ms
stands in where there are no such sockets.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from trigger_engine.log.bell import Bell
from trigger_engine.log.sqlite.forks import Guarded
from trigger_engine.log.sqlite.turnstile import run_folder
from trigger_engine.log.sqlite.wake_socket import AVAILABLE, OtherSockets, WakeSocket

POLL_SECONDS = 0.25
_QUEUE_MOVED = b"q"
_APPENDED = b"e"

_State = tuple[int, int, int] | None


class Wakeup:
    """What one open log listens to: `entries` rings for every append, `queue` when work came or a claim was lost."""

    def __init__(self, path: str, app_id: str) -> None:
        self._loop = asyncio.get_running_loop()
        self.entries = Bell(self._loop)
        self.queue = Bell(self._loop)
        self.path = path
        self.app_id = app_id
        self.others = object()
        """The newest sign of an append by somebody else; another object after each."""
        self.socket: WakeSocket | None = None
        self._tried_socket = False
        self._listeners = 0
        self._timer: asyncio.TimerHandle | None = None
        self._seen: _State = None
        _open_logs.add(self)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within it, appends of other processes ring too."""
        if not self._listeners:
            self._listen()
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners and self._timer is not None:
                self._timer.cancel()

    def ring(self, *, queue: bool) -> None:
        """Rings from any thread."""
        self.entries.ring()
        if queue:
            self.queue.ring()

    def close(self) -> None:
        """Stops listening and wakes every waiter."""
        _open_logs.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self.socket is not None:
            self._loop.remove_reader(self.socket.fileno())
            self.socket.close()
            self.socket = None
        self.others = object()
        self.ring(queue=True)

    def _listen(self) -> None:
        if AVAILABLE and not self._tried_socket:
            self._tried_socket = True
            with suppress(OSError, NotImplementedError):
                self.socket = WakeSocket(run_folder(self.path))
                self._loop.add_reader(self.socket.fileno(), self._receive)
        self._seen = self._file_state()
        self._timer = self._loop.call_later(POLL_SECONDS, self._poll)

    def _receive(self) -> None:
        if self.socket is None:
            return
        kinds = {message[:1] for message in self.socket.messages() if message[1:] == self.app_id.encode()}
        if kinds:
            self.others = object()
            self.ring(queue=_QUEUE_MOVED in kinds)

    def _poll(self) -> None:
        state = self._file_state()
        if state != self._seen:
            self._seen = state
            self.others = object()
            self.ring(queue=True)
        self._timer = self._loop.call_later(POLL_SECONDS, self._poll)

    def _file_state(self) -> _State:
        for path in (f"{self.path}-wal", self.path):
            with suppress(OSError):
                found = os.stat(path)
                return found.st_ino, found.st_size, found.st_mtime_ns
        return None


class _OpenLogs(Guarded):
    """The open logs of this process, by file."""

    def __init__(self) -> None:
        super().__init__()
        self._wakeups: dict[str, weakref.WeakSet[Wakeup]] = {}
        self._others: dict[str, OtherSockets] = {}

    def add(self, wakeup: Wakeup) -> None:
        with self.gate:
            self._wakeups.setdefault(wakeup.path, weakref.WeakSet()).add(wakeup)

    def discard(self, wakeup: Wakeup) -> None:
        with self.gate:
            self._wakeups.get(wakeup.path, weakref.WeakSet()).discard(wakeup)

    def notify(self, writer: Wakeup, *, queue: bool) -> None:
        path, app_id = writer.path, writer.app_id
        with self.gate:
            wakeups = list(self._wakeups.get(path, ()))
            if AVAILABLE:
                others = self._others.setdefault(path, OtherSockets(run_folder(path)))
                own = {wakeup.socket.name for wakeup in wakeups if wakeup.socket is not None}
                others.send((_QUEUE_MOVED if queue else _APPENDED) + app_id.encode(), own)
        for wakeup in wakeups:
            if wakeup.app_id == app_id:
                if wakeup is not writer:
                    wakeup.others = object()
                wakeup.ring(queue=queue)

    def drop_inherited(self) -> None:
        for wakeups in self._wakeups.values():
            for wakeup in wakeups:
                if wakeup.socket is not None:
                    wakeup.socket.drop_inherited()
        self._wakeups.clear()


_open_logs = _OpenLogs()


def notify(writer: Wakeup, *, queue: bool) -> None:
    """Wakes whoever waits for this log; called by the open log that wrote, from any thread, right after a commit."""
    _open_logs.notify(writer, queue=queue)
