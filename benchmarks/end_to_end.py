"""How many events a second become a finished task run: event, trigger, run, SUCCESS?

Beside it: bare group commit of the very bytes that were stored for these runs, as runs a second.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial

from benchmarks.apps import WAIT_SECONDS, BenchmarkApp
from benchmarks.harness import Figure, by_callers, check_books, in_loop, question_of, runs_of
from benchmarks.processes import runner_process
from benchmarks.servers import serving
from benchmarks.stores import MEMORY, SQLITE, Place, Store

CALLERS = 50
RUNS = 20_000
_OTHERS = 10_000
_PLACES, _WAITING_RUNS = 10, 4_000
_LEADER, _WORKER = False, True
Measured = tuple[float, list[bytes]]
"""What was done a second, and the bytes of the entries."""

Work = Callable[[Store, int], Awaitable[Measured]]
"""On a store, so many times."""


def measure(*, small: bool, backend: str | None = None) -> Iterator[Figure]:
    """Runs a second by case."""
    processes = "in processes of their own"
    one = partial(_one_process, others=0)
    three = partial(_other_processes, works=(_LEADER, _WORKER))
    if backend is not None:
        four = partial(_other_processes, works=(_LEADER, _WORKER, _WORKER))
        question = question_of("end_to_end", backend)
        with serving(backend) as place:
            yield figure_of(question, place, "one process", one, small=small)
            yield figure_of(question, place, f"producer, leader and worker {processes}", three, small=small)
            yield figure_of(question, place, f"producer, leader and two workers {processes}", four, small=small)
            yield _second_worker(question, place, small=small)
        return
    many = partial(_one_process, others=100 if small else _OTHERS)
    yield figure_of("end_to_end", SQLITE, "one process", one, small=small)
    yield figure_of("end_to_end", SQLITE, f"one process, {_OTHERS:,} other triggers", many, small=small)
    yield figure_of("end_to_end", MEMORY, "one process", one, small=small)
    yield figure_of("end_to_end", SQLITE, f"producer, leader and worker {processes}", three, small=small)


def figure_of(question: str, place: Place, way: str, work: Work, *, small: bool, unit: str = "runs/s") -> Figure:
    """One case, and beside each run the bare store with the bytes of that run."""
    times = RUNS // 200 if small else RUNS // (1 if place.at_hand else 2)
    measured: list[float] = []
    beside: list[float] = []
    for _ in range(runs_of(small=small)):
        with place.fresh() as store:
            rate, rows = in_loop(_of(work, store, times))
            measured.append(rate)
            rates = in_loop(store.bare_rate(rows, callers=CALLERS))
            beside += [rate * times / len(rows) for rate in rates]
    return Figure(
        question, f"{place.label}, {way}", unit, tuple(measured), tuple(beside), Store.bare_what if beside else ""
    )


def _second_worker(question: str, place: Place, *, small: bool) -> Figure:
    """Where workers are what limits it, and not this machine: two of them, beside one."""
    times = 40 if small else _WAITING_RUNS
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(runs_of(small=small)):
        for workers, measured in rates.items():
            work = partial(_other_processes, works=(_LEADER, *[_WORKER] * workers), event="waited", concurrency=_PLACES)
            with place.fresh() as store:
                measured.append(in_loop(rate_of(work, store, times)))
    case = f"{place.label}, two workers of {_PLACES} places, tasks that take {WAIT_SECONDS * 1_000:g} ms"
    return Figure(question, case, "runs/s", tuple(rates[2]), tuple(rates[1]), "one worker")


async def _of(work: Work, store: Store, times: int) -> Measured:
    return await work(store, times)


async def rate_of(work: Work, store: Store, times: int) -> float:
    """What is done a second."""
    return (await work(store, times))[0]


async def _one_process(store: Store, events: int, *, others: int) -> Measured:
    benchmark = BenchmarkApp(store.settings, others=others)
    app = benchmark.app
    async with app:
        async with app.runner():
            await app.emit_event("happened")
            await store.wait_succeeded(app, 1)
            begun = time.perf_counter()
            await by_callers(CALLERS, events, lambda _: app.emit_event("happened"))
            await benchmark.tally.wait_begun(events + 1)
            taken = await store.wait_succeeded(app, events + 1) - begun
        await check_books(app)
        return events / taken, await store.stored(app)


async def _other_processes(
    store: Store, events: int, *, works: tuple[bool, ...], event: str = "happened", concurrency: int | None = None
) -> Measured:
    app = BenchmarkApp(store.settings).app
    async with app, AsyncExitStack() as stack:
        await app.emit_event("happened")
        for one_works in works:
            await stack.enter_async_context(runner_process(store, app, works=one_works, concurrency=concurrency))
        await store.wait_succeeded(app, 1)
        begun = time.perf_counter()
        await by_callers(CALLERS, events, lambda _: app.emit_event(event))
        taken = await store.wait_succeeded(app, events + 1) - begun
        await stack.aclose()
        await check_books(app)
        return events / taken, await store.stored(app)


async def events_in_two_processes(store: Store, events: int) -> Measured:
    """Events emitted in this process, and one other that leads and works."""
    return await _other_processes(store, events, works=(_WORKER,))


async def events_in_three_processes(store: Store, events: int) -> Measured:
    """Events emitted in this process, one other that leads, and one that works."""
    return await _other_processes(store, events, works=(_LEADER, _WORKER))
