"""How long is it from the call of `emit_event` to the start of the reacting task?

One event at a time, either as soon as the run before has ended (in one process, which knows when) or 20 ms apart, and
500 events per second; in one process and between two. Beside the median of one at a time: two durable commits of the
bare store in the same run with the same pauses, since the event and then the run with its start are stored.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from statistics import median, quantiles
from typing import NamedTuple

from benchmarks.harness.apps import BenchmarkApp, runner_process
from benchmarks.harness.measuring import Run, Value, benchmark, check_log, in_loop
from benchmarks.harness.stores import SQLITE, Place, Store
from trigger_engine import InvocationNotFound, TriggerEngine
from trigger_engine._model.ids import run_id, run_invocation_id

_COMMITS = 2
_WARM_UP = 10
_PAUSE = 0.02
_TRIES = 3_000
_RATE = 500
Emitted = tuple[str, float]
"""The id of an event, and when the call began, in seconds since 1970."""


class Pace(NamedTuple):
    """`pause`: seconds between two events, 0 for one after another, None for a constant rate."""

    name: str
    events: int
    pause: float | None


PACES = (
    Pace("one at a time", 500, 0.0),
    Pace(f"one at a time, {_PAUSE * 1_000:g} ms apart", 500, _PAUSE),
    Pace(f"{_RATE} events/s", 5_000, None),
)


@benchmark("latency")
def measure(place: Place | None, small: bool) -> Iterator[Run]:
    for between, paces in ((False, PACES), (True, PACES[1:])):
        for pace in paces:
            yield partial(_case, place or SQLITE, pace, between, small)


def _case(place: Place, pace: Pace, between: bool, small: bool) -> Iterator[Value]:
    events = pace.events // 100 if small else pace.events // (1 if place.local else 2)
    with place.fresh() as store:
        delays = in_loop(_delays(store, events, pace, between=between))
        bare = None if pace.pause is None else in_loop(store.bare_milliseconds(events, pace.pause))
    case = f"{'between two processes' if between else 'one process'}, {pace.name}"
    yield Value(f"{case}, p50", "ms", median(delays), bare and _COMMITS * bare, f"{_COMMITS} bare commits, p50")
    yield Value(f"{case}, p99", "ms", quantiles(delays, n=100)[98])


async def _delays(store: Store, events: int, pace: Pace, *, between: bool) -> list[float]:
    """Milliseconds of each event."""
    benchmark = BenchmarkApp(store.settings)
    app = benchmark.app
    async with app, AsyncExitStack() as stack:
        await app.emit_event("nobody listens")
        await stack.enter_async_context(runner_process(store, app) if between else app.runner())
        await _one_at_a_time(benchmark, _WARM_UP, _PAUSE)
        if pace.pause is None:
            emitted = await _at_rate(benchmark, events)
        else:
            emitted = await _one_at_a_time(benchmark, events, pace.pause)
        delays = [(await _started(app, event_id) - begun) * 1_000 for event_id, begun in emitted]
        await stack.aclose()
        await check_log(app)
    return delays


async def _emit(benchmark: BenchmarkApp, number: int) -> Emitted:
    begun = time.time()
    return await benchmark.app.emit_event("ping", {"number": number}), begun


async def _one_at_a_time(benchmark: BenchmarkApp, events: int, pause: float) -> list[Emitted]:
    """Events with a pause, or without one each when the run before has ended.

    Nothing reads the store while an event is processed.
    """
    emitted = []
    before = benchmark.tally.begun
    for number in range(events):
        emitted.append(await _emit(benchmark, number))
        if pause:
            await asyncio.sleep(pause)
        else:
            await benchmark.tally.wait_begun(before + number + 1)
            await _started(benchmark.app, emitted[-1][0])
    return emitted


async def _at_rate(benchmark: BenchmarkApp, events: int) -> list[Emitted]:
    """Events at a constant rate, whether or not earlier ones are durable."""
    loop = asyncio.get_running_loop()
    first = loop.time()
    tasks = []
    async with asyncio.TaskGroup() as group:
        for number in range(events):
            await asyncio.sleep(max(0.0, first + number / _RATE - loop.time()))
            tasks.append(group.create_task(_emit(benchmark, number)))
    return [task.result() for task in tasks]


async def _started(app: TriggerEngine, event_id: str) -> float:
    """When the reacting task started."""
    (trigger,) = [one for one in app._internals.registry.triggers.values() if one.task_id == "pong"]
    invocation_id = run_invocation_id(run_id(trigger.id, [event_id]))
    for _ in range(_TRIES):
        try:
            return float(await (await app.invocation(invocation_id)).result(timeout=60))
        except InvocationNotFound:
            await asyncio.sleep(_PAUSE)
    raise RuntimeError(f"event {event_id} has fired nothing after {_TRIES * _PAUSE:g} s")
