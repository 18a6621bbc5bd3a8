"""The names, parameters and answers that users write against."""

import asyncio
import inspect
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import trigger_engine
from tests.acceptance.driving import driven
from tests.support.apps import MakeApp, on_memory
from tests.support.reading import is_running
from tests.support.waiting import wait_until
from trigger_engine import (
    AsyncTask,
    CallArguments,
    CronContext,
    EventContext,
    ExceptionContext,
    Invocation,
    InvocationCancelled,
    InvocationNotFound,
    InvocationStatus,
    ResultContext,
    ResultTimeout,
    SerializationError,
    StatusContext,
    SyncTask,
    Task,
    TaskFailed,
    TriggerBuilder,
    TriggerContext,
    TriggerEngine,
    TriggerEngineError,
    current_invocation,
)
from trigger_engine.testing import TestEngine, UnexpectedFailure

ERRORS: dict[str, tuple[type[BaseException], ...]] = {
    "BackendNotInstalled": (trigger_engine.ConfigError,),
    "BackendUnavailable": (ConnectionError,),
    "ConfigError": (ValueError,),
    "DeclarationError": (ValueError,),
    "InvocationCancelled": (),
    "InvocationNotFound": (),
    "LogReplaced": (),
    "LogTrimmed": (),
    "PayloadTooLarge": (ValueError,),
    "QueryError": (ValueError,),
    "RecordNotFound": (LookupError,),
    "ResultTimeout": (TimeoutError,),
    "RunnerLost": (),
    "SerializationError": (TypeError,),
    "SyncInAsyncError": (RuntimeError,),
    "TaskFailed": (),
    "TaskTimeout": (),
    "UnknownTask": (),
}
METHODS = {
    "on_cron": "expression, *, timezone, catch_up, catch_up_window",
    "on_event": "event_code, payload_filter",
    "on_status": "task, statuses, call_arguments",
    "on_any_result": "task, call_arguments",
    "on_result": "task, filter_result, call_arguments",
    "on_exception": "task, exception_types, call_arguments",
    "with_logic": "logic",
    "with_args_static": "arguments",
    "with_args_from_event": "provider",
    "with_args_from_status": "provider",
    "with_args_from_result": "provider",
    "with_args_from_exception": "provider",
    "with_args_from_cron": "provider",
    "with_args_from_trigger_context": "provider",
}


def parameters(function: Any) -> str:
    names: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in names:
            names.append("*")
        names.append(name)
    return ", ".join(names[1:])


def test_every_error_derives_from_the_root_and_from_a_builtin() -> None:
    raised = {
        name
        for name in trigger_engine.__all__
        if isinstance(getattr(trigger_engine, name), type)
        and issubclass(getattr(trigger_engine, name), TriggerEngineError)
    }
    assert raised == {"TriggerEngineError", *ERRORS}
    for name, bases in ERRORS.items():
        assert issubclass(getattr(trigger_engine, name), (TriggerEngineError,))
        assert all(issubclass(getattr(trigger_engine, name), base) for base in bases), name


@pytest.mark.parametrize(("method", "expected"), METHODS.items())
def test_the_builder_has_these_methods(method: str, expected: str) -> None:
    assert parameters(getattr(TriggerBuilder, method)) == expected


def test_a_builder_is_never_changed() -> None:
    base = TriggerBuilder().on_event("a")
    with_more = base.on_event("b", {"n": 1}).with_logic("or").with_args_static({"x": 1})
    assert repr(base) == "TriggerBuilder().on_event('a')"
    assert repr(with_more) == (
        "TriggerBuilder().on_event('a').on_event('b', payload_filter={'n': 1})"
        ".with_args_static({'x': 1}).with_logic('or')"
    )
    cron = TriggerBuilder().on_cron("@daily", timezone="Asia/Tokyo", catch_up="all")
    assert repr(cron) == "TriggerBuilder().on_cron('@daily', timezone='Asia/Tokyo', catch_up='all')"


def test_statuses_are_strings_that_know_whether_they_are_final() -> None:
    names = ["registered", "pending", "running", "retry", "success", "failed", "cancelled"]
    assert [str(status) for status in InvocationStatus] == names
    assert [status.is_final for status in InvocationStatus] == [False] * 4 + [True] * 3
    assert InvocationStatus("success") is InvocationStatus.SUCCESS


