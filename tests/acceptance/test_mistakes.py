"""What is said to be avoided is refused where it is written, and the message says what to write instead."""

import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.apps import on_memory
from tests.support.tasks import task_of
from trigger_engine import CronContext, DeclarationError, EventContext, ResultContext, TriggerBuilder, TriggerEngine

AT_MODULE_LEVEL = "write a named function at module level, def name"


def from_event(ctx: EventContext) -> dict[str, Any]:
    return {"number": 1}


def from_cron(ctx: CronContext) -> dict[str, Any]:
    return {"number": 2}


def from_result(ctx: ResultContext) -> dict[str, Any]:
    return {"number": 3}


def of_two(payload: Any, more: Any) -> bool:
    return True


async def awaiting(payload: Any) -> bool:
    return True


class Filters:
    def method(self, payload: Any) -> bool:
        return True

    @staticmethod
    def static(payload: Any) -> bool:
        return True


def nested() -> Callable[[Any], bool]:
    def inner(payload: Any) -> bool:
        return True

    return inner


@pytest.fixture
def app() -> TriggerEngine:
    app = on_memory()

    @app.task(task_id="work")
    async def work(number: int = 0) -> int:
        return number

    return app


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda payload: True, "a lambda has no name"),
        (nested(), "nested.<locals>.inner is nested in another function"),
        (Filters().method, "Filters.method is a method"),
        (Filters.static, "Filters.static is a method"),
        (functools.partial(of_two, more=1), "a partial of of_two has no name"),
        (awaiting, "awaiting is a coroutine function"),
        (len, "len is not written in Python"),
        (Filters, "Filters is a class"),
    ],
)
def test_filters_and_providers_are_named_functions_of_a_module(function: Any, told: str) -> None:
    builder = TriggerBuilder()
    declarations: list[Callable[[], Any]] = [
        lambda: builder.on_event("a", payload_filter=function),
        lambda: builder.on_status("work", call_arguments=function),
        lambda: builder.on_any_result("work", call_arguments=function),
        lambda: builder.on_result("work", filter_result=function),
        lambda: builder.on_exception("work", call_arguments=function),
        lambda: builder.with_args_from_event(function),
        lambda: builder.with_args_from_status(function),
        lambda: builder.with_args_from_result(function),
        lambda: builder.with_args_from_exception(function),
        lambda: builder.with_args_from_cron(function),
        lambda: builder.with_args_from_trigger_context(function),
    ]
    for declare in declarations:
        with pytest.raises(DeclarationError) as caught:
            declare()
        assert told in str(caught.value)
        assert AT_MODULE_LEVEL in str(caught.value)


def test_a_function_that_cannot_be_called_with_one_argument_is_refused() -> None:
    with pytest.raises(
        DeclarationError, match=r"of_two cannot be called with one argument, the payload .* def of_two\(payload\)"
    ):
        TriggerBuilder().on_event("a", of_two)  # type: ignore[arg-type]


BUILDERS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda b: b.on_status("work", "sucess"), "unknown status 'sucess', did you mean 'SUCCESS'?"),
    (lambda b: b.on_status("work", []), "statuses is empty"),
    (lambda b: b.on_status(5), "5 is not a task"),
    (lambda b: b.on_status(of_two), "of_two is not a task: decorate it with @app.task"),
    (lambda b: b.on_cron("61 * * * *"), "'61 \\* \\* \\* \\*' has an invalid minute"),
    (lambda b: b.on_cron("* * * *"), "has 4 fields: write five fields .* or six with the seconds first"),
    (lambda b: b.on_cron("* * * * * * 2030"), "a year is not supported"),
    (lambda b: b.on_cron("H * * * *"), "R and H are not supported"),
    (lambda b: b.on_cron("R * * * *"), "R and H are not supported"),
    (lambda b: b.on_cron("0 0 30 2 *"), "never fires"),
    (lambda b: b.on_cron("@hourly", timezone="Europe/Atlantis"), "timezone 'Europe/Atlantis' is not known"),
    (lambda b: b.on_cron("@hourly", catch_up="some"), 'give "latest", "all" or "skip"'),
    (lambda b: b.on_cron("@hourly", catch_up_window=timedelta(0)), "give a positive timedelta"),
    (lambda b: b.on_event(""), "give a non-empty string"),
    (lambda b: b.on_event("a", 5), "give a mapping of the values that must be equal, or a function"),
    (lambda b: b.on_event("a", {1: 2}), "give string keys"),
    (lambda b: b.on_event("a", {"x": [{"at": datetime(2026, 1, 1)}]}), "naive datetime 2026-01-01T00:00:00"),
    (lambda b: b.on_exception("work", []), "omit it to match any exception"),
    (lambda b: b.on_exception("work", int), "give an exception class or its name"),
    (lambda b: b.on_exception("work", "shop.Broken"), "without its module, 'Broken'"),
    (lambda b: b.with_logic("xor"), 'give "and" or "or"'),
    (lambda b: b.with_args_static(["a"]), "give a dict of argument names and values"),
]


