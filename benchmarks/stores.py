"""Where a measurement keeps its data: each begins with an empty store, which is gone when it has ended."""

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

from benchmarks.harness import fresh_folder
from benchmarks.raw import Bare, bare_sqlite, commit_milliseconds, group_commit_rate, plain_commit_milliseconds
from benchmarks.watch import PATIENCE, watching
from trigger_engine import TriggerEngine
from trigger_engine.entries.encoding import encode_entry
from trigger_engine.entries.facts import AnyEntry, LeaderElected, Position, Succeeded
from trigger_engine.log.contract import EventLog

SETTINGS = "BENCHMARK_SETTINGS"
"""The variable of the environment by which runners in processes of their own find the store."""

_PAUSE = 0.005
_CALM = 0.3
"""Seconds without a new entry after which it is looked whether all work is done."""


class Store:
    """One app's data. What it says comes from the log alone, so that it serves for every backend.

    `settings`: keywords of TriggerEngine. `bare`: the same place without an engine, where there is one.
    """

    bare_what = "bare group commit, same bytes"

    def __init__(self, settings: Mapping[str, Any], bare: Callable[[], Bare] | None = None) -> None:
        self.settings = settings
        self.bare = bare

    async def stored(self, app: TriggerEngine) -> list[bytes]:
        """The bytes of each entry, in order."""
        return [encode_entry(entry) async for _, entry in _entries(await log_of(app))]

    async def runners(self, app: TriggerEngine) -> int:
        """Runners that have said hello and not goodbye."""
        return len(await (await log_of(app)).runners())

    async def has_leader(self, app: TriggerEngine) -> bool:
        """True once there was one."""
        return any([isinstance(entry, LeaderElected) async for _, entry in _entries(await log_of(app))])

    async def wait_succeeded(self, app: TriggerEngine, wanted: int) -> float:
        """When so many invocations had ended well, by time.perf_counter, to 5 ms.

        It looks at the end of the log only, and reads it when nothing comes any more.
        """
        log = await log_of(app)
        begun = calm = time.perf_counter()
        seen: list[tuple[Position, float]] = []
        while True:
            tail, now = (await log.tail()).position, time.perf_counter()
            if not seen or tail != seen[-1][0]:
                seen.append((tail, now))
                calm = now
            elif now - calm > _CALM:
                ends = await _ends(log)
                # What ended after the look at the end of the log is seen in the next one.
                if len(ends) >= wanted and seen[-1][0] >= ends[wanted - 1]:
                    return next(then for position, then in seen if position >= ends[wanted - 1])
                if now - begun > PATIENCE:
                    raise RuntimeError(f"{len(ends):,} of {wanted:,} invocations have succeeded after {PATIENCE:g} s")
                calm = now
            await asyncio.sleep(_PAUSE)

    async def bare_rate(self, rows: list[bytes], *, callers: int, per_call: int = 1) -> tuple[float, ...]:
        """Rows a second without an engine, empty where that cannot be said."""
        if self.bare is None:
            return ()
        return (await group_commit_rate(self.bare(), rows, producers=callers, per_call=per_call),)

    async def bare_milliseconds(self, commits: int, pause: float) -> tuple[float, ...]:
        """What a durable append of one row takes without an engine, empty where that cannot be said."""
        return () if self.bare is None else (await commit_milliseconds(self.bare(), commits, pause),)


class SQLiteStore(Store):
    """The same with a file, which a query of a few microseconds tells all of."""

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

    async def bare_milliseconds(self, commits: int, pause: float) -> tuple[float, ...]:
        return (plain_commit_milliseconds(self._path.with_suffix(".raw"), commits, pause),)


@dataclass(frozen=True, slots=True)
class Place:
    """Where stores are made. `label`: as the figures name it. `at_hand`: without a server; there is time for more."""

    label: str
    fresh: Callable[[], AbstractContextManager[Store]]
    at_hand: bool = True


def on_sqlite(path: Path) -> dict[str, Any]:
    """The keywords of an app on a file."""
    return {"app_id": "benchmark", "sqlite": {"sqlite_db_path": str(path)}}


@contextmanager
def published(settings: Mapping[str, Any]) -> Iterator[None]:
    """Processes started meanwhile find them in the environment."""
    os.environ[SETTINGS] = json.dumps(settings)
    try:
        yield
    finally:
        del os.environ[SETTINGS]


@contextmanager
def fresh_database() -> Iterator[Path]:
    """A path in a folder of its own, on which `benchmarks.served` is, too."""
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
    """The log that an app has open."""
    return (await app._connections.session()).log


async def _entries(log: EventLog) -> AsyncIterator[tuple[Position, AnyEntry]]:
    after, end = await log.start(), await log.tail()
    while after.position < end.position:
        batch = await log.follow(after)
        for each in batch.entries:
            yield each
        after = batch.bookmark


async def _ends(log: EventLog) -> list[Position]:
    """Where each invocation that has succeeded did so first, in order."""
    found: dict[str, Position] = {}
    async for position, entry in _entries(log):
        if isinstance(entry, Succeeded):
            found.setdefault(entry.invocation_id, position)
    return list(found.values())