def test_contexts_are_made_by_keyword_alone_and_cannot_be_changed() -> None:
    for kind in (EventContext, StatusContext, ResultContext, ExceptionContext, CronContext, TriggerContext):
        with pytest.raises(TypeError):
            kind("positional")  # type: ignore[arg-type, call-arg]
        with pytest.raises(AttributeError):
            kind().new = 1  # type: ignore[union-attr]
    context = EventContext(event_code="a", payload={"n": 1})
    with pytest.raises(AttributeError):
        context.payload = {}  # type: ignore[misc]
    assert CallArguments({"x": 1}).kwargs == {"x": 1}
    assert isinstance(ResultContext(), StatusContext)
    assert isinstance(ExceptionContext(), StatusContext)
    assert ExceptionContext().status is InvocationStatus.FAILED
    assert EventContext().timestamp.tzinfo is UTC


def test_trigger_context_has_the_newest_entry_of_each_kind() -> None:
    event, newer_event = EventContext(event_code="a"), EventContext(event_code="b")
    result, exception = ResultContext(result=1), ExceptionContext(exception_type="E")
    cron = CronContext(scheduled_for=datetime(2026, 1, 1, tzinfo=UTC))
    context = TriggerContext(contexts=(event, cron, exception, result, newer_event))
    assert context.event is newer_event
    assert context.result is context.status is result
    assert context.exception is exception
    assert context.cron is cron
    assert TriggerContext().event is None


def test_tasks_know_their_ids_and_their_plain_functions() -> None:
    app = on_memory()

    @app.task
    async def awaited(x: int) -> int:
        """Says x."""
        return x

    @app.task(task_id="shop.plain", max_retries=2, retry_for=(OSError, ValueError), timeout=timedelta(minutes=1))
    def plain(x: int = 3, *, y: str = "y") -> str:
        return f"{x}{y}"

    assert (type(awaited), type(plain)) == (AsyncTask, SyncTask)
    assert isinstance(awaited, Task)
    assert awaited.task_id == f"{__name__}.{awaited.__qualname__}"
    assert asyncio.run(awaited.func(1)) == 1
    assert plain.func(1, y="z") == "1z"
    assert (awaited.__name__, awaited.__doc__) == ("awaited", "Says x.")
    assert repr(plain) == "<SyncTask shop.plain>"
    assert repr(plain.options(delay=5, queue="slow")) == "<SyncTask shop.plain with delay=5, queue='slow'>"


async def test_app_opens_nothing_until_it_is_needed(tmp_path: Any) -> None:
    app = TriggerEngine(app_id="shop", sqlite={"sqlite_db_path": str(tmp_path / "shop.db")})
    assert repr(app).startswith(f"<TriggerEngine 'shop', {tmp_path / 'shop.db'}, ")
    async with app:
        assert not (tmp_path / "shop.db").exists()
        async with app:
            await app.emit_event("a")
        await app.emit_event("b")
    assert (tmp_path / "shop.db").exists()


async def test_invocation_reports_its_status_and_result(make_app: MakeApp) -> None:
    app = make_app()
    stop = asyncio.Event()

    @app.task
    async def divide(x: int, y: int = 2) -> float:
        return x / y

    @app.task
    async def wait() -> None:
        await stop.wait()

    async with driven(app) as happened:
        invocation = await divide(5)
        assert type(invocation) is Invocation
        assert await invocation.result(timeout=60) == 2.5
        assert await invocation.status() is InvocationStatus.SUCCESS
        assert not await invocation.cancel()
        assert invocation.task_id == divide.task_id
        assert repr(invocation) == f"<Invocation {divide.task_id} invocation:{invocation.invocation_id}>"
        found = await app.invocation(invocation.invocation_id)
        assert found == invocation
        assert await found.result() == 2.5
        again = await invocation.rerun()
        assert again != invocation
        assert await again.result(timeout=60) == 2.5

        failed = await divide(1, y=0)
        with pytest.raises(TaskFailed, match=r"failed: ZeroDivisionError: division by zero") as caught:
            await failed.result(timeout=60)
        error = caught.value
        assert (error.exception_type, error.exception_message) == ("ZeroDivisionError", "division by zero")
        assert (error.invocation_id, error.task_id) == (failed.invocation_id, divide.task_id)
        assert error.traceback.startswith("Traceback (most recent call last)")
        assert "return x / y" in error.traceback
        assert error.message == error.exception_message
        assert vars(pickle.loads(pickle.dumps(error))) == vars(error)

        waiting = await wait()
        await wait_until(lambda: is_running(waiting))
        with pytest.raises(ResultTimeout, match=r"has not ended within 0\.01 s"):
            await waiting.result(timeout=0.01)
        assert await waiting.cancel()
        with pytest.raises(InvocationCancelled, match="was cancelled"):
            await waiting.result(timeout=60)
        with pytest.raises(InvocationNotFound, match="invocation:unknown is not in the log: check the id"):
            await app.invocation("unknown")
        await happened.settle()


