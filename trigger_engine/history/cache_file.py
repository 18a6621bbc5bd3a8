"""Where a read model lies: a file in the user's cache folder, and the lock of whoever folds it."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from trigger_engine.core.ids import derive

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

    Its name ends with a generation: a damaged file is replaced by one of another name, since another process may still
    use it, and the write-ahead log beside it.
    """

    def __init__(self, *, location: str, app_id: str, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else platformdirs.user_cache_path("trigger-engine")
        self.name = f"history-{derive('history', location, app_id)}"

    def choose(self) -> Path:
        """The path of the newest generation, made where there is none; older ones are removed. Raises OSError."""
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
        """Removes a damaged file and makes the next generation, unless that is there already. Raises OSError."""
        generation = self._generation(damaged.name) or 1
        if max(self._generations(), default=generation) <= generation:
            os.close(os.open(self._path(generation + 1), os.O_CREAT | os.O_RDWR, 0o600))
        self._remove(generation)

    @contextlib.contextmanager
    def lock(self) -> Iterator[bool]:
        """Holds the folding lock if it is free, and says whether it is held.

        It only saves double work; what keeps the rows right is that the cursor is compared in the transaction.
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
        # A file system without locks: everybody folds, and the cursor decides.
        return True
    return True
