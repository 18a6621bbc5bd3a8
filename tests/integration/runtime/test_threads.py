"""`def` tasks in threads: context, concurrency, and hanging threads."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import pytest

from tests.support.apps import MakeApp
from tests.support.reading import is_running, statuses
from tests.support.waiting import wait_until
from trigger_engine import (
    InvocationStatus,
    ResultTimeout,
    SyncInAsyncError,
    TaskFailed,
    current_invocation,
)

REQUEST: ContextVar[str] = ContextVar("request", default="none")


@contextmanager
def gate() -> Iterator[threading.Event]:
    """An event that threads block on; set at the end, so that no thread outlives its test."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()


async def test_a_def_task_runs_off_the_loops_thread(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def where() -> int:
        return threading.get_ident()

    async with app, app.runner():
        assert await (await where()).result(timeout=60) != threading.get_ident()


async def test_a_def_task_has_the_same_statuses_as_any_task(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def double(x: int) -> int:
        return 2 * x

    async with app, app.runner():
        invocation = await double(21)
        assert await invocation.result(timeout=60) == 42
        assert await statuses(app, invocation) == ["registered", "pending", "running", "success"]


async def test_def_tasks_run_concurrently(make_app: MakeApp) -> None:
    app = make_app(concurrency=4)
    barrier = threading.Barrier(4, timeout=10)

    @app.task
    def meet() -> int:
        return barrier.wait()

    async with app, app.runner():
        invocations = [await meet() for _ in range(4)]
        places = [await invocation.result(timeout=60) for invocation in invocations]
    assert sorted(places) == [0, 1, 2, 3]


async def test_threads_are_reused(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def where() -> int:
        return threading.get_ident()

    async with app, app.runner():
        seen = {await (await where()).result(timeout=60) for _ in range(10)}
    assert len(seen) == 1


async def test_a_thread_gets_a_copy_of_the_runners_context(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def look(new: str) -> str:
        old = REQUEST.get()
        REQUEST.set(new)
        return old

    REQUEST.set("of the runner")
    async with app, app.runner():
        assert await (await look("first")).result(timeout=60) == "of the runner"
        assert await (await look("second")).result(timeout=60) == "of the runner"
    assert REQUEST.get() == "of the runner"


async def test_a_thread_knows_its_invocation(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def look() -> str | None:
        current = current_invocation()
        return None if current is None else current.invocation_id

    async with app, app.runner():
        invocation = await look()
        assert await invocation.result(timeout=60) == invocation.invocation_id


async def test_a_thread_emits_and_enqueues_through_the_runners_loop(make_app: MakeApp) -> None:
    app = make_app()
    threads = threading.active_count()
    portals = _portals()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    @app.task
    def parent() -> int:
        app.sync.emit_event("asked", {"x": 4})
        invocation = app.sync.enqueue(double, x=4)
        assert invocation.task_id == double.task_id
        result = invocation.result(timeout=60)
        assert invocation.status() is InvocationStatus.SUCCESS
        assert _portals() == portals, "no loop of its own is started"
        return result

    async with app, app.runner():
        assert await (await parent()).result(timeout=60) == 8
    await wait_until(lambda: threading.active_count() <= threads)


async def test_sync_calls_in_the_thread_of_the_loop_are_refused(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def wrong() -> None:
        app.sync.emit_event("a")

    async with app, app.runner():
        invocation = await wrong()
        with pytest.raises(TaskFailed, match="SyncInAsyncError") as failed:
            await invocation.result(timeout=60)
        assert "await the call on the app itself" in failed.value.exception_message
        with pytest.raises(SyncInAsyncError):
            app.sync.enqueue(wrong)
        with pytest.raises(SyncInAsyncError):
            app.sync.invocation("x")


async def test_a_timeout_is_reported_and_the_result_is_void(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()
    ended = threading.Event()

    with gate() as opened:

        @app.task(timeout=0.05)
        def stuck() -> str:
            opened.wait(30)
            ended.set()
            return "too late"

        async with app, app.runner():
            invocation = await stuck()
            with pytest.raises(TaskFailed) as failed:
                await invocation.result(timeout=60)
            assert failed.value.exception_type == "TaskTimeout"
            assert "run_in='process' makes tasks killable" in failed.value.exception_message
            opened.set()
            await wait_until(ended.is_set)
            assert await statuses(app, invocation) == ["registered", "pending", "running", "failed"]
    assert any("exceeded its timeout" in record.message for record in caplog.records)


async def test_a_stuck_thread_occupies_no_slot(make_app: MakeApp) -> None:
    app = make_app(concurrency=1)

    with gate() as opened:

        @app.task(timeout=0.05)
        def stuck() -> None:
            opened.wait(30)

        @app.task
        def quick() -> str:
            return "fine"

        async with app, app.runner():
            await stuck()
            assert await (await quick()).result(timeout=60) == "fine"


async def test_a_never_ending_thread_does_not_block_the_shutdown(make_app: MakeApp) -> None:
    app = make_app(shutdown_timeout=0.05)

    with gate() as opened:

        @app.task
        def stuck() -> None:
            opened.wait(30)

        async with app:
            async with asyncio.timeout(5), app.runner():
                invocation = await stuck()
                await wait_until(lambda: is_running(invocation))
            assert await statuses(app, invocation) == ["registered", "pending", "running", "registered"]
            with pytest.raises(ResultTimeout):
                await invocation.result(timeout=0.01)


async def test_threads_end_with_the_runner(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def quick() -> None:
        pass

    async with app:
        async with app.runner():
            await (await quick()).result(timeout=60)
        await wait_until(lambda: not any(t.name.startswith("trigger-engine task") for t in threading.enumerate()))


async def test_a_thread_may_emit_after_its_timeout(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()
    emitted: list[str] = []
    caplog.set_level(logging.CRITICAL)

    with gate() as opened:

        @app.task(timeout=0.05)
        def stuck() -> None:
            opened.wait(30)
            emitted.append(app.sync.emit_event("late"))

        async with app, app.runner():
            with pytest.raises(TaskFailed):
                await (await stuck()).result(timeout=60)
            opened.set()
            await wait_until(lambda: emitted)


def _portals() -> int:
    return sum(thread.name == "trigger-engine sync" for thread in threading.enumerate())
