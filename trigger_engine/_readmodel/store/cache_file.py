"""The file of a read model in the user's cache folder, and its lock."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from trigger_engine._model.ids import derive

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class CacheFile:
    """The file of one app's read model in one backend.

    Its name ends with a generation. A damaged file is replaced by a file with another name, because another process
    may still use the old one and its write-ahead log.
    """

    def __init__(self, *, location: str, app_id: str, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else platformdirs.user_cache_path("trigger-engine")
        self.name = f"history-{derive('history', location, app_id)}"

    def choose(self) -> Path:
        """Returns the path of the newest generation, created if missing. Removes older ones. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        generations = self._generations()
        newest = max(generations, default=1)
        for generation in generations:
            if generation < newest:
                self._remove(generation)
        path = self._path(newest)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        return path

    def replace(self, damaged: Path) -> None:
        """Removes a damaged file and creates the next generation if it does not exist yet. Raises OSError."""
        generation = self._generation(damaged.name) or 1
        if max(self._generations(), default=generation) <= generation:
            os.close(os.open(self._path(generation + 1), os.O_CREAT | os.O_RDWR, 0o600))
        self._remove(generation)

    @contextlib.contextmanager
    def lock(self) -> Iterator[bool]:
        """Holds the projection lock if it is free. Yields whether it is held.

        The lock only avoids duplicate work. Comparing the cursor in the transaction keeps the rows correct.
        """
        try:
            descriptor = os.open(self.folder / f"{self.name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError:
            yield True
            return
        try:
            yield _is_locked_by_us(descriptor)
        finally:
            os.close(descriptor)

    def _path(self, generation: int) -> Path:
        return self.folder / f"{self.name}.{generation}.sqlite"

    def _generations(self) -> list[int]:
        found = (self._generation(entry.name) for entry in self.folder.iterdir())
        return [generation for generation in found if generation is not None]

    def _generation(self, name: str) -> int | None:
        match = re.fullmatch(rf"{re.escape(self.name)}\.(\d+)\.sqlite", name)
        return int(match[1]) if match else None

    def _remove(self, generation: int) -> None:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.unlink(f"{self._path(generation)}{suffix}")


def _is_locked_by_us(descriptor: int) -> bool:
    try:
        _try_lock(descriptor)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        # The file system has no locks: every process projects, and the cursor decides.
        return True
    return True
