"""How many events per second become a finished task run: event, trigger, run, SUCCESS?

Beside it: bare group commit of the bytes that these runs stored, as runs per second.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial

from benchmarks.harness.apps import WAIT_SECONDS, BenchmarkApp, runner_process
from benchmarks.harness.measuring import Run, Value, benchmark, by_callers, check_log, in_loop
from benchmarks.harness.stores import BARE, MEMORY, SQLITE, Place, Store

CALLERS = 50
_RUNS, _WAITING_RUNS, _OTHERS = 20_000, 4_000, 10_000
_PLACES = 10
_LEADER, _WORKER = False, True
_PROCESSES = "in processes of their own"
Measured = tuple[float, list[bytes]]
"""Runs per second, and the bytes of the entries."""

Work = Callable[[Store, int], Awaitable[Measured]]
"""Makes this many runs on a store."""

Call = Callable[[BenchmarkApp], Awaitable[object]]


def emit(benchmark: BenchmarkApp) -> Awaitable[object]:
    return benchmark.app.emit_event("happened")


def emit_waited(benchmark: BenchmarkApp) -> Awaitable[object]:
    return benchmark.app.emit_event("waited")


@benchmark("end_to_end")
def measure(place: Place | None, small: bool) -> Iterator[Run]:
    three = partial(in_processes, runners=(_LEADER, _WORKER))
    four = partial(in_processes, runners=(_LEADER, _WORKER, _WORKER))
    if place is not None:
        yield partial(case, place, "one process", in_one_process, small)
        yield partial(case, place, f"producer, leader and worker {_PROCESSES}", three, small)
        yield partial(case, place, f"producer, leader and two workers {_PROCESSES}", four, small)
        yield partial(_second_worker, place, small)
        return
    many = partial(in_one_process, others=100 if small else _OTHERS)
    yield partial(case, SQLITE, "one process", in_one_process, small)
    yield partial(case, SQLITE, f"one process, {_OTHERS:,} other triggers", many, small)
    yield partial(case, MEMORY, "one process", in_one_process, small)
    yield partial(case, SQLITE, f"producer, leader and worker {_PROCESSES}", three, small)


def case(place: Place, name: str, work: Work, small: bool, unit: str = "runs/s") -> Iterator[Value]:
    """One run of some work, and beside it the bare store with the same bytes."""
    times = _RUNS // 200 if small else _RUNS // (1 if place.local else 2)
    with place.fresh() as store:
        rate, rows = in_loop(_awaited(work, store, times))
        bare = in_loop(store.bare_rate(rows, callers=CALLERS))
    yield Value(f"{place.label}, {name}", unit, rate, bare and bare * times / len(rows), BARE)


def rate_of(place: Place, work: Work, times: int) -> float:
    """The rate of some work on an empty store."""
    with place.fresh() as store:
        return in_loop(_awaited(work, store, times))[0]


async def _awaited(work: Work, store: Store, times: int) -> Measured:
    return await work(store, times)


def _second_worker(place: Place, small: bool) -> Iterator[Value]:
    """Tasks that wait, so that workers are the limit and not this machine: two workers beside one."""
    two, one = (
        rate_of(
            place,
            partial(in_processes, call=emit_waited, runners=(_LEADER, *workers), concurrency=_PLACES),
            40 if small else _WAITING_RUNS,
        )
        for workers in ((_WORKER, _WORKER), (_WORKER,))
    )
    case = f"{place.label}, two workers of {_PLACES} places, tasks that take {WAIT_SECONDS * 1_000:g} ms"
    yield Value(case, "runs/s", two, one, "one worker")


async def in_one_process(store: Store, times: int, *, call: Call = emit, others: int = 0) -> Measured:
    """Calls, leads and works in this process."""
    benchmark = BenchmarkApp(store.settings, others=others)
    app = benchmark.app
    async with app:
        async with app.runner():
            await call(benchmark)
            await store.wait_succeeded(app, 1)
            begun = time.perf_counter()
            await by_callers(CALLERS, times, lambda _: call(benchmark))
            await benchmark.tally.wait_begun(times + 1)
            taken = await store.wait_succeeded(app, times + 1) - begun
        await check_log(app)
        return times / taken, await store.stored(app)


async def in_processes(
    store: Store,
    times: int,
    *,
    call: Call = emit,
    runners: tuple[bool, ...] = (_WORKER,),
    concurrency: int | None = None,
) -> Measured:
    """Calls in this process, and one more process for each runner, which works or only leads."""
    benchmark = BenchmarkApp(store.settings)
    app = benchmark.app
    async with app, AsyncExitStack() as stack:
        await call(benchmark)
        for works in runners:
            await stack.enter_async_context(runner_process(store, app, works=works, concurrency=concurrency))
        await store.wait_succeeded(app, 1)
        begun = time.perf_counter()
        await by_callers(CALLERS, times, lambda _: call(benchmark))
        taken = await store.wait_succeeded(app, times + 1) - begun
        await stack.aclose()
        await check_log(app)
        return times / taken, await store.stored(app)
