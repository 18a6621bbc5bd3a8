"""Waiting for results: one follower serves all waiters, and no waiter hangs."""

import asyncio
import threading
from typing import Any

import pytest

from tests.support.apps import MakeApp
from tests.support.waiting import wait_until
from trigger_engine import (
    BackendUnavailable,
    Invocation,
    InvocationCancelled,
    InvocationNotFound,
    LogReplaced,
    ResultTimeout,
    TaskFailed,
    TriggerEngine,
)
from trigger_engine.testing import inject_faults


def gated(app: TriggerEngine) -> tuple[asyncio.Event, Any]:
    """Declares a task that returns its argument once the event is set."""
    gate = asyncio.Event()

    @app.task
    async def echo(x: int) -> int:
        await gate.wait()
        return x

    return gate, echo


async def test_waiting_times_out(make_app: MakeApp) -> None:
    app = make_app()
    _, echo = gated(app)
    async with app:
        invocation = await echo(1)
        with pytest.raises(ResultTimeout, match=r"has not ended within 0\.05 s") as caught:
            await invocation.result(timeout=0.05)
    assert isinstance(caught.value, TimeoutError)


async def test_the_result_of_an_ended_invocation_is_available_immediately(make_app: MakeApp) -> None:
    app = make_app()
    gate, echo = gated(app)
    async with app, app.runner():
        gate.set()
        invocation = await echo(5)
        for timeout in (10, None, 0.5, 0):
            assert await invocation.result(timeout=timeout) == 5


async def test_a_cancelled_invocation_has_no_result(make_app: MakeApp) -> None:
    app = make_app()
    _, echo = gated(app)
    async with app:
        invocation = await echo(5)
        waiting = asyncio.create_task(invocation.result(timeout=60))
        await asyncio.sleep(0)
        await invocation.cancel()
        with pytest.raises(InvocationCancelled):
            await waiting


async def test_waiting_for_an_unknown_invocation_raises(make_app: MakeApp) -> None:
    app = make_app()
    async with app:
        with pytest.raises(InvocationNotFound):
            await Invocation[int](app._internals, "nothing", "some.task").result(timeout=60)


async def test_many_waiters_share_one_follower(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)
    gate, echo = gated(app)
    async with app, app.runner():
        invocations = [await echo(x) for x in range(50)]
        waiting = [asyncio.create_task(one.result(timeout=60)) for one in invocations for _ in range(2)]
        await wait_until(lambda: _claimed(invocations))
        tails = faults.calls["tail"]
        gate.set()
        results = await asyncio.gather(*waiting)
        assert tails <= 1
    assert results == [x for x in range(50) for _ in range(2)]


async def test_the_follower_stops_when_nobody_waits(make_app: MakeApp) -> None:
    app = make_app()
    gate, echo = gated(app)
    async with app, app.runner():
        gate.set()
        await (await echo(1)).result(timeout=60)
        await wait_until(lambda: not any(task.get_name() == "trigger-engine results" for task in asyncio.all_tasks()))


@pytest.mark.parametrize("moment", ["tail", "follow"])
async def test_a_cancelled_follower_is_replaced(make_app: MakeApp, moment: str) -> None:
    app = make_app()
    faults = inject_faults(app)
    gate, echo = gated(app)
    async with app, app.runner():
        invocation = await echo(1)
        hold = faults.hold("tail") if moment == "tail" else None
        waiting = asyncio.create_task(invocation.result(timeout=60))
        await (hold.reached() if hold is not None else wait_until(lambda: faults.calls["tail"] == 1))
        (follower,) = (task for task in asyncio.all_tasks() if task.get_name() == "trigger-engine results")
        follower.cancel()
        await asyncio.wait([follower])
        faults.clear()
        gate.set()
        assert await waiting == 1


async def test_a_cancelled_waiter_does_not_affect_another(make_app: MakeApp) -> None:
    app = make_app()
    gate, echo = gated(app)
    async with app, app.runner():
        invocation = await echo(7)
        patient = asyncio.create_task(invocation.result(timeout=60))
        hasty = [asyncio.create_task(invocation.result(timeout=60)) for _ in range(5)]
        await asyncio.sleep(0)
        for task in hasty:
            task.cancel()
        with pytest.raises(ResultTimeout):
            await invocation.result(timeout=0.02)
        gate.set()
        assert await patient == 7


async def test_results_cross_loops_and_threads(make_app: MakeApp) -> None:
    app = make_app()
    gate, echo = gated(app)
    async with app, app.runner():
        gate.set()
        results: list[int] = []

        def elsewhere() -> None:
            async def ask() -> None:
                async with app:
                    results.append(await (await echo(3)).result(timeout=60))

            asyncio.run(ask())

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await wait_until(lambda: not thread.is_alive())
    assert results == [3]


async def test_closing_the_app_wakes_waiters(make_app: MakeApp) -> None:
    app = make_app()
    _, echo = gated(app)
    async with app:
        invocation = await echo(1)
        waiting = asyncio.create_task(invocation.result())
        await wait_until(lambda: any(task.get_name() == "trigger-engine results" for task in asyncio.all_tasks()))
    with pytest.raises(BackendUnavailable, match="closed"):
        await waiting


async def test_waiting_raises_when_the_log_is_cleared(make_app: MakeApp) -> None:
    app = make_app()
    _, echo = gated(app)
    async with app:
        invocation = await echo(1)
        waiting = asyncio.create_task(invocation.result(timeout=60))
        await wait_until(lambda: any(task.get_name() == "trigger-engine results" for task in asyncio.all_tasks()))
        await (await app._internals.connections.session()).log.clear()
        with pytest.raises(InvocationNotFound):
            await waiting


async def test_waiting_survives_an_outage_after_the_log_was_replaced(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)
    gate, echo = gated(app)

    async def replaced() -> None:
        faults.fail("tail")
        raise LogReplaced("restored")

    async with app:
        invocation = await echo(1)
        faults.call("follow", behaviour=replaced)
        waiting = asyncio.create_task(invocation.result(timeout=60))
        await wait_until(lambda: faults.calls["tail"] > 1)
        faults.clear()
        gate.set()
        async with app.runner():
            assert await waiting == 1


async def test_an_error_of_the_follower_reaches_waiters(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)
    gate, echo = gated(app)

    async with app:
        invocation = await echo(1)
        faults.fail("follow", error=ZeroDivisionError)
        waiting = [asyncio.create_task(invocation.result(timeout=60)) for _ in range(3)]
        for task in waiting:
            with pytest.raises(ZeroDivisionError):
                await task
        faults.clear()
        gate.set()
        async with app.runner():
            assert await invocation.result(timeout=60) == 1


async def test_waiting_raises_if_the_backend_does_not_answer_at_first(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)
    _, echo = gated(app)
    async with app:
        invocation = await echo(1)
        faults.fail("tail")
        for task in [asyncio.create_task(invocation.result(timeout=60)) for _ in range(3)]:
            with pytest.raises(BackendUnavailable):
                await task


async def test_a_failed_task_raises_the_same_for_every_waiter(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def fail() -> None:
        raise ValueError("no luck")

    async with app, app.runner():
        invocation = await fail()
        outcomes = await asyncio.gather(*(invocation.result(timeout=60) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(one, TaskFailed) and one.exception_message == "no luck" for one in outcomes)


async def _claimed(invocations: list[Invocation[int]]) -> bool:
    return (await invocations[-1].status()).value == "running"