async def test_a_call_can_be_delayed_keyed_and_queued(make_app: MakeApp) -> None:
    app = make_app(queues=["fast", "default"])

    @app.task
    async def note(x: int) -> int:
        return x

    async with driven(app) as happened:
        later = await note.options(delay=timedelta(minutes=5), idempotency_key="order-42", queue="fast")(x=1)
        assert await later.status() is InvocationStatus.REGISTERED
        assert await note.options(idempotency_key="order-42")(2) == later
        elsewhere = await note.options(queue="slow")(3)
        now = await note.options(queue="fast").options(delay=0)(4)
        assert await now.result(timeout=60) == 4
        assert await elsewhere.status() is InvocationStatus.REGISTERED
        assert await later.cancel()
        assert await elsewhere.cancel()
        await happened.settle()
        with pytest.raises(TypeError):
            note.options(5)  # type: ignore[call-arg]


async def test_current_invocation_exists_only_inside_a_task(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def outer(x: int) -> tuple[str, str]:
        current = current_invocation()
        assert current is not None
        assert (current.task_id, current.attempt, dict(current.arguments), current.trigger_run_id, current.depth) == (
            outer.task_id,
            1,
            {"x": 7},
            None,
            0,
        )
        return current.invocation_id, (await inner()).invocation_id

    @app.task
    def inner() -> str:
        current = current_invocation()
        assert current is not None
        return current.invocation_id

    async with driven(app) as happened:
        assert current_invocation() is None
        invocation = await outer(7)
        own_id, inner_id = await invocation.result(timeout=60)
        assert own_id == invocation.invocation_id
        await happened.settle()
        record = await happened.history.invocation(inner_id)
        assert (record.parent_invocation_id, record.result) == (own_id, inner_id)


async def test_unstorable_arguments_are_refused_before_anything_is_stored(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def note(what: Any) -> None:
        pass

    async with app, app.history() as history:
        with pytest.raises(SerializationError, match=rf"task {note.task_id}, argument what: a value of type object"):
            await note(object())
        assert not await history.invocations()


async def test_the_test_engine_keeps_everything_in_memory_and_on_its_clock(tmp_path: Any) -> None:
    app = TriggerEngine(app_id="shop", sqlite={"sqlite_db_path": str(tmp_path / "shop.db")})

    @app.task(triggers=TriggerBuilder().on_event("login", {"role": "admin"}))
    async def notify() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_cron("0 * * * *"))
    async def hourly() -> None:
        pass

    assert TestEngine.__test__ is False
    async with TestEngine(app) as engine:
        assert engine.now == datetime(2025, 1, 1, tzinfo=UTC)
        await app.emit_event("login", {"role": "admin"})
        await engine.run_until_idle()
        assert engine.calls(notify) == [{}]
        await engine.advance(minutes=30)
        assert engine.calls(hourly) == []
        await engine.advance(timedelta(minutes=30))
        assert engine.calls(hourly.task_id) == [{}]
        assert [run.task_id for run in engine.runs()] == [notify.task_id, hourly.task_id]
        assert (engine.failures(), engine.rejected()) == ([], [])
        assert engine.now == datetime(2025, 1, 1, 1, tzinfo=UTC)
    assert not (tmp_path / "shop.db").exists()


async def test_the_test_engine_reports_failures_that_were_not_allowed() -> None:
    app = on_memory()

    @app.task
    async def fail() -> None:
        raise LookupError("nothing here")

    with pytest.raises(UnexpectedFailure, match="LookupError: nothing here"):
        async with TestEngine(app) as engine:
            await fail()
            await engine.run_until_idle()
    async with TestEngine(app, allow_failures=True) as engine:
        await fail()
        await engine.run_until_idle()
        assert [failure.exception_type for failure in engine.failures()] == ["LookupError"]
