"""Folders in memory, in which shared servers keep their data.

Writes need not wait for the disk. No test of a shared server depends on what a disk keeps: a killed server finds its
data again, as it would in the page cache. Tests that harm servers on purpose use private ones.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
ROOM = 3 << 30
"""Bytes that must be free; the servers need less than half of it."""
PREFIX = "trigger-engine-tests-"


@contextmanager
def folder_in_memory(otherwise: Path, memory: Path = SHARED_MEMORY, room: int = ROOM) -> Iterator[Path]:
    """An empty folder in memory, which is removed at the end, or `otherwise` where memory is short."""
    if not memory.is_dir() or shutil.disk_usage(memory).free < room:
        yield otherwise
        return
    _remove_left_over(memory)
    with tempfile.TemporaryDirectory(prefix="new-", dir=memory) as new, _held(Path(new)):
        # Only now can others see it, and they see that it is held.
        folder = Path(new).rename(memory / f"{PREFIX}{Path(new).name}")
        try:
            yield folder
        finally:
            folder.rename(new)


def _remove_left_over(memory: Path) -> None:
    """Removes the folders of killed tests: nobody holds them."""
    for folder in memory.glob(f"{PREFIX}*"):
        with suppress(OSError), _held(folder):
            shutil.rmtree(folder)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Locks a folder. Raises OSError if another process has locked it."""
    import fcntl

    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)
