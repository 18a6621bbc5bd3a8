"""Filters and providers that block, raise, change what they are given or answer nonsense harm their own trigger."""

import threading
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest

from tests.support.apps import MakeApp
from tests.support.leases import renewals_of_a_long_lease
from tests.support.reading import entries_of_type
from tests.support.waiting import wait_until
from trigger_engine import EventContext, ResultContext, TriggerBuilder, TriggerContext, TriggerEngine
from trigger_engine._audit.auditing import audit
from trigger_engine._model.entries import CronTicked, EventEmitted, FilterFailed, LeaderElected, TriggerRejected

GATE = threading.Event()
PAYLOAD: dict[str, Any] = {"user": {"name": "Ada", "tags": ["a", "b"]}, "number": 7}


@pytest.fixture(autouse=True)
def _released() -> Iterator[None]:
    GATE.clear()
    yield
    GATE.set()


def spoil(value: Any) -> None:
    """Changes everything in place."""
    if isinstance(value, dict):
        for item in list(value.values()):
            spoil(item)
        value.clear()
        value["spoilt"] = True
    elif isinstance(value, list):
        value.clear()


def spoiling_filter(given: Any) -> bool:
    spoil(given)
    return True


def spoiling_again(given: Any) -> bool:
    spoil(given)
    return True


def spoiling_event(context: EventContext) -> dict[str, Any]:
    given = {"given": deepcopy(context.payload)}
    spoil(context.payload)
    return given


def spoiling_result(context: ResultContext) -> dict[str, Any]:
    given = {"given": deepcopy(context.result)}
    spoil(context.result)
    spoil(context.arguments.kwargs)
    return given


def spoiling_context(context: TriggerContext) -> dict[str, Any]:
    event = context.event
    assert event is not None
    given = {"given": deepcopy(event.payload)}
    for each in context.contexts:
        assert isinstance(each, EventContext)
        spoil(each.payload)
    return given


def number_of(context: EventContext) -> dict[str, Any]:
    return {"number": context.payload["number"]}


def blocking_filter(payload: Mapping[str, Any]) -> bool:
    GATE.wait(30)
    return True


def blocking_provider(context: EventContext) -> dict[str, Any]:
    GATE.wait(30)
    return {}


class NoTruth:
    def __bool__(self) -> bool:
        raise RuntimeError("neither")


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def no_truth(payload: Any) -> Any:
    return NoTruth()


def silent(payload: Any) -> bool:
    raise Silent


def endless(payload: Any) -> bool:
    return endless(payload)


def interrupting(payload: Any) -> bool:
    raise KeyboardInterrupt


NO_ANSWER = {
    no_truth: "RuntimeError: neither",
    silent: "Silent (its str() raised RuntimeError)",
    endless: "RecursionError: maximum recursion depth exceeded",
    interrupting: "KeyboardInterrupt: ",
}


def no_mapping(context: EventContext) -> Any:
    return 7


def nothing_at_all(context: EventContext) -> Any:
    return None


def keys_that_are_no_names(context: EventContext) -> Any:
    return {7: "x"}


def no_parameter_has_it(context: EventContext) -> Any:
    return {"unknown": 1}


def cannot_be_encoded(context: EventContext) -> Any:
    return {"given": object()}


def an_abyss(context: EventContext) -> Any:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    return {"given": value}


def leaves(context: EventContext) -> Any:
    raise SystemExit(3)


NONSENSE = {
    no_mapping: "TypeError: returned int: return a dict of argument names and values",
    nothing_at_all: "TypeError: returned NoneType",
    keys_that_are_no_names: "TypeError",
    no_parameter_has_it: "TypeError: target() got an unexpected keyword argument 'unknown'",
    cannot_be_encoded: "a value of type object cannot be encoded",
    an_abyss: "nested too deeply",
    leaves: "SystemExit: 3",
}


async def assert_consistent(app: TriggerEngine) -> None:
    report = await audit(app)
    assert report.consistent, report.violations


