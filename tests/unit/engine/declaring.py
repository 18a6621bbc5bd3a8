"""Short constructors of conditions and triggers for tests. Ids are derived from the content."""

from __future__ import annotations

from typing import Any

import msgspec

from trigger_engine._model.definitions import (
    AnyResultCondition,
    CallableFilter,
    Condition,
    CronCondition,
    EqualsFilter,
    EventCondition,
    ExceptionCondition,
    Filter,
    MappingFilter,
    ResultCondition,
    StatusCondition,
    TriggerDefinition,
)
from trigger_engine._model.ids import derive


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


def filter_of(value: Any) -> Filter | None:
    """A dict makes a mapping filter, a string `?name` a callable, None no filter, anything else an equality filter."""
    if value is None or isinstance(value, MappingFilter | EqualsFilter | CallableFilter):
        return value
    if isinstance(value, str) and value.startswith("?"):
        return CallableFilter(name=value[1:], code="1")
    return MappingFilter(value=raw(value)) if isinstance(value, dict) else EqualsFilter(value=raw(value))


def on_event(code: str, payload: Any = None) -> EventCondition:
    return EventCondition(id=_id("event", code, payload), event_code=code, payload_filter=filter_of(payload))


def on_status(task: str, *statuses: str, arguments: Any = None) -> StatusCondition:
    name = _id("status", task, statuses, arguments)
    return StatusCondition(id=name, task_id=task, statuses=statuses, call_arguments=filter_of(arguments))


def on_result(task: str, result: Any, arguments: Any = None) -> ResultCondition:
    wanted = filter_of(result) or EqualsFilter(value=raw(None))
    name = _id("result", task, result, arguments)
    return ResultCondition(id=name, task_id=task, result_filter=wanted, call_arguments=filter_of(arguments))


def on_any_result(task: str, arguments: Any = None) -> AnyResultCondition:
    return AnyResultCondition(id=_id("any-result", task, arguments), task_id=task, call_arguments=filter_of(arguments))


def on_exception(task: str, *types: str, arguments: Any = None) -> ExceptionCondition:
    name = _id("exception", task, types, arguments)
    return ExceptionCondition(id=name, task_id=task, exception_types=types, call_arguments=filter_of(arguments))


def on_cron(expression: str) -> CronCondition:
    return CronCondition(
        id=f"cron:{expression}", expression=expression, timezone="UTC", catch_up="latest", catch_up_window=86_400.0
    )


def trigger(
    *conditions: Condition, logic: Any = "or", task: str = "m.target", slot: str = "", queue: str = "default"
) -> TriggerDefinition:
    """A trigger whose id depends on conditions, logic and task. `slot`: the index in the list of the task."""
    name = f"{task}:{derive('trigger', task, logic, [condition.id for condition in conditions])[:12]}"
    place = f"{task}#{slot or name}"
    return TriggerDefinition(
        id=name, slot=place, task_id=task, logic=logic, conditions=conditions, providers=(), queue=queue
    )


def _id(kind: str, *parts: Any) -> str:
    return f"{kind}:{derive(kind, *map(repr, parts))[:10]}"
