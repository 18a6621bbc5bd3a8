"""Stores for measurements: each begins empty and is removed afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.measuring import fresh_folder
from benchmarks.harness.raw import (
    Bare,
    bare_sqlite,
    commit_milliseconds,
    group_commit_rate,
    plain_commit_milliseconds,
)
from benchmarks.harness.watch import PATIENCE, watching
from trigger_engine import TriggerEngine
from trigger_engine._model.encoding import encode_entry
from trigger_engine._model.entries import AnyEntry, LeaderElected, Position, Succeeded
from trigger_engine.backend._contract import EventLog

SETTINGS = "BENCHMARK_SETTINGS"
"""The environment variable that names the store to runners in other processes."""

BARE = "bare group commit, same bytes"
_PAUSE = 0.005
_QUIET = 0.3
"""Seconds without a new entry after which the log is read to see whether all work is done."""


class Store:
    """One app's data, read through its log, so that it works for every backend.

    `settings`: keyword arguments of TriggerEngine. `bare`: the same store without an engine, if there is one.
    """

    def __init__(self, settings: Mapping[str, Any], bare: Callable[[], Bare] | None = None) -> None:
        self.settings = settings
        self.bare = bare

    async def stored(self, app: TriggerEngine) -> list[bytes]:
        """The bytes of each entry, in order."""
        return [encode_entry(entry) async for batch in batches(await log_of(app)) for _, entry in batch]

    async def runners(self, app: TriggerEngine) -> int:
        """The number of runners that have registered and not left."""
        return len(await (await log_of(app)).runners())

    async def has_leader(self, app: TriggerEngine) -> bool:
        """True once a leader was elected."""
        entries = [entry async for batch in batches(await log_of(app)) for _, entry in batch]
        return any(isinstance(entry, LeaderElected) for entry in entries)

    async def wait_succeeded(self, app: TriggerEngine, wanted: int) -> float:
        """Waits until this many invocations have succeeded; returns when they had, by time.perf_counter, to 5 ms.

        While work goes on it reads only the log's tail, so that watching costs little.
        """
        log = await log_of(app)
        begun = changed = time.perf_counter()
        seen: list[tuple[Position, float]] = []
        while True:
            tail, now = (await log.tail()).position, time.perf_counter()
            if not seen or tail != seen[-1][0]:
                seen.append((tail, now))
                changed = now
            elif now - changed > _QUIET:
                ends = await _ends(log)
                # An end that was recorded after the tail was read is timed by the next tail.
                if len(ends) >= wanted and seen[-1][0] >= ends[wanted - 1]:
                    return next(then for position, then in seen if position >= ends[wanted - 1])
                if now - begun > PATIENCE:
                    raise RuntimeError(f"{len(ends):,} of {wanted:,} invocations have succeeded after {PATIENCE:g} s")
                changed = now
            await asyncio.sleep(_PAUSE)

    async def bare_rate(self, rows: list[bytes], *, callers: int, per_call: int = 1) -> float | None:
        """Rows per second without an engine, None if there is no bare store."""
        if self.bare is None:
            return None
        return await group_commit_rate(self.bare(), rows, producers=callers, per_call=per_call)

    async def bare_milliseconds(self, commits: int, pause: float) -> float | None:
        """The median of a durable append of one row without an engine, None if there is no bare store."""
        return None if self.bare is None else await commit_milliseconds(self.bare(), commits, pause)


class SQLiteStore(Store):
    """A SQLite file, read by short queries instead."""

    def __init__(self, path: Path) -> None:
        super().__init__(on_sqlite(path), lambda: bare_sqlite(path.with_suffix(".raw")))
        self._path = path

    async def stored(self, app: TriggerEngine) -> list[bytes]:
        with watching(self._path) as watch:
            return watch.stored()

    async def runners(self, app: TriggerEngine) -> int:
        with watching(self._path) as watch:
            return watch.runners()

    async def has_leader(self, app: TriggerEngine) -> bool:
        with watching(self._path) as watch:
            return watch.leaders() > 0

    async def wait_succeeded(self, app: TriggerEngine, wanted: int) -> float:
        with watching(self._path) as watch:
            await watch.wait_succeeded(wanted)
            return time.perf_counter()

    async def bare_milliseconds(self, commits: int, pause: float) -> float | None:
        return plain_commit_milliseconds(self._path.with_suffix(".raw"), commits, pause)


@dataclass(frozen=True, slots=True)
class Place:
    """Where stores are made. `label`: its name in figures; `local`: without a server, so runs may be longer."""

    label: str
    fresh: Callable[[], AbstractContextManager[Store]]
    local: bool = True


def on_sqlite(path: Path) -> dict[str, Any]:
    """Keyword arguments of an app on a file."""
    return {"app_id": "benchmark", "sqlite": {"sqlite_db_path": str(path)}}


@contextmanager
def published(settings: Mapping[str, Any]) -> Iterator[None]:
    """Processes started inside find these settings in the environment."""
    os.environ[SETTINGS] = json.dumps(settings)
    try:
        yield
    finally:
        del os.environ[SETTINGS]


@contextmanager
def fresh_database() -> Iterator[Path]:
    """A path in an empty folder, published for `benchmarks.harness.served`."""
    with fresh_folder() as folder:
        path = folder / "benchmark.db"
        with published(on_sqlite(path)):
            yield path


@contextmanager
def _fresh_file() -> Iterator[Store]:
    with fresh_database() as path:
        yield SQLiteStore(path)


@contextmanager
def _fresh_memory() -> Iterator[Store]:
    yield Store({"app_id": "benchmark", "trigger_cls": "MemTrigger"})


SQLITE = Place("SQLite", _fresh_file)
MEMORY = Place("memory", _fresh_memory)


async def log_of(app: TriggerEngine) -> EventLog:
    """The log of an open app."""
    return (await app._internals.connections.session()).log


async def batches(log: EventLog, limit: int = 1_000) -> AsyncIterator[list[tuple[Position, AnyEntry]]]:
    """All entries of a log with their positions, in batches."""
    after, end = await log.start(), await log.tail()
    while after.position < end.position:
        batch = await log.follow(after, limit=limit)
        yield batch.entries
        after = batch.cursor


async def _ends(log: EventLog) -> list[Position]:
    """The position of each invocation's first success, in order."""
    found: dict[str, Position] = {}
    async for batch in batches(log):
        for position, entry in batch:
            if isinstance(entry, Succeeded):
                found.setdefault(entry.invocation_id, position)
    return list(found.values())