@pytest.mark.parametrize(("write", "told"), BUILDERS)
def test_a_mistake_in_a_builder_is_refused_on_its_own_line(write: Callable[[Any], Any], told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        write(TriggerBuilder())


TRIGGERS: list[tuple[Callable[[], Any], str]] = [
    (TriggerBuilder, "has no condition: add one"),
    (
        lambda: TriggerBuilder().on_cron("@hourly").on_event("a").with_logic("or").with_args_from_event(from_event),
        "also fires on cron:@hourly@UTC alone, which has no event context: use two triggers in a list",
    ),
    (
        lambda: TriggerBuilder().on_cron("@hourly").with_args_from_event(from_event),
        "needs a condition that supplies its context: add on_event",
    ),
    (
        lambda: TriggerBuilder().on_status("work").with_args_from_result(from_result),
        "needs a condition that supplies its context: add on_result or on_any_result",
    ),
    (
        lambda: TriggerBuilder().on_status("work").on_exception("work"),
        "no single invocation of work can meet .* use with_logic\\('or'\\)",
    ),
    (
        lambda: TriggerBuilder().on_status("work", "FAILED").on_result("work", 1),
        "no single invocation of work can meet",
    ),
    (
        lambda: TriggerBuilder().on_event("a").with_args_static({"nummer": 1}),
        "with_args_static gives 'nummer', which .* does not take, did you mean 'number'?",
    ),
    (lambda: TriggerBuilder().on_event("a").with_args_static({"number": "one"}), "does not fit"),
    (lambda: TriggerBuilder().on_event("a").with_args_static({"number": object()}), "type object"),
    (lambda: TriggerBuilder().on_event("a"), "nothing supplies number"),
    (lambda: [TriggerBuilder().on_event("a").with_args_static({"number": 1})] * 2, "are the same: drop one of them"),
    (lambda: "on_event", "give one TriggerBuilder or a list of them"),
]


@pytest.mark.parametrize(("triggers", "told"), TRIGGERS)
def test_a_mistake_between_a_trigger_and_its_task_names_both(
    app: TriggerEngine, triggers: Callable[[], Any], told: str
) -> None:
    with pytest.raises(DeclarationError, match=told) as caught:

        @app.task(triggers=triggers(), task_id="shop.react")
        async def react(number: int) -> None:
            pass

    assert "shop.react" in str(caught.value)
    assert "shop.react" not in app._internals.registry.tasks


def positional_only(number: int, /) -> None: ...
def any_positions(*numbers: int) -> None: ...
def any_names(**numbers: int) -> None: ...
def generator(number: int) -> Any:
    yield number


async def async_generator(number: int) -> Any:
    yield number


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (positional_only, "number is positional-only, but arguments are passed by name: remove the /"),
        (any_positions, r"\*numbers takes any number of positional arguments: declare one list parameter"),
        (any_names, r"\*\*numbers takes any keyword arguments: declare each of them"),
        (generator, "is a generator: return a list, or emit an event for each item"),
        (async_generator, "is a generator"),
        (len, "declare a function written with def or async def"),
        (Filters, "declare a function written with def or async def"),
    ],
)
def test_invalid_task_functions_are_refused(app: TriggerEngine, function: Any, told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        app.task(function)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_retries": -1}, "max_retries is -1"),
        ({"max_retries": True}, "max_retries is True"),
        ({"retry_for": [ValueError]}, "give exception classes, one or a tuple"),
        ({"timeout": 0}, "timeout is 0: give seconds above 0"),
        ({"timeout": "5"}, "timeout is '5': give seconds above 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"queue": ""}, "queue is '': give a non-empty string"),
        ({"task_id": ""}, "task_id is '': give a non-empty string"),
        ({"task_id": 5}, "task_id is 5: give a non-empty string"),
        ({"run_in": "proces"}, 'give "thread" or "process"'),
        ({"task_id": "work"}, "task work is declared twice"),
    ],
)
def test_invalid_task_options_are_refused(app: TriggerEngine, options: dict[str, Any], told: str) -> None:
    with pytest.raises(DeclarationError, match=told):

        @app.task(**options)
        def react() -> None:
            pass


def test_an_option_that_no_task_has_is_refused_at_once(app: TriggerEngine) -> None:
    with pytest.raises(
        TypeError, match=r"task\(\) got an unexpected keyword argument 'trigger', did you mean 'triggers'?"
    ):
        app.task(trigger=TriggerBuilder().on_event("a"))  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"delay": "soon"}, "delay is 'soon': give seconds or a timedelta"),
        ({"delay": float("nan")}, "delay is nan"),
        ({"delay": float("inf")}, "delay is inf"),
        ({"delay": 1e300}, r"delay is 1e\+300"),
        ({"delay": True}, "delay is True"),
        ({"idempotency_key": ""}, "idempotency_key is ''"),
        ({"idempotency_key": 5}, "idempotency_key is 5"),
        ({"queue": ""}, "queue is ''"),
        ({"queue": 5}, "queue is 5: give a non-empty string"),
        ({"queue": "\ud800"}, "queue is"),
    ],
)
def test_invalid_call_options_are_refused_before_the_call(
    app: TriggerEngine, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(DeclarationError, match=f"task work: {told}"):
        task_of(app, "work").options(**options)


async def test_a_call_that_does_not_fit_is_refused_as_python_does(app: TriggerEngine) -> None:
    work = task_of(app, "work")
    with pytest.raises(TypeError, match=r"work\(\) takes from 0 to 1 positional arguments but 2 were given"):
        await work(1, 2)
    with pytest.raises(
        TypeError, match=r"work\(\) got an unexpected keyword argument 'nummer', did you mean 'number'\?"
    ):
        await work(nummer=1)
