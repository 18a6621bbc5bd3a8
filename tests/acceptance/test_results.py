"""Reactions to results: any of them, a certain one, one that passes a filter, and both kinds together."""

from typing import Any

import pytest

from tests.acceptance.driving import driven
from tests.support.apps import MakeApp
from trigger_engine import InvocationStatus, ResultContext, TriggerBuilder


def outcome_of(ctx: ResultContext) -> dict[str, Any]:
    return {"result": ctx.result, "error": ctx.exception_type, "message": ctx.exception_message}


async def test_on_any_result_fires_for_success_and_failure(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def share(cakes: float, guests: int) -> float:
        return cakes / guests

    @app.task(triggers=TriggerBuilder().on_any_result(share).with_args_from_result(outcome_of))
    def note(result: float | None, error: str | None, message: str | None) -> None:
        pass

    async with driven(app) as happened:
        await (await share(5, 2)).result(timeout=60)
        await share(1, 0)
        await happened.settle()
        success, failure = await happened.calls(note)
    assert success == {"result": 2.5, "error": None, "message": None}
    assert failure["message"].endswith("division by zero")
    assert failure | {"message": ""} == {"result": None, "error": "ZeroDivisionError", "message": ""}


async def test_on_result_fires_only_for_the_given_result(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def share(cakes: float, guests: int) -> float:
        return cakes / guests

    @app.task(triggers=TriggerBuilder().on_result(share, filter_result=2.5))
    def two_and_a_half() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_result(share, filter_result=2))
    def two() -> None:
        pass

    async with driven(app) as happened:
        for cakes, guests in ((5, 2), (4, 2), (5.0, 2), (1, 0), (25, 10)):
            await share(cakes, guests)
        await happened.settle()
        assert await happened.count(two_and_a_half) == 3
        assert await happened.count(two) == 1, "2.0 equals 2"


async def test_a_result_is_a_result_of_success_only(make_app: MakeApp) -> None:
    app = make_app()
    attempts: list[int] = []

    @app.task(max_retries=2)
    async def count_up() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionError("not yet")
        return len(attempts)

    @app.task
    async def nothing() -> None:
        raise ValueError("no result")

    @app.task(triggers=TriggerBuilder().on_result(count_up, 3))
    async def third() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_any_result(count_up))
    async def any_end() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_result(nothing, None))
    async def none() -> None:
        pass

    async with driven(app) as happened:
        await count_up()
        await nothing()
        await happened.settle()
        assert [await happened.count(task) for task in (third, any_end, none)] == [1, 1, 0]


async def test_a_cancelled_invocation_has_no_result(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def work() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_any_result(work))
    async def any_end() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_result(work, None))
    async def none() -> None:
        pass

    async with driven(app) as happened:
        invocation = await work.options(delay=3600)()
        assert await invocation.cancel()
        await happened.settle()
        assert [await happened.count(task) for task in (any_end, none)] == [0, 0]


@pytest.mark.parametrize(("logic", "expected"), [("and", 2), ("or", 3)])
async def test_status_and_result_of_one_task(make_app: MakeApp, logic: str, expected: int) -> None:
    app = make_app()

    @app.task
    def share(cakes: float, guests: int) -> float:
        return cakes / guests

    @app.task(
        triggers=TriggerBuilder()
        .on_status(share, statuses=[InvocationStatus.SUCCESS])
        .on_any_result(share)
        .with_logic(logic)
    )
    def react() -> str:
        return "met"

    async with driven(app) as happened:
        for guests in (2, 5, 0):
            await share(5, guests)
        await happened.settle()
        assert await happened.count(react) == expected, "an invocation that meets both starts one reaction"


async def test_result_that_contradicts_its_annotation_still_counts(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def measure() -> int:
        return "broken"  # type: ignore[return-value]

    @app.task(triggers=TriggerBuilder().on_result(measure, "broken"))
    async def repair() -> None:
        pass

    async with driven(app) as happened:
        await measure()
        await happened.settle()
        assert await happened.count(repair) == 1


async def test_unstorable_result_fails_the_invocation(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def measure() -> Any:
        return object()

    @app.task(triggers=TriggerBuilder().on_any_result(measure).with_args_from_result(outcome_of))
    async def note(result: Any, error: str | None, message: str | None) -> None:
        pass

    async with driven(app) as happened:
        await measure()
        await happened.settle()
        (call,) = await happened.calls(note)
    assert (call["result"], call["error"]) == (None, "SerializationError")
    assert measure.task_id in call["message"]
