"""Where writers of several processes queue before they ask SQLite, whose own way of waiting starves light writers."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from types import TracebackType

if sys.platform != "win32":  # There, writers compete by SQLite's busy handler alone.
    import fcntl


PRIVATE_FILE, PRIVATE_FOLDER = 0o660, 0o770
"""For user and group, as far as the umask allows: the log holds payloads, and who can open a lock can hold it."""


def run_folder(path: str) -> str:
    """The folder beside a database file for what only running processes need; it may be removed while none runs."""
    return f"{path}-run"


class FileLock:
    """An exclusive lock that the kernel frees with the process. Where there is no such thing it locks nothing."""

    def __init__(self, folder: str, name: str) -> None:
        self._folder = folder
        self._path = os.path.join(folder, name)
        self._fd: int | None = None

    def lock(self) -> None:
        """Waits for the lock."""
        if sys.platform != "win32":
            with suppress(OSError):
                fcntl.flock(self._open(), fcntl.LOCK_EX)

    def try_lock(self) -> bool:
        """Takes the lock if it is free; True when it is now this object's."""
        if sys.platform != "win32":
            with suppress(OSError):
                fcntl.flock(self._open(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
        return False

    def unlock(self) -> None:
        """Frees the lock."""
        if sys.platform != "win32" and self._fd is not None:
            with suppress(OSError):
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Closes the file. In a forked child this leaves the parent's lock alone."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        if self._fd is None:
            os.makedirs(self._folder, mode=PRIVATE_FOLDER, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        return self._fd

    def __del__(self) -> None:
        self.close()


class Turnstile:
    """`with turnstile:` one writer at a time, in the order in which they came; for one thread, which may nest it.

    One waits for `write`, the others for `next`: whoever has just written queues behind them.
    """

    def __init__(self, folder: str) -> None:
        self._next = FileLock(folder, "next.lock")
        self._write = FileLock(folder, "write.lock")
        self._entered = 0

    def __enter__(self) -> None:
        # A write that finds a new file makes its tables first; queueing again, it would wait for whoever waits for it.
        if not self._entered:
            self._next.lock()
            try:
                self._write.lock()
            finally:
                self._next.unlock()
        self._entered += 1

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._entered -= 1
        if not self._entered:
            self._write.unlock()

    def close(self) -> None:
        """Closes the files of both locks."""
        self._next.close()
        self._write.close()
