"""Async tasks on the runner's loop: results, statuses, concurrency, `current_invocation`."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.support.apps import MakeApp
from tests.support.reading import entries_of_type, is_ended, statuses
from tests.support.waiting import wait_until
from trigger_engine import CurrentInvocation, InvocationStatus, current_invocation
from trigger_engine._model.entries import Failed, Started, Succeeded


async def test_a_call_runs_and_returns_its_result(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    async with app, app.runner():
        invocation = await double(21)
        assert await invocation.result(timeout=60) == 42
        assert await invocation.status() is InvocationStatus.SUCCESS
        assert await statuses(app, invocation) == ["registered", "pending", "running", "success"]


async def test_a_successful_call_is_three_entries(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def nothing() -> None:
        pass

    async with app, app.runner() as runner:
        invocation = await nothing()
        await invocation.result(timeout=60)
        (started,) = await entries_of_type(app, Started)
        (succeeded,) = await entries_of_type(app, Succeeded)
    assert started.runner_id == succeeded.runner_id == runner.runner_id
    assert started.claim_id == succeeded.claim_id
    assert started.cause == invocation.invocation_id
    assert succeeded.cause == started.id


async def test_values_are_decoded_into_the_annotated_types(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def next_year(moment: datetime, *, years: int = 1) -> datetime:
        assert isinstance(moment, datetime)
        return moment.replace(year=moment.year + years)

    async with app, app.runner():
        invocation = await next_year(datetime(2025, 1, 1, tzinfo=UTC))
        assert await invocation.result(timeout=60) == datetime(2026, 1, 1, tzinfo=UTC)


async def test_tasks_run_concurrently_up_to_the_limit(make_app: MakeApp) -> None:
    app = make_app(concurrency=3)
    running, peak = 0, 0
    gate = asyncio.Event()

    @app.task
    async def wait_for_gate() -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await gate.wait()
        running -= 1

    async with app, app.runner():
        invocations = [await wait_for_gate() for _ in range(7)]
        await wait_until(lambda: running == 3)
        waiting = [await invocation.status() for invocation in invocations]
        assert waiting.count(InvocationStatus.REGISTERED) == 4
        gate.set()
        for invocation in invocations:
            await invocation.result(timeout=60)
    assert peak == 3


async def test_the_oldest_call_runs_first(make_app: MakeApp) -> None:
    app = make_app(concurrency=1)
    seen: list[int] = []

    @app.task
    async def note(number: int) -> None:
        seen.append(number)

    async with app:
        invocations = [await note(number) for number in range(10)]
        async with app.runner():
            for invocation in invocations:
                await invocation.result(timeout=60)
    assert seen == list(range(10))


async def test_a_task_knows_its_invocation(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[CurrentInvocation] = []

    @app.task
    async def look(x: int) -> None:
        current = current_invocation()
        assert current is not None
        seen.append(current)

    async with app, app.runner():
        invocation = await look(x=7)
        await invocation.result(timeout=60)
    (current,) = seen
    assert (current.app_id, current.invocation_id, current.task_id) == ("test", invocation.invocation_id, look.task_id)
    assert (current.attempt, current.arguments, current.depth) == (1, {"x": 7}, 0)
    assert current.trigger_run_id is None
    assert current_invocation() is None


async def test_a_task_may_call_another_and_wait_for_it(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def inner(x: int) -> int:
        return x + 1

    @app.task
    async def outer(x: int) -> int:
        return await (await inner(x)).result(timeout=60) * 10

    async with app, app.runner():
        assert await (await outer(1)).result(timeout=60) == 20


async def test_a_forgotten_await_of_a_call_warns(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def nothing() -> None:
        pass

    with pytest.warns(RuntimeWarning, match="never awaited"):
        nothing()  # type: ignore[unused-coroutine]


async def test_a_waiter_gets_the_failure_of_the_task(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def fail() -> None:
        raise ValueError("no luck")

    async with app, app.runner():
        invocation = await fail()
        await wait_until(lambda: is_ended(invocation))
        (failed,) = await entries_of_type(app, Failed)
    assert (failed.exception.type, failed.exception.message) == ("ValueError", "no luck")
    assert "Exception" in failed.exception.bases
    assert failed.exception.traceback.rstrip().endswith("ValueError: no luck")
