"""Sizes and counts of the log under soak, and of the caches of histories."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from benchmarks.harness.stores import log_of
from benchmarks.harness.watch import Watch, watching
from benchmarks.soak.load import MIB
from trigger_engine import TriggerEngine
from trigger_engine._model.entries import Position
from trigger_engine._readmodel.history import History
from trigger_engine.backend._contract import EventLog

_COUNTS = {
    "log: entries": "SELECT tail - trimmed FROM apps",
    "log: idempotency keys": "SELECT count(*) FROM keys",
    "log: invocations": "SELECT count(*) FROM invocations",
    "log: runners known": "SELECT count(*) FROM runners",
}
_OPEN = "SELECT count(*) FROM invocations WHERE status NOT IN ('success', 'failed', 'cancelled')"
_CHECKPOINTS = "SELECT coalesce(sum(length(data)), 0) FROM checkpoints"


@dataclass(frozen=True, slots=True)
class LogSizes:
    """`written`: entries ever written; `open`: invocations that have not ended; `values`: what is kept, by series."""

    written: int
    open: int
    values: Mapping[str, float]


@contextmanager
def reading(settings: Mapping[str, Any], cache: Path) -> Iterator[Callable[[], LogSizes]]:
    """A function that reads the sizes of an app's log. `cache`: for the history of this process."""
    if "sqlite" in settings:
        database = Path(settings["sqlite"]["sqlite_db_path"])
        with watching(database) as watch:
            yield partial(_of_file, database, watch)
        return
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(TriggerEngine(**settings)) as app:
        log = portal.call(log_of, app)
        history = History(log, app_id=app.app_id, location="soak", cache_folder=cache)
        with portal.wrap_async_context_manager(history):
            yield _OnServer(portal, log, history).sizes


def cache_size(folder: Path) -> float:
    """MiB of the caches of histories in a folder."""
    return sum(_size(path) for path in folder.rglob("history-*.sqlite*")) / MIB


def _of_file(database: Path, watch: Watch) -> LogSizes:
    values: dict[str, float] = {name: watch.number(query) for name, query in _COUNTS.items()}
    values["log: checkpoints, KiB"] = watch.number(_CHECKPOINTS) / 1024
    values["log: database file, MiB"] = _size(database) / MIB
    values["log: write-ahead log, MiB"] = _size(Path(f"{database}-wal")) / MIB
    values["log: files in its folder"] = sum(1 for _ in database.parent.iterdir())
    return LogSizes(watch.tail(), watch.number(_OPEN), values)


class _OnServer:
    """Reads the log through the engine, since each server counts in its own way."""

    def __init__(self, portal: BlockingPortal, log: EventLog, history: History) -> None:
        self._portal = portal
        self._log = log
        self._history = history
        self._written = 0
        self._kept: deque[Position] = deque()
        self._cursor = portal.call(log.start)

    def sizes(self) -> LogSizes:
        return self._portal.call(self._sizes)

    async def _sizes(self) -> LogSizes:
        # Positions have gaps on some servers, so entries are counted one by one.
        while (batch := await self._log.follow(self._cursor)).entries:
            self._written += len(batch.entries)
            self._kept += [position for position, _ in batch.entries]
            self._cursor = batch.cursor
        start = (await self._log.start()).position
        while self._kept and self._kept[0] <= start:
            self._kept.popleft()
        invocations = (await self._history.overview()).invocations
        unfinished = sum(count for status, count in invocations.items() if not status.is_final)
        values = {
            "log: entries": len(self._kept),
            "log: invocations": sum(invocations.values()),
            "log: runners known": len(await self._log.runners()),
        }
        return LogSizes(self._written, unfinished, values)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
