"""How many plain tasks a second are enqueued and finished, without any trigger?

From the first call to the last SUCCESS, 50 callers enqueuing while one worker process works, as the peers are measured
(`python -m benchmarks peers`). Beside it: bare aiosqlite group commit of the bytes that were stored for these tasks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.apps import BenchmarkApp
from benchmarks.end_to_end import CALLERS, bare_rate
from benchmarks.harness import Figure, by_callers, check_books, fresh_database, in_loop, runs_of
from benchmarks.processes import runner_process, watching

_BESIDE = "bare group commit, same bytes"
_TASKS = 20_000


def measure(*, small: bool) -> Iterator[Figure]:
    """Tasks a second by case."""
    tasks = 100 if small else _TASKS
    works = {
        "SQLite, one process": _one_process,
        "SQLite, producer and worker in processes of their own": tasks_in_two_processes,
        "memory, one process": _in_memory,
    }
    for case, work in works.items():
        measured, beside = [], []
        for _ in range(runs_of(small=small)):
            with fresh_database() as path:
                measured.append(in_loop(work(path, tasks)))
                if work is not _in_memory:
                    beside.append(bare_rate(path, tasks))
        yield Figure("tasks", case, "tasks/s", tuple(measured), tuple(beside), _BESIDE if beside else "")


async def _one_process(database: Path | None, tasks: int) -> float:
    benchmark = BenchmarkApp(database)
    app = benchmark.app
    async with app:
        async with app.runner():
            await benchmark.plain()
            await benchmark.wait_finished(1)
            begun = time.perf_counter()
            await by_callers(CALLERS, tasks, lambda _: benchmark.plain())
            await benchmark.wait_finished(tasks + 1)
            taken = time.perf_counter() - begun
        await check_books(app)
    return tasks / taken


async def _in_memory(_: Path, tasks: int) -> float:
    return await _one_process(None, tasks)


async def tasks_in_two_processes(database: Path, tasks: int) -> float:
    """Tasks a second, enqueued in this process, finished in another."""
    benchmark = BenchmarkApp(database)
    async with benchmark.app:
        await benchmark.plain()
        async with runner_process(database):
            with watching(database) as watch:
                await watch.wait_succeeded(1)
                begun = time.perf_counter()
                await by_callers(CALLERS, tasks, lambda _: benchmark.plain())
                await watch.wait_succeeded(tasks + 1)
                taken = time.perf_counter() - begun
        await check_books(benchmark.app)
    return tasks / taken
