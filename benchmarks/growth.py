"""What does work cost as the log grows: throughput, memory, start, a full refold?

A producer, a leader and a worker in processes of their own work until the log has ten million entries; events come in
waves, each of which is waited for. Beside the refold: reading and decoding the same entries alone.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import psutil

from benchmarks.apps import BenchmarkApp
from benchmarks.end_to_end import CALLERS
from benchmarks.harness import Figure, by_callers, check_books, in_loop, runs_of
from benchmarks.processes import runner_process
from benchmarks.soak.flatness import flatness
from benchmarks.stores import SQLiteStore, fresh_database, on_sqlite
from benchmarks.watch import watching
from trigger_engine import TriggerEngine
from trigger_engine.core.judgement import Limits
from trigger_engine.core.matcher import Matcher
from trigger_engine.entries.facts import AnyEntry, Position
from trigger_engine.session import Session

_ENTRIES = 10_000_000
_WAVE = 2_500
_COMPARED = 5
"""Waves at each end whose medians are compared."""

_POINTS = 200
"""Points of each line that are kept for the plot."""

_MIB, _MILLION = 2**20, 1_000_000
_BATCH = 5_000
Points = list[tuple[float, float]]


def measure(*, small: bool) -> Iterator[Figure]:
    """One long run; start and refold are repeated on the log that it leaves."""
    entries, wave = (4_000, 40) if small else (_ENTRIES, _WAVE)
    runs = range(runs_of(small=small))
    with fresh_database() as path:
        lines = in_loop(_grow(path, entries, wave))
        rates = [rate for _, rate in lines["runs a second"]]
        few, many = rates[1 : 1 + _COMPARED], rates[-_COMPARED:]
        kept = {name: points[:: max(1, len(points) // _POINTS)] for name, points in lines.items()}
        yield Figure("growth", "throughput, short log", "runs/s", tuple(few), lines=kept)
        yield Figure("growth", "throughput, long log", "runs/s", tuple(many))
        ratios = tuple(late / early for late, early in zip(sorted(many), sorted(few), strict=True))
        yield Figure("growth", "throughput, long log beside short log", "times as fast", ratios)
        rises = tuple(_rise_percent(lines[name]) for name in ("memory of the leader, MiB", "memory of the worker, MiB"))
        yield Figure("growth", "memory of leader and worker, rise over the second half", "%", (max(rises),))
        starts = tuple(in_loop(_start(path)) for _ in runs)
        yield Figure("growth", "start, from the shell to the first task's end", "ms", starts)
        refolds = tuple(in_loop(_refold(path, folds=True)) for _ in runs)
        reads = tuple(in_loop(_refold(path, folds=False)) for _ in runs)
        yield Figure("growth", "full refold", "entries/s", refolds, reads, "reading and decoding alone")
        in_loop(check_books(BenchmarkApp(on_sqlite(path)).app))


async def _grow(database: Path, entries: int, wave: int) -> dict[str, Points]:
    """What was seen after each wave, over millions of entries."""
    rates: Points = []
    leading: Points = []
    working: Points = []
    store = SQLiteStore(database)
    app = BenchmarkApp(store.settings).app
    async with app, AsyncExitStack() as stack:
        await app.emit_event("nobody listens")
        leader = psutil.Process(await stack.enter_async_context(runner_process(store, app, works=False)))
        worker = psutil.Process(await stack.enter_async_context(runner_process(store, app)))
        watch = stack.enter_context(watching(database))
        while (size := watch.tail()) < entries:
            mark, begun = watch.mark(), time.perf_counter()
            await by_callers(CALLERS, wave, lambda _: app.emit_event("happened"))
            await watch.wait_succeeded(wave, mark)
            at = size / _MILLION
            rates.append((at, wave / (time.perf_counter() - begun)))
            leading.append((at, leader.memory_info().rss / _MIB))
            working.append((at, worker.memory_info().rss / _MIB))
    return {"runs a second": rates, "memory of the leader, MiB": leading, "memory of the worker, MiB": working}


def _rise_percent(points: Points) -> float:
    """By how much of its level a series rises over its second half."""
    found = flatness([x for x, _ in points], [y for _, y in points], grain=0.0)
    return found.rise / found.level * 100


async def _start(database: Path) -> float:
    """Milliseconds from starting a runner to the end of the first task that waits."""
    benchmark = BenchmarkApp(on_sqlite(database))
    async with benchmark.app:
        with watching(database) as watch:
            mark = watch.mark()
            await benchmark.plain()
            begun = time.perf_counter()
            command = ["-m", "trigger_engine", "run", "benchmarks.served:app", "--log-level", "warning"]
            process = await asyncio.create_subprocess_exec(sys.executable, *command)
            try:
                await watch.wait_succeeded(1, mark)
                return (time.perf_counter() - begun) * 1_000
            finally:
                process.terminate()
                await process.wait()


async def _refold(database: Path, *, folds: bool) -> float:
    """Entries a second that a new matcher reads from the log's start, without a checkpoint."""
    app = BenchmarkApp(on_sqlite(database)).app
    async with app:
        matcher = Matcher(_limits(app), track_keys=False)
        begun, count = time.perf_counter(), 0
        async for batch in _read(await app._connections.session()):
            count += len(batch)
            if folds:
                for position, entry in batch:
                    matcher.read(position, entry)
        return count / (time.perf_counter() - begun)


async def _read(session: Session) -> AsyncIterator[list[tuple[Position, AnyEntry]]]:
    at, tail = await session.log.start(), await session.log.tail()
    while at.position < tail.position:
        batch = await session.log.follow(at, limit=_BATCH)
        at = batch.bookmark
        yield batch.entries


def _limits(app: TriggerEngine) -> Limits:
    settings = app.settings
    return Limits(
        max_chain_length=settings.max_chain_length,
        max_contributions=settings.max_contributions,
        max_contribution_bytes=settings.max_contribution_bytes,
    )
