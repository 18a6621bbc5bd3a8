"""What mypy and pyright see of the public API; run too, so that the types are also true.

A wrong call carries a `type: ignore` that mypy would report if the call were allowed.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, assert_type

import pytest

from trigger_engine import (
    AsyncTask,
    CronContext,
    CurrentInvocation,
    Event,
    EventContext,
    ExceptionContext,
    Invocation,
    InvocationStatus,
    ResultContext,
    StatusContext,
    SyncInvocation,
    SyncTask,
    Task,
    TriggerBuilder,
    TriggerContext,
    TriggerEngine,
    TriggerEngineBuilder,
    current_invocation,
)
from trigger_engine.testing import TestEngine

app = TriggerEngine(app_id="typing", trigger_cls="MemTrigger")


@app.task
async def fetch(url: str, *, tries: int = 3) -> bytes:
    return url.encode() * tries


@app.task
def count(words: list[str]) -> dict[str, int]:
    return {word: words.count(word) for word in words}


@app.task(max_retries=3, retry_for=(ValueError, KeyError), timeout=timedelta(seconds=5), queue="slow")
async def later(when: datetime) -> None:
    pass


@app.task(run_in="thread", timeout=5, task_id="typing.sized")
def sized(x: int, y: int = 2) -> float:
    return x / y


@app.task(triggers=[TriggerBuilder().on_event("a"), TriggerBuilder().on_event("b")])
async def either() -> str:
    return "either"


def is_admin(payload: Mapping[str, Any]) -> bool:
    assert_type(payload, Mapping[str, Any])
    return True


def from_event(context: EventContext) -> dict[str, Any]:
    assert_type(context.event_id, str)
    assert_type(context.emitter_task_id, str | None)
    assert_type(context.timestamp, datetime)
    return {}


def from_status(context: StatusContext) -> dict[str, Any]:
    assert_type(context.status, InvocationStatus)
    return {}


def from_result(context: ResultContext) -> dict[str, Any]:
    assert_type(context.exception_type, str | None)
    return {}


def from_exception(context: ExceptionContext) -> dict[str, Any]:
    assert_type(context.exception_message, str)
    return {}


def from_cron(context: CronContext) -> dict[str, Any]:
    assert_type(context.last_execution, datetime | None)
    return {}


def from_all(context: TriggerContext) -> dict[str, Any]:
    assert_type(context.event, EventContext | None)
    assert_type(context.cron, CronContext | None)
    return {}


def test_a_task_keeps_its_functions_parameters_and_result() -> None:
    assert_type(sized.func(1), float)
    assert_type(count.func(["a"]), dict[str, int])
    assert_type(count.task_id, str)
    one: AsyncTask[[], str] = either
    two: SyncTask[[list[str]], dict[str, int]] = count
    both: list[Task[Any, Any]] = [one, two, later]
    assert all(isinstance(task, Task) for task in both)


async def test_a_call_gives_an_invocation_of_the_result() -> None:
    async with TestEngine(app) as engine:
        fetched = assert_type(await fetch("x", tries=2), Invocation[bytes])
        counted = assert_type(await count(words=["a", "a"]), Invocation[dict[str, int]])
        assert_type(await later(engine.now), Invocation[None])
        await engine.run_until_idle()
        assert assert_type(await fetched.result(timeout=60), bytes) == b"xx"
        assert assert_type(await counted.result(), dict[str, int]) == {"a": 2}
        assert_type(await fetched.status(), InvocationStatus)
        assert_type(await fetched.cancel(), bool)
        assert_type(await fetched.rerun(), Invocation[bytes])
        assert_type(await app.invocation(fetched.invocation_id), Invocation[Any])
        assert_type(engine.calls(fetch), list[dict[str, Any]])


async def test_options_keep_the_parameters() -> None:
    async with TestEngine(app):
        with_options = fetch.options(delay=timedelta(minutes=5), idempotency_key="k").options(queue="slow")
        assert_type(await with_options("x", tries=1), Invocation[bytes])
        assert_type(await sized.options(delay=0.5)(1, y=3), Invocation[float])


def test_sync_calls_keep_parameters_and_result() -> None:
    enqueued = assert_type(app.sync.enqueue(fetch, "x", tries=2), SyncInvocation[bytes])
    assert_type(app.sync.enqueue(sized.options(delay=5), 1, y=2), SyncInvocation[float])
    assert_type(enqueued.status(), InvocationStatus)
    assert_type(enqueued.cancel(), bool)
    assert_type(app.sync.emit_event("a", {"n": 1}), str)
    assert_type(app.sync.emit_events([Event("a", {}), ("b", None), ("c", {}, "key")]), list[str])


async def test_events_and_the_current_invocation_are_typed() -> None:
    async with TestEngine(app) as engine:
        assert_type(await app.emit_event("a", {"n": 1}, idempotency_key="k"), str)
        assert_type(await app.trigger.emit_event("a", {"n": 1}), str)
        assert_type(await app.emit_events([Event("a", {"n": 1}), ("b", {})]), list[str])
        assert_type(current_invocation(), CurrentInvocation | None)
        await engine.run_until_idle()


def test_a_builder_is_typed_at_every_step() -> None:
    builder = (
        TriggerBuilder()
        .on_cron("0 9 * * *", timezone="Europe/Vienna")
        .on_event("a", is_admin)
        .on_event("b", {"role": "admin"})
        .on_status(fetch, [InvocationStatus.RUNNING, "failed"])
        .on_any_result(count)
        .on_result("typing.sized", 4.0)
        .on_exception(later, ValueError)
        .with_logic("or")
        .with_args_static({"x": 1})
    )
    assert_type(builder, TriggerBuilder)
    assert_type(TriggerBuilder().on_event("a").with_args_from_event(from_event), TriggerBuilder)
    assert_type(TriggerBuilder().on_status(fetch).with_args_from_status(from_status), TriggerBuilder)
    assert_type(TriggerBuilder().on_any_result(fetch).with_args_from_result(from_result), TriggerBuilder)
    assert_type(TriggerBuilder().on_exception(fetch).with_args_from_exception(from_exception), TriggerBuilder)
    assert_type(TriggerBuilder().on_cron("@hourly").with_args_from_cron(from_cron), TriggerBuilder)
    assert_type(TriggerBuilder().on_event("a").with_args_from_trigger_context(from_all), TriggerBuilder)


async def test_apps_and_runners_are_typed() -> None:
    @asynccontextmanager
    async def lifespan(app: TriggerEngine) -> AsyncIterator[None]:
        yield

    built = assert_type(TriggerEngineBuilder().memory().app_id("typing").build(lifespan=lifespan), TriggerEngine)
    async with built as entered, built.runner() as runner:
        assert_type(entered, TriggerEngine)
        assert_type(runner.failed, BaseException | None)


async def test_wrong_calls_are_type_errors() -> None:
    async with TestEngine(app):
        with pytest.raises(TypeError):
            await fetch()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            await fetch("x", depth=1)  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            await sized.options(delay=1)()  # type: ignore[call-arg]
        await sized("one")  # type: ignore[arg-type]


def wrong_sync_calls() -> None:
    """Checked, never run."""
    app.sync.enqueue(fetch, 1)  # type: ignore[arg-type]
    app.sync.enqueue(sized, y=2)  # type: ignore[call-arg]
    TriggerBuilder().on_event("a").with_args_from_event(from_result)  # type: ignore[arg-type]
    app.task(retry_for="ValueError")  # type: ignore[call-overload]
