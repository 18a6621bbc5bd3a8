"""Datagrams between the processes that have the same file open."""

from __future__ import annotations

import os
import socket
import sys
import time
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from trigger_engine._storage.sqlite.fair_lock import PRIVATE_FOLDER
from trigger_engine.backend._ids import fresh_id

PREFIX = "wake-"
MAX_MESSAGE = 1_024
_LONGEST_ADDRESS = 100
SETTLED_NS = 50_000_000
"""A file or folder that changed more recently than this may change again without a new timestamp."""

AVAILABLE = hasattr(socket, "AF_UNIX") and sys.platform != "win32"


class WakeSocket:
    """A socket of this process in the run folder. Raises OSError when it cannot be bound."""

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, mode=PRIVATE_FOLDER, exist_ok=True)
        self.name = PREFIX + fresh_id()[:20]
        path = os.path.join(folder, self.name)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            bound.setblocking(False)
            with _addresses(folder) as prefix:
                bound.bind(prefix + self.name)
        except BaseException:
            bound.close()
            raise
        self._socket = bound
        # A loop that ends without closing the log must not leave a ResourceWarning.
        self._close = weakref.finalize(self, _close, bound, path, os.getpid())

    def fileno(self) -> int:
        """The descriptor for the event loop to watch."""
        return self._socket.fileno()

    def messages(self) -> Iterator[bytes]:
        """The messages received since the last call."""
        while True:
            try:
                yield self._socket.recv(MAX_MESSAGE)
            except OSError:
                return

    def close(self) -> None:
        """Closes the socket and removes its file."""
        self._close()

    def drop_inherited(self) -> None:
        """Closes a forked child's copy and leaves the file to the parent."""
        self._socket.close()


def _close(bound: socket.socket, path: str, pid: int) -> None:
    bound.close()
    if os.getpid() == pid:
        with suppress(OSError):
            os.unlink(path)


class OtherSockets:
    """The sockets of other processes in a run folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._names: tuple[str, ...] = ()
        self._listed_at = -1

    def send(self, message: bytes, own: Collection[str]) -> None:
        """Sends to all sockets but `own` without waiting, and removes those of dead processes."""
        names = [name for name in self._list() if name not in own]
        if not names:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, _addresses(self._folder) as prefix:
            sender.setblocking(False)
            for name in names:
                try:
                    sender.sendto(message, prefix + name)
                except ConnectionRefusedError:
                    with suppress(OSError):
                        os.unlink(os.path.join(self._folder, name))
                except OSError:
                    pass  # A full socket wakes its process anyway; a missing one was closed.

    def _list(self) -> tuple[str, ...]:
        try:
            changed = os.stat(self._folder).st_mtime_ns
            if changed != self._listed_at:
                self._names = tuple(name for name in os.listdir(self._folder) if name.startswith(PREFIX))
                self._listed_at = changed if time.time_ns() - changed > SETTLED_NS else -1
        except OSError:
            self._names = ()
        return self._names


@contextmanager
def _addresses(folder: str) -> Iterator[str]:
    """The prefix of a socket's address, which has room for 108 bytes; a longer path is replaced by a descriptor."""
    if len(os.fsencode(folder)) + 32 <= _LONGEST_ADDRESS:
        yield folder + os.sep
        return
    if not os.path.isdir("/proc/self/fd"):
        raise OSError(f"the path of {folder} is too long for a socket")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/"
    finally:
        os.close(descriptor)
