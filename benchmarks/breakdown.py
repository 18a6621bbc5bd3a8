"""Where does the processor time of a run go, from its event to SUCCESS, in one process on SQLite?

Each stage is timed by probes, apart from what it calls of the others; what they cost is taken off. Other runs, without
probes, say how much there is to explain.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import trigger_engine.app
import trigger_engine.runner.leadership
from benchmarks.apps import BenchmarkApp
from benchmarks.end_to_end import CALLERS
from benchmarks.harness import Figure, by_callers, check_books, in_loop, runs_of
from benchmarks.probes import Probes
from benchmarks.stores import SQLITE, Store
from trigger_engine.core.matcher import Matcher
from trigger_engine.log.group_commit import GroupCommit
from trigger_engine.log.sqlite import appending
from trigger_engine.log.sqlite.writing import Writing, Written
from trigger_engine.runner.attempt import Attempt
from trigger_engine.runner.direct_starts import DirectStarts
from trigger_engine.runner.judging import Judging
from trigger_engine.runner.settling import Settler

_RUNS = 20_000
_LOOP, _WRITER = "event loop", "SQLite's thread"
_REST = "asyncio, coroutines, and what has no probe"
_STAGES: tuple[tuple[Any, str, str, str], ...] = (
    (trigger_engine.app, "event_entries", _LOOP, "checking and encoding the event"),
    (GroupCommit, "submit", _LOOP, "group commit"),
    (GroupCommit, "_gather", _LOOP, "group commit"),
    (appending, "encode_parts", _LOOP, "encoding entries"),
    (Written, "after", _LOOP, "reading what this process wrote"),
    (Matcher, "read", _LOOP, "folding entries"),
    (Matcher, "questions", _LOOP, "judging them"),
    (Matcher, "judge", _LOOP, "judging them"),
    (Judging, "_fit", _LOOP, "arguments of the run"),
    (Judging, "_static", _LOOP, "arguments of the run"),
    (trigger_engine.runner.leadership, "compose", _LOOP, "the run's entry"),
    (DirectStarts, "reserve", _LOOP, "the start's entry"),
    (DirectStarts, "settle", _LOOP, "starting the task"),
    (Attempt, "_outcome", _LOOP, "running the task"),
    (Settler, "settle", _LOOP, "the end's entry"),
    (Writing, "append", _WRITER, "locks, BEGIN, COMMIT"),
    (appending, "admit", _WRITER, "validity"),
    (appending, "_store_entries", _WRITER, "rows of entries"),
    (appending, "_store_states", _WRITER, "rows of invocations"),
    (appending, "append_trusting", _WRITER, "what else the transaction reads and writes"),
    (Writing, "_committed", _WRITER, "keeping what was written, waking who waits"),
)
"""Owner and attribute of what is probed, its thread, and the stage to which it belongs."""


@dataclass(frozen=True, slots=True)
class _Spent:
    """Microseconds a run. `loop`: processor time of the event loop's thread, without what probes cost there; `others`:
    of all other threads. `switches`: how often a thread waited, a run."""

    wall: float
    loop: float
    others: float
    in_kernel: float
    switches: float
    stages: dict[str, float]


def measure(*, small: bool) -> Iterator[Figure]:
    """Microseconds a run, by stage."""
    events = 100 if small else _RUNS
    plain: list[_Spent] = []
    probed: list[_Spent] = []
    for _ in range(runs_of(small=small)):
        for probes, found in ((Probes(), probed), (None, plain)):
            with SQLITE.fresh() as store:
                found.append(in_loop(_run(store, events, probes)))
    yield _figure("wall clock, without probes", [one.wall for one in plain])
    yield _figure("processor, without probes", [one.loop + one.others for one in plain])
    yield _figure(f"{_LOOP}, without probes", [one.loop for one in plain])
    yield _figure(f"{_WRITER} and others, without probes", [one.others for one in plain])
    yield _figure("of the processor: in the kernel, without probes", [one.in_kernel for one in plain])
    yield Figure(
        "breakdown", "times that a thread waited, without probes", "a run", tuple(one.switches for one in plain)
    )
    for thread in (_LOOP, _WRITER):
        for stage in dict.fromkeys(_named(thread, stage) for _, _, of, stage in _STAGES if of == thread):
            yield _figure(stage, [one.stages.get(stage, 0.0) for one in probed])
        if thread == _LOOP:
            yield _figure(_named(_LOOP, _REST), [_rest(one) for one in probed])


def _figure(case: str, runs: list[float]) -> Figure:
    return Figure("breakdown", case, "µs a run", tuple(runs))


def _named(thread: str, stage: str) -> str:
    return f"{thread}: {stage}"


def _rest(spent: _Spent) -> float:
    """What the loop's thread took that no probe has seen."""
    return spent.loop - sum(taken for stage, taken in spent.stages.items() if stage.startswith(_LOOP))


async def _run(store: Store, events: int, probes: Probes | None) -> _Spent:
    benchmark = BenchmarkApp(store.settings)
    app = benchmark.app
    async with app:
        async with app.runner():
            await app.emit_event("happened")
            await store.wait_succeeded(app, 1)
            with ExitStack() as placed:
                if probes is not None:
                    for owner, attribute, thread, stage in _STAGES:
                        placed.enter_context(probes.placed(owner, attribute, _named(thread, stage)))
                begun = _now()
                await by_callers(CALLERS, events, lambda _: app.emit_event("happened"))
                await benchmark.tally.wait_begun(events + 1)
                spent = [(now - then) / events * 1e6 for now, then in zip(_now(), begun, strict=True)]
            await store.wait_succeeded(app, events + 1)
        await check_books(app)
    wall, loop, all_threads, in_kernel, switches = spent
    cost = {} if probes is None else probes.cost()
    in_loop_cost = sum(seconds for name, seconds in cost.items() if name.startswith(_LOOP)) / events * 1e6
    return _Spent(
        wall=wall,
        loop=loop - in_loop_cost,
        others=all_threads - loop,
        in_kernel=in_kernel,
        switches=switches / 1e6,
        stages={} if probes is None else {name: took / events * 1e6 for name, took in probes.seconds().items()},
    )


def _now() -> tuple[float, ...]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), time.thread_time(), time.process_time(), usage.ru_stime, usage.ru_nvcsw
