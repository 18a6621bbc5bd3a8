"""What is measured of the processes and files under soak."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import psutil

MEMORY, DESCRIPTORS, THREADS, PROCESSES = "memory", "file descriptors", "threads", "child processes"
MIB = 2**20

_COUNTS = {
    "log: entries": "SELECT tail - trimmed FROM apps WHERE app_id = :app",
    "log: idempotency keys": "SELECT count(*) FROM keys",
    "log: invocations": "SELECT count(*) FROM invocations",
    "log: runners known": "SELECT count(*) FROM runners",
    "log: checkpoints, KiB": "SELECT coalesce(sum(length(data)), 0) / 1024.0 FROM checkpoints",
}
_TAIL = "SELECT tail FROM apps WHERE app_id = :app"
_OPEN = "SELECT count(*) FROM invocations WHERE status NOT IN ('success', 'failed', 'cancelled')"


def of_process(name: str, process: psutil.Process) -> dict[str, float]:
    """RSS (MiB), descriptors and threads of a process, and the same of its children together.

    Raises psutil.NoSuchProcess when it has ended.
    """
    with process.oneshot():
        found = {
            f"{name}: {MEMORY}, MiB": process.memory_info().rss / MIB,
            f"{name}: {DESCRIPTORS}": float(process.num_fds()),
            f"{name}: {THREADS}": float(process.num_threads()),
        }
    children = process.children(recursive=True)
    if children:
        rss = 0.0
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                rss += child.memory_info().rss / MIB
        found[f"{name}: {PROCESSES}"] = len(children)
        found[f"{name}: {MEMORY} of child processes, MiB"] = rss
    return found


class Store:
    """Looks at one database from the outside, without the engine."""

    def __init__(self, database: Path, cache: Path, app_id: str) -> None:
        self._database = database
        self._cache = cache
        self._app = {"app": app_id}
        self._connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def tail(self) -> int:
        """The newest position: how many entries were ever written."""
        return int(self._one(_TAIL))

    def open_invocations(self) -> int:
        """How many have not ended."""
        return int(self._one(_OPEN))

    def sample(self) -> Mapping[str, float]:
        """Sizes and counts."""
        found = {name: float(self._one(question)) for name, question in _COUNTS.items()}
        found["log: database file, MiB"] = _size(self._database) / MIB
        found["log: write-ahead log, MiB"] = _size(Path(f"{self._database}-wal")) / MIB
        found["log: files in its folder"] = sum(1 for _ in self._database.parent.iterdir())
        caches = list(self._cache.rglob("history-*.sqlite*"))
        found["history: cache files, MiB"] = sum(_size(path) for path in caches) / MIB
        found["work: invocations not ended"] = self.open_invocations()
        return found

    def _one(self, question: str) -> float:
        row = self._connection.execute(question, self._app if ":app" in question else {}).fetchone()
        return float(row[0]) if row is not None else 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
