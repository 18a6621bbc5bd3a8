"""How many plain tasks a second are enqueued and finished, without any trigger?

From the first call to the last SUCCESS, 50 callers enqueuing while one worker process works, as the peers are measured
(`python -m benchmarks peers`). Beside it: bare group commit of the bytes that were stored for these tasks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.apps import BenchmarkApp
from benchmarks.end_to_end import CALLERS, Measured, figure_of
from benchmarks.harness import Figure, by_callers, check_books, question_of
from benchmarks.processes import runner_process
from benchmarks.servers import serving
from benchmarks.stores import MEMORY, SQLITE, Store

_ONE, _TWO = "one process", "producer and worker in processes of their own"


def measure(*, small: bool, backend: str | None = None) -> Iterator[Figure]:
    """Tasks a second by case."""
    if backend is not None:
        question = question_of("tasks", backend)
        with serving(backend) as place:
            yield figure_of(question, place, _ONE, _one_process, small=small, unit="tasks/s")
            yield figure_of(question, place, _TWO, tasks_in_two_processes, small=small, unit="tasks/s")
        return
    yield figure_of("tasks", SQLITE, _ONE, _one_process, small=small, unit="tasks/s")
    yield figure_of("tasks", SQLITE, _TWO, tasks_in_two_processes, small=small, unit="tasks/s")
    yield figure_of("tasks", MEMORY, _ONE, _one_process, small=small, unit="tasks/s")


async def _one_process(store: Store, tasks: int) -> Measured:
    benchmark = BenchmarkApp(store.settings)
    app = benchmark.app
    async with app:
        async with app.runner():
            await benchmark.plain()
            await store.wait_succeeded(app, 1)
            begun = time.perf_counter()
            await by_callers(CALLERS, tasks, lambda _: benchmark.plain())
            await benchmark.tally.wait_begun(tasks + 1)
            taken = await store.wait_succeeded(app, tasks + 1) - begun
        await check_books(app)
        return tasks / taken, await store.stored(app)


async def tasks_in_two_processes(store: Store, tasks: int) -> Measured:
    """Tasks enqueued in this process, finished in another."""
    benchmark = BenchmarkApp(store.settings)
    app = benchmark.app
    async with app:
        await benchmark.plain()
        async with runner_process(store, app):
            await store.wait_succeeded(app, 1)
            begun = time.perf_counter()
            await by_callers(CALLERS, tasks, lambda _: benchmark.plain())
            taken = await store.wait_succeeded(app, tasks + 1) - begun
        await check_books(app)
        return tasks / taken, await store.stored(app)
