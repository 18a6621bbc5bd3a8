"""Wakes the waiters of all processes after a commit.

Waiters in this process are woken directly, those in other processes by a datagram. As a fallback, a log that waits also
checks every 250 ms whether the write-ahead log has changed.
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from trigger_engine._storage.sqlite.fair_lock import run_folder
from trigger_engine._storage.sqlite.forks import Guarded
from trigger_engine._storage.sqlite.wake_socket import AVAILABLE, SETTLED_NS, OtherSockets, WakeSocket
from trigger_engine.backend._notifier import Notifier

POLL_SECONDS = 0.25
_QUEUE_MOVED = b"q"
_APPENDED = b"e"


class Wakeup:
    """The notifiers of one open log: `entries` rings for every append, `queue` for new work and lost claims."""

    def __init__(self, path: str, app_id: str) -> None:
        self._loop = asyncio.get_running_loop()
        self.entries = Notifier(self._loop)
        self.queue = Notifier(self._loop)
        self.path = path
        self.app_id = app_id
        self.socket: WakeSocket | None = None
        self._tried_socket = False
        self._listeners = 0
        self._timer: asyncio.TimerHandle | None = None
        self._seen: object = None
        _open_logs.add(self)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While entered, appends of other processes ring too."""
        if not self._listeners:
            self._listen()
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners and self._timer is not None:
                self._timer.cancel()

    def notify(self, *, queue: bool) -> None:
        """Wakes the waiters. May be called from any thread."""
        self.entries.notify()
        if queue:
            self.queue.notify()

    def close(self) -> None:
        """Stops listening and wakes every waiter."""
        _open_logs.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self.socket is not None:
            self._loop.remove_reader(self.socket.fileno())
            self.socket.close()
            self.socket = None
        self.notify(queue=True)

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
            self.notify(queue=_QUEUE_MOVED in kinds)

    def _poll(self) -> None:
        state = self._file_state()
        if state != self._seen:
            self._seen = state
            self.notify(queue=True)
        self._timer = self._loop.call_later(POLL_SECONDS, self._poll)

    def _file_state(self) -> object:
        """A value that changes with every commit; always a new one while the next commit could leave the same time."""
        for path in (f"{self.path}-wal", self.path):
            with suppress(OSError):
                found = os.stat(path)
                settled = time.time_ns() - found.st_mtime_ns > SETTLED_NS
                return (found.st_ino, found.st_size, found.st_mtime_ns) if settled else object()
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
                wakeup.notify(queue=queue)

    def drop_inherited(self) -> None:
        for wakeups in self._wakeups.values():
            for wakeup in wakeups:
                if wakeup.socket is not None:
                    wakeup.socket.drop_inherited()
        self._wakeups.clear()


_open_logs = _OpenLogs()


def notify(writer: Wakeup, *, queue: bool) -> None:
    """Wakes everyone who waits for this log. Called by the writer right after a commit, from any thread."""
    _open_logs.notify(writer, queue=queue)
