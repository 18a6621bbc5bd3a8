"""Reactions to exceptions: by name, by class, by a base class, several of them, or any."""

import asyncio
from typing import Any

import pytest

from tests.acceptance.driving import driven
from tests.support.apps import MakeApp, on_memory
from trigger_engine import ExceptionContext, InvocationStatus, TriggerBuilder
from trigger_engine.testing import TestEngine


class OvenError(Exception):
    pass


class TooHot(OvenError):
    pass


class Burnt(TooHot, ValueError):
    pass


def report_of(ctx: ExceptionContext) -> dict[str, Any]:
    given = ctx.arguments.kwargs
    return {
        "what": f"{given['kilos']} kg at {given['degrees']}",
        "kind": ctx.exception_type,
        "message": ctx.exception_message,
    }


def everything_of(ctx: ExceptionContext) -> dict[str, Any]:
    return {"told": [ctx.invocation_id, ctx.task_id, ctx.status, ctx.timestamp.tzname()]}


def bake_at(kilos: int, degrees: int) -> None:
    if degrees > 300:
        raise Burnt(f"{degrees} degrees")
    if degrees > 250:
        raise TooHot(f"{degrees} degrees")
    if degrees < 100:
        raise LookupError("the oven is off")
    if kilos == 0:
        raise ZeroDivisionError("nothing to bake")


DEGREES = (350, 260, 20, 200)


MEANT: list[tuple[Any, list[int]]] = [
    (None, [350, 260, 20]),
    ("Burnt", [350]),
    (Burnt, [350]),
    (["Burnt"], [350]),
    ("TooHot", [350, 260]),
    (TooHot, [350, 260]),
    (OvenError, [350, 260]),
    ("OvenError", [350, 260]),
    (ValueError, [350]),
    ([ValueError, "LookupError"], [350, 20]),
    ((KeyError, IndexError), []),
    ("Exception", [350, 260, 20]),
    (BaseException, [350, 260, 20]),
]


async def test_on_exception_selects_exceptions_by_type(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def bake(kilos: int, degrees: int) -> None:
        bake_at(kilos, degrees)

    reports = []
    for place, (exception_types, _) in enumerate(MEANT):
        trigger = TriggerBuilder().on_exception(bake, exception_types).with_args_from_exception(report_of)

        @app.task(task_id=f"report.{place}", triggers=trigger)
        def report(what: str, kind: str, message: str) -> None:
            pass

        reports.append(report)

    async with driven(app) as happened:
        for degrees in DEGREES:
            await bake(1, degrees)
        await happened.settle()
        reported = [sorted(call["what"] for call in await happened.calls(report)) for report in reports]
    assert reported == [sorted(f"1 kg at {degrees}" for degrees in expected) for _, expected in MEANT]


async def test_handler_gets_arguments_type_and_message(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def bake(kilos: int, degrees: int = 20) -> None:
        bake_at(kilos, degrees)

    @app.task(triggers=TriggerBuilder().on_exception(bake, "LookupError").with_args_from_exception(report_of))
    async def report(what: str, kind: str, message: str) -> str:
        return f"{what}: {kind}: {message}"

    async with driven(app) as happened:
        await bake(3)
        await happened.settle()
        (reported,) = await happened.invocations(report)
    assert reported.result == "3 kg at 20: LookupError: the oven is off"


async def test_each_handler_sees_its_own_exceptions(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def bake(kilos: int, degrees: int) -> None:
        bake_at(kilos, degrees)

    async def count(happened: Any, *tasks: Any) -> list[int]:
        return [await happened.count(task) for task in tasks]

    @app.task(triggers=TriggerBuilder().on_exception(bake, ZeroDivisionError))
    async def nothing_there() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_exception(bake, "OvenError", call_arguments={"kilos": 2}))
    async def two_kilos_too_hot() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_exception(bake))
    async def anything() -> None:
        pass

    async with driven(app) as happened:
        for kilos, degrees in ((0, 200), (1, 260), (2, 260), (2, 200), (5, 20)):
            await bake(kilos, degrees)
        await happened.settle()
        assert await count(happened, nothing_there, two_kilos_too_hot, anything) == [1, 1, 4]


async def test_only_the_exception_that_ends_an_invocation_counts() -> None:
    app = on_memory(retry_backoff=10.0, retry_backoff_max=60.0)

    @app.task(max_retries=2)
    async def call_home() -> None:
        raise ConnectionError("busy")

    @app.task(triggers=TriggerBuilder().on_exception(call_home, "OSError").with_args_from_exception(everything_of))
    async def give_up(told: list[Any]) -> None:
        pass

    async with TestEngine(app, allow_failures=True) as engine:
        invocation = await call_home()
        await engine.run_until_idle()
        assert engine.calls(give_up) == []
        await engine.advance(hours=1)
        assert engine.calls(give_up) == [
            {"told": [invocation.invocation_id, call_home.task_id, InvocationStatus.FAILED, "UTC"]}
        ]


async def test_a_retry_that_succeeds_leaves_nothing_to_handle(make_app: MakeApp) -> None:
    app = make_app()
    attempts: list[int] = []

    @app.task(max_retries=1)
    async def call_home() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError("busy")

    @app.task(triggers=TriggerBuilder().on_exception(call_home))
    async def give_up() -> None:
        pass

    async with driven(app) as happened:
        await call_home()
        await happened.settle()
        assert await happened.count(give_up) == 0


async def test_a_timeout_is_an_exception_too() -> None:
    app = on_memory()

    @app.task(timeout=30)
    async def wait() -> None:
        await engine_left.wait()

    @app.task(triggers=TriggerBuilder().on_exception(wait, "TaskTimeout"))
    async def give_up() -> None:
        pass

    engine_left = asyncio.Event()
    async with TestEngine(app, allow_failures=True, patience=0.05) as engine:
        await wait()
        await engine.advance(seconds=29)
        assert engine.calls(give_up) == []
        await engine.advance(seconds=1)
        assert engine.calls(give_up) == [{}]


async def test_a_handler_that_fails_can_have_a_handler(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def bake(kilos: int, degrees: int) -> None:
        bake_at(kilos, degrees)

    @app.task(triggers=TriggerBuilder().on_exception(bake))
    async def call_the_baker() -> None:
        raise ConnectionError("the line is dead")

    @app.task(triggers=TriggerBuilder().on_exception(call_the_baker, ConnectionError))
    async def go_there() -> None:
        pass

    async with driven(app) as happened:
        await bake(1, 350)
        await happened.settle()
        assert await happened.count(go_there) == 1


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), StopIteration("odd"), GeneratorExit()])
@pytest.mark.parametrize("kind", ["async", "def"])
async def test_base_exception_fails_the_invocation_but_not_the_runner(
    make_app: MakeApp, raised: BaseException, kind: str
) -> None:
    app = make_app()

    async def async_work() -> None:
        raise raised

    def work() -> None:
        raise raised

    name = type(raised).__name__ if (kind, type(raised)) != ("async", StopIteration) else "RuntimeError"
    task: Any = app.task(task_id="work")(async_work if kind == "async" else work)

    @app.task(triggers=TriggerBuilder().on_exception("work", name))
    async def react() -> None:
        pass

    async with driven(app) as happened:
        await task()
        await happened.settle()
        assert await happened.count(react) == 1
