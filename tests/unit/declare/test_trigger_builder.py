"""The triggers that a TriggerBuilder declares."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.unit.declare.sample_functions import (
    from_event,
    from_everything,
    from_status,
    is_large,
    needs_approval,
)
from tests.unit.declare.targets import NOTE, SOURCE, FakeTask, Settings, condition_id, conditions, declare
from trigger_engine._declare.builder import TriggerBuilder
from trigger_engine._declare.user_functions import code_hash
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import (
    AnyResultCondition,
    CallableFilter,
    CronCondition,
    EqualsFilter,
    EventCondition,
    ExceptionCondition,
    Filter,
    MappingFilter,
    ProvidedArguments,
    ResultCondition,
    StaticArguments,
    StatusCondition,
)

FUNCTIONS = "tests.unit.declare.sample_functions"


def decoded(filter_: Filter | None) -> Any:
    assert isinstance(filter_, MappingFilter | EqualsFilter)
    return msgspec.msgpack.decode(filter_.value)


def test_each_method_returns_a_new_builder() -> None:
    builder = TriggerBuilder()
    more = builder.on_event("a")
    branches = [
        more.on_event("b"),
        more.with_logic("or"),
        more.with_args_static({}),
        more.with_args_from_event(from_event),
    ]
    assert repr(builder) == "TriggerBuilder()"
    assert repr(more) == "TriggerBuilder().on_event('a')"
    assert len({repr(branch) for branch in [builder, more, *branches]}) == 6


def test_repr_is_the_chain_of_calls() -> None:
    builder = (
        TriggerBuilder()
        .on_cron("*/5  * * * *", timezone="Europe/Berlin", catch_up="all", catch_up_window=timedelta(hours=1))
        .on_event("user.login", {"role": "admin"})
        .on_status(SOURCE, ["FAILED", InvocationStatus.SUCCESS], call_arguments={"x": 1})
        .on_any_result("tasks.other")
        .on_result(SOURCE, None)
        .on_result(SOURCE, needs_approval, call_arguments=is_large)
        .on_exception(SOURCE, ValueError)
        .on_exception(SOURCE)
        .with_args_static({"a": 1})
        .with_args_from_trigger_context(from_everything)
        .with_args_from_status(from_status)
        .with_logic("OR")
    )
    assert repr(builder) == (
        "TriggerBuilder()"
        ".on_cron('*/5 * * * *', timezone='Europe/Berlin', catch_up='all', "
        "catch_up_window=datetime.timedelta(seconds=3600))"
        ".on_event('user.login', payload_filter={'role': 'admin'})"
        ".on_status('tasks.div', ['SUCCESS', 'FAILED'], call_arguments={'x': 1})"
        ".on_any_result('tasks.other')"
        ".on_result('tasks.div', None)"
        ".on_result('tasks.div', needs_approval, call_arguments=is_large)"
        ".on_exception('tasks.div', ['ValueError'])"
        ".on_exception('tasks.div')"
        ".with_args_static({'a': 1})"
        ".with_args_from_trigger_context(from_everything)"
        ".with_args_from_status(from_status)"
        ".with_logic('or')"
    )


def test_cron_condition_holds_its_schedule_and_catch_up() -> None:
    (condition,) = conditions(TriggerBuilder().on_cron("*/5 * * * *", catch_up="skip"))
    assert condition == CronCondition(
        id="cron:*/5 * * * *@UTC[skip 86400s]",
        expression="*/5 * * * *",
        timezone="UTC",
        catch_up="skip",
        catch_up_window=86400.0,
    )


def test_event_condition_holds_its_code_and_filter() -> None:
    unfiltered, filtered, asked = conditions(
        TriggerBuilder().on_event("a").on_event("a", {"role": "admin"}).on_event("a", payload_filter=is_large)
    )
    assert unfiltered == EventCondition(id="event:a", event_code="a", payload_filter=None)
    assert isinstance(filtered, EventCondition)
    assert decoded(filtered.payload_filter) == {"role": "admin"}
    assert isinstance(asked, EventCondition)
    assert asked.payload_filter == CallableFilter(name=f"{FUNCTIONS}.is_large", code=code_hash(is_large))


@pytest.mark.parametrize(
    ("given", "statuses"),
    [
        (InvocationStatus.FAILED, ("failed",)),
        ("SUCCESS", ("success",)),
        ("success", ("success",)),
        ("Retry", ("retry",)),
        ([InvocationStatus.FAILED, "SUCCESS"], ("success", "failed")),
        (("success", "SUCCESS", InvocationStatus.SUCCESS), ("success",)),
        ({"pending", "registered"}, ("registered", "pending")),
    ],
)
def test_statuses_are_one_or_several_members_or_names(given: Any, statuses: tuple[str, ...]) -> None:
    (condition,) = conditions(TriggerBuilder().on_status(SOURCE, given))
    assert isinstance(condition, StatusCondition)
    assert condition.statuses == statuses
    assert all(type(status) is str for status in condition.statuses)


def test_status_condition_waits_for_success_by_default() -> None:
    (condition,) = conditions(TriggerBuilder().on_status("tasks.div"))
    assert isinstance(condition, StatusCondition)
    assert (condition.task_id, condition.statuses, condition.call_arguments) == ("tasks.div", ("success",), None)


@pytest.mark.parametrize("value", [2.5, None, [1, 2], "text", True, b"x"])
def test_result_filter_that_is_not_a_mapping_compares_the_value(value: Any) -> None:
    (condition,) = conditions(TriggerBuilder().on_result(SOURCE, filter_result=value))
    assert isinstance(condition, ResultCondition)
    assert isinstance(condition.result_filter, EqualsFilter)
    assert decoded(condition.result_filter) == value


def test_result_filter_may_be_a_mapping_or_a_function() -> None:
    mapping, asked = conditions(
        TriggerBuilder().on_result(SOURCE, {"status": "completed"}).on_result(SOURCE, needs_approval, {"x": 1})
    )
    assert isinstance(mapping, ResultCondition)
    assert isinstance(asked, ResultCondition)
    assert isinstance(mapping.result_filter, MappingFilter)
    assert decoded(mapping.result_filter) == {"status": "completed"}
    assert asked.result_filter == CallableFilter(name=f"{FUNCTIONS}.needs_approval", code=code_hash(needs_approval))
    assert decoded(asked.call_arguments) == {"x": 1}


def test_any_result_and_exceptions_hold_their_filters() -> None:
    builder = TriggerBuilder().on_any_result(SOURCE, {"x": 1}).on_exception(SOURCE, "ZeroDivisionError", {"y": 0})
    ended, failed = conditions(builder)
    assert isinstance(ended, AnyResultCondition)
    assert isinstance(failed, ExceptionCondition)
    assert decoded(ended.call_arguments) == {"x": 1}
    assert decoded(failed.call_arguments) == {"y": 0}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, ()),
        (ValueError, ("ValueError",)),
        ("ValueError", ("ValueError",)),
        ([ValueError, "KeyError", "ValueError"], ("KeyError", "ValueError")),
        ((OSError,), ("OSError",)),
    ],
)
def test_exception_types_are_one_or_several_classes_or_names(given: Any, names: tuple[str, ...]) -> None:
    (condition,) = conditions(TriggerBuilder().on_exception(SOURCE, exception_types=given))
    assert isinstance(condition, ExceptionCondition)
    assert condition.exception_types == names


def target(x: str = "", count: int = 0, role: str = "") -> None: ...


TARGET = FakeTask("tasks.target", target)


def test_providers_keep_their_order() -> None:
    builder = (
        TriggerBuilder()
        .on_event("a")
        .with_args_static({"count": 1})
        .with_args_from_event(from_event)
        .with_args_static({"x": "y", "count": 2})
        .with_args_from_trigger_context(from_everything)
    )
    first, second, third, fourth = declare(builder, TARGET).definition.providers
    assert isinstance(first, StaticArguments)
    assert isinstance(third, StaticArguments)
    assert msgspec.msgpack.decode(first.value) == {"count": 1}
    assert second == ProvidedArguments(context="event", name=f"{FUNCTIONS}.from_event", code=code_hash(from_event))
    assert list(msgspec.msgpack.decode(third.value)) == ["x", "count"]
    assert isinstance(fourth, ProvidedArguments)
    assert fourth.context == "trigger"


def test_declaration_names_its_functions_and_the_tasks_that_it_watches() -> None:
    builder = (
        TriggerBuilder()
        .on_result(SOURCE, needs_approval, is_large)
        .on_status("tasks.elsewhere")
        .on_event("a", is_large)
        .with_args_from_status(from_status)
    )
    declared = declare(builder, TARGET)
    assert declared.callables == {
        f"{FUNCTIONS}.needs_approval": needs_approval,
        f"{FUNCTIONS}.is_large": is_large,
        f"{FUNCTIONS}.from_status": from_status,
    }
    assert declared.referenced_tasks == {"tasks.div", "tasks.elsewhere"}


def test_definition_holds_slot_task_logic_and_queue() -> None:
    task = FakeTask("tasks.slow", target, settings=Settings(queue="slow"))
    definition = declare(TriggerBuilder().on_event("a").on_event("b").with_logic("or"), task, place=3).definition
    assert (definition.slot, definition.task_id, definition.queue) == ("tasks.slow#3", "tasks.slow", "slow")
    assert (definition.logic, len(definition.conditions)) == ("or", 2)
    assert declare(TriggerBuilder().on_event("a")).definition.logic == "and"


def test_identical_conditions_are_merged() -> None:
    builder = TriggerBuilder().on_event("a", {"x": 1, "y": 2}).on_event("a", {"y": 2, "x": 1})
    assert condition_id(builder) == 'event:a{"x":1,"y":2}'


def test_changing_a_filter_later_has_no_effect() -> None:
    wanted = {"role": "admin"}
    builder = TriggerBuilder().on_event("a", wanted)
    wanted["role"] = "user"
    assert condition_id(builder) == 'event:a{"role":"admin"}'


@pytest.mark.parametrize(
    "builder",
    [
        TriggerBuilder().on_status(SOURCE, "SUCCESS").on_any_result(SOURCE).on_result(SOURCE, 2.5),
        TriggerBuilder().on_status(SOURCE, ["SUCCESS", "FAILED"]).on_exception(SOURCE),
        TriggerBuilder().on_status(SOURCE, "RUNNING").on_status(SOURCE, "RETRY").on_exception(SOURCE),
        TriggerBuilder().on_status(SOURCE, ["CANCELLED", "RUNNING"]).on_result(SOURCE, 1),
        TriggerBuilder().on_result(SOURCE, 1).on_exception("tasks.other"),
        TriggerBuilder().on_result(SOURCE, 1).on_exception(SOURCE).with_logic("or"),
    ],
)
def test_conditions_that_one_invocation_can_meet_together_are_accepted(builder: TriggerBuilder) -> None:
    assert declare(builder).definition.conditions


@pytest.mark.parametrize(
    "builder",
    [
        TriggerBuilder().on_event("a").on_result(SOURCE, 1).with_args_from_event(from_event),
        TriggerBuilder().on_event("a").on_event("b").with_logic("or").with_args_from_event(from_event),
        TriggerBuilder().on_any_result(SOURCE).on_exception(SOURCE).with_logic("or").with_args_from_status(from_status),
        TriggerBuilder()
        .on_cron("@daily")
        .on_event("a")
        .with_logic("or")
        .with_args_from_trigger_context(from_everything),
    ],
)
def test_provider_that_every_firing_supplies_is_accepted(builder: TriggerBuilder) -> None:
    assert declare(builder, TARGET).definition.providers


def test_task_is_recognized_by_its_attributes() -> None:
    builder = TriggerBuilder().on_status(SOURCE).on_status(NOTE)
    assert declare(builder).referenced_tasks == {"tasks.div", "tasks.note"}
