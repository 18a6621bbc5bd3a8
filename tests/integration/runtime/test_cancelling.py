"""Cancelling and re-running invocations."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from tests.support.apps import MakeApp
from tests.support.reading import has_status, is_running, statuses
from tests.support.waiting import wait_until
from trigger_engine import InvocationCancelled, InvocationNotFound, InvocationStatus, TaskFailed
from trigger_engine.backend._contract import Accepted, Outcome, Part


async def test_a_waiting_invocation_is_cancelled_and_never_runs(make_app: MakeApp) -> None:
    app = make_app()
    ran: list[int] = []

    @app.task
    async def note(x: int) -> None:
        ran.append(x)

    async with app:
        first, second = await note(1), await note(2)
        assert await first.cancel() is True
        async with app.runner():
            await second.result(timeout=60)
            with pytest.raises(InvocationCancelled, match="was cancelled"):
                await first.result(timeout=60)
        assert await statuses(app, first) == ["registered", "cancelled"]
    assert ran == [2]


async def test_a_running_async_task_is_stopped(make_app: MakeApp) -> None:
    app = make_app()
    stopped = asyncio.Event()

    @app.task
    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with app, app.runner():
        invocation = await endless()
        await wait_until(lambda: is_running(invocation))
        assert await invocation.cancel() is True
        await asyncio.wait_for(stopped.wait(), 10)
        assert await statuses(app, invocation) == ["registered", "pending", "running", "cancelled"]


async def test_a_full_runner_stops_a_cancelled_task(make_app: MakeApp) -> None:
    app = make_app(concurrency=1)

    @app.task
    async def endless() -> None:
        await asyncio.Event().wait()

    @app.task
    async def quick() -> str:
        return "fine"

    async with app, app.runner():
        invocation = await endless()
        await wait_until(lambda: is_running(invocation))
        after = await quick()
        await invocation.cancel()
        assert await after.result(timeout=60) == "fine"


async def test_a_cancelled_thread_runs_to_its_end_and_its_result_is_void(make_app: MakeApp) -> None:
    app = make_app()
    gate = threading.Event()
    ended = threading.Event()

    @app.task
    def stuck() -> str:
        gate.wait(30)
        ended.set()
        return "too late"

    async with app, app.runner():
        invocation = await stuck()
        await wait_until(lambda: is_running(invocation))
        assert await invocation.cancel() is True
        with pytest.raises(InvocationCancelled):
            await invocation.result(timeout=60)
        gate.set()
        await wait_until(ended.is_set)
        assert await statuses(app, invocation) == ["registered", "pending", "running", "cancelled"]


async def test_an_invocation_waiting_for_a_retry_is_cancelled(make_app: MakeApp) -> None:
    app = make_app(retry_backoff=60.0, retry_backoff_max=60.0)

    @app.task(max_retries=3)
    async def flaky() -> None:
        raise ValueError("no luck")

    async with app, app.runner():
        invocation = await flaky()
        await wait_until(lambda: has_status(invocation, InvocationStatus.RETRY))
        assert await invocation.cancel() is True
        assert await statuses(app, invocation) == ["registered", "pending", "running", "retry", "cancelled"]


async def test_an_ended_invocation_cannot_be_cancelled(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def quick() -> str:
        return "fine"

    async with app, app.runner():
        invocation = await quick()
        await invocation.result(timeout=60)
        assert await invocation.cancel() is False
        assert await invocation.result(timeout=60) == "fine"
        assert await invocation.status() is InvocationStatus.SUCCESS


async def test_one_of_many_concurrent_cancels_succeeds(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def quick() -> None:
        pass

    async with app:
        invocation = await quick()
        cancels = await asyncio.gather(*(invocation.cancel() for _ in range(10)))
        assert cancels.count(True) == 1
        assert await invocation.cancel() is False
        assert await statuses(app, invocation) == ["registered", "cancelled"]


async def test_a_cancel_stored_as_void_returns_false(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app()

    @app.task
    async def quick() -> None:
        pass

    async with app:
        session = await app._internals.connections.session()
        append = session.log.append

        async def accept(parts: Sequence[Part]) -> list[Outcome]:
            return [Accepted(0) for _ in await append(parts)]

        monkeypatch.setattr(type(session.log), "refuses_void", False)
        monkeypatch.setattr(session.log, "append", accept)
        invocation = await quick()
        cancels = await asyncio.gather(*(invocation.cancel() for _ in range(10)))
        assert cancels.count(True) == 1


async def test_a_rerun_is_a_new_invocation_with_the_same_arguments(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[dict[str, int]] = []

    @app.task
    async def fail(x: int, y: int = 2) -> None:
        seen.append({"x": x, "y": y})
        raise ValueError("no luck")

    async with app, app.runner():
        invocation = await fail(1)
        with pytest.raises(TaskFailed):
            await invocation.result(timeout=60)
        again = await invocation.rerun()
        assert again.invocation_id != invocation.invocation_id
        assert again.task_id == invocation.task_id
        with pytest.raises(TaskFailed):
            await again.result(timeout=60)
    assert seen == [{"x": 1, "y": 2}, {"x": 1, "y": 2}]


async def test_an_invocation_is_found_by_its_id(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    async with app, app.runner():
        invocation = await double(4)
        found = await app.invocation(invocation.invocation_id)
        assert found == invocation
        assert found.task_id == double.task_id
        assert await found.result(timeout=60) == 8


async def test_an_unknown_id_raises_with_advice(make_app: MakeApp) -> None:
    app = make_app()
    async with app:
        with pytest.raises(InvocationNotFound, match="check the id and the app id"):
            await app.invocation("nothing")
