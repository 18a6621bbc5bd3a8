"""Where the servers that tests share keep their data: in memory, where the system has room for it.

What they write is then durable at once instead of after a wait for the disk. No test of theirs asks what a disk keeps:
a server that was killed finds its data again, as it would in the page cache. Tests that harm servers on purpose give
them folders of their own.
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
"""Bytes that must be free; the servers of all workers come to half of it."""
PREFIX = "trigger-engine-tests-"


@contextmanager
def folder_in_memory(otherwise: Path, memory: Path = SHARED_MEMORY, room: int = ROOM) -> Iterator[Path]:
    """An empty folder in memory, which goes when it is left, or `otherwise` where memory is short."""
    if not memory.is_dir() or shutil.disk_usage(memory).free < room:
        yield otherwise
        return
    _remove_left_over(memory)
    with tempfile.TemporaryDirectory(prefix="new-", dir=memory) as new, _held(Path(new)):
        # From now on others see it; they see that it is held, too.
        folder = Path(new).rename(memory / f"{PREFIX}{Path(new).name}")
        try:
            yield folder
        finally:
            folder.rename(new)


def _remove_left_over(memory: Path) -> None:
    """Folders of tests that were killed: the system has let go of them."""
    for folder in memory.glob(f"{PREFIX}*"):
        with suppress(OSError), _held(folder):
            shutil.rmtree(folder)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """As long as it is entered nobody else holds it. Raises OSError when somebody does."""
    import fcntl

    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)
