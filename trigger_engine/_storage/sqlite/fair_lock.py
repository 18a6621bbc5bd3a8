"""A queue for the writers of all processes: SQLite's own way of waiting starves light writers."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from types import TracebackType

if sys.platform != "win32":  # There, only SQLite's busy handler orders the writers.
    import fcntl


PRIVATE_FILE, PRIVATE_FOLDER = 0o660, 0o770
"""Access for user and group only: the log holds payloads, and anyone who can open a lock file can hold the lock."""


def run_folder(path: str) -> str:
    """The folder beside the database for lock files and sockets; it may be removed while no process runs."""
    return f"{path}-run"


class FileLock:
    """An exclusive lock that the kernel releases when the process ends. Without flock it locks nothing."""

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
        """Takes the lock if it is free. True when this object now has it."""
        if sys.platform != "win32":
            with suppress(OSError):
                fcntl.flock(self._open(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
        return False

    def unlock(self) -> None:
        """Releases the lock."""
        if sys.platform != "win32" and self._fd is not None:
            with suppress(OSError):
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Closes the file. In a forked child this does not release the parent's lock."""
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


class FairLock:
    """`with fair_lock:` admits one writer at a time, in order of arrival. For one thread, which may nest it.

    The first in the queue waits for the lock `write`, the others wait for `next`.
    """

    def __init__(self, folder: str) -> None:
        self._next = FileLock(folder, "next.lock")
        self._write = FileLock(folder, "write.lock")
        self._entered = 0

    def __enter__(self) -> None:
        # A write to a new file first creates the tables; if it queued again, it would wait for those behind it.
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
