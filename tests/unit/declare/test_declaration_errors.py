"""Every mistake in a declaration is refused where it is made; the message names the problem and the fix."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.unit.declare import sample_functions
from tests.unit.declare.targets import FOREIGN, NOTE, SOURCE, FakeTask, declare, divide
from trigger_engine._declare.builder import TriggerBuilder
from trigger_engine.errors import DeclarationError

Mistake = Callable[[Any], Any]


def notify(level: str, details: bool = False, at: datetime | None = None) -> None: ...
def nothing() -> None: ...


NOTIFY = FakeTask("tasks.notify", notify)
ON_EVENT = TriggerBuilder().on_event("a")
WATCHING: dict[str, Callable[[dict[str, Any]], TriggerBuilder]] = {
    "on_status": lambda filter_: TriggerBuilder().on_status(SOURCE, "FAILED", call_arguments=filter_),
    "on_any_result": lambda filter_: TriggerBuilder().on_any_result(SOURCE, call_arguments=filter_),
    "on_result": lambda filter_: TriggerBuilder().on_result(SOURCE, 1, call_arguments=filter_),
    "on_exception": lambda filter_: TriggerBuilder().on_exception(SOURCE, call_arguments=filter_),
}

WHERE_IT_IS_WRITTEN: list[tuple[str, Mistake, str, str]] = [
    (
        "lambda",
        lambda b: b.on_event("a", lambda p: True),
        "on_event('a'): payload_filter: a lambda",
        "def name(payload)",
    ),
    (
        "nested function",
        lambda b: b.on_status(SOURCE, call_arguments=sample_functions.nested),
        "on_status('tasks.div'): call_arguments: make_nested.<locals>.nested is nested in another function",
        "write a named function at module level, def name(arguments): ...",
    ),
    (
        "bound method",
        lambda b: b.on_result(SOURCE, sample_functions.Checks().method),
        "on_result('tasks.div'): filter_result: Checks.method is a method",
        "def name(result): ...",
    ),
    (
        "static method",
        lambda b: b.on_result(SOURCE, sample_functions.Checks.static),
        "Checks.static is a method",
        "write a named function at module level",
    ),
    (
        "partial",
        lambda b: b.on_event("a", sample_functions.partial),
        "a partial of two_parameters has no name",
        "write a named function at module level",
    ),
    (
        "coroutine function",
        lambda b: b.with_args_from_event(sample_functions.coroutine),
        "with_args_from_event: coroutine is a coroutine function, but it must be sync",
        "def name(ctx): ...",
    ),
    (
        "decorated coroutine function",
        lambda b: b.on_event("a", sample_functions.decorated_coroutine),
        "decorated_coroutine is a coroutine function",
        "def name(payload): ...",
    ),
    (
        "generator",
        lambda b: b.with_args_from_trigger_context(sample_functions.generator),
        "with_args_from_trigger_context: generator is a generator",
        "def name(ctx): ...",
    ),
    (
        "callable object",
        lambda b: b.on_event("a", sample_functions.Checks()),
        "an object of type Checks is not a function",
        "write a named function at module level",
    ),
    ("class", lambda b: b.on_result(SOURCE, dict), "dict is a class", "def name(result): ..."),
    ("builtin", lambda b: b.on_event("a", len), "len is not written in Python", "def name(payload): ..."),
    ("cached", lambda b: b.on_event("a", sample_functions.cached), "type _lru_cache_wrapper is not a", "def name(payl"),
    ("task as filter", lambda b: b.on_result(SOURCE, SOURCE), "type FakeTask is not a function", "def name(result)"),
    (
        "provider that is not a function",
        lambda b: b.with_args_from_cron({"a": 1}),
        "with_args_from_cron: an",
        "def name(c",
    ),
    (
        "too many parameters",
        lambda b: b.with_args_from_status(sample_functions.two_parameters),
        "sample_functions.two_parameters cannot be called with one argument, the ctx (missing a required argum",
        "declare it as def two_parameters(ctx): ...",
    ),
    (
        "no parameter",
        lambda b: b.with_args_from_exception(sample_functions.no_parameter),
        "cannot be called with one argument, the ctx (too many positional arguments)",
        "declare it as def no_parameter(ctx): ...",
    ),
    (
        "unknown status",
        lambda b: b.on_status(SOURCE, "SUCESS"),
        "unknown status 'SUCESS', did you mean 'SUCCESS'?",
        "one",
    ),
    (
        "status of a wrong type in a list",
        lambda b: b.on_status(SOURCE, [3]),
        "on_status: unknown status 3:",
        "one of REGISTERED, PENDING",
    ),
    ("no status", lambda b: b.on_status(SOURCE, []), "on_status: statuses is empty", "give at least one"),
    ("status of a wrong type", lambda b: b.on_status(SOURCE, 5), "statuses is 5", "give a status or a list of them"),
    ("cron", lambda b: b.on_cron("61 * * * *"), "on_cron: cron expression '61 * * * *'", "0-59"),
    ("cron fields", lambda b: b.on_cron("* * *"), "on_cron: cron expression '* * *'", "write five fields"),
    ("timezone", lambda b: b.on_cron("@daily", timezone="Europe/Berln"), "on_cron: ", "Europe/Berlin"),
    (
        "catch_up",
        lambda b: b.on_cron("@daily", catch_up="lates"),
        "unknown catch_up 'lates', did you mean 'latest'?",
        '"skip"',
    ),
    (
        "window",
        lambda b: b.on_cron("@daily", catch_up_window=timedelta(0)),
        "invalid catch_up_window",
        "give a positive timedelta",
    ),
    ("window type", lambda b: b.on_cron("@daily", catch_up_window=3), "invalid catch_up_window 3", "give a positive"),
    ("no event code", lambda b: b.on_event(""), "on_event: invalid event code ''", "give a non-empty string"),
    ("event code type", lambda b: b.on_event(3), "on_event: invalid event code 3", "give a non-empty string"),
    (
        "event code surrogate",
        lambda b: b.on_event("\ud800"),
        "event code '\\ud800'",
        "give a non-empty string",
    ),
    (
        "payload filter",
        lambda b: b.on_event("a", [1]),
        "payload_filter is of type list",
        "give a mapping",
    ),
    ("filter keys", lambda b: b.on_status(SOURCE, call_arguments={1: 2}), "keys that are not strings", "give string"),
    (
        "function as task",
        lambda b: b.on_status(divide),
        "on_status: divide is not a task",
        "decorate it with @app.task",
    ),
    ("task type", lambda b: b.on_any_result(None), "on_any_result: None is not a task", "give what @app.task returns"),
    ("task id", lambda b: b.on_exception(" "), "on_exception: task id ' '", "give an id such as"),
    ("exception", lambda b: b.on_exception(SOURCE, 3), "exception_types is 3", "give exception classes or their names"),
    ("no exception", lambda b: b.on_exception(SOURCE, []), "exception_types is empty", "omit it to match any"),
    (
        "exception class",
        lambda b: b.on_exception(SOURCE, int),
        "exception type <class 'int'>",
        "give an exception class",
    ),
    ("exception path", lambda b: b.on_exception(SOURCE, "a.b.Lost"), "exception type 'a.b.Lost'", "module, 'Lost'"),
    (
        "exception name",
        lambda b: b.on_exception(SOURCE, "not one"),
        "exception type 'not one'",
        "give an exception class",
    ),
    ("logic", lambda b: b.with_logic("xor"), "with_logic: unknown logic 'xor'", 'give "and" or "or"'),
    ("static type", lambda b: b.with_args_static([1]), "with_args_static: [1]", "give a dict of argument names"),
    ("static keys", lambda b: b.with_args_static({1: 2}), "with_args_static: {1: 2}", "give a dict of argument names"),
]

SAMPLE = sample_functions
AT_THE_TASK: list[tuple[str, TriggerBuilder, str, str]] = [
    ("no condition", TriggerBuilder(), "trigger tasks.notify#2: has no condition", "add one, such as .on_event("),
    (
        "success and exception",
        TriggerBuilder().on_status(SOURCE).on_exception(SOURCE, "ValueError"),
        "no single invocation of tasks.div can meet status:tasks.div[success] and exception:tasks.div[ValueError]",
        "use with_logic('or'), or two triggers in a list",
    ),
    (
        "result and exception",
        TriggerBuilder().on_result(SOURCE, 1).on_event("a").on_exception("tasks.div"),
        "no single invocation of tasks.div can meet result:tasks.div==1 and exception:tasks.div,",
        "with_logic('or')",
    ),
    (
        "two ends",
        TriggerBuilder().on_status(SOURCE, "CANCELLED").on_status(SOURCE, ["FAILED", "SUCCESS"]),
        "can meet status:tasks.div[cancelled] and status:tasks.div[success,failed]",
        "with_logic('or')",
    ),
    (
        "cancelled and any result",
        TriggerBuilder().on_status(SOURCE, "CANCELLED").on_any_result(SOURCE),
        "can meet status:tasks.div[cancelled] and any-result:tasks.div",
        "with_logic('or')",
    ),
    (
        "three that fit in pairs only",
        TriggerBuilder()
        .on_status(SOURCE, ["SUCCESS", "FAILED"])
        .on_status(SOURCE, ["FAILED", "CANCELLED"])
        .on_status(SOURCE, ["CANCELLED", "SUCCESS"]),
        "no single invocation of tasks.div can meet",
        "with_logic('or')",
    ),
    (
        "provider without a condition",
        TriggerBuilder().on_cron("@daily").with_args_from_event(SAMPLE.from_event),
        "with_args_from_event needs a condition that supplies its context",
        "add on_event, or use with_args_from_trigger_context",
    ),
    (
        "result provider on a status",
        TriggerBuilder().on_status(SOURCE).with_args_from_result(SAMPLE.from_status),
        "with_args_from_result needs a condition that supplies its context",
        "add on_result or on_any_result",
    ),
    (
        "exception provider on any result",
        TriggerBuilder().on_any_result(SOURCE).with_args_from_exception(SAMPLE.from_status),
        "with_args_from_exception needs a condition that supplies its context",
        "add on_exception",
    ),
    (
        "provider that some firing lacks",
        TriggerBuilder().on_cron("@daily").on_event("a").with_logic("or").with_args_from_event(SAMPLE.from_event),
        "also fires on cron:@daily@UTC alone, which has no event context",
        "use two triggers in a list, each with its own provider",
    ),
    (
        "unknown static argument",
        ON_EVENT.with_args_static({"level": "info", "detail": True}),
        "with_args_static gives 'detail', which tasks.notify does not take, did you mean 'details'?",
        "it takes level, details, at",
    ),
    *[
        (
            f"call argument that no call has ({method})",
            watching({"x": 1, "yy": 2}),
            "can never be met: its call_arguments have 'yy', which tasks.div does not take, did you mean 'y'?",
            "it takes x, y",
        )
        for method, watching in WATCHING.items()
    ],
    (
        "call argument of a task without any",
        TriggerBuilder().on_status(NOTE, call_arguments={"x": 1}),
        "its call_arguments have 'x', which tasks.note does not take:",
        "it takes no arguments",
    ),
    (
        "static argument of a wrong type",
        ON_EVENT.with_args_static({"level": 3}),
        "with_args_static does not fit tasks.notify: argument level: cannot be decoded as str: Expected `str`",
        "give a value of the annotated type",
    ),
    (
        "static argument that cannot be rebuilt",
        ON_EVENT.with_args_static({"level": "info", "at": "noon"}),
        "argument at: cannot be decoded as datetime.datetime | None",
        "give a value of the annotated type",
    ),
    (
        "static argument that cannot be encoded",
        ON_EVENT.with_args_static({"level": object()}),
        "argument level: a value of type object cannot be encoded",
        "pass builtins",
    ),
    (
        "filter that cannot be encoded",
        TriggerBuilder().on_event("a", {"x": object()}),
        "trigger tasks.notify#2: payload filter of event 'a': a value of type dict cannot be encoded",
        "pass builtins",
    ),
    (
        "required parameter that nothing supplies",
        ON_EVENT.with_args_static({"details": True}),
        "trigger tasks.notify#2: nothing supplies level, which tasks.notify requires",
        "add with_args_static or a with_args_from_… provider, or give the parameter a default",
    ),
    (
        "task of another app",
        TriggerBuilder().on_status(FOREIGN, "FAILED"),
        "on_status('other.div', ['FAILED']) watches a task of another app",
        "declare both tasks with one app",
    ),
]


@pytest.mark.parametrize(
    ("mistake", "what", "fix"),
    [case[1:] for case in WHERE_IT_IS_WRITTEN],
    ids=[case[0] for case in WHERE_IT_IS_WRITTEN],
)
def test_mistake_is_refused_by_the_builder_method(mistake: Mistake, what: str, fix: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        mistake(TriggerBuilder())
    assert what in str(caught.value)
    assert fix in str(caught.value)


@pytest.mark.parametrize(
    ("builder", "what", "fix"), [case[1:] for case in AT_THE_TASK], ids=[case[0] for case in AT_THE_TASK]
)
def test_mistake_is_refused_at_the_task(builder: TriggerBuilder, what: str, fix: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        declare(builder, NOTIFY, place=2)
    assert str(caught.value).startswith("trigger tasks.notify#2: ")
    assert what in str(caught.value)
    assert fix in str(caught.value)


def test_error_names_a_task_without_parameters() -> None:
    with pytest.raises(DeclarationError, match=r"tasks\.none does not take: it takes no arguments"):
        declare(ON_EVENT.with_args_static({"x": 1}), FakeTask("tasks.none", nothing))


def test_provider_may_supply_what_is_required() -> None:
    assert declare(ON_EVENT.with_args_from_event(SAMPLE.from_event), NOTIFY).definition.providers


def test_two_functions_with_the_same_name_are_refused() -> None:
    namespace: dict[str, Any] = {"__name__": SAMPLE.__name__}
    exec("def is_large(arguments):\n    return False\n", namespace)
    builder = TriggerBuilder().on_event("a", SAMPLE.is_large).on_event("b", namespace["is_large"])
    with pytest.raises(DeclarationError, match=r"two functions are named .*\.is_large: rename one of them"):
        declare(builder)
