"""Entering, exiting and stopping a runner; its lifespan; errors that prevent its start."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.support.apps import MakeApp
from tests.support.reading import is_running, statuses
from tests.support.waiting import wait_until
from trigger_engine import InvocationStatus, TriggerBuilder, TriggerEngine
from trigger_engine.backend._contract import RunnerRow
from trigger_engine.testing import inject_faults


async def runners(app: TriggerEngine) -> list[RunnerRow]:
    return await (await app._internals.connections.session()).log.runners()


async def test_a_runner_is_listed_with_its_facts_while_it_is_up(make_app: MakeApp) -> None:
    app = make_app(queues=["fast"], concurrency=7, version="1.2.3")

    @app.task(triggers=TriggerBuilder().on_event("a"))
    async def follow() -> None:
        pass

    async with app:
        async with app.runner() as runner:
            (row,) = await runners(app)
            assert row.alive
            facts = row.facts
            assert (facts.runner_id, facts.tasks, facts.queues) == (runner.runner_id, (follow.task_id,), ("fast",))
            assert (facts.concurrency, facts.version) == (7, "1.2.3")
            assert [slot for slot, _ in facts.triggers] == [f"{follow.task_id}#0"]
            assert facts.code_time > 1_600_000_000
        assert await runners(app) == []


async def test_a_runner_keeps_sending_heartbeats(make_app: MakeApp) -> None:
    app = make_app(heartbeat_interval=0.02)
    async with app, app.runner():
        first = (await runners(app))[0].last_seen
        await wait_until(lambda: _seen_after(app, first))


async def test_a_runner_may_be_entered_and_exited_in_different_tasks(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    runner = app.runner()
    await asyncio.create_task(app.__aenter__())
    await asyncio.create_task(runner.__aenter__())
    assert await (await double(4)).result(timeout=60) == 8
    await asyncio.create_task(runner.__aexit__(None, None, None))
    await asyncio.create_task(app.__aexit__(None, None, None))


async def test_a_runner_cannot_be_entered_twice(make_app: MakeApp) -> None:
    app = make_app()
    async with app:
        runner = app.runner()
        async with runner:
            with pytest.raises(RuntimeError, match="cannot be entered twice"):
                await runner.__aenter__()


async def test_an_app_may_be_entered_more_than_once(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    async with app, app.runner():
        async with app:
            assert await (await double(1)).result(timeout=60) == 2
        assert await (await double(2)).result(timeout=60) == 4
    async with app, app.runner():
        assert await (await double(3)).result(timeout=60) == 6


async def test_a_runner_works_without_entering_the_app(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    async with app.runner():
        assert await (await double(4)).result(timeout=60) == 8


async def test_the_lifespan_surrounds_every_task(make_app: MakeApp) -> None:
    happened: list[str] = []

    @asynccontextmanager
    async def lifespan(app: TriggerEngine) -> AsyncIterator[None]:
        happened.append("entered")
        await asyncio.sleep(0.01)
        happened.append("ready")
        yield
        happened.append("left")

    app = make_app(lifespan=lifespan)

    gate = asyncio.Event()

    @app.task
    async def work() -> None:
        happened.append("begun")
        await gate.wait()
        happened.append("done")

    async with app:
        invocation = await work()
        runner = await app.runner().__aenter__()
        assert happened[:2] == ["entered", "ready"]
        await wait_until(lambda: "begun" in happened)
        leaving = asyncio.create_task(runner.__aexit__(None, None, None))
        await wait_until(runner._stopping.is_set)
        gate.set()
        await leaving
        assert await invocation.status() is InvocationStatus.SUCCESS
    assert happened == ["entered", "ready", "begun", "done", "left"]


async def test_each_runner_has_its_own_lifespan(make_app: MakeApp) -> None:
    entered: list[TriggerEngine] = []

    @asynccontextmanager
    async def lifespan(app: TriggerEngine) -> AsyncIterator[None]:
        entered.append(app)
        yield
        entered.pop()

    app = make_app(lifespan=lifespan)
    async with app, app.runner(), app.runner():
        assert entered == [app, app]
    assert entered == []


async def test_a_failing_lifespan_stops_the_start(make_app: MakeApp) -> None:
    @asynccontextmanager
    async def lifespan(app: TriggerEngine) -> AsyncIterator[None]:
        if app.app_id:
            raise LookupError("no database")
        yield

    app = make_app(lifespan=lifespan)
    async with app:
        with pytest.raises(LookupError, match="no database"):
            async with app.runner():
                pass
        assert await runners(app) == []


async def test_an_error_at_the_end_of_the_lifespan_is_raised_at_exit(make_app: MakeApp) -> None:
    @asynccontextmanager
    async def lifespan(app: TriggerEngine) -> AsyncIterator[None]:
        yield
        raise LookupError("cannot close")

    app = make_app(lifespan=lifespan)
    async with app:
        with pytest.raises(LookupError, match="cannot close"):
            async with app.runner():
                pass


async def test_entering_can_be_cancelled_while_the_lifespan_hangs(make_app: MakeApp) -> None:
    left = asyncio.Event()

    @asynccontextmanager
    async def lifespan(app: TriggerEngine) -> AsyncIterator[None]:
        try:
            await asyncio.Event().wait()
            yield
        finally:
            left.set()

    app = make_app(lifespan=lifespan)
    async with app, asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), app.runner():
                pass
        assert left.is_set()


async def test_a_stopping_runner_lets_its_tasks_finish_and_claims_no_more(make_app: MakeApp) -> None:
    app = make_app(concurrency=1)
    begun, gate = asyncio.Event(), asyncio.Event()

    @app.task
    async def work() -> None:
        begun.set()
        await gate.wait()

    async with app:
        runner = await app.runner().__aenter__()
        first, second = await work(), await work()
        await begun.wait()
        leaving = asyncio.create_task(runner.__aexit__(None, None, None))
        await asyncio.sleep(0)
        gate.set()
        await leaving
        assert await first.status() is InvocationStatus.SUCCESS
        assert await second.status() is InvocationStatus.REGISTERED


async def test_unfinished_tasks_are_handed_back_as_the_same_attempt(make_app: MakeApp) -> None:
    app = make_app(shutdown_timeout=0.05, max_recoveries=0)
    gate = asyncio.Event()

    @app.task
    async def work() -> str:
        await gate.wait()
        return "done"

    async with app:
        invocation = await work()
        for _ in range(3):
            async with app.runner():
                await wait_until(lambda: is_running(invocation))
            assert await invocation.status() is InvocationStatus.REGISTERED
        gate.set()
        async with app.runner():
            assert await invocation.result(timeout=60) == "done"
        seen = await statuses(app, invocation)
    assert seen == [*["registered", "pending", "running"] * 4, "success"]


async def test_a_task_that_ignores_its_cancellation_does_not_block_shutdown(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for the hand-back that follows, even on a server that waits for its disk.
    monkeypatch.setattr("trigger_engine._runtime.worker.worker._FINAL_SETTLE_TIMEOUT", 0.5)
    app = make_app(shutdown_timeout=0.05)
    ended = asyncio.Event()

    @app.task
    async def stubborn() -> None:
        while not ended.is_set():
            with suppress(asyncio.CancelledError):
                await ended.wait()

    try:
        async with app:
            async with asyncio.timeout(5), app.runner():
                invocation = await stubborn()
                await wait_until(lambda: is_running(invocation))
            assert await invocation.status() is InvocationStatus.REGISTERED
    finally:
        ended.set()


async def test_a_second_cancel_ends_a_graceful_shutdown(make_app: MakeApp) -> None:
    app = make_app(shutdown_timeout=60.0)

    @app.task
    async def endless() -> None:
        await asyncio.Event().wait()

    runner = app.runner()

    async def host() -> None:
        async with runner:
            await asyncio.Event().wait()

    async with app:
        invocation = await endless()
        running = asyncio.create_task(host())
        await wait_until(lambda: is_running(invocation))
        running.cancel()
        await wait_until(runner._stopping.is_set)
        assert not running.done()
        running.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([running])
        assert running.cancelled()
        assert await invocation.status() is InvocationStatus.REGISTERED


async def test_app_run_stops_gracefully_when_cancelled(make_app: MakeApp) -> None:
    app = make_app(shutdown_timeout=0.05)

    @app.task
    async def endless() -> None:
        await asyncio.Event().wait()

    async with app:
        invocation = await endless()
        running = asyncio.create_task(app.run())
        await wait_until(lambda: is_running(invocation))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await invocation.status() is InvocationStatus.REGISTERED
        assert await runners(app) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_app_run_stops_at_a_signal_and_restores_the_handlers(make_app: MakeApp, number: signal.Signals) -> None:
    app = make_app()

    @app.task
    async def quick() -> None:
        pass

    former = signal.getsignal(number)
    async with app:
        running = asyncio.create_task(app.run())
        await (await quick()).result(timeout=60)
        assert signal.getsignal(number) is not former
        signal.raise_signal(number)
        async with asyncio.timeout(5):
            await running
        assert await runners(app) == []
    assert signal.getsignal(number) is former


async def test_app_run_stops_at_a_signal_without_loop_handlers(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loops of Windows."""

    def refuse(*args: object) -> None:
        raise NotImplementedError

    app = make_app()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_signal_handler", refuse)
    monkeypatch.setattr(loop, "remove_signal_handler", refuse)

    @app.task
    async def quick() -> None:
        pass

    former = signal.getsignal(signal.SIGINT)
    async with app:
        running = asyncio.create_task(app.run())
        await (await quick()).result(timeout=60)
        signal.raise_signal(signal.SIGINT)
        async with asyncio.timeout(5):
            await running
    assert signal.getsignal(signal.SIGINT) is former


