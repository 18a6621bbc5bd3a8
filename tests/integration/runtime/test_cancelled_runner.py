"""Cancelled runners, and runners with a cancelled task, release what they hold and leave nothing behind."""

import asyncio
from collections.abc import Callable

import anyio
import pytest

from tests.support.apps import MakeApp
from tests.support.reading import is_running
from tests.support.waiting import wait_until
from trigger_engine import InvocationStatus, TriggerBuilder, TriggerEngine
from trigger_engine._finishing import finish, wait_until_done
from trigger_engine._runtime.leader.term import LEASE
from trigger_engine._runtime.runner import Runner
from trigger_engine.testing import inject_faults


def waiting(app: TriggerEngine) -> Callable[[], object]:
    """Declares a task with a trigger that does not end."""

    @app.task(triggers=TriggerBuilder().on_event("paid"))
    async def wait() -> None:
        await asyncio.Event().wait()

    return wait


def left_behind(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    """The tasks started since `before`, except those that belong to an open log."""
    return {task for task in asyncio.all_tasks() - before if not task.get_name().endswith("wake-up")}


async def nothing_is_held(app: TriggerEngine) -> bool:
    """Whether there is no live runner, no lease, and no claim."""
    log = (await app._internals.connections.session()).log
    free = await log.acquire(LEASE, "a probe", ttl=60.0)
    await log.release(LEASE, "a probe")
    return free and not [row for row in await log.runners() if row.alive] and not await log.orphans()


async def test_a_cancelled_runner_releases_everything(make_app: MakeApp) -> None:
    app = make_app(lease_ttl=60.0)
    wait = waiting(app)
    async with app:
        await app._internals.connections.session()
        before = asyncio.all_tasks()
        with anyio.CancelScope() as scope:
            async with app.runner():
                invocation = await wait()  # type: ignore[misc]
                await wait_until(lambda: is_running(invocation))
                scope.cancel()
                await asyncio.Event().wait()
        assert left_behind(before) == set()
        assert await nothing_is_held(app)
        assert await invocation.status() is InvocationStatus.REGISTERED


async def test_a_cancelled_app_leaves_no_task_behind(make_app: MakeApp) -> None:
    app = make_app()
    waiting(app)
    before = asyncio.all_tasks()
    with anyio.CancelScope() as scope:
        async with app, app.runner():
            scope.cancel()
            await asyncio.Event().wait()
    assert asyncio.all_tasks() - before == set()
    assert not app._internals.connections._sessions


async def test_a_stop_cancelled_twice_releases_everything(make_app: MakeApp) -> None:
    app = make_app(lease_ttl=60.0, shutdown_timeout=60.0)
    wait = waiting(app)
    async with app:
        invocation = await wait()  # type: ignore[misc]

        async def host() -> None:
            async with app.runner():
                await wait_until(lambda: is_running(invocation))

        hosting = asyncio.create_task(host())
        await wait_until(lambda: _is_stopping(app))
        hosting.cancel()
        await asyncio.sleep(0)
        hosting.cancel()
        await asyncio.wait([hosting])
        assert hosting.cancelled()
        assert await nothing_is_held(app)
        assert await invocation.status() is InvocationStatus.REGISTERED


@pytest.mark.parametrize("part", ["run", "keep_lease", "_send_heartbeats"])
async def test_a_runner_stops_when_one_of_its_tasks_is_cancelled(make_app: MakeApp, part: str) -> None:
    app = make_app(lease_ttl=60.0)
    waiting(app)
    async with app:
        async with app.runner() as runner:
            for task in await wait_until(lambda: [one for one in asyncio.all_tasks() if part in _names(one)]):
                task.cancel()
            await asyncio.wait_for(runner.wait_ended(), 60)
        assert runner.failed is None
        assert await nothing_is_held(app)


async def test_the_lease_is_released_even_if_the_last_checkpoint_fails(make_app: MakeApp) -> None:
    app = make_app(lease_ttl=60.0, checkpoint_interval=60.0)
    faults = inject_faults(app)
    waiting(app)
    async with app:
        async with app.runner():
            faults.fail("save_checkpoint")
        assert await nothing_is_held(app)


async def test_a_hanging_backend_does_not_block_shutdown(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for constant in (
        "leader.election.FINAL_CALL_TIMEOUT",
        "runner.FINAL_CALL_TIMEOUT",
        "worker.worker._FINAL_SETTLE_TIMEOUT",
    ):
        monkeypatch.setattr(f"trigger_engine._runtime.{constant}", 0.05)
    monkeypatch.setattr("trigger_engine._storage.group_commit.CLOSE_SECONDS", 0.05)
    app = make_app(shutdown_timeout=0.0)
    faults = inject_faults(app)
    wait = waiting(app)
    async with asyncio.timeout(60), app, app.runner():
        invocation = await wait()  # type: ignore[misc]
        await wait_until(lambda: is_running(invocation))
        faults.hold("*")
    assert any("could not deregister: TimeoutError" in record.message for record in caplog.records)
    faults.clear()


async def test_clean_up_completes_before_its_cancelled_caller() -> None:
    go, done = asyncio.Event(), asyncio.Event()

    async def clean_up() -> None:
        await go.wait()
        done.set()

    caller = asyncio.create_task(finish(clean_up()))
    for _ in range(3):
        await asyncio.sleep(0)
        caller.cancel()
    go.set()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert done.is_set()


async def test_clean_up_returns_and_raises() -> None:
    async def value(given: int) -> int:
        return 1 // given

    assert await finish(value(1)) == 1
    with pytest.raises(ZeroDivisionError):
        await finish(value(0))
    task = asyncio.create_task(value(0))
    await wait_until_done(task)
    await wait_until_done(task)
    assert isinstance(task.exception(), ZeroDivisionError)


def _names(task: asyncio.Task[object]) -> str:
    """The name of the loop that a runner's task repeats."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    run = frame.f_locals.get("run") if frame is not None else None
    if run is not None and run.__name__ == "<lambda>":
        return "_send_heartbeats"
    return getattr(run, "__name__", "")


async def _is_stopping(app: TriggerEngine) -> bool:
    runners = [user for user in _runners(app) if user._stopping.is_set()]
    return bool(runners)


def _runners(app: TriggerEngine) -> list[Runner]:
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("trigger-engine runner:")]
    return [task.get_coro().cr_frame.f_locals["self"] for task in tasks]  # type: ignore[union-attr]
