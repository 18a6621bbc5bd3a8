"""TestEngine: an app on memory and a clock that the test steers."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import child_tasks
from tests.support.apps import on_memory, on_sqlite
from tests.support.reading import statuses
from trigger_engine import (
    ConfigError,
    EventContext,
    InvocationStatus,
    ResultContext,
    TriggerBuilder,
    TriggerEngine,
)
from trigger_engine.testing import StuckTask, TestEngine, UnexpectedFailure


def is_admin(payload: Mapping[str, Any]) -> bool:
    return bool(payload["role"] == "admin")


def user_of(context: EventContext) -> dict[str, Any]:
    return {"user": context.payload["user"]}


def raising(context: EventContext) -> dict[str, Any]:
    raise LookupError("no such user")


def value_of(context: ResultContext) -> dict[str, Any]:
    return {"value": context.result}


async def test_emit_runs_everything_that_follows() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_event("login", is_admin).with_args_from_event(user_of))
    async def greet(user: str) -> str:
        return f"hello {user}"

    @app.task(triggers=TriggerBuilder().on_any_result(greet).with_args_from_result(value_of))
    def note(value: str) -> None:
        pass

    async with TestEngine(app) as engine:
        await app.emit_event("login", {"role": "admin", "user": "ada"})
        await app.emit_event("login", {"role": "guest", "user": "bob"})
        assert engine.calls(greet) == []
        await engine.run_until_idle()
        assert engine.calls(greet) == [{"user": "ada"}]
        assert engine.calls(note) == [{"value": "hello ada"}]
        assert engine.calls(note.task_id) == [{"value": "hello ada"}]
        assert [run.task_id for run in engine.runs()] == [greet.task_id, note.task_id]
        (run,) = engine.runs(note)
        assert run.arguments == {"value": "hello ada"}
        assert run.trigger_id == app._internals.registry.triggers[f"{note.task_id}#0"].id
        assert len(run.participants) == 1
        assert engine.failures() == []
        assert engine.rejected() == []


async def test_tasks_run_only_inside_calls_of_the_engine() -> None:
    app = on_memory()
    ran: list[int] = []

    @app.task
    async def note() -> None:
        ran.append(1)

    async with TestEngine(app) as engine:
        invocation = await note()
        for _ in range(20):
            await asyncio.sleep(0)
        assert ran == []
        assert await invocation.status() is InvocationStatus.REGISTERED
        await engine.run_until_idle()
        assert ran == [1]
        await invocation.result(timeout=60)


async def test_calls_are_listed_in_the_order_in_which_they_ended() -> None:
    app = on_memory()

    @app.task
    async def work(name: str, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async with TestEngine(app) as engine:
        await work("slow", 50)
        await work("quick", 1)
        await engine.run_until_idle()
        assert [call["name"] for call in engine.calls(work)] == ["quick", "slow"]


async def test_a_task_at_a_gate_is_left_running_and_goes_on_later() -> None:
    app = on_memory()
    gate = asyncio.Event()

    @app.task
    async def wait_at_gate(name: str) -> None:
        await gate.wait()

    @app.task
    async def quick() -> None:
        pass

    async with TestEngine(app, patience=0.1) as engine:
        invocation = await wait_at_gate("a")
        await engine.run_until_idle()
        assert await invocation.status() is InvocationStatus.RUNNING
        await quick()
        await engine.run_until_idle()
        assert len(engine.calls(quick)) == 1
        assert engine.calls(wait_at_gate) == []
        gate.set()
        await engine.run_until_idle()
        assert engine.calls(wait_at_gate) == [{"name": "a"}]


async def test_task_past_its_gate_is_waited_for() -> None:
    app = on_memory()
    gate = asyncio.Event()

    @app.task
    async def wait_at_gate() -> None:
        await gate.wait()
        await asyncio.sleep(0.1)

    async with TestEngine(app, patience=0.5) as engine:
        await wait_at_gate()
        await engine.run_until_idle()
        gate.set()
        await engine.run_until_idle()
        assert len(engine.calls(wait_at_gate)) == 1


async def test_second_wait_at_a_gate_is_short() -> None:
    app = on_memory()

    @app.task
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    async with TestEngine(app, patience=0.2) as engine:
        await wait_for_ever()
        await engine.run_until_idle()
        begun = asyncio.get_running_loop().time()
        for _ in range(20):
            await engine.advance(minutes=1)
        assert asyncio.get_running_loop().time() - begun < 20 * 0.2


async def test_def_tasks_are_waited_for() -> None:
    app = on_memory()

    @app.task
    def slow() -> str:
        threading.Event().wait(0.2)
        return app.sync.emit_event("done", {"user": "ada"})

    @app.task(triggers=TriggerBuilder().on_event("done").with_args_from_event(user_of))
    def after(user: str) -> None:
        pass

    async with TestEngine(app, patience=0.01) as engine:
        await slow()
        await engine.run_until_idle()
        assert engine.calls(after) == [{"user": "ada"}]


@pytest.mark.timeout(20)
async def test_def_task_that_never_ends_is_reported() -> None:
    app = on_memory()
    gate = threading.Event()

    @app.task(task_id="stuck")
    def stuck() -> None:
        gate.wait()

    engine = TestEngine(app, stuck_after=0.05)
    with pytest.raises(StuckTask, match=r"invocation:\w+ of stuck is still running, and nothing ended for 0\.05 s"):
        async with engine:
            await stuck()
            await engine.run_until_idle()
    gate.set()


async def test_a_def_task_with_a_timeout_waits_for_the_clock() -> None:
    app = on_memory()
    gate = threading.Event()

    @app.task(timeout=60)
    def stuck() -> None:
        gate.wait()

    async with TestEngine(app, patience=0.02, stuck_after=0.01, allow_failures=True) as engine:
        await stuck()
        await engine.run_until_idle()
        assert engine.failures() == []
        await engine.advance(minutes=1)
        assert [failure.exception_type for failure in engine.failures()] == ["TaskTimeout"]
    gate.set()


async def test_tasks_in_child_processes_are_waited_for() -> None:
    async with TestEngine(child_tasks.app, patience=0.01) as engine:
        for x in range(4):
            await child_tasks.double(x)
        await child_tasks.emit("told", 2)
        await engine.run_until_idle()
        assert sorted(call["x"] for call in engine.calls(child_tasks.double)) == [0, 1, 2, 3]
        assert len(engine.calls(child_tasks.emit)) == 1


async def test_a_task_may_wait_for_another() -> None:
    app = on_memory()

    @app.task
    async def inner() -> int:
        return 1

    @app.task
    async def outer() -> int:
        return 1 + await (await inner()).result()

    async with TestEngine(app) as engine:
        invocation = await outer()
        await engine.run_until_idle()
        assert await invocation.result() == 2


async def test_a_test_may_wait_while_the_engine_runs() -> None:
    app = on_memory()

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    async with TestEngine(app) as engine:
        waiting = asyncio.create_task((await double(4)).result(timeout=60))
        await engine.run_until_idle()
        assert await waiting == 8


async def test_more_than_the_concurrency_is_run_in_turns() -> None:
    app = on_memory(concurrency=2)

    @app.task
    async def work(n: int) -> None:
        await asyncio.sleep(0)

    async with TestEngine(app) as engine:
        for n in range(9):
            await work(n)
        await engine.run_until_idle()
        assert len(engine.calls(work)) == 9


async def test_an_unexpected_failure_is_raised_at_exit() -> None:
    app = on_memory()

    @app.task
    async def fail() -> None:
        raise ValueError("no luck")

    with pytest.raises(UnexpectedFailure, match="ValueError: no luck") as caught:
        async with TestEngine(app) as engine:
            await fail()
            await engine.run_until_idle()
            (failure,) = engine.failures()
            assert (failure.exception_type, failure.exception_message) == ("ValueError", "no luck")
    assert "raise ValueError" in str(caught.value), "the traceback is shown"
    assert "allow_failures=True" in str(caught.value)
    assert isinstance(caught.value, AssertionError)


async def test_an_unexpected_rejection_is_raised_at_exit() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_event("login").with_args_from_event(raising))
    async def greet(user: str) -> None:
        pass

    with pytest.raises(UnexpectedFailure, match="LookupError: no such user"):
        async with TestEngine(app) as engine:
            await app.emit_event("login")
            await engine.run_until_idle()
            (rejected,) = engine.rejected()
            assert rejected.task_id == greet.task_id
            assert "no such user" in rejected.error
            assert engine.runs() == []


async def test_expected_failures_are_allowed() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_event("login").with_args_from_event(raising))
    async def greet(user: str) -> None:
        pass

    @app.task
    async def fail() -> None:
        raise ValueError("no luck")

    async with TestEngine(app, allow_failures=True) as engine:
        await fail()
        await app.emit_event("login")
        await engine.run_until_idle()
        assert len(engine.failures()) == len(engine.rejected()) == 1


async def test_an_error_of_the_test_itself_is_not_hidden() -> None:
    app = on_memory()

    @app.task
    async def fail() -> None:
        raise ValueError("no luck")

    with pytest.raises(ZeroDivisionError):
        async with TestEngine(app) as engine:
            await fail()
            await engine.run_until_idle()
            raise ZeroDivisionError


async def test_a_filter_that_fails_is_not_met() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_event("login", is_admin))
    async def greet() -> None:
        pass

    async with TestEngine(app) as engine:
        await app.emit_event("login", {})
        await engine.run_until_idle()
        assert engine.calls(greet) == []


async def test_the_app_is_back_on_its_own_backend_afterwards(tmp_path: Path) -> None:
    app = on_sqlite(tmp_path / "own.db")

    @app.task
    async def double(x: int) -> int:
        return 2 * x

    own = app._internals.connections
    async with app:
        before = await double(1)
        async with TestEngine(app) as engine:
            assert app._internals.connections is not own
            inside = await double(2)
            await engine.run_until_idle()
            assert await inside.result() == 4
        assert app._internals.connections is own
        assert await before.status() is InvocationStatus.REGISTERED
        async with app.runner():
            assert await before.result(timeout=60) == 2
            assert await statuses(app, inside) == []


async def test_the_app_is_back_also_after_a_failed_start() -> None:
    @asynccontextmanager
    async def lifespan(app: TriggerEngine) -> AsyncIterator[None]:
        if app.app_id:
            raise LookupError("no database")
        yield

    app = on_memory(lifespan=lifespan)
    own = app._internals.connections
    with pytest.raises(LookupError, match="no database"):
        async with TestEngine(app):
            pass
    assert app._internals.connections is own


async def test_listed_modules_are_imported() -> None:
    app = on_memory(trigger_task_modules=["no_such_module"])
    with pytest.raises(ConfigError, match="no_such_module"):
        async with TestEngine(app):
            pass


async def test_the_lifespan_is_entered_and_left() -> None:
    happened: list[str] = []

    @asynccontextmanager
    async def lifespan(app: TriggerEngine) -> AsyncIterator[None]:
        happened.append("entered")
        yield
        happened.append("left")

    app = on_memory(lifespan=lifespan)

    @app.task
    async def work() -> None:
        happened.append("worked")

    async with TestEngine(app) as engine:
        await work()
        await engine.run_until_idle()
    assert happened == ["entered", "worked", "left"]


async def test_each_engine_begins_with_nothing() -> None:
    app = on_memory()

    @app.task
    async def work() -> None:
        pass

    for _ in range(3):
        async with TestEngine(app) as engine:
            await work()
            await engine.run_until_idle()
            assert len(engine.calls(work)) == 1


async def test_engine_may_be_entered_and_left_in_different_tasks() -> None:
    app = on_memory()

    @app.task
    async def work() -> None:
        pass

    engine = await asyncio.create_task(TestEngine(app).__aenter__())
    await work()
    await asyncio.create_task(engine.run_until_idle())
    assert len(engine.calls(work)) == 1
    await asyncio.create_task(engine.__aexit__(None, None, None))


async def test_tasks_left_at_a_gate_are_stopped_at_exit() -> None:
    app = on_memory()
    stopped: list[str] = []

    @app.task
    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("stopped")

    async with TestEngine(app, patience=0.02) as engine:
        await wait_for_ever()
        await engine.run_until_idle()
    assert stopped == ["stopped"]


def test_pytest_does_not_collect_the_engine() -> None:
    assert TestEngine.__test__ is False
