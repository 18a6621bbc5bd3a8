"""Retries, backoff and timeouts, on a manual clock where time matters."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.support.apps import MakeApp, on_memory
from tests.support.reading import entries_of_type, statuses
from trigger_engine import DeclarationError, TaskFailed, TaskTimeout, current_invocation
from trigger_engine._engine.retry import backoff
from trigger_engine._model.entries import Failed, Retried
from trigger_engine.testing import TestEngine


async def test_a_failed_attempt_is_retried_until_it_succeeds(make_app: MakeApp) -> None:
    app = make_app()
    attempts: list[int] = []

    @app.task(max_retries=3)
    async def flaky() -> str:
        current = current_invocation()
        assert current is not None
        attempts.append(current.attempt)
        if current.attempt < 3:
            raise ValueError("not yet")
        return "done"

    async with app, app.runner():
        invocation = await flaky()
        assert await invocation.result(timeout=60) == "done"
        assert await statuses(app, invocation) == [
            "registered",
            *("pending", "running", "retry"),
            *("pending", "running", "retry"),
            *("pending", "running", "success"),
        ]
    assert attempts == [1, 2, 3]


async def test_the_last_exception_counts_when_no_retry_is_left(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(max_retries=2)
    def flaky() -> None:
        current = current_invocation()
        assert current is not None
        raise ValueError(f"attempt {current.attempt}")

    async with app, app.runner():
        with pytest.raises(TaskFailed, match="attempt 3"):
            await (await flaky()).result(timeout=60)
        assert len(await entries_of_type(app, Retried)) == 2
        assert len(await entries_of_type(app, Failed)) == 1


async def test_only_exceptions_in_retry_for_are_retried(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(max_retries=5, retry_for=(ConnectionError, KeyError))
    async def flaky(kind: str) -> None:
        raise {"connection": ConnectionResetError, "key": KeyError, "value": ValueError}[kind](kind)

    async with app, app.runner():
        for kind, retries in [("connection", 5), ("key", 5), ("value", 0)]:
            before = len(await entries_of_type(app, Retried))
            with pytest.raises(TaskFailed):
                await (await flaky(kind)).result(timeout=60)
            assert len(await entries_of_type(app, Retried)) - before == retries


async def test_a_base_exception_is_retried_only_if_named(make_app: MakeApp) -> None:
    app = make_app()
    calls = {"usual": 0, "named": 0}

    @app.task(max_retries=1)
    async def usual() -> None:
        calls["usual"] += 1
        raise SystemExit(1)

    @app.task(max_retries=1, retry_for=SystemExit)
    async def named() -> None:
        calls["named"] += 1
        raise SystemExit(1)

    async with app, app.runner():
        for task in (usual, named):
            with pytest.raises(TaskFailed):
                await (await task()).result(timeout=60)
    assert calls == {"usual": 1, "named": 2}


async def test_the_backoff_doubles_up_to_its_maximum_minus_a_jitter() -> None:
    app = on_memory(retry_backoff=10.0, retry_backoff_max=60.0)
    times: list[float] = []

    @app.task(max_retries=5)
    async def flaky() -> None:
        times.append(engine.now.timestamp())
        raise ValueError("again")

    async with TestEngine(app, allow_failures=True) as engine:
        invocation = await flaky()
        await engine.run_until_idle()
        assert len(times) == 1
        await engine.advance(minutes=30)
    waits = [later - earlier for earlier, later in pairwise(times)]
    expected = [backoff(invocation.invocation_id, attempt, base=10.0, cap=60.0) for attempt in range(1, 6)]
    assert waits == pytest.approx(expected)
    for wait, full in zip(waits, [10, 20, 40, 60, 60], strict=True):
        assert 0.75 * full <= wait <= full


def test_the_jitter_depends_only_on_the_invocation() -> None:
    assert backoff("a", 1, base=10, cap=60) == backoff("a", 1, base=10, cap=60)
    assert len({backoff(name, 1, base=10, cap=60) for name in "abcdefgh"}) == 8


async def test_an_async_task_over_its_timeout_fails_with_task_timeout(make_app: MakeApp) -> None:
    app = make_app()
    cleaned_up = asyncio.Event()

    @app.task(timeout=0.05)
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned_up.set()

    async with app, app.runner():
        invocation = await slow()
        with pytest.raises(TaskFailed, match=r"exceeded its timeout of 0\.05 s") as failed:
            await invocation.result(timeout=60)
        assert failed.value.exception_type == "TaskTimeout"
        assert await statuses(app, invocation) == ["registered", "pending", "running", "failed"]
        (entry,) = await entries_of_type(app, Failed)
    assert "TriggerEngineError" in entry.exception.bases
    assert cleaned_up.is_set()


async def test_a_timeout_may_be_a_timedelta_on_the_manual_clock() -> None:
    app = on_memory()

    @app.task(timeout=timedelta(minutes=5))
    async def slow() -> None:
        await asyncio.Event().wait()

    async with TestEngine(app, allow_failures=True, patience=0.05) as engine:
        await slow()
        await engine.advance(minutes=4)
        assert engine.failures() == []
        await engine.advance(minutes=2)
        (failure,) = engine.failures()
    assert failure.exception_type == "TaskTimeout"


async def test_a_timeout_is_retried_like_any_failure(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(timeout=0.05, max_retries=1, retry_for=TaskTimeout)
    async def slow() -> str:
        current = current_invocation()
        assert current is not None
        if current.attempt == 1:
            await asyncio.sleep(60)
        return "second time lucky"

    async with app, app.runner():
        assert await (await slow()).result(timeout=60) == "second time lucky"


async def test_a_task_that_suppresses_its_cancellation_times_out(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(timeout=0.05)
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "never mind"
        return "unreachable"

    async with app, app.runner():
        with pytest.raises(TaskFailed, match="TaskTimeout"):
            await (await stubborn()).result(timeout=60)


async def test_a_task_may_handle_a_timeout_of_its_own(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(timeout=10)
    async def careful() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            return "gave up"
        return "unreachable"

    async with app, app.runner():
        assert await (await careful()).result(timeout=60) == "gave up"


@pytest.mark.parametrize(
    "options",
    [{"max_retries": -1}, {"retry_for": "ValueError"}, {"timeout": 0}, {"queue": ""}, {"run_in": "thread"}],
    ids=str,
)
def test_invalid_options_are_refused_at_declaration(options: dict[str, object]) -> None:
    app = on_memory()
    (name,) = options

    async def task() -> None:
        pass

    with pytest.raises(DeclarationError, match=name):
        app.task(**options)(task)  # type: ignore[call-overload]
