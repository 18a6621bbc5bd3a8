"""A store reports progress from its log alone."""

import asyncio
import time

import pytest

from benchmarks.harness import stores
from benchmarks.harness.apps import BenchmarkApp
from benchmarks.harness.stores import MEMORY
from tests.support.waiting import wait_until
from trigger_engine._model.encoding import decode_entry
from trigger_engine._model.entries import EventEmitted, Position
from trigger_engine.backend._contract import EventLog


async def test_end_of_work_is_when_the_last_success_was_recorded_not_when_it_was_read() -> None:
    with MEMORY.fresh() as store:
        benchmark = BenchmarkApp(store.settings)
        async with benchmark.app as app, app.runner():
            begun = time.perf_counter()
            await (await benchmark.plain()).result(timeout=30)
            await (await benchmark.plain()).result(timeout=30)
            seen = await store.wait_succeeded(app, 2)
            looked = time.perf_counter()
            assert begun < seen < looked - 0.25, "the quiet time before the log was read is not part of the work"


async def test_store_waits_for_work_that_has_not_begun() -> None:
    with MEMORY.fresh() as store:
        benchmark = BenchmarkApp(store.settings)
        async with benchmark.app as app, app.runner():
            waiting = asyncio.create_task(store.wait_succeeded(app, 1))
            asyncio.get_running_loop().call_later(0.5, lambda: asyncio.ensure_future(call(benchmark)))
            begun = time.perf_counter()
            assert await waiting > begun + 0.4


async def test_end_recorded_just_before_the_log_is_read_is_timed_by_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with MEMORY.fresh() as store:
        benchmark = BenchmarkApp(store.settings)
        ends = stores._ends

        async def ends_with_a_late_one(log: EventLog) -> list[Position]:
            await (await benchmark.plain()).result(timeout=30)
            return await ends(log)

        monkeypatch.setattr(stores, "_ends", ends_with_a_late_one)
        async with benchmark.app as app, app.runner():
            begun = time.perf_counter()
            assert await store.wait_succeeded(app, 1) > begun + 0.25


async def call(benchmark: BenchmarkApp) -> None:
    await benchmark.plain()


async def test_store_returns_the_bytes_of_its_entries_and_its_runners() -> None:
    with MEMORY.fresh() as store:
        app = BenchmarkApp(store.settings).app
        async with app:
            event_id = await app.emit_event("nobody listens")
            (only,) = [decode_entry(each) for each in await store.stored(app)]
            assert isinstance(only, EventEmitted)
            assert only.id == event_id
            assert await store.runners(app) == 0
            assert not await store.has_leader(app)
            async with app.runner():
                await wait_until(lambda: store.has_leader(app))
                assert await store.runners(app) == 1
