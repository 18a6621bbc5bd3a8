"""How many durable events per second does one process emit?

Beside it: bare group commit of the same bytes, with as many callers. On a server also many processes of one caller
each, beside one such process: `python -m benchmarks.emit TARGET COUNT` is one of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial

from benchmarks.harness.apps import BenchmarkApp
from benchmarks.harness.measuring import Run, Value, benchmark, by_callers, check_log, fresh_folder, in_loop
from benchmarks.harness.raw import ROW_BYTES, bare_sqlite, group_commit_rate, plain_rate
from benchmarks.harness.stores import BARE, MEMORY, SETTINGS, SQLITE, Place, Store
from trigger_engine import Event

PAYLOAD = {"order_id": "A-10042", "country": "FI", "amount": 129.5}
_ONE, _BATCHES, _ALONE = "50 callers", "50 callers of batches of 100", "1 caller"
_CALLS = {_ONE: (50, 1, 100_000), _BATCHES: (50, 100, 3_000), _ALONE: (1, 1, 5_000)}
"""Callers, events per call, calls."""

_PROCESSES, _EVENTS_OF_EACH, _EVENTS_ALONE = 50, 200, 1_000
_FEWER_ON_SERVERS = 4


@benchmark("emit")
def measure(place: Place | None, small: bool) -> Iterator[Run]:
    if place is not None:
        for name in _CALLS:
            yield partial(_emitted, place, name, [], small)
        yield partial(_by_processes, place, small)
        return
    rows: list[bytes] = []
    for local, name in ((SQLITE, _ONE), (SQLITE, _BATCHES), (SQLITE, _ALONE), (MEMORY, _ONE)):
        yield partial(_emitted, local, name, rows, small)
    yield partial(_bare_with_ids, rows, small)
    for per_commit in (1, 100, 1_000):
        yield partial(_plain, rows[: 20 * per_commit if small else 2_000 * min(per_commit, 50)], per_commit)


def _emitted(place: Place, name: str, rows: list[bytes], small: bool) -> Iterator[Value]:
    """Also keeps the bytes of the longest run in `rows`."""
    callers, batch, full = _CALLS[name]
    calls = full // 100 if small else full // (1 if place.local else _FEWER_ON_SERVERS)
    with place.fresh() as store:
        rate, stored = in_loop(_emit(store, callers, batch, calls))
        bare = in_loop(store.bare_rate(stored, callers=callers, per_call=batch))
    if len(stored) > len(rows):
        rows[:] = stored
    yield Value(f"{place.label}, {name}", "events/s", rate, bare, BARE)


async def _emit(store: Store, callers: int, batch: int, calls: int) -> tuple[float, list[bytes]]:
    """Events per second, and the bytes of the entries."""
    app = BenchmarkApp(store.settings).app
    events = [Event("happened", PAYLOAD)] * batch

    async def emit(_: int) -> None:
        await app.emit_events(events)

    async def emit_one(_: int) -> None:
        await app.emit_event("happened", PAYLOAD)

    async with app:
        await emit_one(0)
        begun = time.perf_counter()
        await by_callers(callers, calls, emit_one if batch == 1 else emit)
        taken = time.perf_counter() - begun
        await check_log(app)
        return calls * batch / taken, await store.stored(app)


def _bare_with_ids(rows: list[bytes], small: bool) -> Iterator[Value]:
    """The cost of a unique id in each row, by which an event that is sent twice counts once."""
    callers, _, full = _CALLS[_ONE]
    rates = {}
    for ids in (True, False):
        with fresh_folder() as folder:
            bare = bare_sqlite(folder / "bare.db", ids=ids)
            rates[ids] = in_loop(group_commit_rate(bare, rows[: full // 100 if small else full], producers=callers))
    case = f"bare group commit of rows with unique ids, {_ONE}"
    yield Value(case, "rows/s", rates[True], rates[False], "without ids")


def _plain(rows: list[bytes], per_commit: int) -> Iterator[Value]:
    with fresh_folder() as folder:
        rate = plain_rate(folder / "plain.db", rows, per_commit=per_commit)
    yield Value(f"bare sqlite3, {per_commit:,} rows a commit", "rows/s", rate)


def _by_processes(place: Place, small: bool) -> Iterator[Value]:
    """Many processes of one caller beside one process; then the bare server, where it can be measured."""
    processes, events, alone = (3, 20, 20) if small else (_PROCESSES, _EVENTS_OF_EACH, _EVENTS_ALONE)
    with place.fresh() as store:
        many = in_loop(_emit_by_processes(store, processes, events))
        bare = in_loop(_rate_of_processes(processes, events, "bare")) if store.bare is not None else None
    with place.fresh() as store:
        one = in_loop(_emit_by_processes(store, 1, alone))
    case = f"{place.label}, {_PROCESSES} processes of one caller"
    yield Value(case, "events/s", many, one, "one process of one caller")
    if bare is not None:
        yield Value(f"{place.label} without an engine, {_PROCESSES} processes", "appends/s", bare)


async def _emit_by_processes(store: Store, processes: int, events: int) -> float:
    rate = await _rate_of_processes(processes, events, "engine")
    async with BenchmarkApp(store.settings).app as app:
        await check_log(app)
    return rate


async def _rate_of_processes(processes: int, events: int, target: str) -> float:
    """Events per second, from when all processes are ready to the end of the last one."""
    command = [sys.executable, "-m", "benchmarks.emit", target, str(events)]
    emitters = [await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE) for _ in range(processes)]
    try:
        for emitter in emitters:
            assert emitter.stdout is not None
            await emitter.stdout.readline()
        begun = time.time()
        printed = await asyncio.gather(*(emitter.communicate(b"go\n") for emitter in emitters))
    finally:
        for emitter in emitters:
            if emitter.returncode is None:
                emitter.kill()
                await emitter.wait()
    return processes * events / (max(float(end) for end, _ in printed) - begun)


async def _emit_in_this_process(target: str, events: int) -> None:
    """Prints a line when it is ready, waits for one, emits, and prints when it ended, in seconds since 1970.

    `target`: `engine`, or `bare` for rows in the bare store of the environment.
    """
    from benchmarks.harness.servers import bare_of

    settings = json.loads(os.environ[SETTINGS])
    async with AsyncExitStack() as stack:
        if target == "bare":
            append = await stack.enter_async_context(bare_of(settings))
            emit: Callable[[], Awaitable[object]] = partial(append, [os.urandom(ROW_BYTES)])
        else:
            app = await stack.enter_async_context(BenchmarkApp(settings).app)
            emit = partial(app.emit_event, "happened", PAYLOAD)
        await emit()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for _ in range(events):
            await emit()
        print(repr(time.time()), flush=True)


if __name__ == "__main__":
    in_loop(_emit_in_this_process(sys.argv[1], int(sys.argv[2])))
