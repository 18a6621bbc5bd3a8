"""How is the processor time of a run spent, from its event to SUCCESS, in one process on SQLite?

Probes time each stage, without the other stages that it calls and without their own cost. Runs without probes measure
the total.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import trigger_engine._client.internals
import trigger_engine._runtime.leader.term
from benchmarks.end_to_end import CALLERS
from benchmarks.harness.apps import BenchmarkApp
from benchmarks.harness.measuring import Run, Value, benchmark, by_callers, check_log, in_loop
from benchmarks.harness.probes import Probes
from benchmarks.harness.stores import SQLITE, Store
from trigger_engine._engine.matcher import Matcher
from trigger_engine._runtime.callbacks import Callbacks
from trigger_engine._runtime.leader.direct_starts import DirectStarts
from trigger_engine._runtime.worker.attempt import Attempt
from trigger_engine._runtime.worker.settling import Settler
from trigger_engine._storage.group_commit import GroupCommit
from trigger_engine._storage.sqlite import appending
from trigger_engine._storage.sqlite.log import SQLiteLog
from trigger_engine._storage.sqlite.recent_entries import RecentEntries

_RUNS = 20_000
_LOOP, _WRITER = "event loop", "SQLite's thread"
_REST = "asyncio, coroutines, and what has no probe"
_STAGES: tuple[tuple[Any, str, str, str], ...] = (
    (trigger_engine._client.internals, "event_entries", _LOOP, "checking and encoding the event"),
    (GroupCommit, "submit", _LOOP, "group commit"),
    (GroupCommit, "_gather", _LOOP, "group commit"),
    (appending, "encode_parts", _LOOP, "encoding entries"),
    (RecentEntries, "after", _LOOP, "reading what this process wrote"),
    (Matcher, "read", _LOOP, "folding entries"),
    (Matcher, "questions", _LOOP, "evaluating them"),
    (Matcher, "evaluate", _LOOP, "evaluating them"),
    (Callbacks, "_checked_arguments", _LOOP, "arguments of the run"),
    (Callbacks, "_static", _LOOP, "arguments of the run"),
    (trigger_engine._runtime.leader.term, "compose", _LOOP, "the run's entry"),
    (DirectStarts, "reserve", _LOOP, "the start's entry"),
    (DirectStarts, "confirm", _LOOP, "starting the task"),
    (Attempt, "_run", _LOOP, "running the task"),
    (Settler, "settle", _LOOP, "the end's entry"),
    (appending, "append", _WRITER, "locks, BEGIN, COMMIT"),
    (appending, "validate_append", _WRITER, "validity"),
    (appending, "_store_entries", _WRITER, "rows of entries"),
    (appending, "_store_states", _WRITER, "rows of invocations"),
    (appending, "_append", _WRITER, "what else the transaction reads and writes"),
    (SQLiteLog, "_announce", _WRITER, "remembering what was written, waking waiters"),
)
"""Owner and attribute of each probed function, its thread, and its stage."""


@benchmark("breakdown")
def measure(place: None, small: bool) -> Iterator[Run]:
    """Microseconds per run, by stage."""
    events = 100 if small else _RUNS

    def run() -> Iterator[Value]:
        with SQLITE.fresh() as store:
            loop, stages = in_loop(_stages(store, events))
        with SQLITE.fresh() as store:
            wall, alone, all_threads, in_kernel, switches = in_loop(_spent(store, events, nullcontext()))
        yield _value("wall clock, without probes", wall)
        yield _value("processor, without probes", all_threads)
        yield _value(f"{_LOOP}, without probes", alone)
        yield _value(f"{_WRITER} and others, without probes", all_threads - alone)
        yield _value("of the processor: in the kernel, without probes", in_kernel)
        yield Value("times that a thread waited, without probes", "a run", switches / 1e6)
        for thread in (_LOOP, _WRITER):
            names = dict.fromkeys(_name(of, stage) for _, _, of, stage in _STAGES if of == thread)
            yield from (_value(name, stages.get(name, 0.0)) for name in names)
            if thread == _LOOP:
                yield _value(_name(_LOOP, _REST), loop - sum(stages.get(name, 0.0) for name in names))

    yield run


def _name(thread: str, stage: str) -> str:
    return f"{thread}: {stage}"


def _value(case: str, microseconds: float) -> Value:
    return Value(case, "µs a run", microseconds)


async def _stages(store: Store, events: int) -> tuple[float, dict[str, float]]:
    """Microseconds per run of the event loop's thread without the cost of probes, and of each stage."""
    probes = Probes()
    _, loop, *_ = await _spent(store, events, _placed(probes))
    cost = sum(seconds for name, seconds in probes.cost().items() if name.startswith(_LOOP))
    return loop - cost / events * 1e6, {name: took / events * 1e6 for name, took in probes.seconds().items()}


@contextmanager
def _placed(probes: Probes) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, attribute, thread, stage in _STAGES:
            stack.enter_context(probes.placed(owner, attribute, _name(thread, stage)))
        yield


async def _spent(store: Store, events: int, probing: AbstractContextManager[object]) -> tuple[float, ...]:
    """Millionths per run: wall clock, the event loop's thread, all threads, kernel, and switches of threads."""
    benchmark = BenchmarkApp(store.settings)
    app = benchmark.app
    async with app:
        async with app.runner():
            await app.emit_event("happened")
            await store.wait_succeeded(app, 1)
            with probing:
                begun = _now()
                await by_callers(CALLERS, events, lambda _: app.emit_event("happened"))
                await benchmark.tally.wait_begun(events + 1)
                spent = tuple((now - then) / events * 1e6 for now, then in zip(_now(), begun, strict=True))
            await store.wait_succeeded(app, events + 1)
        await check_log(app)
    return spent


def _now() -> tuple[float, ...]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), time.thread_time(), time.process_time(), usage.ru_stime, usage.ru_nvcsw
