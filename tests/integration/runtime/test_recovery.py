"""Recovering the work of lost runners, and failing invocations whose runners are lost repeatedly."""

import asyncio
from typing import Any

import pytest

from tests.support.apps import MakeApp, gated_task
from tests.support.reading import entries_of_type, is_running, statuses
from tests.support.waiting import wait_until
from trigger_engine import Invocation, TaskFailed, TriggerEngine, current_invocation
from trigger_engine._engine.lifecycle import status_entry
from trigger_engine._model.entries import EventEmitted, Failed, InvocationRegistered, Recovered
from trigger_engine.backend._contract import Claims
from trigger_engine.testing import inject_faults

pytestmark = pytest.mark.every_backend


async def claim_and_vanish(app: TriggerEngine) -> Claims:
    """Claims the waiting work as a runner that died afterwards."""
    log = (await app._internals.connections.session()).log
    tasks = list(app._internals.registry.tasks)
    claims = await log.claim("gone", tasks=tasks, queues=(), holding=(), limit=10)
    assert claims.started
    return claims


async def test_another_runner_finishes_the_work_of_a_lost_one(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    async with app:
        invocation = await double(21)
        await claim_and_vanish(app)
        async with app.runner():
            assert await invocation.result(timeout=60) == 42
        assert await statuses(app, invocation) == [
            *("registered", "pending", "running"),
            *("registered", "pending", "running", "success"),
        ]


async def test_a_recovered_attempt_keeps_its_number(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(max_retries=1)
    async def attempt() -> int:
        current = current_invocation()
        assert current is not None
        return current.attempt

    async with app:
        invocation = await attempt()
        await claim_and_vanish(app)
        async with app.runner():
            assert await invocation.result(timeout=60) == 1


async def test_an_invocation_that_kills_its_runners_fails(make_app: MakeApp) -> None:
    app = make_app(max_recoveries=0)

    @app.task
    async def deadly() -> None:
        pass

    async with app:
        invocation = await deadly()
        await claim_and_vanish(app)
        async with app.runner():
            with pytest.raises(TaskFailed, match="max_recoveries=0") as failed:
                await invocation.result(timeout=60)
        assert failed.value.exception_type == "RunnerLost"
        assert await statuses(app, invocation) == ["registered", "pending", "running", "failed"]
        (entry,) = await entries_of_type(app, Failed)
    assert "TriggerEngineError" in entry.exception.bases


async def test_an_invocation_is_recovered_up_to_max_recoveries_times(make_app: MakeApp) -> None:
    app = make_app(max_recoveries=2, queues=["nothing-waits-here"])

    @app.task
    async def deadly() -> None:
        pass

    async with app, app.runner():
        invocation = await deadly()
        for lost in range(1, 4):
            await claim_and_vanish(app)
            if lost <= 2:
                await wait_until(lambda: _recovered(app, lost))  # noqa: B023
        with pytest.raises(TaskFailed, match="its runner was lost 3 times"):
            await invocation.result(timeout=60)


async def test_the_report_of_a_replaced_runner_is_void(make_app: MakeApp) -> None:
    app = make_app()
    gate = asyncio.Event()
    runs: list[str] = []

    @app.task
    async def once(label: str) -> str:
        runs.append(label)
        await gate.wait()
        return label

    async with app, app.runner() as runner:
        invocation = await once("x")
        await wait_until(lambda: is_running(invocation))
        await _recover(app, invocation)
        await wait_until(lambda: len(runs) == 2)
        gate.set()
        assert await invocation.result(timeout=60) == "x"
        seen = await statuses(app, invocation)
        assert runner.failed is None
    assert seen == ["registered", "pending", "running", "registered", "pending", "running", "success"]


async def test_a_recovered_attempt_emits_and_calls_nothing_twice(make_app: MakeApp) -> None:
    app = make_app()
    runs: list[int] = []
    gate = asyncio.Event()

    @app.task
    async def inner(x: int) -> None:
        pass

    @app.task
    async def outer() -> None:
        runs.append(1)
        await app.emit_event("step", {"n": 1})
        await app.emit_events([("step", {"n": 2}), ("step", {"n": 2})])
        await inner(1)
        await inner(1)
        if len(runs) == 1:
            await gate.wait()

    async with app, app.runner():
        invocation = await outer()
        await wait_until(lambda: _called(app, 3))
        await _recover(app, invocation)
        await invocation.result(timeout=60)
        events = await entries_of_type(app, EventEmitted)
        calls = [e for e in await entries_of_type(app, InvocationRegistered) if e.task_id == inner.task_id]
    assert len(runs) == 2
    assert len(events) == 3
    assert len(calls) == 2
    assert {event.emitter_invocation_id for event in events} == {invocation.invocation_id}
    assert {event.emitter_task_id for event in events} == {outer.task_id}
    assert {call.parent_invocation_id for call in calls} == {invocation.invocation_id}


async def test_a_retried_attempt_emits_its_own_events(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(max_retries=1)
    async def flaky() -> None:
        await app.emit_event("tried", {})
        current = current_invocation()
        assert current is not None
        if current.attempt == 1:
            raise ValueError("again")

    async with app, app.runner():
        await (await flaky()).result(timeout=60)
        assert len(await entries_of_type(app, EventEmitted)) == 2


async def test_a_leader_without_heartbeats_does_not_recover_its_own_work(make_app: MakeApp) -> None:
    app = make_app(heartbeat_interval=0.05, heartbeat_ttl=0.15)
    faults = inject_faults(app)
    work, gate = gated_task(app)

    async with app, app.runner():
        invocation = await work()
        await wait_until(lambda: is_running(invocation))
        faults.fail("heartbeat")
        log = (await app._internals.connections.session()).log
        await wait_until(log.orphans)
        looks = faults.calls["orphans"]
        await wait_until(lambda: faults.calls["orphans"] > looks + 2)
        gate.set()
        assert await invocation.result(timeout=60) == "done"
        assert await statuses(app, invocation) == ["registered", "pending", "running", "success"]


async def test_work_runs_even_if_the_reply_to_its_claim_was_lost(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    async with app:
        invocation = await double(21)
        runner = app.runner()
        log = (await app._internals.connections.session()).log
        await log.claim(runner.runner_id, tasks=[double.task_id], queues=(), holding=(), limit=1)
        async with runner:
            assert await invocation.result(timeout=60) == 42
        assert await statuses(app, invocation) == ["registered", "pending", "running", "success"]


async def _recovered(app: TriggerEngine, times: int) -> bool:
    return len(await entries_of_type(app, Recovered)) == times


async def _called(app: TriggerEngine, registered: int) -> bool:
    return len(await entries_of_type(app, InvocationRegistered)) == registered


async def _recover(app: TriggerEngine, invocation: Invocation[Any]) -> None:
    """Recovers an invocation as a leader that considers its runner lost."""
    session = await app._internals.connections.session()
    stored = await session.log.invocation(invocation.invocation_id)
    assert stored is not None
    await session.append((status_entry(Recovered, stored.registration, stored.state, now=0.0, cause=stored.latest.id),))
