"""An unavailable backend: runners survive it, and nothing is lost or done twice."""

import asyncio
import logging
from contextlib import nullcontext, suppress
from typing import Any

import pytest

from tests.support.apps import MakeApp, gated_task
from tests.support.reading import entries_of_type, is_running, statuses
from tests.support.waiting import wait_until
from trigger_engine import (
    BackendUnavailable,
    EventContext,
    InvocationStatus,
    PayloadTooLarge,
    ResultTimeout,
    TaskFailed,
    TriggerBuilder,
    TriggerEngine,
)
from trigger_engine._model.entries import CronTicked, EventEmitted, LeaderElected, Succeeded, TriggerFired
from trigger_engine.testing import Faults, inject_faults


def order_of(context: EventContext) -> dict[str, Any]:
    return {"order": context.payload["order"]}


def shop(make_app: MakeApp, **settings: Any) -> tuple[TriggerEngine, Faults, list[int]]:
    """An app whose task collects the paid orders, the fault script of its log, and the collected orders."""
    app = make_app(**settings)
    faults = inject_faults(app)
    seen: list[int] = []

    @app.task(triggers=TriggerBuilder().on_event("paid").with_args_from_event(order_of))
    async def ship(order: int) -> None:
        seen.append(order)

    return app, faults, seen


@pytest.mark.parametrize("step", ["follow", "claim", "append", "heartbeat", "acquire", "runners", "orphans", "*"])
async def test_the_runner_continues_when_the_backend_is_back(make_app: MakeApp, step: str) -> None:
    app, faults, seen = shop(make_app)
    async with app, app.runner() as runner:
        await app.emit_event("paid", {"order": 1})
        await wait_until(lambda: seen == [1])
        faults.fail(step)
        calls = faults.calls.total()
        await wait_until(lambda: faults.calls.total() > calls + 5)
        faults.clear()
        await app.emit_event("paid", {"order": 2})
        await wait_until(lambda: seen == [1, 2])
        assert runner.failed is None


async def test_an_append_that_failed_after_taking_effect_is_not_repeated(make_app: MakeApp) -> None:
    app, faults, seen = shop(make_app)
    async with app, app.runner() as runner:
        await app.emit_event("paid", {"order": 1})
        await wait_until(lambda: seen == [1])
        log = (await app._internals.connections.session()).log
        # Only appends of events: while an append of the leader is in doubt, a failing emit may store nothing.
        failure = faults.fail("append", after=True, times=2, entries=EventEmitted)
        # A log that resends by itself raises instead of hiding the failure.
        with suppress(BackendUnavailable) if log.resends else nullcontext():
            await app.emit_event("paid", {"order": 2})
        await wait_until(lambda: failure.struck == 2)
        await wait_until(lambda: 2 in seen)
        await app.emit_event("paid", {"order": 3})
        await wait_until(lambda: 3 in seen)
        assert len(await entries_of_type(app, EventEmitted)) == 3
        assert len(await entries_of_type(app, TriggerFired)) == 3
        assert runner.failed is None
    assert seen == [1, 2, 3]


