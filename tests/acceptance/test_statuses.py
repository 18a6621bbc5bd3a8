"""Reactions to statuses: which can be named and how, and what each of them tells."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.driving import driven
from tests.support.apps import MakeApp, on_memory
from tests.support.reading import is_running
from tests.support.waiting import wait_until
from trigger_engine import InvocationStatus, StatusContext, TriggerBuilder
from trigger_engine.testing import TestEngine


def status_of(ctx: StatusContext) -> dict[str, Any]:
    return {"status": ctx.status}


def everything_of(ctx: StatusContext) -> dict[str, Any]:
    return {
        "invocation_id": ctx.invocation_id,
        "task_id": ctx.task_id,
        "arguments": ctx.arguments.kwargs,
        "status": ctx.status,
        "timestamp": ctx.timestamp,
    }


WRITTEN: list[Any] = [
    InvocationStatus.SUCCESS,
    [InvocationStatus.SUCCESS],
    "SUCCESS",
    "success",
    "Success",
    ["sUcCeSs"],
    ("SUCCESS", InvocationStatus.SUCCESS),
    {"SUCCESS", "FAILED"},
    ["failed", InvocationStatus.SUCCESS],
]


async def test_status_may_be_given_as_member_or_name_in_any_case(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def work() -> None:
        pass

    reactions = []
    for place, statuses in enumerate(WRITTEN):

        @app.task(task_id=f"react.{place}", triggers=TriggerBuilder().on_status(work, statuses))
        async def react() -> None:
            pass

        reactions.append(react)

    async with driven(app) as happened:
        await work()
        await happened.settle()
        assert [await happened.count(react) for react in reactions] == [1] * len(WRITTEN)


async def test_on_status_defaults_to_success(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def work(number: int) -> float:
        return 1 / number

    @app.task(triggers=TriggerBuilder().on_status(work))
    async def after_success() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(work, statuses="failed"))
    async def after_failure() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(work, statuses=["SUCCESS", "FAILED"]))
    async def after_either() -> None:
        pass

    async with driven(app) as happened:
        for number in (1, 2, 0):
            await work(number)
        await happened.settle()
        counts = [await happened.count(task) for task in (after_success, after_failure, after_either)]
    assert counts == [2, 1, 3]


@pytest.mark.parametrize("status", list(InvocationStatus))
async def test_every_status_can_be_reacted_to(make_app: MakeApp, status: InvocationStatus) -> None:
    app = make_app()
    attempts: list[int] = []

    @app.task(max_retries=1)
    async def succeeds_at_last() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError("not yet")

    @app.task
    async def fails() -> None:
        raise ValueError("never")

    @app.task
    async def goes_on() -> None:
        await asyncio.sleep(60)

    reaction = TriggerBuilder()
    for task in (succeeds_at_last, fails, goes_on):
        reaction = reaction.on_status(task, status.name)

    @app.task(triggers=reaction.with_logic("or").with_args_from_status(status_of))
    async def react(status: InvocationStatus) -> None:
        pass

    async with driven(app) as happened:
        invocations = [await succeeds_at_last(), await fails(), await goes_on()]
        await wait_until(lambda: is_running(invocations[2]))
        await invocations[2].cancel()
        await happened.settle()
        calls = await happened.calls(react)
    reached = {"registered": 3, "pending": 4, "running": 4, "retry": 1, "success": 1, "failed": 1, "cancelled": 1}
    assert calls == [{"status": status}] * reached[status]


async def test_status_context_has_task_arguments_and_time(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def work(room: str, floor: int = 3) -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(work).with_args_from_status(everything_of))
    async def react(
        invocation_id: str, task_id: str, arguments: dict[str, Any], status: InvocationStatus, timestamp: datetime
    ) -> None:
        pass

    async with driven(app) as happened:
        begun = datetime.now(UTC)
        invocation = await work("attic")
        await happened.settle()
        (call,) = await happened.calls(react)
    assert begun - timedelta(seconds=1) < call.pop("timestamp") < datetime.now(UTC)
    assert call == {
        "invocation_id": invocation.invocation_id,
        "task_id": work.task_id,
        "arguments": {"room": "attic", "floor": 3},
        "status": "success",
    }


async def test_entry_that_reaches_two_statuses_fires_once(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def work() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(work, ["PENDING", "RUNNING"]))
    async def react() -> None:
        pass

    async with driven(app) as happened:
        await work()
        await happened.settle()
        assert await happened.count(react) == 1, "taken from the queue and started in one step"


async def test_each_repeated_attempt_has_a_retry_status() -> None:
    app = on_memory(retry_backoff=60.0, retry_backoff_max=3600.0)

    @app.task(max_retries=3, retry_for=ConnectionError)
    async def call_home(again: bool) -> None:
        raise ConnectionError("busy") if again else ValueError("wrong number")

    @app.task(triggers=TriggerBuilder().on_status(call_home, "RETRY", call_arguments={"again": True}))
    async def wait_a_little() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(call_home, "FAILED"))
    async def give_up() -> None:
        pass

    async with TestEngine(app, allow_failures=True) as engine:
        await call_home(again=False)
        await engine.run_until_idle()
        assert (len(engine.calls(wait_a_little)), len(engine.calls(give_up))) == (0, 1)
        await call_home(again=True)
        await engine.run_until_idle()
        assert (len(engine.calls(wait_a_little)), len(engine.calls(give_up))) == (1, 1)
        await engine.advance(hours=1)
        assert (len(engine.calls(wait_a_little)), len(engine.calls(give_up))) == (3, 2)


async def test_first_runner_reacts_to_an_earlier_cancellation(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def work() -> None:
        raise AssertionError("it was cancelled")

    @app.task(triggers=TriggerBuilder().on_status(work, "cancelled"))
    async def react() -> None:
        pass

    async with app:
        invocation = await work()
        assert await invocation.cancel()
        async with driven(app) as happened:
            await happened.settle()
            assert await happened.count(react) == 1


async def test_rerun_fires_triggers_like_any_invocation(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def work(number: int) -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(work, call_arguments={"number": 7}))
    async def react() -> None:
        pass

    async with driven(app) as happened:
        invocation = await work(7)
        await invocation.result(timeout=60)
        again = await invocation.rerun()
        await again.result(timeout=60)
        await happened.settle()
        assert await happened.count(react) == 2
