"""How many events a second become a finished task run: event, trigger, run, SUCCESS?

Beside it: bare aiosqlite group commit of the very bytes that were stored for these runs, as runs a second.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.apps import BenchmarkApp
from benchmarks.harness import Figure, by_callers, check_books, fresh_database, in_loop, runs_of
from benchmarks.processes import runner_process, watching
from benchmarks.raw import group_commit_rate

CALLERS = 50
_OTHERS = 10_000
_BESIDE = "bare group commit, same bytes"


def measure(*, small: bool) -> Iterator[Figure]:
    """Runs a second by case."""
    cases = {
        "SQLite, one process": (True, 0, 20_000),
        f"SQLite, one process, {_OTHERS:,} other triggers": (True, 100 if small else _OTHERS, 20_000),
        "memory, one process": (False, 0, 20_000),
    }
    for case, (on_file, others, full) in cases.items():
        events = full // 200 if small else full
        measured, beside = [], []
        for _ in range(runs_of(small=small)):
            with fresh_database() as path:
                measured.append(in_loop(_one_process(path if on_file else None, events, others)))
                if on_file:
                    beside.append(bare_rate(path, events))
        yield Figure("end_to_end", case, "runs/s", tuple(measured), tuple(beside), _BESIDE if beside else "")
    events = 100 if small else 20_000
    measured, beside = [], []
    for _ in range(runs_of(small=small)):
        with fresh_database() as path:
            measured.append(in_loop(_other_processes(path, events, works=(False, True))))
            beside.append(bare_rate(path, events))
    case = "SQLite, producer, leader and worker in processes of their own"
    yield Figure("end_to_end", case, "runs/s", tuple(measured), tuple(beside), _BESIDE)


def bare_rate(database: Path, runs: int) -> float:
    """Runs a second if storing their entries were all."""
    with watching(database) as watch:
        rows = watch.stored()
    return in_loop(group_commit_rate(database.with_suffix(".raw"), rows, producers=CALLERS)) * runs / len(rows)


async def _one_process(database: Path | None, events: int, others: int) -> float:
    benchmark = BenchmarkApp(database, others=others)
    app = benchmark.app
    async with app:
        async with app.runner():
            await app.emit_event("happened")
            await benchmark.wait_finished(1)
            begun = time.perf_counter()
            await by_callers(CALLERS, events, lambda _: app.emit_event("happened"))
            await benchmark.wait_finished(events + 1)
            taken = time.perf_counter() - begun
        await check_books(app)
    return events / taken


async def _other_processes(database: Path, events: int, *, works: tuple[bool, ...]) -> float:
    app = BenchmarkApp(database).app
    async with app, AsyncExitStack() as stack:
        await app.emit_event("happened")
        for one_works in works:
            await stack.enter_async_context(runner_process(database, works=one_works))
        with watching(database) as watch:
            await watch.wait_succeeded(1)
            begun = time.perf_counter()
            await by_callers(CALLERS, events, lambda _: app.emit_event("happened"))
            await watch.wait_succeeded(events + 1)
            taken = time.perf_counter() - begun
        await stack.aclose()
        await check_books(app)
    return events / taken


async def events_in_two_processes(database: Path, events: int) -> float:
    """Runs a second, with events emitted in this process, and one other that leads and works."""
    return await _other_processes(database, events, works=(True,))
