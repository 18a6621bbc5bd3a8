"""What is measured of the log under soak, and of what is kept beside it."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from anyio.from_thread import BlockingPortal, start_blocking_portal

from benchmarks.soak.sampling import MIB
from benchmarks.stores import log_of
from trigger_engine import TriggerEngine
from trigger_engine.entries.facts import Position
from trigger_engine.history import History
from trigger_engine.log.contract import EventLog

_COUNTS = {
    "log: entries": "SELECT tail - trimmed FROM apps WHERE app_id = :app",
    "log: idempotency keys": "SELECT count(*) FROM keys",
    "log: invocations": "SELECT count(*) FROM invocations",
    "log: runners known": "SELECT count(*) FROM runners",
    "log: checkpoints, KiB": "SELECT coalesce(sum(length(data)), 0) / 1024.0 FROM checkpoints",
}
_TAIL = "SELECT tail FROM apps WHERE app_id = :app"
_OPEN = "SELECT count(*) FROM invocations WHERE status NOT IN ('success', 'failed', 'cancelled')"


class Look(Protocol):
    """Looks at one app's log."""

    def written(self) -> int:
        """How many entries were ever written."""

    def open_invocations(self) -> int:
        """How many have not ended."""

    def sample(self) -> Mapping[str, float]:
        """Sizes and counts."""


@contextmanager
def look_at(settings: Mapping[str, Any]) -> Iterator[Look]:
    """For the app with these settings, which has begun to write."""
    if "sqlite" in settings:
        database = Path(settings["sqlite"]["sqlite_db_path"])
        with closing(_FileLook(database, settings["app_id"])) as look:
            yield look
        return
    with start_blocking_portal() as portal:
        app = TriggerEngine(**settings)
        with portal.wrap_async_context_manager(app), portal.wrap_async_context_manager(app.history()) as history:
            yield _ServerLook(portal, portal.call(log_of, app), history)


def cache_size(folder: Path) -> float:
    """MiB of the caches that histories keep in a folder."""
    return sum(_size(path) for path in folder.rglob("history-*.sqlite*")) / MIB


class _FileLook:
    """At a SQLite file, from the outside, without the engine."""

    def __init__(self, database: Path, app_id: str) -> None:
        self._database = database
        self._app = {"app": app_id}
        self._connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def written(self) -> int:
        return int(self._one(_TAIL))

    def open_invocations(self) -> int:
        return int(self._one(_OPEN))

    def sample(self) -> Mapping[str, float]:
        found = {name: float(self._one(question)) for name, question in _COUNTS.items()}
        found["log: database file, MiB"] = _size(self._database) / MIB
        found["log: write-ahead log, MiB"] = _size(Path(f"{self._database}-wal")) / MIB
        found["log: files in its folder"] = sum(1 for _ in self._database.parent.iterdir())
        return found

    def _one(self, question: str) -> float:
        row = self._connection.execute(question, self._app if ":app" in question else {}).fetchone()
        return float(row[0]) if row is not None else 0.0


class _ServerLook:
    """At the log on a server, through the engine: each server counts in its own way."""

    def __init__(self, portal: BlockingPortal, log: EventLog, history: History) -> None:
        self._portal = portal
        self._log = log
        self._history = history
        self._written = 0
        self._kept: deque[Position] = deque()
        self._place = portal.call(log.start)

    def written(self) -> int:
        self._portal.call(self._read_on)
        return self._written

    async def _read_on(self) -> None:
        """Positions have gaps on some servers: entries are counted one by one."""
        while (batch := await self._log.follow(self._place)).entries:
            self._written += len(batch.entries)
            self._kept += [position for position, _ in batch.entries]
            self._place = batch.bookmark
        begins_behind = (await self._log.start()).position
        while self._kept and self._kept[0] <= begins_behind:
            self._kept.popleft()

    def open_invocations(self) -> int:
        overview = self._portal.call(self._history.overview)
        return sum(count for status, count in overview.invocations.items() if not status.is_final)

    def sample(self) -> Mapping[str, float]:
        overview = self._portal.call(self._history.overview)
        self._portal.call(self._read_on)
        return {
            "log: entries": len(self._kept),
            "log: invocations": sum(overview.invocations.values()),
            "log: runners known": len(self._portal.call(self._log.runners)),
        }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