async def test_work_is_not_lost_with_the_reply_to_its_claim(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    async with app, app.runner():
        faults.fail("claim", after=True)
        invocation = await double(21)
        await wait_until(lambda: is_running(invocation))
        faults.clear()
        assert await invocation.result(timeout=60) == 42
        assert await statuses(app, invocation) == ["registered", "pending", "running", "success"]


async def test_emitting_raises_if_the_backend_stays_unavailable(make_app: MakeApp) -> None:
    app, faults, _ = shop(make_app)
    async with app:
        await app.emit_event("paid", {"order": 1})
        faults.fail("append")
        with pytest.raises(BackendUnavailable, match="an injected fault"):
            await app.emit_event("paid", {"order": 2})
        faults.clear()
        assert len(await entries_of_type(app, EventEmitted)) == 1


async def test_entering_a_runner_raises_if_the_backend_is_unavailable(make_app: MakeApp) -> None:
    app, faults, _ = shop(make_app)
    faults.fail("*")
    async with app:
        with pytest.raises(BackendUnavailable):
            async with app.runner():
                pass


async def test_a_result_is_settled_when_the_backend_is_back(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)
    work, gate = gated_task(app)

    async with app, app.runner():
        invocation = await work()
        await wait_until(lambda: is_running(invocation))
        faults.fail("append")
        appends = faults.calls["append"]
        gate.set()
        await wait_until(lambda: faults.calls["append"] > appends + 3)
        faults.clear()
        assert await invocation.result(timeout=60) == "done"
        assert await statuses(app, invocation) == ["registered", "pending", "running", "success"]


async def test_a_runner_ends_even_if_the_backend_stays_unavailable(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trigger_engine._runtime.worker.worker._FINAL_SETTLE_TIMEOUT", 0.2)
    app = make_app(shutdown_timeout=0.1)
    faults = inject_faults(app)

    @app.task
    async def endless() -> None:
        await asyncio.Event().wait()

    async with app:
        async with asyncio.timeout(10), app.runner() as runner:
            invocation = await endless()
            await wait_until(lambda: is_running(invocation))
            faults.fail("*")
        assert runner.failed is None
        faults.clear()
        assert await invocation.status() is InvocationStatus.RUNNING
        async with app.runner():
            await wait_until(lambda: _handed_over(app, invocation.invocation_id))
            await invocation.cancel()
    assert any("recovery will" in record.message for record in caplog.records)


async def test_waiting_for_a_result_survives_an_outage(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)
    work, gate = gated_task(app)

    async with app, app.runner():
        invocation = await work()
        await wait_until(lambda: is_running(invocation))
        waiting = asyncio.create_task(invocation.result(timeout=60))
        await asyncio.sleep(0)
        faults.fail("follow")
        follows = faults.calls["follow"]
        await wait_until(lambda: faults.calls["follow"] > follows + 2)
        faults.clear()
        gate.set()
        assert await waiting == "done"


async def test_a_result_that_the_backend_refuses_fails_the_task(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)
    calls = 0

    @app.task
    async def work() -> str:
        nonlocal calls
        calls += 1
        return "too much for this backend"

    def refusal() -> PayloadTooLarge:
        return PayloadTooLarge("the backend takes no entry of this size")

    async with app, app.runner() as runner:
        faults.fail("append", error=refusal, entries=Succeeded)
        invocation = await work()
        with pytest.raises(TaskFailed, match="the backend takes no entry of this size") as failed:
            await invocation.result(timeout=60)
        assert failed.value.exception_type == "PayloadTooLarge"
        assert runner.failed is None
    assert calls == 1


async def test_a_fatal_error_ends_the_runner_but_not_its_host(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app, faults, _ = shop(make_app)
    host_went_on = False
    async with app:
        with pytest.raises(ZeroDivisionError):
            async with app.runner() as runner:
                faults.fail("follow", error=ZeroDivisionError)
                await runner.wait_ended()
                assert isinstance(runner.failed, ZeroDivisionError)
                await asyncio.sleep(0)
                host_went_on = True
        faults.clear()
        await app.emit_event("paid", {"order": 1})
    assert host_went_on
    assert any("failed" in record.message and record.levelno == logging.ERROR for record in caplog.records)


async def test_running_tasks_are_handed_back_when_the_runner_fails(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)

    @app.task
    async def endless() -> None:
        await asyncio.Event().wait()

    async with app:
        with pytest.raises(ZeroDivisionError):
            async with app.runner() as runner:
                invocation = await endless()
                await wait_until(lambda: is_running(invocation))
                faults.fail("follow", error=ZeroDivisionError)
                await runner.wait_ended()
        assert await invocation.status() is InvocationStatus.REGISTERED


async def test_a_leader_replaced_during_a_step_continues_to_work(make_app: MakeApp) -> None:
    app, faults, seen = shop(make_app, lease_ttl=2.0)

    @app.task(triggers=TriggerBuilder().on_cron("* * * * * *"))
    async def every_second() -> None:
        pass

    async with app, app.runner() as runner:
        log = (await app._internals.connections.session()).log
        lost = asyncio.Event()
        elections: list[LeaderElected] = []

        async def taken_away() -> bool:
            await log.release("match", runner.runner_id)
            return await log.acquire("match", "somebody else", ttl=1.5)

        async def lose_the_lease() -> None:
            try:
                elections.extend(await entries_of_type(app, LeaderElected))
                await wait_until(taken_away)
                renewals = faults.calls["acquire"]
                await wait_until(lambda: faults.calls["acquire"] > renewals)
            finally:
                lost.set()  # a concurrent renewal may cancel this step

        faults.call("append", behaviour=lose_the_lease, entries=CronTicked, times=1)
        await wait_until(lost.is_set)
        await wait_until(lambda: _elected_again(app, elections))
        await app.emit_event("paid", {"order": 1})
        await wait_until(lambda: seen == [1])
        assert runner.failed is None


async def test_waiting_for_a_result_times_out_during_an_outage(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)

    @app.task
    async def work() -> None:
        pass

    async with app:
        invocation = await work()
        faults.fail("follow")
        with pytest.raises(ResultTimeout):
            await invocation.result(timeout=0.05)


async def _elected_again(app: TriggerEngine, before: list[LeaderElected]) -> bool:
    # On a busy machine a lease may expire more than once.
    return len(await entries_of_type(app, LeaderElected)) > len(before)


async def _handed_over(app: TriggerEngine, invocation_id: str) -> bool:
    return (await statuses(app, invocation_id)).count("running") == 2