async def test_mutated_filter_input_affects_nobody(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[Any] = []
    numbers: list[int] = []

    def note(given: Any) -> None:
        seen.append(given)

    on_order = TriggerBuilder().on_event("order", spoiling_filter)
    both = on_order.on_event("order", spoiling_again)
    several = on_order.with_args_from_event(spoiling_event).with_args_from_event(number_of)
    app.task(task_id="of several", triggers=several)(_noting(numbers))
    declared = [on_order.with_args_from_event(spoiling_event), both.with_args_from_trigger_context(spoiling_context)]
    for place, builder in enumerate(declared):
        app.task(task_id=f"of event {place}", triggers=builder)(note)

    @app.task(triggers=TriggerBuilder().on_event("order").with_args_from_event(spoiling_event))
    async def source(given: Any) -> Any:
        back = deepcopy(given)
        spoil(given)
        return back

    on_source = TriggerBuilder().on_result(source, spoiling_filter, call_arguments=spoiling_again)
    for place in range(2):
        app.task(task_id=f"of result {place}", triggers=on_source.with_args_from_result(spoiling_result))(note)

    async with app, app.runner():
        event_id = await app.emit_event("order", PAYLOAD)
        await wait_until(lambda: len(seen) >= 4)
        await wait_until(lambda: numbers)
        assert seen == [PAYLOAD] * 4
        assert numbers == [7]
        assert await entries_of_type(app, TriggerRejected) == []
        assert await entries_of_type(app, FilterFailed) == []
        async with app.history() as history:
            assert (await history.event(event_id)).payload == PAYLOAD
            sources = await history.invocations(task_id=source.task_id)
            assert [one.arguments for one in sources] == [{"given": PAYLOAD}]
        await assert_consistent(app)


async def test_filter_without_an_answer_does_not_match_or_harm_others(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[int] = []
    for function in NO_ANSWER:
        app.task(task_id=function.__name__, triggers=TriggerBuilder().on_event("order", function))(_never)

    @app.task(triggers=TriggerBuilder().on_event("order"))
    async def sound() -> None:
        seen.append(1)

    async with app, app.runner() as runner:
        event_id = await app.emit_event("order", PAYLOAD)
        await wait_until(lambda: seen)
        assert runner.failed is None
        failed = {one.filter.rpartition(".")[2]: one for one in await entries_of_type(app, FilterFailed)}
        assert failed.keys() == {function.__name__ for function in NO_ANSWER}
        for function, error in NO_ANSWER.items():
            assert failed[function.__name__].error.startswith(error)
            assert failed[function.__name__].entry_id == event_id
        await assert_consistent(app)


async def test_provider_that_returns_nonsense_rejects_only_its_run(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[int] = []
    for function in NONSENSE:
        builder = TriggerBuilder().on_event("order").with_args_from_event(function)
        name = "target" if function is no_parameter_has_it else function.__name__
        app.task(task_id=name, triggers=builder)(_target)

    @app.task(triggers=TriggerBuilder().on_event("order"))
    async def sound() -> None:
        seen.append(1)

    async with app, app.runner() as runner:
        await app.emit_event("order", PAYLOAD)
        await wait_until(lambda: seen)
        assert runner.failed is None
        errors = {one.task_id: one.error for one in await entries_of_type(app, TriggerRejected)}
        assert len(errors) == len(NONSENSE)
        for function, error in NONSENSE.items():
            name = "target" if function is no_parameter_has_it else function.__name__
            assert error in errors[name]
        await assert_consistent(app)


async def test_blocking_filter_and_provider_delay_neither_lease_nor_schedule(make_app: MakeApp) -> None:
    app = make_app(callable_timeout=1.5, lease_ttl=0.6)
    seen: list[int] = []
    app.task(task_id="blocked filter", triggers=TriggerBuilder().on_event("order", blocking_filter))(_never)
    provided = TriggerBuilder().on_event("order").with_args_from_event(blocking_provider)
    app.task(task_id="blocked provider", triggers=provided)(_never)
    app.task(task_id="clock", triggers=TriggerBuilder().on_cron("* * * * * *"))(_never)

    @app.task(triggers=TriggerBuilder().on_event("order"))
    async def sound() -> None:
        seen.append(1)

    async with app:
        holders = await renewals_of_a_long_lease(app)
        async with app.runner(), app.runner():
            await wait_until(lambda: entries_of_type(app, CronTicked))
            before = len(holders)
            for _ in range(10):
                await app.emit_event("order", PAYLOAD)
            await wait_until(lambda: len(seen) == 10)
            assert len(holders) >= before + 3, "the lease was not renewed while a function blocked"
            ticks_before = len(await entries_of_type(app, CronTicked))
            await wait_until(lambda: _more_ticks(app, ticks_before))
        scheduled = [tick.scheduled_for for tick in await entries_of_type(app, CronTicked)]
        assert scheduled == [scheduled[0] + second for second in range(len(scheduled))], "a second was left out"
        assert len(await entries_of_type(app, LeaderElected)) == 1, "the lead was lost"
        timed_out = [one for one in await entries_of_type(app, FilterFailed) if "callable_timeout" in one.error]
        rejected = [one for one in await entries_of_type(app, TriggerRejected) if "callable_timeout" in one.error]
        assert (len(timed_out), len(rejected)) == (1, 1), "each is waited for once"
        assert len(await entries_of_type(app, EventEmitted)) == 10
        await assert_consistent(app)


async def _more_ticks(app: TriggerEngine, before: int) -> bool:
    return len(await entries_of_type(app, CronTicked)) > before


def _noting(numbers: list[int]) -> Any:
    def note_number(given: Any, number: int) -> None:
        numbers.append(number)

    return note_number


async def _never() -> None:
    pass


async def _target(given: Any = None) -> None:
    pass