async def test_a_second_signal_hands_back_running_tasks(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app = make_app(shutdown_timeout=60.0)

    @app.task
    async def endless() -> None:
        await asyncio.Event().wait()

    async with app:
        invocation = await endless()
        running = asyncio.create_task(app.run())
        await wait_until(lambda: is_running(invocation))
        signal.raise_signal(signal.SIGTERM)
        await wait_until(lambda: any("no more work is claimed" in record.message for record in caplog.records))
        assert not running.done()
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            await running
        assert await invocation.status() is InvocationStatus.REGISTERED


async def test_a_signal_ends_a_run_whose_lifespan_hangs(make_app: MakeApp) -> None:
    entered = asyncio.Event()

    @asynccontextmanager
    async def lifespan(app: TriggerEngine) -> AsyncIterator[None]:
        entered.set()
        await asyncio.Event().wait()
        yield

    app = make_app(lifespan=lifespan)
    async with app:
        running = asyncio.create_task(app.run())
        await asyncio.wait_for(entered.wait(), 5)
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            await running


async def test_a_runner_inside_a_host_installs_no_handlers(make_app: MakeApp) -> None:
    app = make_app()
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    async with app, app.runner():
        assert {number: signal.getsignal(number) for number in former} == former


async def test_app_run_works_in_another_thread_without_handlers(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[int] = []

    @app.task
    async def note(x: int) -> None:
        seen.append(x)

    async def host() -> None:
        async with app:
            await note(1)
            running = asyncio.create_task(app.run())
            await wait_until(lambda: seen)
            running.cancel()
            await asyncio.wait([running])

    await asyncio.to_thread(asyncio.run, host())
    assert seen == [1]


async def test_app_run_raises_the_error_of_the_runner(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)

    async with app:
        running = asyncio.create_task(app.run())
        await wait_until(lambda: faults.calls["claim"])
        faults.fail("follow", error=ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            await running


async def _seen_after(app: TriggerEngine, moment: float) -> bool:
    return (await runners(app))[0].last_seen > moment
