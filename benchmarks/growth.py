"""How do throughput, memory, start-up and a full refold change as the log grows to ten million entries?

A producer, a leader and a worker run in three processes. Events come in waves; each wave is finished before the next.
Beside the refold: reading and decoding the same entries alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import psutil

from benchmarks.end_to_end import CALLERS
from benchmarks.harness.apps import BenchmarkApp, runner_process
from benchmarks.harness.measuring import Figure, by_callers, check_log, in_loop, runs_of
from benchmarks.harness.stores import SQLiteStore, batches, fresh_database, log_of, on_sqlite
from benchmarks.harness.watch import watching
from benchmarks.soak.flatness import flatness
from benchmarks.start_up import first_task
from trigger_engine._engine.decision import Limits
from trigger_engine._engine.matcher import Matcher

_ENTRIES = 10_000_000
_WAVE = 2_500
_COMPARED = 5
"""Waves at each end whose medians are compared."""

_POINTS = 200
"""Points of each line that are kept for the plot."""

_MIB, _MILLION = 2**20, 1_000_000
_BATCH = 5_000
_RATE, _LEADER, _WORKER = "runs a second", "memory of the leader, MiB", "memory of the worker, MiB"
Points = list[tuple[float, float]]


def measure(*, small: bool) -> Iterator[Figure]:
    """One long run; start-up and refold are repeated on the log that it leaves."""
    entries, wave = (4_000, 40) if small else (_ENTRIES, _WAVE)
    runs = range(runs_of(small=small))
    with fresh_database() as path:
        lines = in_loop(_grow(path, entries, wave))
        rates = [rate for _, rate in lines[_RATE]]
        few, many = rates[1 : 1 + _COMPARED], rates[-_COMPARED:]
        kept = {name: points[:: max(1, len(points) // _POINTS)] for name, points in lines.items()}
        yield Figure("growth", "throughput, short log", "runs/s", tuple(few), lines=kept)
        yield Figure("growth", "throughput, long log", "runs/s", tuple(many))
        ratios = tuple(late / early for late, early in zip(sorted(many), sorted(few), strict=True))
        yield Figure("growth", "throughput, long log beside short log", "times as fast", ratios)
        rise = max(_rise_percent(lines[name]) for name in (_LEADER, _WORKER))
        yield Figure("growth", "memory of leader and worker, rise over the second half", "%", (rise,))
        starts = tuple(in_loop(first_task(path, checked=False)) for _ in runs)
        yield Figure("growth", "start, from the shell to the first task's end", "ms", starts)
        refolds = tuple(in_loop(_refold(path, folds=True)) for _ in runs)
        reads = tuple(in_loop(_refold(path, folds=False)) for _ in runs)
        yield Figure("growth", "full refold", "entries/s", refolds, reads, "reading and decoding alone")
        in_loop(check_log(BenchmarkApp(on_sqlite(path)).app))


async def _grow(database: Path, entries: int, wave: int) -> dict[str, Points]:
    """Rate and memory after each wave, over millions of entries."""
    lines: dict[str, Points] = {_RATE: [], _LEADER: [], _WORKER: []}
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
            rate = wave / (time.perf_counter() - begun)
            values = (rate, leader.memory_info().rss / _MIB, worker.memory_info().rss / _MIB)
            for points, value in zip(lines.values(), values, strict=True):
                points.append((size / _MILLION, value))
    return lines


def _rise_percent(points: Points) -> float:
    """The rise over the second half, in percent of the level."""
    found = flatness([x for x, _ in points], [y for _, y in points], grain=0.0)
    return found.rise / found.level * 100


async def _refold(database: Path, *, folds: bool) -> float:
    """Entries per second that a new matcher reads from the log's start, without a checkpoint."""
    app = BenchmarkApp(on_sqlite(database)).app
    async with app:
        settings = app._internals.settings
        limits = Limits(
            max_chain_length=settings.max_chain_length,
            max_contributions=settings.max_contributions,
            max_contribution_bytes=settings.max_contribution_bytes,
        )
        matcher = Matcher(limits, track_keys=False)
        log = await log_of(app)
        begun, count = time.perf_counter(), 0
        async for batch in batches(log, _BATCH):
            count += len(batch)
            if folds:
                for position, entry in batch:
                    matcher.read(position, entry)
        return count / (time.perf_counter() - begun)
