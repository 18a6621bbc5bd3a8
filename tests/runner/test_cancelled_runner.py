"""Runners that are cancelled, wholly or in one of their tasks: what they hold is given back, and nothing is left."""

import asyncio
from collections.abc import Callable

import anyio
import pytest

from tests.support.apps import MakeApp
from tests.support.reading import is_running
from tests.support.waiting import wait_until
from trigger_engine import InvocationStatus, TriggerBuilder, TriggerEngine
from trigger_engine.finishing import finish, outlast
from trigger_engine.runner import Runner
from trigger_engine.runner.leadership import LEASE
from trigger_engine.testing import inject_faults


def waiting(app: TriggerEngine) -> Callable[[], object]:
    """Declares a trigger and a task that does not end; calls the task."""

    @app.task(triggers=TriggerBuilder().on_event("paid"))
    async def wait() -> None:
        await asyncio.Event().wait()

    return wait


def left_behind(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    """The tasks that have come since then; what wakes an app's open log stays until that is closed."""
    return {task for task in asyncio.all_tasks() - before if not task.get_name().endswith("wake-up")}


async def nothing_is_held(app: TriggerEngine) -> bool:
    """No runner's row, no lease, no claim."""
    log = (await app._connections.session()).log
    free = await log.acquire(LEASE, "a probe", ttl=60.0)
    await log.release(LEASE, "a probe")
    return free and not [row for row in await log.runners() if row.alive] and not await log.orphans()


async def test_a_runner_whose_scope_is_cancelled_gives_everything_back(make_app: MakeApp) -> None:
    app = make_app(lease_ttl=60.0)
    wait = waiting(app)
    async with app:
        await app._connections.session()
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


async def test_an_app_whose_scope_is_cancelled_leaves_no_task(make_app: MakeApp) -> None:
    app = make_app()
    waiting(app)
    before = asyncio.all_tasks()
    with anyio.CancelScope() as scope:
        async with app, app.runner():
            scope.cancel()
            await asyncio.Event().wait()
    assert asyncio.all_tasks() - before == set()
    assert not app._connections._sessions


async def test_a_stop_that_is_cancelled_twice_gives_everything_back(make_app: MakeApp) -> None:
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


@pytest.mark.parametrize("part", ["run", "keep_lease", "_keep_beating"])
async def test_a_runner_of_which_a_part_is_cancelled_stops(make_app: MakeApp, part: str) -> None:
    app = make_app(lease_ttl=60.0)
    waiting(app)
    async with app:
        async with app.runner() as runner:
            cancelled = [task for task in asyncio.all_tasks() if part in _names(task)]
            assert cancelled
            for task in cancelled:
                task.cancel()
            await asyncio.wait_for(runner.wait_ended(), 10)
        assert runner.failed is None
        assert await nothing_is_held(app)


async def test_the_lease_is_given_back_though_the_last_checkpoint_fails(make_app: MakeApp) -> None:
    app = make_app(lease_ttl=60.0, checkpoint_interval=60.0)
    faults = inject_faults(app)
    waiting(app)
    async with app:
        async with app.runner():
            faults.fail("save_checkpoint")
        assert await nothing_is_held(app)


async def test_a_backend_that_hangs_does_not_keep_a_runner_from_ending(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for constant in ("leader.LAST_WORDS", "runner.LAST_WORDS", "worker._LAST_SETTLE"):
        monkeypatch.setattr(f"trigger_engine.runner.{constant}", 0.05)
    monkeypatch.setattr("trigger_engine.log.group_commit.CLOSE_SECONDS", 0.05)
    app = make_app(shutdown_timeout=0.0)
    faults = inject_faults(app)
    wait = waiting(app)
    async with asyncio.timeout(10), app, app.runner():
        invocation = await wait()  # type: ignore[misc]
        await wait_until(lambda: is_running(invocation))
        faults.hold("*")
    assert any("could not say goodbye: TimeoutError" in record.message for record in caplog.records)
    faults.mend()


async def test_clean_up_ends_before_its_cancelled_caller_does() -> None:
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


async def test_clean_up_gives_what_it_returns_and_raises() -> None:
    async def value(given: int) -> int:
        return 1 // given

    assert await finish(value(1)) == 1
    with pytest.raises(ZeroDivisionError):
        await finish(value(0))
    task = asyncio.create_task(value(0))
    await outlast(task)
    await outlast(task)
    assert isinstance(task.exception(), ZeroDivisionError)


def _names(task: asyncio.Task[object]) -> str:
    """The loop that a runner's task repeats."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    run = frame.f_locals.get("run") if frame is not None else None
    if run is not None and run.__name__ == "<lambda>":
        return "_keep_beating"
    return getattr(run, "__name__", "")


async def _is_stopping(app: TriggerEngine) -> bool:
    runners = [user for user in _runners(app) if user._stopping.is_set()]
    return bool(runners)


def _runners(app: TriggerEngine) -> list[Runner]:
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("trigger-engine runner:")]
    return [task.get_coro().cr_frame.f_locals["self"] for task in tasks]  # type: ignore[union-attr]
