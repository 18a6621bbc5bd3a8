"""How long from the call of `emit_event` to the start of the reacting task?

One event at a time, either as soon as the run before has ended (in one process, which knows when) or 20 ms apart, and
at 500 events a second; in one process and between two. Beside the median of one at a time: two durable commits of bare
sqlite3 on the same disk (of the bare server) in the same run, with the same pauses between them, as the raw limit of a
pipeline that stores the event, and then the trigger run with its start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from statistics import median, quantiles

from benchmarks.apps import BenchmarkApp
from benchmarks.harness import Figure, check_books, in_loop, question_of, runs_of
from benchmarks.processes import runner_process
from benchmarks.servers import serving
from benchmarks.stores import SQLITE, Place, Store
from trigger_engine import InvocationNotFound, TriggerEngine
from trigger_engine.core.ids import run_id, run_invocation_id

_COMMITS = 2
_WARM_UP = 10
_PAUSE = 0.02
_TRIES = 3_000
_RATE = 500
Emitted = tuple[str, float]
"""The id of an event, and when the call began, seconds since 1970."""


def measure(*, small: bool, backend: str | None = None) -> Iterator[Figure]:
    """p50 and p99 of each case."""
    if backend is None:
        yield from _figures("latency", SQLITE, small=small)
        return
    with serving(backend) as place:
        yield from _figures(question_of("latency", backend), place, small=small)


def _figures(question: str, place: Place, *, small: bool) -> Iterator[Figure]:
    for between in (False, True):
        where = "between two processes" if between else "one process"
        for pace, emit, full in PACES:
            if between and emit is _one_after_another:
                continue
            events = full // 100 if small else full // (1 if place.at_hand else 2)
            medians: list[float] = []
            slowest: list[float] = []
            beside: list[float] = []
            for _ in range(runs_of(small=small)):
                with place.fresh() as store:
                    delays = in_loop(_delays(store, events, emit, between=between))
                    if emit is not _at_rate:
                        pause = _PAUSE if emit is _apart else 0.0
                        bare = in_loop(store.bare_milliseconds(events, pause))
                        beside += [_COMMITS * milliseconds for milliseconds in bare]
                medians.append(median(delays))
                slowest.append(quantiles(delays, n=100)[98])
            what = f"{_COMMITS} bare commits, p50" if beside else ""
            yield Figure(question, f"{where}, {pace}, p50", "ms", tuple(medians), tuple(beside), what)
            yield Figure(question, f"{where}, {pace}, p99", "ms", tuple(slowest))


async def _delays(
    store: Store, events: int, emit: Callable[[BenchmarkApp, int], Awaitable[list[Emitted]]], *, between: bool
) -> list[float]:
    """Milliseconds for each event."""
    benchmark = BenchmarkApp(store.settings)
    app = benchmark.app
    async with app, AsyncExitStack() as stack:
        await app.emit_event("nobody listens")
        await stack.enter_async_context(runner_process(store, app) if between else app.runner())
        await _apart(benchmark, _WARM_UP)
        emitted = await emit(benchmark, events)
        delays = [(await _started(app, event_id) - begun) * 1_000 for event_id, begun in emitted]
        await stack.aclose()
        await check_books(app)
    return delays


async def _one_after_another(benchmark: BenchmarkApp, events: int) -> list[Emitted]:
    """Each when the run of the one before has ended; nothing asks the store while an event is on its way."""
    emitted = []
    before = benchmark.tally.begun
    for number in range(events):
        begun = time.time()
        emitted.append((await benchmark.app.emit_event("ping", {"number": number}), begun))
        await benchmark.tally.wait_begun(before + number + 1)
        await _started(benchmark.app, emitted[-1][0])
    return emitted


async def _apart(benchmark: BenchmarkApp, events: int) -> list[Emitted]:
    """With a pause; nothing asks the store while an event is on its way."""
    emitted = []
    for number in range(events):
        begun = time.time()
        emitted.append((await benchmark.app.emit_event("ping", {"number": number}), begun))
        await asyncio.sleep(_PAUSE)
    return emitted


async def _at_rate(benchmark: BenchmarkApp, events: int) -> list[Emitted]:
    """At their times, whether or not those before are durable."""
    app = benchmark.app

    async def emit(number: int) -> Emitted:
        begun = time.time()
        return await app.emit_event("ping", {"number": number}), begun

    loop = asyncio.get_running_loop()
    first = loop.time()
    tasks = []
    async with asyncio.TaskGroup() as group:
        for number in range(events):
            await asyncio.sleep(max(0.0, first + number / _RATE - loop.time()))
            tasks.append(group.create_task(emit(number)))
    return [task.result() for task in tasks]


PACES = (
    ("one at a time", _one_after_another, 500),
    (f"one at a time, {_PAUSE * 1_000:g} ms apart", _apart, 500),
    (f"{_RATE} events/s", _at_rate, 5_000),
)


async def _started(app: TriggerEngine, event_id: str) -> float:
    """When the reacting task began."""
    (trigger,) = [one for one in app.registry.triggers.values() if one.task_id == "pong"]
    invocation_id = run_invocation_id(run_id(trigger.id, [event_id]))
    for _ in range(_TRIES):
        try:
            return float(await (await app.invocation(invocation_id)).result(timeout=60))
        except InvocationNotFound:
            await asyncio.sleep(_PAUSE)
    raise RuntimeError(f"event {event_id} has fired nothing after {_TRIES * _PAUSE:g} s")
