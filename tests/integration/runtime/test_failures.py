"""Failing user code: one invocation fails, with the details of the error, and nothing else is affected."""

import asyncio
import sys
from datetime import datetime
from typing import Any

import pytest

from tests.support.apps import MakeApp
from tests.support.reading import entries_of_type, statuses
from tests.support.tasks import task_of
from trigger_engine import Invocation, InvocationStatus, TaskFailed, TriggerEngine
from trigger_engine._model.entries import Failed


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Quit(BaseException):
    pass


RAISED: list[tuple[BaseException, str]] = [
    (ValueError("no luck"), "ValueError"),
    (Quit("enough"), "Quit"),
    (SystemExit(3), "SystemExit"),
    (KeyboardInterrupt("user"), "KeyboardInterrupt"),
    (asyncio.CancelledError("by itself"), "CancelledError"),
    (GeneratorExit(), "GeneratorExit"),
    (StopIteration("early"), "StopIteration"),
    (TimeoutError("own"), "TimeoutError"),
    (ExceptionGroup("both", [ValueError("a"), TypeError("b")]), "ExceptionGroup"),
    (Unspeakable(), "Unspeakable"),
    (ValueError("a lone surrogate: \ud800"), "ValueError"),
]
BY_NAME = [pytest.param(exc, name, id=name) for exc, name in RAISED]


async def failure(invocation: Invocation[Any]) -> TaskFailed:
    with pytest.raises(TaskFailed) as caught:
        await invocation.result(timeout=60)
    assert await invocation.status() is InvocationStatus.FAILED
    return caught.value


@pytest.mark.parametrize(("exc", "name"), BY_NAME)
async def test_any_exception_fails_only_its_async_task(make_app: MakeApp, exc: BaseException, name: str) -> None:
    app = make_app()

    @app.task
    async def fail() -> None:
        raise exc

    @app.task
    async def succeed() -> str:
        return "fine"

    async with app, app.runner() as runner:
        failed = await failure(await fail())
        assert await (await succeed()).result(timeout=60) == "fine"
        assert runner.failed is None
    # A coroutine cannot raise StopIteration: Python converts it to a RuntimeError.
    assert failed.exception_type == ("RuntimeError" if name == "StopIteration" else name)


@pytest.mark.parametrize(("exc", "name"), BY_NAME)
async def test_any_exception_fails_only_its_def_task(make_app: MakeApp, exc: BaseException, name: str) -> None:
    app = make_app()

    @app.task
    def fail() -> None:
        raise exc

    @app.task
    def succeed() -> str:
        return "fine"

    async with app, app.runner() as runner:
        failed = await failure(await fail())
        assert await (await succeed()).result(timeout=60) == "fine"
        assert runner.failed is None
    assert failed.exception_type == name


async def test_sys_exit_in_a_def_task_does_not_end_the_runner(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def leave() -> None:
        sys.exit("bye")

    async with app, app.runner():
        failed = await failure(await leave())
    assert (failed.exception_type, failed.exception_message) == ("SystemExit", "bye")


async def test_a_failure_names_task_invocation_type_message_and_traceback(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def divide(x: int) -> float:
        return x / 0

    async with app, app.runner():
        invocation = await divide(1)
        failed = await failure(invocation)
    assert (failed.task_id, failed.invocation_id) == (divide.task_id, invocation.invocation_id)
    assert (failed.exception_type, failed.exception_message) == ("ZeroDivisionError", "division by zero")
    assert "return x / 0" in failed.traceback
    assert "attempt.py" not in failed.traceback, "the engine's own frames are left out"
    assert "ZeroDivisionError: division by zero" in str(failed)


async def test_the_traceback_of_a_def_task_starts_with_its_own_frame(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def divide(x: int) -> float:
        return x / 0

    async with app, app.runner():
        failed = await failure(await divide(1))
    assert "return x / 0" in failed.traceback
    assert "trigger_engine" not in failed.traceback


async def test_an_exception_that_cannot_be_printed_is_recorded(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def fail() -> None:
        raise Unspeakable

    async with app, app.runner():
        failed = await failure(await fail())
    assert failed.exception_message == "<its str() raised RuntimeError>"


async def test_a_very_long_message_is_cut(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def fail() -> None:
        raise ValueError("x" * 1_000_000)

    async with app, app.runner():
        failed = await failure(await fail())
    assert len(failed.exception_message) < 20_000
    assert len(failed.traceback) < 70_000


async def test_an_unencodable_result_fails_the_task_with_its_name(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def give() -> Any:
        return object()

    async with app, app.runner():
        failed = await failure(await give())
    assert failed.exception_type == "SerializationError"
    assert give.task_id in failed.exception_message


async def test_an_unencodable_result_is_not_retried(make_app: MakeApp) -> None:
    app = make_app()
    calls = 0

    @app.task(max_retries=3)
    async def give() -> Any:
        nonlocal calls
        calls += 1
        return object()

    async with app, app.runner():
        await failure(await give())
    assert calls == 1


async def test_a_result_that_does_not_match_its_annotation_is_returned_unchanged(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def give() -> datetime:
        return "soon"  # type: ignore[return-value]

    async with app, app.runner():
        assert await (await give()).result(timeout=60) == "soon"


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_huge_result_fails_the_task(make_app: MakeApp, *, is_async: bool) -> None:
    app = make_app(max_payload_bytes=1000)

    if is_async:

        @app.task(task_id="give")
        async def give() -> str:
            return "x" * 2000
    else:

        @app.task(task_id="give")
        def give() -> str:
            return "x" * 2000

    async with app, app.runner():
        failed = await failure(await task_of(app, "give")())
    assert failed.exception_type == "PayloadTooLarge"
    assert "max_payload_bytes" in failed.exception_message


async def test_stored_arguments_that_no_longer_match_fail_the_task(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(task_id="changing")
    async def old(x: str) -> None:
        pass

    async with app:
        invocation = await old("text")
        app._internals.registry.tasks.clear()

        @app.task(task_id="changing", max_retries=3)
        async def new(x: datetime) -> None:
            pass

        async with app.runner():
            failed = await failure(invocation)
        assert await statuses(app, invocation) == ["registered", "pending", "running", "failed"]
    assert failed.exception_type == "SerializationError"


async def test_the_bases_of_an_exception_are_recorded_for_triggers(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def fail() -> None:
        raise FileNotFoundError("gone")

    async with app, app.runner():
        await failure(await fail())
        (failed,) = await entries_of_type(app, Failed)
    assert failed.exception.bases == ("OSError", "Exception", "BaseException")


async def test_a_task_that_cancels_its_own_asyncio_task_fails_alone(make_app: MakeApp) -> None:
    app: TriggerEngine = make_app()

    @app.task
    async def cancel_myself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    @app.task
    async def succeed() -> str:
        return "fine"

    async with app, app.runner():
        failed = await failure(await cancel_myself())
        assert await (await succeed()).result(timeout=60) == "fine"
    assert failed.exception_type == "CancelledError"
