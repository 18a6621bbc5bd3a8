"""Whatever a task does, it fails alone: its invocation ends with the facts, and everything else goes on."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator

import pytest

from tests.robustness.poison import poison_tasks as tasks
from tests.support.apps import MakeApp
from tests.support.reading import is_running, statuses
from tests.support.tasks import task_of
from tests.support.waiting import wait_until
from trigger_engine import InvocationStatus, TaskFailed, TriggerEngine
from trigger_engine._audit.auditing import audit
from trigger_engine._client.connections import Connections
from trigger_engine._runtime.worker import attempt

PLACES = ["async", "thread", "process"]


@pytest.fixture
async def app(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TriggerEngine]:
    """The app of the poisonous tasks on fresh data, with a runner that must not fail; at the end its books balance."""
    fresh = make_app(app_id="poison")
    connections = Connections(fresh._internals.connections.backend, time.time)
    monkeypatch.setattr(tasks.app._internals, "connections", connections)
    async with tasks.app:
        async with tasks.app.runner() as runner:
            yield tasks.app
            assert await (await tasks.pid()).result(timeout=60) > 0
            assert runner.failed is None
        report = await audit(tasks.app)
        assert report.consistent, report.violations


async def failure(app: TriggerEngine, task_id: str) -> TaskFailed:
    invocation = await task_of(app, task_id)()
    with pytest.raises(TaskFailed) as caught:
        await invocation.result(timeout=60)
    assert await statuses(app, invocation) == ["registered", "pending", "running", "failed"]
    return caught.value


@pytest.mark.parametrize("place", PLACES)
async def test_any_raised_exception_is_recorded_by_name(app: TriggerEngine, place: str) -> None:
    named = {f"{place}.{function.__name__}": name for function, name in tasks.RAISED.items()}
    failures = await asyncio.gather(*(failure(app, task_id) for task_id in named))
    assert {failed.task_id: failed.exception_type for failed in failures} == named
    assert all(len(failed.exception_message) < 20_000 for failed in failures)
    assert all(len(failed.traceback) < 70_000 for failed in failures)
    async with app.history() as history:
        assert {one.task_id for one in await history.invocations(status=InvocationStatus.FAILED)} == set(named)


@pytest.mark.parametrize("place", PLACES)
async def test_unencodable_result_fails_and_names_task_and_type(app: TriggerEngine, place: str) -> None:
    names = [f"{place}.{function.__name__}" for function in tasks.RETURNED]
    failures = await asyncio.gather(*(failure(app, task_id) for task_id in names))
    assert [failed.exception_type for failed in failures] == ["SerializationError"] * len(names)
    for failed in failures:
        assert failed.exception_message.startswith(f"task {failed.task_id}, result: a value of type ")


async def test_child_out_of_memory_fails_its_task_and_survives(app: TriggerEngine) -> None:
    child = await (await tasks.pid()).result(timeout=60)
    resource.prlimit(child, resource.RLIMIT_AS, (2**30, 2**30))
    with pytest.raises(TaskFailed) as caught:
        await (await tasks.eat(2_000)).result(timeout=60)
    assert caught.value.exception_type == "MemoryError"
    assert await (await tasks.pid()).result(timeout=60) == child
    assert await (await tasks.eat(1)).result(timeout=60) == 2**20


async def test_task_that_ignores_cancellation_occupies_no_slot(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(attempt, "_GRACE", 0.05)
    app = make_app(concurrency=1)
    gate = asyncio.Event()
    ends: list[str] = []

    async def never_ending(name: str) -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        ends.append(name)

    @app.task(timeout=0.05)
    async def overruns() -> None:
        await never_ending("overrun")

    @app.task
    async def is_cancelled() -> None:
        await never_ending("cancelled")

    @app.task
    async def quick() -> str:
        return "fine"

    async with app, app.runner():
        with pytest.raises(TaskFailed, match="ignored its cancellation and was left running"):
            await (await overruns()).result(timeout=60)
        invocation = await is_cancelled()
        await wait_until(lambda: is_running(invocation))
        assert await invocation.cancel() is True
        assert await (await quick()).result(timeout=60) == "fine"
        gate.set()
        await wait_until(lambda: len(ends) == 2)
        assert await statuses(app, invocation) == ["registered", "pending", "running", "cancelled"]
    assert sum("do not suppress CancelledError" in record.message for record in caplog.records) == 2
