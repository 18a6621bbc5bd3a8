"""One app on many event loops and threads: each loop opens its own session; those of closed loops are dropped."""

import asyncio
import gc
import threading
from contextlib import suppress

import pytest

from tests.support.apps import MakeApp
from tests.support.reading import entries_of_type
from tests.support.waiting import wait_until_true
from trigger_engine import InvocationStatus, SyncInAsyncError, TaskFailed, TriggerEngine
from trigger_engine._model.entries import EventEmitted


async def count_events(app: TriggerEngine) -> int:
    return len(await entries_of_type(app, EventEmitted))


def test_two_loops_in_a_row_see_the_same_data(make_app: MakeApp) -> None:
    app = make_app()

    async def emit() -> None:
        async with app:
            await app.emit_event("a")

    async def count() -> int:
        async with app:
            return await count_events(app)

    asyncio.run(emit())
    asyncio.run(emit())
    assert asyncio.run(count()) == 2


def test_loops_may_end_without_closing_the_app(make_app: MakeApp) -> None:
    app = make_app()
    for _ in range(5):
        asyncio.run(app.emit_event("a"))
    assert asyncio.run(count_events(app)) == 5


def test_sessions_of_closed_loops_are_dropped(make_app: MakeApp) -> None:
    app = make_app()
    asyncio.run(app.emit_event("a"))
    gc.collect()
    threads = threading.active_count()
    for _ in range(10):
        asyncio.run(app.emit_event("a"))
    gc.collect()
    wait_until_true(lambda: threading.active_count() <= threads + 2)
    assert len(app._internals.connections._sessions) <= 2


def test_a_runner_serves_callers_on_other_loops(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    up, stop = threading.Event(), threading.Event()

    async def host() -> None:
        async with app, app.runner():
            up.set()
            await asyncio.to_thread(stop.wait)

    async def call(x: int) -> int:
        async with app:
            return await (await double(x)).result(timeout=60)

    thread = threading.Thread(target=lambda: asyncio.run(host()))
    thread.start()
    try:
        assert up.wait(10)
        assert [asyncio.run(call(x)) for x in range(3)] == [0, 2, 4]
    finally:
        stop.set()
        thread.join(10)


def test_def_code_without_a_loop_uses_app_sync(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    @app.task
    async def fail() -> None:
        raise ValueError("no luck")

    event_id = app.sync.emit_event("a", {"n": 1}, idempotency_key="k")
    assert app.sync.emit_event("a", {"n": 2}, idempotency_key="k") == event_id
    assert len(app.sync.emit_events([("b", {}), ("c", None)])) == 2
    invocation = app.sync.enqueue(double, 4)
    delayed = app.sync.enqueue(double.options(delay=3600), x=5)
    assert invocation.status() is InvocationStatus.REGISTERED
    assert delayed.cancel() is True
    failing = app.sync.enqueue(fail)

    async def work() -> None:
        async with app, app.runner():
            found = await app.invocation(invocation.invocation_id)
            assert await found.result(timeout=60) == 8
            with pytest.raises(TaskFailed):
                await (await app.invocation(failing.invocation_id)).result(timeout=60)

    asyncio.run(work())
    assert invocation.result(timeout=60) == 8
    assert app.sync.invocation(invocation.invocation_id).result(timeout=60) == 8
    again = failing.rerun()
    assert again.invocation_id != failing.invocation_id
    with pytest.raises(TaskFailed, match="no luck"):
        failing.result(timeout=60)
    assert asyncio.run(count_events(app)) == 3


def test_app_sync_uses_one_daemon_thread(make_app: MakeApp) -> None:
    app = make_app()
    done: list[str] = []

    def emit() -> None:
        done.append(app.sync.emit_event("a"))

    threads = [threading.Thread(target=emit) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    portals = [thread for thread in threading.enumerate() if thread.name == "trigger-engine sync"]
    assert len(done) == 10
    assert all(thread.daemon for thread in portals)
    assert asyncio.run(count_events(app)) == 10


def test_app_sync_raises_in_a_thread_with_a_running_loop(make_app: MakeApp) -> None:
    app = make_app()
    invocation = app.sync.enqueue(app.task(task_id="t")(_nothing))

    async def wrong() -> None:
        for call in (
            lambda: app.sync.emit_event("a"),
            lambda: app.sync.emit_events([]),
            invocation.status,
            invocation.result,
            invocation.cancel,
            invocation.rerun,
        ):
            with pytest.raises(SyncInAsyncError, match="await the call on the app itself"):
                call()

    asyncio.run(wrong())


async def test_app_sync_in_a_thread_of_a_running_program(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    async with app, app.runner():
        result = await asyncio.to_thread(lambda: app.sync.enqueue(double, 4).result(timeout=60))
    assert result == 8


async def test_exiting_an_app_that_others_use_closes_nothing(make_app: MakeApp) -> None:
    app = make_app()
    await app.__aenter__()
    async with app:
        await app.emit_event("a")
    session = await app._internals.connections.session()
    assert (await app._internals.connections.session()) is session
    await app.emit_event("b")
    await app.__aexit__(None, None, None)
    assert len(app._internals.connections._sessions) == 0
    assert await count_events(app) == 2


async def test_exiting_an_app_too_often_does_not_affect_its_runner(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    async with app.runner():
        session = await app._internals.connections.session()
        for _ in range(2):
            with pytest.raises(
                RuntimeError, match=r"<TriggerEngine 'test'.* was exited more often than it was entered"
            ):
                await app.__aexit__(None, None, None)
        assert await app._internals.connections.session() is session
        assert await (await double(4)).result(timeout=60) == 8
    assert len(app._internals.connections._sessions) == 0


async def test_exiting_a_runner_twice_does_not_affect_another(make_app: MakeApp) -> None:
    app = make_app()
    first = await app.runner().__aenter__()
    async with app.runner():
        session = await app._internals.connections.session()
        await first.__aexit__(None, None, None)
        with pytest.raises(RuntimeError, match=r"<Runner runner:\w+ of 'test'> was exited more often"):
            await first.__aexit__(None, None, None)
        assert await app._internals.connections.session() is session


async def test_concurrent_calls_open_one_session(make_app: MakeApp) -> None:
    app = make_app()
    async with app:
        sessions = await asyncio.gather(*(app._internals.connections.session() for _ in range(20)))
    assert len({id(session) for session in sessions}) == 1


async def test_a_cancelled_caller_does_not_affect_others(make_app: MakeApp) -> None:
    app = make_app()
    async with app:
        emitting = [asyncio.create_task(app.emit_event("a", {"n": n})) for n in range(20)]
        await asyncio.sleep(0)
        for task in emitting[::2]:
            task.cancel()
        for task in emitting[::2]:
            with suppress(asyncio.CancelledError):
                await task
        kept = [await task for task in emitting[1::2]]
        ids = {event.id for event in await entries_of_type(app, EventEmitted)}
    assert ids >= set(kept)


async def _nothing() -> None:
    pass
